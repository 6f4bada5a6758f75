"""Called windows that overlap become one feature: of one task and strand, with the highest of their scores.

The highest, because a stretch is called for its best window; a mean would fall below the threshold that each passed.
"""

import heapq
from collections.abc import Iterator
from dataclasses import replace

from episome.annotate import Feature, Strand

Place = tuple[int, int, Strand, str]


def place(feature: Feature) -> Place:
    """What the features of a record are ordered by."""
    return feature.start, feature.end, feature.strand, feature.task


class Stitcher:
    """Merges the called features of one record while they come, and gives them on in the order of the record.

    What begins after a stretch that is still open waits until that is closed: only so much is ever held.
    """

    def __init__(self) -> None:
        """Start with nothing open."""
        self._open: dict[tuple[str, Strand], Feature] = {}
        self._waiting: list[tuple[Place, Feature]] = []

    def take(self, feature: Feature, *, merge: bool) -> Iterator[Feature]:
        """Take the next feature, by start; give those that nothing later can come before.

        Args:
            feature: a called one.
            merge: whether it may become one with others of its task and strand.
        """
        for key, stretch in list(self._open.items()):
            if stretch.end <= feature.start:
                self._wait(self._open.pop(key))
        if merge:
            key = (feature.task, feature.strand)
            self._open[key] = _merged(self._open[key], feature) if key in self._open else feature
        else:
            self._wait(feature)
        yield from self._before(min([feature.start, *(each.start for each in self._open.values())]))

    def rest(self) -> Iterator[Feature]:
        """What is left at the end of the record."""
        for stretch in self._open.values():
            self._wait(stretch)
        self._open = {}
        while self._waiting:
            yield heapq.heappop(self._waiting)[1]

    def _wait(self, feature: Feature) -> None:
        heapq.heappush(self._waiting, (place(feature), feature))

    def _before(self, start: int) -> Iterator[Feature]:
        while self._waiting and self._waiting[0][1].start < start:
            yield heapq.heappop(self._waiting)[1]


def _merged(first: Feature, second: Feature) -> Feature:
    return replace(
        first,
        end=max(first.end, second.end),
        score=max(each.score for each in (first, second) if each.score is not None),
        flags=tuple(dict.fromkeys((*first.flags, *second.flags))),
    )
