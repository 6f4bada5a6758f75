"""bedGraph tracks: scores along the records without overlap, one track a species, task and strand.

Features of all tracks come mixed, by start, and a track must be written in one piece: each is kept in a file of its own
until the end, in memory while it is small.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import IO, Final

from episome.annotate import Feature, Strand

_IN_MEMORY: Final = 2**20
_STRANDS: Final[tuple[Strand, ...]] = ("+", "-")

Piece = tuple[int, int, float]
"""First base, base after the last, score."""


class Sweep:
    """Overlapping stretches, by start → pieces that do not overlap, each with the highest score over it."""

    def __init__(self) -> None:
        """Start at the first base of a record."""
        self._over: list[tuple[int, float]] = []
        self._at = 0
        self._last: Piece | None = None

    def take(self, start: int, end: int, score: float) -> Iterator[Piece]:
        """Take the next stretch, which starts no earlier than those before; give what is certain."""
        yield from self._up_to(start)
        self._over.append((end, score))

    def rest(self) -> Iterator[Piece]:
        """What is left at the end of the record; then begin anew."""
        yield from self._up_to(max((end for end, _ in self._over), default=0))
        if self._last is not None:
            yield self._last
        self._over, self._at, self._last = [], 0, None

    def _up_to(self, to: int) -> Iterator[Piece]:
        while self._over and self._at < to:
            stop = min(to, *(end for end, _ in self._over))
            yield from self._join((self._at, stop, max(score for _, score in self._over)))
            self._at = stop
            self._over = [each for each in self._over if each[0] > stop]
        self._at = max(self._at, to)

    def _join(self, piece: Piece) -> Iterator[Piece]:
        """Neighbours of one score become one piece."""
        if self._last is not None and (self._last[1], self._last[2]) == (piece[0], piece[2]):
            self._last = (self._last[0], piece[1], piece[2])
            return
        if self._last is not None:
            yield self._last
        self._last = piece


class Tracks:
    """The tracks of one bedGraph file and the comments above them, while they grow."""

    def __init__(self) -> None:
        """Start with none."""
        self._files = ExitStack()
        self._comments = self._file()
        self._tracks: dict[tuple[str, str, Strand], tuple[Sweep, IO[str]]] = {}
        self._record = self._species = ""

    def __enter__(self) -> "Tracks":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._files.close()

    def comment(self, line: str) -> None:
        """Add a line above all tracks."""
        self._comments.write(f"{line}\n")

    def open(self, species: str, tasks: Iterable[str]) -> None:
        """Begin a record of a species, which has tracks for these tasks, in that order."""
        self._species = species
        for task in tasks:
            for strand in _STRANDS:
                if (species, task, strand) not in self._tracks:
                    self._tracks[species, task, strand] = (Sweep(), self._file())

    def add(self, feature: Feature) -> None:
        """Add the next feature of the record; without a score it has no place in a track."""
        self._record = feature.record
        if feature.score is not None:
            sweep, file = self._tracks[self._species, feature.task, feature.strand]
            self._write(file, sweep.take(feature.start, feature.end, feature.score))

    def end_record(self) -> None:
        """Write what is left of a record."""
        for sweep, file in self._tracks.values():
            self._write(file, sweep.rest())

    def lines(self) -> Iterator[str]:
        """Every line of the file, without line ends; a track without a line is left out."""
        yield from _read(self._comments)
        for (species, task, strand), (_, file) in self._tracks.items():
            if file.tell():
                yield f'track type=bedGraph name="{species} {task} {strand}"'
                yield from _read(file)

    def _file(self) -> IO[str]:
        return self._files.enter_context(SpooledTemporaryFile(_IN_MEMORY, "w+", encoding="utf-8", newline="\n"))

    def _write(self, file: IO[str], pieces: Iterator[Piece]) -> None:
        file.writelines(f"{self._record}\t{start}\t{end}\t{score:.6f}\n" for start, end, score in pieces)


def _read(file: IO[str]) -> Iterator[str]:
    file.seek(0)
    for line in file:
        yield line.rstrip("\n")
