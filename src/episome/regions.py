"""Parts of records that are asked for: `contig:start-end` as samtools has it, or the lines of a BED file."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from episome import packed
from episome.annotate import Span
from episome.types import EpisomeError

Regions = Mapping[str, Sequence[Span]]
"""By record id, 0-based half-open; sorted and disjoint."""

_REGION: Final = re.compile(r"(?P<contig>.+):(?P<start>[\d,]+)-(?P<end>[\d,]+)")
_NO_INTERVAL: Final = ("#", "track", "browser")
_BED_COLUMNS: Final = 3


class RegionError(EpisomeError):
    """A region that is none."""


def parse(text: str) -> tuple[str, Span]:
    """Record id and 0-based half-open span of a `contig:start-end`, which is 1-based with both ends inside.

    The id may hold colons, the numbers may have commas.

    Raises:
        RegionError: it is not of that form, starts before base 1, or ends before it starts.
    """
    found = _REGION.fullmatch(text)
    if found is None:
        raise RegionError(f"region {text!r}; wanted: contig:start-end, 1-based with both ends inside, as chr1:101-200")
    start, end = (int(found[name].replace(",", "") or 0) for name in ("start", "end"))
    if not 1 <= start <= end:
        raise RegionError(f"region {text!r} is from base {start} to {end}; wanted: 1 or more, and not backwards")
    return found["contig"], (start - 1, end)


def read_bed(path: Path) -> list[tuple[str, Span]]:
    """Record ids and spans of a BED file, plain or gzip; columns after the third are not read.

    Raises:
        RegionError: the file cannot be read, has no interval, or a line with no record id, start and end, or with an
            end that is not after its start.
    """
    found = []
    with packed.text(path, RegionError) as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip() and not line.startswith(_NO_INTERVAL):
                found.append(_interval(line, f"{path}, line {number}"))
    if not found:
        raise RegionError(f"{path}: no interval; wanted: lines of record id, start and end, with tabs between")
    return found


def joined(intervals: Iterable[tuple[str, Span]]) -> Regions:
    """The intervals by record, sorted, those that overlap or touch as one."""
    regions: dict[str, list[Span]] = {}
    for record, (start, end) in sorted(intervals):
        spans = regions.setdefault(record, [])
        if spans and start <= spans[-1][1]:
            start, end = spans[-1][0], max(spans.pop()[1], end)
        spans.append((start, end))
    return regions


def _interval(line: str, where: str) -> tuple[str, Span]:
    cells = line.rstrip("\r\n").split("\t")
    if len(cells) < _BED_COLUMNS or not cells[0] or not (cells[1].isdecimal() and cells[2].isdecimal()):
        raise RegionError(f"{where}: {line.strip()!r}; wanted: record id, start and end, with tabs between")
    start, end = int(cells[1]), int(cells[2])
    if start >= end:
        raise RegionError(f"{where}: from {start} to {end}; wanted: an end after the start (0-based half-open)")
    return cells[0], (start, end)
