"""The composition part of the head: a k-mer logistic regression that the adapter is trained around, not against.

It is fitted first; the training rows see its *out-of-fold* answers, as in stacking (Wolpert 1992), so that the adapter
is not told that its neighbour already knows the training set by heart; at the end both parts are weighed on validation
rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler

from episome import auxiliary, strands
from episome.classifier import Classifier, Examples
from episome.composition import site_features
from episome.dataset import label_column
from episome.learning import Train
from episome.types import EpisomeError, Task

_FOLDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Fits to choose from: inverse L2 penalties, and weights of the k-mers beside the bases around a site."""

    penalties: tuple[float, ...]
    kmer_weights: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fit:
    """A logistic regression on scaled features.

    Attributes:
        penalty: inverse L2 penalty.
        weight: float32 [K], what each standardised feature was multiplied with.
        model: fitted.
    """

    penalty: float
    weight: NDArray[np.float32]
    model: LogisticRegression


def fit_composition(
    classifier: Classifier,
    train: Examples,
    val: Examples,
    groups: NDArray[np.str_],
    numbers: Grid,
    *,
    pass_over: bool = False,
) -> NDArray[np.float32]:
    """Fit the composition part of the head, task by task, and freeze it.

    Args:
        classifier: its head's composition weights and bias are set.
        train: labelled rows.
        val: rows that choose among the fits.
        groups: homology group of each training row; a group is never on both sides of a fold.
        numbers: penalties and weights to choose from, by log loss on the validation rows.
        pass_over: leave a task without any label among these rows as it is, instead of refusing it.

    Returns:
        float32 [n, L], the offset that lets the training rows see out-of-fold answers (`Examples.offset`).
    """
    correction = np.zeros(train.labels.shape, dtype=np.float32)
    if classifier.composition.size == 0:
        return correction
    for k, task in enumerate(classifier.tasks):
        rows, judge = train.labels[:, k] >= 0, val.labels[:, k] >= 0
        if pass_over and not rows.any():
            continue
        scaler = StandardScaler().fit(train.composition[rows])
        x, y = scaler.transform(train.composition[rows]), train.labels[rows, k]
        x_val, y_val = scaler.transform(val.composition[judge]), val.labels[judge, k]
        if len(np.unique(y)) < 2 or len(np.unique(y_val)) < 2:
            raise EpisomeError(f"task {task.name!r}: training and validation rows must hold both classes")
        fits = [
            _Fit(penalty=c, weight=scale, model=_logistic(c).fit(x * scale, y))
            for scale in _scales(classifier, task, numbers.kmer_weights)
            for c in numbers.penalties
        ]
        chosen = min(fits, key=lambda fit: log_loss(y_val, fit.model.predict_proba(x_val * fit.weight)[:, 1]))
        answers = chosen.model.decision_function(x * chosen.weight)
        correction[rows, k] = _out_of_fold(chosen, x, y, groups[rows]) - answers
        _set_composition(classifier, k, chosen, scaler)
    classifier.head.composition.requires_grad_(False)
    return correction


def _out_of_fold(
    chosen: _Fit, x: NDArray[np.float64], y: NDArray[np.int8], groups: NDArray[np.str_]
) -> NDArray[np.float64]:
    """Answers float64 [n] of fits like the chosen one that have not seen a row's homology group."""
    answers = np.zeros(len(y))
    for learn, score in GroupKFold(min(_FOLDS, len(np.unique(groups)))).split(x, y, groups):
        part = _logistic(chosen.penalty).fit(x[learn] * chosen.weight, y[learn])
        answers[score] = part.decision_function(x[score] * chosen.weight)
    return answers


def prepare(
    classifier: Classifier, learn: pd.DataFrame, judge: pd.DataFrame, numbers: Train
) -> tuple[Examples, Examples]:
    """Training and validation rows of a fresh adapter, the composition part of the head fitted to them.

    Args:
        classifier: its composition part is set and frozen.
        learn: training rows, with columns ``sequence``, ``group`` and labels.
        judge: validation rows.
        numbers: penalties to choose from, the tasks whose rows may be turned round, and auxiliary targets.
    """
    fitting, judging = examples(classifier, learn, numbers), classifier.examples(judge)
    groups = learn["group"].to_numpy(str)
    if fitting.turned is not None:  # the rows behind are those that are turned, in their order, group by group theirs
        groups = np.concatenate([groups, groups[fitting.turned >= len(groups)]])
    offset = fit_composition(classifier, fitting, judging, groups, _grid(numbers))
    return replace(fitting, offset=offset), judging


def examples(classifier: Classifier, learn: pd.DataFrame, numbers: Train) -> Examples:
    """Training rows made ready, with the reverse complements and auxiliary targets that `numbers` ask for."""
    rows, turned, targets = learn, None, None
    if numbers.reverse_complement_share > 0:
        rows, turned = strands.both(learn, numbers.strand_free)
    if numbers.auxiliary.on:
        targets = auxiliary.standardised(auxiliary.of(rows["sequence"], numbers.auxiliary.targets), len(learn))
    return replace(classifier.examples(rows), turned=turned, targets=targets)


def beside(classifier: Classifier, rows: pd.DataFrame, numbers: Train) -> Examples:
    """Training rows of a donor, to be learned beside a target's by the same head (`Memory.rows`).

    The composition part of the head is the target's. So that the adapter is not asked to mend it on the donor's rows,
    these see the donor's own composition, out of fold, in its place.

    Args:
        classifier: after `prepare` with the target's rows; left as it is.
        rows: the donor's; only those labelled for a task of the target count.
        numbers: penalties to choose from.

    Raises:
        EpisomeError: none of the training or validation rows has a label of the target's tasks.
    """
    labels = [name for task in classifier.tasks if (name := label_column(task.name)) in rows]
    asked = rows[(rows[labels] >= 0).any(axis=1)] if labels else rows.iloc[:0]
    learn, judge = asked[asked["split"] == "train"], asked[asked["split"] == "val"]
    if learn.empty or judge.empty:
        tasks = ", ".join(task.name for task in classifier.tasks)
        raise EpisomeError(
            f"the donor has {len(learn)} training and {len(judge)} validation rows of the target's tasks ({tasks}); "
            "nothing to train jointly: set train.joint_lambda to 0"
        )
    fitting, judging, head = classifier.examples(learn), classifier.examples(judge), classifier.head
    weights, bias = head.composition.detach().clone(), head.bias.detach().clone()
    target = _composed(classifier, fitting)
    groups = learn["group"].to_numpy(str)
    correction = fit_composition(classifier, fitting, judging, groups, _grid(numbers), pass_over=True)
    own = _composed(classifier, fitting) + correction
    with torch.no_grad():
        head.composition.copy_(weights)
        head.bias.copy_(bias)
    return replace(fitting, offset=(own - target).astype(np.float32))


def _composed(classifier: Classifier, examples: Examples) -> NDArray[np.float32]:
    """What composition alone answers, float32 [n, L]."""
    weight, bias = classifier.head.folded()
    width = classifier.head.state.shape[1]
    answer: NDArray[np.float32] = examples.composition @ weight[:, width:].detach().numpy().T + bias.detach().numpy()
    return answer


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
        parts = np.stack([deep, wide], axis=1)
        factor, intercept = _weighed(parts, val.labels[rows, k])
        with torch.no_grad():
            classifier.head.state[k] *= float(factor[0])
            classifier.head.composition[k] *= float(factor[1])
            classifier.head.bias[k] = intercept


def level(classifier: Classifier, val: Examples) -> None:
    """Move each task's bias so that its mean probability on validation rows is their share of positives.

    Training that weighs the classes alike, or draws them equally often, shifts every logit (King & Zeng 2001); a
    temperature cannot undo that.
    """
    logits = classifier.logits(val).astype(np.float64)
    for k in range(len(classifier.tasks)):
        rows = val.labels[:, k] >= 0
        wanted = float(val.labels[rows, k].mean()) if rows.any() else 0.0
        if not 0 < wanted < 1:
            continue

        def too_many(shift: float, own: NDArray[np.float64] = logits[rows, k], share: float = wanted) -> float:
            return float(expit(own + shift).mean()) - share

        with torch.no_grad():
            classifier.head.bias[k] += float(brentq(too_many, -100.0, 100.0))


def _weighed(parts: NDArray[np.float32], labels: NDArray[np.int8]) -> tuple[NDArray[np.float64], float]:
    """Weights of two parts, none below 0, and the intercept; a part that speaks against itself is left out."""
    spread = np.maximum(parts.std(axis=0), 1e-6)
    kept = np.ones(2, dtype=np.bool_)
    factor = np.zeros(2)
    while True:
        fitted = LogisticRegression(C=1.0).fit(parts * kept / spread, labels)
        factor = fitted.coef_[0] * kept / spread
        if (factor >= 0).all():
            return factor, float(fitted.intercept_[0])
        kept &= factor >= 0  # the other is weighed anew, and the intercept with it


def _scales(classifier: Classifier, task: Task, weights: tuple[float, ...]) -> Iterator[NDArray[np.float32]]:
    """Scales float32 [K] of the features, one for each weight of the k-mers beside the bases around a site.

    Hundreds of k-mers drown the few bases that decide a site, unless the penalty bears harder on them.
    """
    spec = classifier.composition
    single = spec.size - site_features(spec.site_reach)
    for weight in weights if task.scope == "site" and spec.site_reach else (1.0,):
        scale = np.ones(spec.size, dtype=np.float32)
        if task.scope == "site":
            scale[:single] = weight
        else:
            scale[single:] = 0  # what is around a centre, for a task that has none
        yield scale


def _set_composition(classifier: Classifier, task: int, fitted: _Fit, scaler: StandardScaler) -> None:
    weight = fitted.model.coef_[0] * fitted.weight / scaler.scale_
    head = classifier.head
    with torch.no_grad():
        head.composition[task] = torch.from_numpy(weight.astype(np.float32)) * head.scale
        head.bias[task] = float(fitted.model.intercept_[0] - weight @ scaler.mean_)


def _grid(numbers: Train) -> Grid:
    return Grid(penalties=numbers.composition_inverse_penalty, kmer_weights=numbers.site_kmer_weights)


def _logistic(inverse_penalty: float) -> LogisticRegression:
    return LogisticRegression(C=inverse_penalty, max_iter=2000, tol=1e-3)
