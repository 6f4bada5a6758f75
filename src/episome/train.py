"""Fit one species' adapter and head.

A fresh adapter is trained on what the composition part of the head cannot explain: that part is a k-mer logistic
regression, fitted first, and the training rows see its *out-of-fold* answers, as in stacking (Wolpert 1992), so that
the adapter is not told that its neighbour already knows the training set by heart. A retrain starts from the champion
and trains all of it, held back by elastic weight consolidation (`episome.ewc`).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from episome import ewc, lora
from episome.batches import batches, mixed
from episome.classifier import Classifier, Examples, load_classifier, predict
from episome.params import Train
from episome.pretrain import cosine
from episome.types import EpisomeError

__all__ = [
    "Classifier",
    "Epoch",
    "Step",
    "anchor",
    "condition",
    "fisher",
    "fit",
    "fit_composition",
    "load_classifier",
    "predict",
    "stack",
]

_FOLDS = 5
_FISHER_TOKENS = 2048
_PARTS = 4  # batches per optimiser step, each of one length


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One optimiser step: number, of how many at most, loss (BCE, nats per label) and penalty (λ included)."""

    number: int
    total: int
    loss: float
    penalty: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """End of an epoch: mean loss, validation AUROC per task, and whether it is the best so far."""

    number: int
    loss: float
    auroc: dict[str, float]
    best: bool


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
        float32 [n, L], what to add to the head's logits of the training rows so that they see out-of-fold answers.
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


def fit(
    classifier: Classifier,
    train: Examples,
    val: Examples,
    numbers: Train,
    *,
    seed: int,
    correction: NDArray[np.float32] | None = None,
    anchor: ewc.Anchor | None = None,
) -> Iterator[Step | Epoch]:
    """Train adapter and head in place, yielding every step and epoch; the best epoch's weights are kept.

    The score is the mean validation AUROC over tasks; training stops after `numbers.patience` epochs without a better
    one. With an `anchor`, λ/2 Σ F (ΔW − ΔW*)² is added once per step. Byte-identical on one machine for equal inputs.
    """
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    parameters = [p for p in classifier.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(_groups(classifier, numbers))
    per_epoch = len(list(mixed(train.lengths, numbers.tokens_per_step, _PARTS, rng)))
    total = per_epoch * numbers.epochs
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, cosine(total, numbers.warmup_share))
    best, best_state, waited, number = _score(classifier, val), _snapshot(classifier), 0, 0
    for epoch in range(numbers.epochs):
        losses = []
        classifier.train()
        for step in mixed(train.lengths, numbers.tokens_per_step, _PARTS, rng):
            optimiser.zero_grad(set_to_none=True)
            held = _held_back(classifier, anchor, numbers.ewc_lambda)
            if held.requires_grad:
                held.backward()
            loss = _accumulate(classifier, train, step, correction)
            nn.utils.clip_grad_norm_(parameters, numbers.clip_norm)
            optimiser.step()
            if number + 1 < total:  # the shuffled epochs may differ by a step; the schedule ends at zero
                schedule.step()
            losses.append(loss)
            yield Step(number=number, total=total, loss=losses[-1], penalty=held.item())
            number += 1
        score = _score(classifier, val)
        better = _mean(score) > _mean(best)
        if better:
            best, best_state, waited = score, _snapshot(classifier), 0
        else:
            waited += 1
        yield Epoch(number=epoch, loss=float(np.mean(losses)), auroc=score, best=better)
        if waited >= numbers.patience:
            break
    classifier.load_state_dict(best_state, strict=False)
    classifier.eval()


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


def fisher(classifier: Classifier, examples: Examples, rows: int, seed: int) -> ewc.Fisher:
    """Fisher information of adapter and head on at most `rows` rows, drawn by `seed`."""
    classifier.eval()
    rng = np.random.default_rng(seed)
    kept = np.sort(rng.permutation(len(examples.encodings))[:rows])
    lengths = np.asarray(examples.lengths)[kept]

    def scored() -> Iterator[ewc.Scored]:
        for at in batches(lengths, _FISHER_TOKENS):
            features = classifier.features(*classifier.batch(examples, kept[at]))
            labelled = torch.from_numpy(examples.labels[kept[at]] >= 0)
            yield ewc.Scored(logits=classifier.head(features), features=features, labelled=labelled)

    return ewc.fisher(list(lora.layers(classifier.encoder)), scored())


def anchor(classifier: Classifier, state: ewc.Fisher) -> ewc.Anchor:
    """Hold on to `classifier` as it is now, by the importance in `state`."""
    layers = list(lora.layers(classifier.encoder))
    weight, bias = classifier.head.folded()
    return ewc.Anchor(
        fisher=state,
        a={layer.name: layer.a.detach().clone() for layer in layers},
        b={layer.name: layer.scale * layer.b.detach().clone() for layer in layers},
        head_weight=weight.detach().clone()[: len(state.head_bias)],
        head_bias=bias.detach().clone()[: len(state.head_bias)],
    )


def _accumulate(
    classifier: Classifier, train: Examples, step: list[NDArray[np.int64]], correction: NDArray[np.float32] | None
) -> float:
    """Add the gradient of one step, batch by batch; answers the mean loss per label over the whole step."""
    labels = sum(int((train.labels[at] >= 0).sum()) for at in step)
    total = 0.0
    for at in step:
        loss = _bce(classifier, train, at, correction) / labels
        loss.backward()
        total += loss.item()
    return total


def _bce(
    classifier: Classifier, train: Examples, at: NDArray[np.int64], correction: NDArray[np.float32] | None
) -> Tensor:
    """Binary cross entropy, summed over the labels that are there."""
    logits = classifier.head(classifier.features(*classifier.batch(train, at)))
    if correction is not None:
        logits = logits + torch.from_numpy(correction[at])
    labels = torch.from_numpy(train.labels[at]).to(logits.dtype)
    there = labels >= 0
    return nn.functional.binary_cross_entropy_with_logits(logits[there], labels[there], reduction="sum")


def _held_back(classifier: Classifier, anchor: ewc.Anchor | None, weight: float) -> Tensor:
    if anchor is None or weight == 0:
        return torch.zeros(())
    return weight * ewc.penalty(lora.layers(classifier.encoder), *classifier.head.folded(), anchor)


def _groups(classifier: Classifier, numbers: Train) -> list[dict[str, object]]:
    """Adapter and head at their own rates; weight decay on everything but the head's bias."""
    adapter = [p for p in classifier.encoder.parameters() if p.requires_grad]
    head = [p for p in (classifier.head.state, classifier.head.composition) if p.requires_grad]
    return [
        {"params": adapter, "lr": numbers.learning_rate, "weight_decay": numbers.weight_decay},
        {"params": head, "lr": numbers.head_learning_rate, "weight_decay": numbers.weight_decay},
        {"params": [classifier.head.bias], "lr": numbers.head_learning_rate, "weight_decay": 0.0},
    ]


def _score(classifier: Classifier, val: Examples) -> dict[str, float]:
    """Validation AUROC of every task whose validation rows hold both classes."""
    logits = classifier.logits(val)
    if not np.isfinite(logits).all():
        raise EpisomeError("training has diverged: a validation logit is not finite; lower train.learning_rate")
    scores = {}
    for k, task in enumerate(classifier.tasks):
        rows = val.labels[:, k] >= 0
        if len(np.unique(val.labels[rows, k])) == 2:
            scores[task.name] = float(roc_auc_score(val.labels[rows, k], logits[rows, k]))
    if not scores:
        raise EpisomeError("no task has validation rows of both classes; add rows or lower windows.split.train")
    return scores


def _mean(scores: dict[str, float]) -> float:
    return sum(scores.values()) / len(scores)


def _snapshot(classifier: Classifier) -> dict[str, Tensor]:
    """A copy of what is trained; the frozen base is left out."""
    trained = {name for name, parameter in classifier.named_parameters() if parameter.requires_grad}
    return {name: value.detach().clone() for name, value in classifier.state_dict().items() if name in trained}


def _set_composition(classifier: Classifier, task: int, fitted: LogisticRegression, scaler: StandardScaler) -> None:
    weight = fitted.coef_[0] / scaler.scale_
    head = classifier.head
    with torch.no_grad():
        head.composition[task] = torch.from_numpy(weight.astype(np.float32)) * head.scale
        head.bias[task] = float(fitted.intercept_[0] - weight @ scaler.mean_)


def _logistic(inverse_penalty: float) -> LogisticRegression:
    return LogisticRegression(C=inverse_penalty, max_iter=2000, tol=1e-3)
