"""What one training step adds up: the loss of labels, the distance to a donor's states, penalties on weights.

L = λ_joint · (BCE of the target's labels + λ_distil · distance) + BCE of the donor's labels, on batches of each drawn
apart (λ_joint is 1 and the last term is missing without joint training), plus the penalties of `held_back` once a step.
Sources: learning without forgetting (Li & Hoiem 2016) on states instead of outputs, so that no donor row is needed;
L2-SP (Li et al. 2018) weighted by importance (Kirkpatrick et al. 2017).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from episome import ewc, lora
from episome.batches import Indices
from episome.classifier import Classifier, Examples
from episome.learning import Train


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What a training is held to, or learns beside its own rows; each part acts where its weight is not 0.

    Attributes:
        prior: the champion that a retrain started from; by `Train.ewc_lambda`.
        donor: ΔW at the start and what of it mattered to the donor; by `Train.retain_lambda`.
        states: float32 [n, d], pooled states of the n training rows at the start; by `Train.distil_lambda`.
        rows: training rows of the donor; by `Train.joint_lambda`.
    """

    prior: ewc.Anchor | None = None
    donor: ewc.Anchor | None = None
    states: NDArray[np.float32] | None = None
    rows: Examples | None = None


EMPTY = Memory()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """Rows to learn from and what each counts.

    Attributes:
        examples: n rows, L tasks.
        positive: float [L], what a positive label counts, against 1 for a negative; None: the same.
        states: float32 [n, d] to stay near; None: anywhere.
        factor: of all that these rows add.
    """

    examples: Examples
    positive: Tensor | None
    states: NDArray[np.float32] | None = None
    factor: float = 1.0


def lesson(
    examples: Examples, numbers: Train, *, states: NDArray[np.float32] | None = None, factor: float = 1.0
) -> Lesson:
    """Rows with the weights that `numbers` ask for."""
    return Lesson(
        examples=examples,
        positive=positive_weights(examples.labels) if numbers.balance == "weights" else None,
        states=states if numbers.distil_lambda > 0 else None,
        factor=factor,
    )


def positive_weights(labels: NDArray[np.int8]) -> Tensor:
    """Negatives over positives of each task, float [L]; 1 where a class is missing."""
    negatives, positives = (labels == 0).sum(axis=0), (labels == 1).sum(axis=0)
    ratio = np.where((negatives > 0) & (positives > 0), negatives / np.maximum(positives, 1), 1.0)
    return torch.from_numpy(ratio.astype(np.float32))


def accumulate(classifier: Classifier, rows: Lesson, step: list[Indices], numbers: Train) -> tuple[float, float]:
    """Add the gradient of one step, batch by batch.

    Returns:
        Mean loss per label over the whole step, and the weighted distance to `Lesson.states`, mean per row.
    """
    labels = sum(int((rows.examples.labels[at] >= 0).sum()) for at in step)
    count = sum(len(at) for at in step)
    total = strayed = 0.0
    for at in step:
        features = _features(classifier, rows.examples, at, numbers.precision)
        loss = _bce(classifier.head(features), rows, at) / labels
        whole = loss
        if rows.states is not None:
            near = torch.from_numpy(rows.states[at])
            away = (features[:, : near.shape[1]] - near).square().mean(1).sum() * (numbers.distil_lambda / count)
            whole, strayed = loss + away, strayed + away.item()
        (whole * rows.factor).backward()
        total += loss.item()
    return total, strayed


def held_back(classifier: Classifier, memory: Memory, numbers: Train) -> Tensor:
    """Σ λ/2 Σ F (ΔW − ΔW*)² over prior and donor; a scalar, without a gradient where both are off."""
    total = torch.zeros(())
    for weight, anchor in ((numbers.ewc_lambda, memory.prior), (numbers.retain_lambda, memory.donor)):
        if anchor is not None and weight > 0:
            total = total + weight * ewc.penalty(lora.layers(classifier.encoder), *classifier.head.folded(), anchor)
    return total


def _features(classifier: Classifier, examples: Examples, at: Indices, precision: Literal["fp32", "bf16"]) -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
        features: Tensor = classifier.features(*classifier.batch(examples, at))
    return features


def _bce(logits: Tensor, rows: Lesson, at: Indices) -> Tensor:
    """Binary cross entropy, summed over the labels that are there."""
    if rows.examples.offset is not None:
        logits = logits + torch.from_numpy(rows.examples.offset[at])
    labels = torch.from_numpy(rows.examples.labels[at]).to(logits.dtype)
    there = labels >= 0
    positive = None if rows.positive is None else rows.positive.expand_as(logits)[there]
    return nn.functional.binary_cross_entropy_with_logits(
        logits[there], labels[there], reduction="sum", pos_weight=positive
    )
