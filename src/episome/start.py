"""What a species' adapter starts from: its donor's, or nothing where that turns out better.

A donor too far away can be a worse start than none (negative transfer), and no distance tells for sure; a short
training from both does.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from episome import train
from episome.classifier import Classifier, Examples
from episome.learning import Train
from episome.objective import EMPTY, Memory
from episome.pace import Pace


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Trained weights to begin with, and how to train from there.

    Attributes:
        name: the donor's, or ``nothing``.
        weights: by parameter name.
        memory: what is kept of the donor on the way.
    """

    name: str
    weights: dict[str, Tensor]
    numbers: Train
    pace: Pace
    memory: Memory = EMPTY


def weights(subject: Classifier) -> dict[str, Tensor]:
    """A copy of everything that is trained."""
    return {name: p.detach().clone() for name, p in subject.named_parameters() if p.requires_grad}


def put(subject: Classifier, start: Start) -> None:
    """Set what is trained to a start."""
    with torch.no_grad():
        subject.load_state_dict(start.weights, strict=False)


def better(
    subject: Classifier,
    starts: tuple[Start, Start],
    fitting: Examples,
    judging: Examples,
    epochs: int,
    watch: Callable[[str, Iterator[train.Step | train.Epoch]], float],
    *,
    seed: int,
) -> tuple[Start, dict[str, float]]:
    """The start whose short training scores best on validation rows, the first on a tie, and all scores.

    Args:
        subject: left as the better start has it, untrained.
        starts: the donor's and the fresh one.
        fitting: training rows.
        judging: validation rows.
        epochs: of the short training.
        watch: runs one training under a name and answers its best mean validation AUROC.
        seed: of the training.
    """
    scores = {}
    for start in starts:
        put(subject, start)
        short = start.numbers.model_copy(update={"epochs": epochs})
        events = train.fit(subject, fitting, judging, short, seed=seed, pace=start.pace, memory=start.memory)
        scores[start.name] = watch(start.name, events)
    first, second = starts
    chosen = first if scores[first.name] >= scores[second.name] else second
    put(subject, chosen)
    return chosen, scores
