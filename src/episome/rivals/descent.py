"""One training for every rival that learns by gradient: length-sorted batches, early stopping by validation."""

from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from episome import metrics
from episome.batches import Indices, batches
from episome.dataset import label_column
from episome.learning import Train
from episome.pretrain import cosine
from episome.rivalry import Learning
from episome.study import Epoch
from episome.types import EpisomeError, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Learner:
    """A network and how it reads.

    Attributes:
        name: of the rival, for its errors.
        network: logits float [B] of a list of B sequences as read; whatever of it has a gradient is trained.
        read: a sequence as the network takes it, of a length in the unit of `Learning.per_step`.
        numbers: rate, epochs, patience and step size of this rival.
    """

    name: str
    network: nn.Module
    read: Callable[[str], Sized]
    numbers: Learning


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """Sequences as read, and their labels int8 [n], 0 or 1."""

    read: Sequence[Sized]
    labels: NDArray[np.int8]


def fit(
    learner: Learner, train: pd.DataFrame, val: pd.DataFrame, task: Task, steps: Train, *, seed: int
) -> tuple[Callable[[Sequence[str]], NDArray[np.float64]], tuple[Epoch, ...]]:
    """Train the network in place on rows labelled 0 and 1: what gives logits float64[sequences], and its curve.

    AdamW on the mean cross entropy; the epoch with the best validation AUROC is kept.

    Args:
        learner: left in evaluation mode.
        train: rows to train on.
        val: rows that choose the epoch.
        task: whose labels are read.
        steps: warm-up, clipping, and weight decay (of matrices; a vector is a bias or a norm).
        seed: of the order of the rows; the network's own draws are the caller's to seed.

    Raises:
        EpisomeError: training has diverged.
    """

    def score(sequences: Sequence[str]) -> NDArray[np.float64]:
        return _answers(learner, [learner.read(sequence) for sequence in sequences])

    learn, judge = (_rows(learner, rows, task) for rows in (train, val))
    return score, _descend(learner, learn, judge, steps, seed)


def _rows(learner: Learner, rows: pd.DataFrame, task: Task) -> _Rows:
    read = [learner.read(sequence) for sequence in rows["sequence"]]
    return _Rows(read=read, labels=rows[label_column(task.name)].to_numpy())


def _descend(learner: Learner, learn: _Rows, judge: _Rows, steps: Train, seed: int) -> tuple[Epoch, ...]:
    network, numbers = learner.network, learner.numbers
    trained = {key: parameter for key, parameter in network.named_parameters() if parameter.requires_grad}
    optimiser = torch.optim.AdamW(_groups(list(trained.values()), steps.weight_decay), lr=numbers.learning_rate)
    lengths = [len(row) for row in learn.read]
    order = [
        list(batches(lengths, numbers.per_step, np.random.default_rng([seed, epoch])))
        for epoch in range(numbers.epochs)
    ]
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, cosine(sum(map(len, order)), steps.warmup_share))
    curve: list[Epoch] = []
    best, waited, kept = -1.0, 0, dict[str, Tensor]()
    while len(curve) < numbers.epochs and waited < numbers.patience:
        loss = _epoch(network, learn, order[len(curve)], optimiser, schedule, steps.clip_norm)
        auroc = metrics.auroc(judge.labels, _answers(learner, judge.read))
        curve.append(Epoch(epoch=len(curve), loss=loss, val_auroc=auroc))
        waited += 1
        if auroc > best:
            best, waited, kept = auroc, 0, {key: value.detach().clone() for key, value in trained.items()}
    network.load_state_dict(kept, strict=False)
    network.eval()
    return tuple(curve)


def _answers(learner: Learner, read: Sequence[Sized]) -> NDArray[np.float64]:
    """Logits float64 [n], computed without gradient in evaluation mode.

    Raises:
        EpisomeError: one is not finite.
    """
    learner.network.eval()
    logits = np.zeros(len(read))
    with torch.inference_mode():
        for at in batches([len(row) for row in read], learner.numbers.per_step):
            logits[at] = learner.network([read[k] for k in at]).numpy()
    if not np.isfinite(logits).all():
        name = learner.name
        raise EpisomeError(f"{name} has diverged: a logit is not finite; lower rivals.{name}.learning_rate")
    return logits


def _epoch(
    network: nn.Module,
    learn: _Rows,
    order: Sequence[Indices],
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LambdaLR,
    clip_norm: float,
) -> float:
    """One pass over the rows; answers the mean loss of a row, in nats."""
    network.train()
    total = 0.0
    for at in order:
        labels = torch.from_numpy(learn.labels[at]).float()
        logits = network([learn.read[k] for k in at])
        loss = nn.functional.binary_cross_entropy_with_logits(logits, labels)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_([p for group in optimiser.param_groups for p in group["params"]], clip_norm)
        optimiser.step()
        schedule.step()
        total += loss.item() * len(at)
    return total / len(learn.labels)


def _groups(parameters: Sequence[nn.Parameter], weight_decay: float) -> list[dict[str, object]]:
    matrices, vectors = ([p for p in parameters if (p.ndim > 1) is wide] for wide in (True, False))
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
