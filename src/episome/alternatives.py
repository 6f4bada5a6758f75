"""Other ways to use the base for a task, for the study to compare: every weight trained, or none.

Both leave the adapter at zero. A head alone is trained by `train.fit` at `HEAD_ONLY`'s pace.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import nn

from episome import lora
from episome import probe as linear
from episome.batches import Indices, batches, mixed
from episome.classifier import Classifier, Examples
from episome.learning import Train
from episome.pace import Pace
from episome.pretrain import cosine
from episome.studyparams import Method
from episome.train import Epoch, Step
from episome.types import EpisomeError

HEAD_ONLY = Pace(group_rates=(0.0, 0.0, 0.0), frozen_share=1.0)
"""No adapter layer learns; those that thaw do so at a rate of 0."""

_PARTS = 4
_TOKENS = 8192


def fit_all(
    subject: Classifier, train: Examples, val: Examples, numbers: Train, rate: float, *, seed: int
) -> Iterator[Step | Epoch]:
    """Train every weight of the base, and the head, in place; the best epoch's weights are kept.

    The same rows, steps, schedule, clipping and stopping as `train.fit`; the adapter stays zero.

    Args:
        subject: its composition part is fitted and frozen.
        train: training rows.
        val: validation rows.
        numbers: of the training; `learning_rate` is not looked at.
        rate: learning rate of the base's weights.
        seed: of the order of the rows.

    Raises:
        EpisomeError: the training diverged.
    """
    trained = _open(subject)
    order = [
        list(mixed(train.lengths, numbers.tokens_per_step, _PARTS, np.random.default_rng([seed, epoch])))
        for epoch in range(numbers.epochs)
    ]
    total, number, waited = sum(map(len, order)), 0, 0
    factor = cosine(total, numbers.warmup_share)
    optimiser, rates = _optimiser(subject, numbers, rate)
    best, score = {name: p.detach().clone() for name, p in trained.items()}, _auroc(subject, val)
    for epoch, steps in enumerate(order):
        losses = []
        for step in steps:
            for group, full in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = full * factor(number)
            losses.append(_step(subject, train, step, optimiser, numbers.clip_norm))
            yield Step(number=number, total=total, loss=losses[-1], penalty=0.0)
            number += 1
        found = _auroc(subject, val)
        better = np.mean(list(found.values())) > np.mean(list(score.values()))
        if better:
            best, score, waited = {name: p.detach().clone() for name, p in trained.items()}, found, 0
        else:
            waited += 1
        yield Epoch(number=epoch, loss=float(np.mean(losses)), auroc=found, best=bool(better), frozen=0)
        if waited >= numbers.patience:
            break
    subject.load_state_dict(best, strict=False)
    subject.eval()


def probe(subject: Classifier, rows: tuple[Examples, Examples, Examples], task: int) -> tuple[NDArray[np.float64], ...]:
    """Logits of a linear probe on the encoder's states, for validation and test rows.

    Args:
        subject: base and adapter as they are; its head is not looked at.
        rows: training, validation and test rows, all labelled for the task.
        task: column of the labels; a task of scope ``site`` sees the centre's state too.

    Returns:
        float64[n] of validation rows, and of test rows.
    """
    width = subject.head.state.shape[1] // (1 if subject.tasks[task].scope == "site" else 2)
    states = [_states(subject, each)[:, :width] for each in rows]
    fitted = linear.fit(states[0], rows[0].labels[:, task], states[1], rows[1].labels[:, task])
    return fitted.logits(states[1]), fitted.logits(states[2])


def size(subject: Classifier, method: Method) -> int:
    """Bytes of the weights that a way of training leaves beside the shared base."""
    encoder = {
        "head_only": [],
        "full": [p for name, p in subject.encoder.named_parameters() if "lora_" not in name],
    }.get(method, [p for name, p in subject.encoder.named_parameters() if "lora_" in name])
    return sum(p.numel() * p.element_size() for p in (*encoder, *subject.head.parameters()))


def _open(subject: Classifier) -> dict[str, nn.Parameter]:
    """Let all of the base learn and the adapter not; answers what learns, by name."""
    for layer in lora.layers(subject.encoder):
        if layer.b.any():
            raise EpisomeError(f"{layer.name}: full fine-tuning starts from the base; its adapter is not zero")
    for name, parameter in subject.encoder.named_parameters():
        parameter.requires_grad_("lora_" not in name)
    return {name: parameter for name, parameter in subject.named_parameters() if parameter.requires_grad}


def _optimiser(subject: Classifier, numbers: Train, rate: float) -> tuple[torch.optim.AdamW, list[float]]:
    """Base at its rate, head at its own; no decay on biases and layer norms, as is usual for full fine-tuning."""
    base = [p for p in subject.encoder.parameters() if p.requires_grad]
    head, decay = subject.head, numbers.weight_decay
    groups = [
        {"params": [p for p in base if p.ndim > 1], "lr": rate, "weight_decay": decay},
        {"params": [p for p in base if p.ndim <= 1], "lr": rate, "weight_decay": 0.0},
        {"params": [head.state], "lr": numbers.head_learning_rate, "weight_decay": decay},
        {"params": [head.bias], "lr": numbers.head_learning_rate, "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups)
    return optimiser, [float(group["lr"]) for group in optimiser.param_groups]


def _step(
    subject: Classifier, rows: Examples, step: list[Indices], optimiser: torch.optim.Optimizer, clip: float
) -> float:
    """One optimiser step, batch by batch; answers the mean loss per label (BCE, nats)."""
    subject.train()
    optimiser.zero_grad(set_to_none=True)
    count, total = sum(int((rows.labels[at] >= 0).sum()) for at in step), 0.0
    for at in step:
        logits = subject.head(subject.features(*subject.batch(rows, at)))
        if rows.offset is not None:
            logits = logits + torch.from_numpy(rows.offset[at])
        labels = torch.from_numpy(rows.labels[at]).to(logits.dtype)
        there = labels >= 0
        loss = nn.functional.binary_cross_entropy_with_logits(logits[there], labels[there], reduction="sum") / count
        loss.backward()
        total += loss.item()
    nn.utils.clip_grad_norm_([p for p in subject.parameters() if p.requires_grad], clip)
    optimiser.step()
    return total


def _auroc(subject: Classifier, val: Examples) -> dict[str, float]:
    logits = subject.logits(val)
    if not np.isfinite(logits).all():
        raise EpisomeError("full fine-tuning has diverged; lower study.full_learning_rate in params.yaml")
    scores = {}
    for k, task in enumerate(subject.tasks):
        rows = val.labels[:, k] >= 0
        scores[task.name] = float(roc_auc_score(val.labels[rows, k], logits[rows, k]))
    return scores


def _states(subject: Classifier, rows: Examples) -> NDArray[np.float32]:
    """Pooled and centre state, float32 [n, 2d]."""
    subject.eval()
    width = subject.head.state.shape[1]
    states = np.zeros((len(rows.encodings), width), np.float32)
    with torch.inference_mode():
        for at in batches(rows.lengths, _TOKENS):
            states[at] = subject.features(*subject.batch(rows, at))[:, :width].numpy()
    return states
