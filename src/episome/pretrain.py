"""Masked-language-model pre-training of a small base.

Devlin et al. 2019: of the chosen tokens 80 % are masked, 10 % replaced by a random token, 10 % kept.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from episome.batches import batches
from episome.model import MaskedLM
from episome.params import Pretrain
from episome.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One optimiser step: number, of how many, mean loss in nats per masked token, learning rate."""

    number: int
    total: int
    loss: float
    learning_rate: float


def fit(
    model: MaskedLM, tokenizer: Tokenizer, sequences: Sequence[str], numbers: Pretrain, *, seed: int
) -> Iterator[Step]:
    """Train `model` in place on unlabelled sequences and yield each step; equal on one machine for equal arguments."""
    encodings = tokenizer.encode_many(sequences)
    lengths = [len(encoding.ids) for encoding in encodings]
    rng = np.random.default_rng(seed)
    plan = [batch for _ in range(numbers.epochs) for batch in batches(lengths, numbers.tokens_per_step, rng)]
    optimiser = torch.optim.AdamW(_groups(model, numbers.weight_decay), lr=numbers.learning_rate, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, cosine(len(plan), numbers.warmup_share))
    model.train()
    for number, batch in enumerate(plan):
        ids, mask = tokenizer.pad([encodings[k] for k in batch])
        corrupted, chosen = _corrupt(ids, mask, tokenizer, numbers.mask_share, rng)
        loss = _loss(model, ids, mask, corrupted, chosen)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        yield Step(number=number, total=len(plan), loss=loss.item(), learning_rate=float(schedule.get_last_lr()[0]))
    model.eval()


def cosine(steps: int, warmup_share: float) -> "CosineFactor":
    """Factor on the learning rate: linear warm-up, then a half cosine to zero."""
    return CosineFactor(steps=steps, warmup=max(1, round(steps * warmup_share)))


@dataclass(frozen=True, slots=True, kw_only=True)
class CosineFactor:
    """Learning-rate factor of a step; see `cosine`."""

    steps: int
    warmup: int

    def __call__(self, step: int) -> float:
        """Factor in [0, 1] of optimiser step `step`, counted from 0."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def _corrupt(
    ids: NDArray[np.int64], mask: NDArray[np.int64], tokenizer: Tokenizer, share: float, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Corrupted ids and the positions to predict, both [B, S]; special tokens and [UNK] are never chosen."""
    special = {tokenizer.pad_id, tokenizer.unk_id, tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id}
    eligible = (mask == 1) & ~np.isin(ids, list(special))
    chosen = eligible & (rng.random(ids.shape) < share)
    kind = rng.random(ids.shape)
    first = len(special)  # the published layout keeps the specials at the front of the vocabulary
    random = rng.integers(first, tokenizer.vocab_size, ids.shape)
    corrupted = np.where(chosen & (kind < 0.8), tokenizer.mask_id, ids)
    return np.where(chosen & (kind >= 0.9), random, corrupted), chosen


def _loss(
    model: MaskedLM,
    ids: NDArray[np.int64],
    mask: NDArray[np.int64],
    corrupted: NDArray[np.int64],
    chosen: NDArray[np.bool_],
) -> Tensor:
    """Cross entropy at the chosen positions only: scoring the rest against the vocabulary would be thrown away."""
    states = model.bert(torch.from_numpy(corrupted), torch.from_numpy(mask)).last_hidden_state
    where = torch.from_numpy(chosen)
    if not bool(where.any()):
        return states.sum() * 0.0
    return nn.functional.cross_entropy(model.score(states[where]), torch.from_numpy(ids)[where])


def _groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Weight decay on matrices only, never on biases and LayerNorm."""
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
