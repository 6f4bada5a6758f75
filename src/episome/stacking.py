"""The composition part of the head: a k-mer logistic regression that the adapter is trained around, not against.

It is fitted first; the training rows see its *out-of-fold* answers, as in stacking (Wolpert 1992), so that the adapter
is not told that its neighbour already knows the training set by heart; at the end both parts are weighed on validation
rows.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler

from episome.classifier import Classifier, Examples
from episome.types import EpisomeError

_FOLDS = 5


def fit_composition(
    classifier: Classifier, train: Examples, val: Examples, groups: NDArray[np.str_], penalties: tuple[float, ...]
) -> NDArray[np.float32]:
    """Fit the composition part of the head, task by task, and freeze it.

    Args:
        classifier: its head's composition weights and bias are set.
        train: labelled rows.
        val: rows that choose the penalty.
        groups: homology group of each training row; a group is never on both sides of a fold.
        penalties: inverse L2 penalties to choose from.

    Returns:
        float32 [n, L], the offset that lets the training rows see out-of-fold answers (`Examples.offset`).
    """
    correction = np.zeros(train.labels.shape, dtype=np.float32)
    if classifier.composition.size == 0:
        return correction
    for k, task in enumerate(classifier.tasks):
        rows, judge = train.labels[:, k] >= 0, val.labels[:, k] >= 0
        scaler = StandardScaler().fit(train.composition[rows])
        x, y = scaler.transform(train.composition[rows]), train.labels[rows, k]
        x_val, y_val = scaler.transform(val.composition[judge]), val.labels[judge, k]
        if len(np.unique(y)) < 2 or len(np.unique(y_val)) < 2:
            raise EpisomeError(f"task {task.name!r}: training and validation rows must hold both classes")
        fits = {c: _logistic(c).fit(x, y) for c in penalties}
        chosen = min(penalties, key=lambda c: log_loss(y_val, fits[c].predict_proba(x_val)[:, 1]))
        folds = GroupKFold(min(_FOLDS, len(np.unique(groups[rows])))).split(x, y, groups[rows])
        held_out = np.zeros(len(y))
        for learn, score in folds:
            part = _logistic(chosen).fit(x[learn], y[learn])
            held_out[score] = part.decision_function(x[score])
        correction[rows, k] = held_out - fits[chosen].decision_function(x)
        _set_composition(classifier, k, fits[chosen], scaler)
    classifier.head.composition.requires_grad_(False)
    return correction


def condition(classifier: Classifier, examples: Examples) -> None:
    """Train composition weights in units of each feature's spread over `examples`; no answer changes."""
    spread = torch.from_numpy(examples.composition.std(axis=0))
    scale = torch.where(spread > 0, spread, torch.ones_like(spread))
    head = classifier.head
    with torch.no_grad():
        head.composition.mul_(scale / head.scale)
        head.scale.copy_(scale)


def stack(classifier: Classifier, val: Examples) -> None:
    """Weigh the state part against the composition part of each task by logistic regression on validation rows."""
    if classifier.composition.size == 0:
        return
    width = classifier.head.state.shape[1]
    for k in range(len(classifier.tasks)):
        rows = val.labels[:, k] >= 0
        weight, bias = classifier.head.folded()
        wide = val.composition[rows] @ weight[k, width:].detach().numpy()
        deep = classifier.logits(val)[rows, k] - wide - bias[k].item()
        spread = np.array([max(float(deep.std()), 1e-6), max(float(wide.std()), 1e-6)])
        fitted = LogisticRegression(C=1.0).fit(np.stack([deep, wide], axis=1) / spread, val.labels[rows, k])
        factor = np.maximum(fitted.coef_[0], 0.0) / spread  # a part that speaks against itself is left out
        with torch.no_grad():
            classifier.head.state[k] *= float(factor[0])
            classifier.head.composition[k] *= float(factor[1])
            classifier.head.bias[k] = float(fitted.intercept_[0])


def _set_composition(classifier: Classifier, task: int, fitted: LogisticRegression, scaler: StandardScaler) -> None:
    weight = fitted.coef_[0] / scaler.scale_
    head = classifier.head
    with torch.no_grad():
        head.composition[task] = torch.from_numpy(weight.astype(np.float32)) * head.scale
        head.bias[task] = float(fitted.intercept_[0] - weight @ scaler.mean_)


def _logistic(inverse_penalty: float) -> LogisticRegression:
    return LogisticRegression(C=inverse_penalty, max_iter=2000, tol=1e-3)
