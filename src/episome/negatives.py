"""Negatives that look like the positives: kinds in the asked shares, GC and repeats followed, without replacement.

GC is followed in bins of 2 %. So is the share of soft-masked bases, in quarters: true sites are seldom in repeats, and
a model could learn to tell a repeat instead of a site.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

_GC_BIN = 0.02
_MASKED_BIN = 0.25
# A quarter more or less of soft-masked bases counts as much as so many bins of GC.
_MASKED_WEIGHT = 2

_Bin = tuple[int, int]

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Which candidates were taken.

    Attributes:
        chosen: their indices, in the order they were drawn.
        distance: of each, how far its GC is from that of the positive it was drawn for.
        far: how many had to come from further than the next 2 % bin.
    """

    chosen: tuple[int, ...]
    distance: tuple[float, ...]
    far: int


class _Shelf:
    """Candidates of one kind by bins of GC and repeats; the nearest is remembered until a bin runs empty."""

    def __init__(self) -> None:
        self.bins: dict[_Bin, list[int]] = defaultdict(list)
        self._nearest: dict[_Bin, _Bin] = {}

    def nearest(self, target: _Bin) -> _Bin:
        if target not in self._nearest:
            self._nearest[target] = min(self.bins, key=lambda b: (_apart(b, target), b))
        return self._nearest[target]

    def take(self, place: _Bin) -> int:
        index = self.bins[place].pop()
        if not self.bins[place]:
            del self.bins[place]
            self._nearest.clear()
        return index


def _apart(a: _Bin, b: _Bin) -> int:
    return abs(a[0] - b[0]) + _MASKED_WEIGHT * abs(a[1] - b[1])


def _bins(likeness: Floats) -> list[_Bin]:
    gc, masked = (likeness / (_GC_BIN, _MASKED_BIN)).astype(np.int64).T.tolist()
    return list(zip(gc, masked, strict=True))


def match(
    positives: Floats,
    candidates: Floats,
    kinds: Sequence[str],
    count: int,
    shares: Mapping[str, float],
    rng: np.random.Generator,
) -> Match:
    """`count` candidates like the positives, from the kinds in their shares as far as that likeness allows.

    Args:
        positives: share of G and C, and of soft-masked bases, of each positive, (positives, 2).
        candidates: the same of each candidate, (candidates, 2).
        kinds: kind of each candidate.
        count: how many are wanted; fewer come where there are fewer candidates.
        shares: kind → its share relative to the others.
        rng: decides between equals.
    """
    shelves = _shelves(candidates, kinds, rng)
    order = rng.permutation(len(positives)).tolist()
    targets = _bins(positives)
    used: Counter[str] = Counter()
    chosen: list[int] = []
    distance: list[float] = []
    far = 0
    while shelves and len(chosen) < count:
        positive = order[len(chosen) % len(order)]
        target = targets[positive]
        nearest = {kind: shelf.nearest(target) for kind, shelf in shelves.items()}
        # A neighbouring bin is near enough; beyond it likeness matters more than the shares.
        kind = min(nearest, key=lambda k: (max(_apart(nearest[k], target), 1), (used[k] + 1) / shares[k], k))
        index = shelves[kind].take(nearest[kind])
        chosen.append(index)
        distance.append(abs(float(candidates[index, 0] - positives[positive, 0])))
        used[kind] += 1
        far += abs(nearest[kind][0] - target[0]) > 1
        if not shelves[kind].bins:
            del shelves[kind]
    return Match(chosen=tuple(chosen), distance=tuple(distance), far=far)


def _shelves(candidates: Floats, kinds: Sequence[str], rng: np.random.Generator) -> dict[str, _Shelf]:
    shelves: dict[str, _Shelf] = defaultdict(_Shelf)
    bins = _bins(candidates)
    for i in rng.permutation(len(candidates)).tolist():
        shelves[kinds[i]].bins[bins[i]].append(i)
    return dict(shelves)


class Sample:
    """A uniform sample without replacement from a stream of unknown length, of at most so many of each bucket.

    Every item comes with a random key; the items with the least keys of their bucket are the sample.
    """

    def __init__(self, most: Ints, room: int = 4096) -> None:
        """Take at most `most[b]` items of bucket `b`; hold at most `room` and twice the sample at any time."""
        self._most = most
        self._limit = np.where(most > 0, np.inf, -np.inf)
        self._room = 2 * int(most.sum()) + room
        self._rows: list[npt.NDArray[Any]] = []
        self._buckets: list[Ints] = []
        self._keys: list[Floats] = []
        self._held = 0

    def add(self, rows: npt.NDArray[Any], buckets: Ints, keys: Floats) -> None:
        """Equally long: items, their buckets and their keys in [0, 1)."""
        near = keys < self._limit[buckets]
        self._rows.append(rows[near])
        self._buckets.append(buckets[near])
        self._keys.append(keys[near])
        self._held += int(near.sum())
        if self._held > self._room:
            self._prune()

    def taken(self) -> npt.NDArray[Any]:
        """The sample, by bucket and key; something must have been added."""
        self._prune()
        return self._rows[0]

    def _prune(self) -> None:
        rows, buckets, keys = map(np.concatenate, (self._rows, self._buckets, self._keys))
        order = np.lexsort((keys, buckets))
        rows, buckets, keys = rows[order], buckets[order], keys[order]
        first = np.searchsorted(buckets, np.arange(len(self._most)))
        rank = np.arange(len(rows)) - first[buckets]
        last = rank == self._most[buckets] - 1
        self._limit[buckets[last]] = keys[last]
        kept = rank < self._most[buckets]
        self._rows, self._buckets, self._keys = [rows[kept]], [buckets[kept]], [keys[kept]]
        self._held = int(kept.sum())
