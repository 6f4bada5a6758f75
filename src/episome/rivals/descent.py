"""One training loop for every rival that learns by gradient: length-sorted batches, early stopping by validation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from episome import metrics
from episome.batches import Indices, batches
from episome.learning import Train
from episome.pretrain import cosine
from episome.rivalry import Learning
from episome.study import Epoch
from episome.types import EpisomeError


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Rows that a module can be asked about.

    Attributes:
        logits: float [B] of the rows int64 [B], by the module as it is now.
        lengths: size of each row, in the unit of `Learning.per_step`.
        labels: int8 [n], 0 or 1.
    """

    logits: Callable[[Indices], Tensor]
    lengths: Sequence[int]
    labels: NDArray[np.int8]


def descend(
    module: nn.Module, learn: Rows, judge: Rows, numbers: Learning, train: Train, *, name: str, seed: int
) -> tuple[Epoch, ...]:
    """Train a module in place by AdamW on the mean cross entropy; the epoch with the best validation AUROC is kept.

    Args:
        module: whatever of it has a gradient is trained; left in evaluation mode.
        learn: rows to train on.
        judge: rows that choose the epoch.
        numbers: rate, epochs, patience and step size of this rival.
        train: warm-up, clipping, and weight decay (of matrices; a vector is a bias or a norm).
        name: of the rival, for its errors.
        seed: of the order of the rows; the module's own draws are the caller's to seed.

    Raises:
        EpisomeError: training has diverged.
    """
    trained = {key: parameter for key, parameter in module.named_parameters() if parameter.requires_grad}
    optimiser = torch.optim.AdamW(_groups(list(trained.values()), train.weight_decay), lr=numbers.learning_rate)
    order = [
        list(batches(learn.lengths, numbers.per_step, np.random.default_rng([seed, epoch])))
        for epoch in range(numbers.epochs)
    ]
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, cosine(sum(map(len, order)), train.warmup_share))
    curve: list[Epoch] = []
    best, waited, kept = -1.0, 0, dict[str, Tensor]()
    while len(curve) < numbers.epochs and waited < numbers.patience:
        loss = _epoch(module, learn, order[len(curve)], optimiser, schedule, train.clip_norm)
        auroc = metrics.auroc(judge.labels, answers(module, judge, numbers.per_step, name))
        curve.append(Epoch(epoch=len(curve), loss=loss, val_auroc=auroc))
        waited += 1
        if auroc > best:
            best, waited, kept = auroc, 0, {key: value.detach().clone() for key, value in trained.items()}
    module.load_state_dict(kept, strict=False)
    module.eval()
    return tuple(curve)


def answers(module: nn.Module, rows: Rows, per_step: int, name: str) -> NDArray[np.float64]:
    """Logits float64 [n], computed without gradient in evaluation mode.

    Raises:
        EpisomeError: one is not finite.
    """
    module.eval()
    logits = np.zeros(len(rows.lengths))
    with torch.inference_mode():
        for at in batches(rows.lengths, per_step):
            logits[at] = rows.logits(at).numpy()
    if not np.isfinite(logits).all():
        raise EpisomeError(f"{name} has diverged: a logit is not finite; lower rivals.{name}.learning_rate")
    return logits


def _epoch(
    module: nn.Module,
    learn: Rows,
    order: Sequence[Indices],
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LambdaLR,
    clip_norm: float,
) -> float:
    """One pass over the rows; answers the mean loss of a row, in nats."""
    module.train()
    total = 0.0
    for at in order:
        labels = torch.from_numpy(learn.labels[at]).float()
        loss = nn.functional.binary_cross_entropy_with_logits(learn.logits(at), labels)
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
