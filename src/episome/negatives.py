"""Negatives that look like the positives: kinds in the asked shares, GC followed bin by bin, without replacement."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

_GC_BIN = 0.02

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
    """Candidates of one kind by GC bin; the nearest bin is remembered until a bin runs empty."""

    def __init__(self) -> None:
        self.bins: dict[int, list[int]] = defaultdict(list)
        self._nearest: dict[int, int] = {}

    def nearest(self, target: int) -> int:
        if target not in self._nearest:
            self._nearest[target] = min(self.bins, key=lambda b: (abs(b - target), b))
        return self._nearest[target]

    def take(self, gc_bin: int) -> int:
        index = self.bins[gc_bin].pop()
        if not self.bins[gc_bin]:
            del self.bins[gc_bin]
            self._nearest.clear()
        return index


def match(
    positives: Floats,
    candidates: Floats,
    kinds: Sequence[str],
    count: int,
    shares: Mapping[str, float],
    rng: np.random.Generator,
) -> Match:
    """`count` candidates whose GC follows that of the positives, from the kinds in their shares as far as GC allows.

    Args:
        positives: GC of each positive, as a share.
        candidates: GC of each candidate.
        kinds: kind of each candidate.
        count: how many are wanted; fewer come where there are fewer candidates.
        shares: kind → its share relative to the others.
        rng: decides between equals.
    """
    shelves = _shelves(candidates, kinds, rng)
    targets = rng.permutation(positives)
    used: Counter[str] = Counter()
    chosen: list[int] = []
    distance: list[float] = []
    far = 0
    while shelves and len(chosen) < count:
        gc = float(targets[len(chosen) % len(targets)])
        target = int(gc / _GC_BIN)
        nearest = {kind: shelf.nearest(target) for kind, shelf in shelves.items()}
        # A neighbouring bin is near enough; beyond it GC matters more than the shares.
        kind = min(nearest, key=lambda k: (max(abs(nearest[k] - target), 1), (used[k] + 1) / shares[k], k))
        index = shelves[kind].take(nearest[kind])
        chosen.append(index)
        distance.append(abs(float(candidates[index]) - gc))
        used[kind] += 1
        far += abs(nearest[kind] - target) > 1
        if not shelves[kind].bins:
            del shelves[kind]
    return Match(chosen=tuple(chosen), distance=tuple(distance), far=far)


def _shelves(candidates: Floats, kinds: Sequence[str], rng: np.random.Generator) -> dict[str, _Shelf]:
    shelves: dict[str, _Shelf] = defaultdict(_Shelf)
    bins = (candidates / _GC_BIN).astype(np.int64).tolist()
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
