"""What one training step adds up: the loss of labels, the distance to a donor's states, penalties on weights.

L = λ_joint · (BCE of the target's labels + λ_distil · distance) + BCE of the donor's labels, on batches of each drawn
apart (λ_joint is 1 and the last term is missing without joint training), plus the penalties of `held_back` once a step.
A retrain with a coreset: L = (1 − s) · L_new + s · BCE of the coreset's labels, s = `Train.replay_share`. As every step
has both, what the past counts does not hang on how many rows are new.
With auxiliary targets, weight · (mean squared error of each, mean over targets) stands beside the distance.
Sources: learning without forgetting (Li & Hoiem 2016), of a donor on states instead of outputs, so that no donor row is
needed; L2-SP (Li et al. 2018) weighted by importance (Kirkpatrick et al. 2017).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from episome import ewc, lora
from episome.batches import Indices
from episome.classifier import Classifier, Examples
from episome.learning import Train
from episome.types import EpisomeError


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What a training is held to, or learns beside its own rows; each part acts where its weight is not 0.

    Attributes:
        prior: the champion that a retrain started from; by `Train.ewc_lambda`.
        donor: ΔW at the start and what of it mattered to the donor; by `Train.retain_lambda`.
        states: float32 [n, d], pooled states of the n training rows at the start; by `Train.distil_lambda`.
        rows: training rows of the donor; by `Train.joint_lambda`.
        answers: float32 [n, L], the champion's logits of the n training rows, NaN where it has none; by
            `Train.answers_lambda`.
        replayed: training rows of the champion; by `Train.replay_share`.
    """

    prior: ewc.Anchor | None = None
    donor: ewc.Anchor | None = None
    states: NDArray[np.float32] | None = None
    rows: Examples | None = None
    answers: NDArray[np.float32] | None = None
    replayed: Examples | None = None


EMPTY = Memory()
STIFFEST = 100.0  # of λ · Fisher · learning rate; 2 would be the end of plain descent, AdamW takes more


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """Rows of one batch, B of them.

    Attributes:
        rows: int64 [B], places in `Examples`; one may come more than once.
        tasks: int64 [B], the one task that each speaks for; None: all that it is labelled for.
    """

    rows: Indices
    tasks: Indices | None = None

    def labels(self, examples: Examples) -> NDArray[np.int8]:
        """Labels int8 [B, L]; -1 where nothing is asked."""
        labels = examples.labels[self.rows]
        if self.tasks is None:
            return labels
        return np.where(np.arange(labels.shape[1]) == self.tasks[:, None], labels, np.int8(-1))


class Sums(NamedTuple):
    """What one step added up.

    Attributes:
        loss: mean cross entropy per label.
        strayed: weighted distance to `Lesson.states` and `Lesson.answers`, mean per row.
        missed: mean squared error of the auxiliary targets, without their weight; None where there are none.
    """

    loss: float
    strayed: float
    missed: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """What the pooled state learns beside the labels.

    Attributes:
        layer: from pooled state to targets; nobody keeps it.
        targets: float [n, T] of all rows; NaN does not count.
    """

    layer: nn.Linear
    targets: Tensor

    def missed(self, features: Tensor, draw: Draw, known: Tensor) -> Tensor:
        """A batch's part of the mean squared error of a step, mean over targets.

        Args:
            features: [B, 2d + K], the pooled state first.
            draw: of the batch.
            known: [T], rows of the step that have each target.
        """
        wanted = self.targets[draw.rows]
        errors = self.layer(features[:, : self.layer.in_features]) - wanted.nan_to_num()
        return ((errors.square() * ~wanted.isnan()).sum(0) / known.clamp(min=1)).mean()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """Rows to learn from and what each counts.

    Attributes:
        examples: n rows, L tasks.
        positive: float [L], what a positive label counts, against 1 for a negative; None: the same.
        states: float32 [n, d] to stay near; None: anywhere.
        factor: of all that these rows add.
        aside: None: nothing is learned beside the labels.
        answers: float32 [n, L] logits to stay near, those that are not NaN; None: any.
    """

    examples: Examples
    positive: Tensor | None
    states: NDArray[np.float32] | None = None
    factor: float = 1.0
    aside: Aside | None = None
    answers: NDArray[np.float32] | None = None


def lesson(
    examples: Examples,
    numbers: Train,
    *,
    states: NDArray[np.float32] | None = None,
    factor: float = 1.0,
    aside: Aside | None = None,
    answers: NDArray[np.float32] | None = None,
) -> Lesson:
    """Rows with the weights that `numbers` ask for."""
    return Lesson(
        examples=examples,
        positive=positive_weights(examples.labels) if numbers.balance == "weights" else None,
        states=states if numbers.distil_lambda > 0 else None,
        factor=factor,
        aside=aside,
        answers=answers if numbers.answers_lambda > 0 else None,
    )


def lessons(
    train: Examples, memory: Memory, numbers: Train, aside: Aside | None = None
) -> tuple[Lesson, Lesson | None]:
    """A training's own rows, and those that every step learns beside them."""
    own, beside, theirs = 1.0, None, 1.0
    if memory.replayed is not None and numbers.replay_share > 0:
        own, beside, theirs = 1 - numbers.replay_share, memory.replayed, numbers.replay_share
    elif memory.rows is not None and numbers.joint_lambda > 0:
        own, beside = numbers.joint_lambda, memory.rows
    first = lesson(train, numbers, states=memory.states, factor=own, aside=aside, answers=memory.answers)
    return first, None if beside is None else lesson(beside, numbers, factor=theirs)


def set_aside(classifier: Classifier, examples: Examples, numbers: Train) -> Aside | None:
    """The auxiliary targets, and a layer at zero like a new head; None where none are asked for.

    Raises:
        EpisomeError: they are, and the rows came without them.
    """
    if not numbers.auxiliary.on:
        return None
    if examples.targets is None:
        names = ", ".join(numbers.auxiliary.targets)
        raise EpisomeError(f"train.auxiliary asks for {names}; wanted: training rows with them (stacking.examples)")
    layer = nn.Linear(classifier.head.state.shape[1] // 2, examples.targets.shape[1])
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return Aside(layer=layer, targets=torch.from_numpy(examples.targets))


def positive_weights(labels: NDArray[np.int8]) -> Tensor:
    """Negatives over positives of each task, float [L]; 1 where a class is missing."""
    negatives, positives = (labels == 0).sum(axis=0), (labels == 1).sum(axis=0)
    ratio = np.where((negatives > 0) & (positives > 0), negatives / np.maximum(positives, 1), 1.0)
    return torch.from_numpy(ratio.astype(np.float32))


def accumulate(classifier: Classifier, rows: Lesson, step: list[Draw], numbers: Train) -> Sums:
    """Add the gradient of one step, batch by batch."""
    labels = sum(int((draw.labels(rows.examples) >= 0).sum()) for draw in step)
    count = sum(len(draw.rows) for draw in step)
    known = torch.zeros(0) if rows.aside is None else _known(rows.aside, step)
    total = strayed = missed = 0.0
    for draw in step:
        features = _features(classifier, rows.examples, draw.rows, numbers.precision)
        logits = classifier.head(features)
        loss = _bce(logits, rows, draw) / labels
        whole = loss
        for away in _distances(rows, draw, features, logits, numbers, count):
            whole, strayed = whole + away, strayed + away.item()
        if rows.aside is not None:
            wrong = rows.aside.missed(features, draw, known)
            whole, missed = whole + numbers.auxiliary.weight * wrong, missed + wrong.item()
        (whole * rows.factor).backward()
        total += loss.item()
    return Sums(loss=total, strayed=strayed, missed=None if rows.aside is None else missed)


def _distances(
    rows: Lesson, draw: Draw, features: Tensor, logits: Tensor, numbers: Train, count: int
) -> Iterator[Tensor]:
    """A batch's part of the weighted distances to what is to be kept, of a step of `count` rows."""
    if rows.states is not None:
        near = torch.from_numpy(rows.states[draw.rows])
        yield (features[:, : near.shape[1]] - near).square().mean(1).sum() * (numbers.distil_lambda / count)
    if rows.answers is not None:
        yield divergence(torch.from_numpy(rows.answers[draw.rows]), logits).sum() * (numbers.answers_lambda / count)


def divergence(old: Tensor, new: Tensor) -> Tensor:
    """KL(old ‖ new) of every answer in nats, float [B, L], of logits [B, L]; 0 where the old one is NaN."""
    known = ~old.isnan()
    old = torch.where(known, old, 0.0)
    cross = nn.functional.binary_cross_entropy_with_logits
    parted = cross(new, old.sigmoid(), reduction="none") - cross(old, old.sigmoid(), reduction="none")
    return parted * known


def eased(numbers: Train, memory: Memory) -> tuple[Train, float]:
    """Numbers whose penalty towards the prior can be followed, and the share of the learning rates that goes with it.

    λ is cut where it times the steepest weight of the Fisher times the learning rate is above `STIFFEST`; what it asks
    beyond is taken from the rates. So nothing overflows or goes on swinging, and for λ → ∞ nothing moves.
    """
    if memory.prior is None or numbers.ewc_lambda == 0:
        return numbers, 1.0
    adapter, head = ewc.steepest(memory.prior.fisher, apart=numbers.guard == "ewc_factors")
    steepest = max(adapter * numbers.learning_rate, head * numbers.head_learning_rate)
    over = numbers.ewc_lambda * steepest / STIFFEST
    if over <= 1:
        return numbers, 1.0
    return numbers.model_copy(update={"ewc_lambda": numbers.ewc_lambda / over}), 1 / over


def held_back(classifier: Classifier, memory: Memory, numbers: Train) -> Tensor:
    """Σ λ/2 Σ F (ΔW − ΔW*)² over prior and donor; a scalar, without a gradient where both are off."""
    total = torch.zeros(())
    towards_prior = ewc.penalty_apart if numbers.guard == "ewc_factors" else ewc.penalty
    for weight, anchor, penalty in (
        (numbers.ewc_lambda, memory.prior, towards_prior),
        (numbers.retain_lambda, memory.donor, ewc.penalty),
    ):
        if anchor is not None and weight > 0:
            total = total + weight * penalty(lora.layers(classifier.encoder), *classifier.head.folded(), anchor)
    return total


def _features(classifier: Classifier, examples: Examples, at: Indices, precision: Literal["fp32", "bf16"]) -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
        features: Tensor = classifier.features(*classifier.batch(examples, at))
    return features


def _known(aside: Aside, step: list[Draw]) -> Tensor:
    """Rows of a step that have each target, [T]."""
    return (~aside.targets[np.concatenate([draw.rows for draw in step])].isnan()).sum(0)


def _bce(logits: Tensor, rows: Lesson, draw: Draw) -> Tensor:
    """Binary cross entropy, summed over the labels that are asked."""
    if rows.examples.offset is not None:
        logits = logits + torch.from_numpy(rows.examples.offset[draw.rows])
    labels = torch.from_numpy(draw.labels(rows.examples)).to(logits.dtype)
    there = labels >= 0
    positive = None if rows.positive is None else rows.positive.expand_as(logits)[there]
    return nn.functional.binary_cross_entropy_with_logits(
        logits[there], labels[there], reduction="sum", pos_weight=positive
    )
