"""Token-budget batches of tokenised sequences for training: similar lengths together, so that little is padding."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


def batches(lengths: Sequence[int] | Indices, tokens: int, rng: np.random.Generator | None = None) -> Iterator[Indices]:
    """Yield index batches whose padded size stays within a budget.

    Args:
        lengths: tokens of each sequence.
        tokens: most ``rows × longest row`` of one batch; a longer single sequence gets a batch of its own.
        rng: shuffles the sequences before sorting (ties) and the order of the batches; None keeps the sorted order.
    """
    size = np.asarray(lengths, dtype=np.int64)
    order = np.arange(len(size)) if rng is None else rng.permutation(len(size))
    if rng is None:
        order = order[np.argsort(size[order], kind="stable")]
    else:
        # A jitter of a fifth of the length keeps batches from being made of the same rows every epoch.
        order = order[np.argsort(size[order] * rng.uniform(1.0, 1.2, len(size)), kind="stable")]
    cut = _cut(size[order], tokens)
    for k in range(len(cut)) if rng is None else rng.permutation(len(cut)):
        start, end = cut[k]
        yield order[start:end]


def mixed(
    lengths: Sequence[int] | Indices, tokens: int, parts: int, rng: np.random.Generator
) -> Iterator[list[Indices]]:
    """Yield optimiser steps of `parts` batches each, drawn from all lengths, within a budget of `tokens` together.

    Sorting by length alone would sort by task too, and steps that speak for one task in turn undo each other.
    """
    small = list(batches(lengths, max(1, tokens // parts), rng))
    for start in range(0, len(small), parts):
        yield small[start : start + parts]


def _cut(size: Indices, tokens: int) -> list[tuple[int, int]]:
    """Greedy runs ``[start, end)`` of `size` with ``rows × longest ≤ tokens``."""
    runs, start, longest = [], 0, 0
    for k, length in enumerate(size):
        longest = max(longest, int(length))
        if k > start and longest * (k - start + 1) > tokens:
            runs.append((start, k))
            start, longest = k, int(length)
    if start < len(size):
        runs.append((start, len(size)))
    return runs
