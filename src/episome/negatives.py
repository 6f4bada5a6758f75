"""Negatives that look like the positives: kinds in equal parts, GC followed bin by bin, drawn without replacement."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from episome.sequence import gc
from episome.types import Split

_GC_BIN = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A window that may become a row; start and end on the plus strand, kind "" for a true site."""

    sequence: str
    contig: str
    start: int
    end: int
    strand: str
    split: Split
    group: str
    kind: str


def match(
    positives: Sequence[Window], candidates: Sequence[Window], count: int, rng: np.random.Generator
) -> tuple[list[Window], int]:
    """`count` candidates whose GC follows that of the positives, from the kinds in equal parts as far as GC allows.

    Returns:
        The chosen, and how many of them had to come from further than the next 2 % bin.
    """
    shelves: dict[str, dict[int, list[Window]]] = defaultdict(lambda: defaultdict(list))
    for i in rng.permutation(len(candidates)):
        shelves[candidates[i].kind][_bin(candidates[i])].append(candidates[i])
    targets = [_bin(positives[i]) for i in rng.permutation(len(positives))]
    used: Counter[str] = Counter()
    chosen: list[Window] = []
    far = 0
    while shelves and len(chosen) < count:
        target = targets[len(chosen) % len(targets)]
        nearest = {kind: min(shelf, key=lambda b: (abs(b - target), b)) for kind, shelf in shelves.items()}
        # A neighbouring bin is near enough; beyond it GC matters more than equal parts.
        kind = min(nearest, key=lambda k: (max(abs(nearest[k] - target), 1), used[k], k))
        shelf = shelves[kind]
        chosen.append(shelf[nearest[kind]].pop())
        used[kind] += 1
        far += abs(nearest[kind] - target) > 1
        if not shelf[nearest[kind]]:
            del shelf[nearest[kind]]
        if not shelf:
            del shelves[kind]
    return chosen, far


def _bin(window: Window) -> int:
    return int(gc(window.sequence) / _GC_BIN)
