"""Sequences of a genome on disk: any stretch of any contig, without the genome in memory.

A FASTA file, gzip above all, cannot be read from the middle. So it is streamed once into a scratch file of one byte
a base (A C G T N, soft-masked ones in lower case), from which windows are then read by position. A block is in memory
at a time. The scratch file has no name, so nothing is left of it, whatever ends the process.
"""

import io
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, Literal, cast

from episome import packed
from episome.sequence import SequenceError, normalise, reverse_complement
from episome.types import EpisomeError

_BLOCK = 1 << 16
_LINE = 1 << 16  # some genomes have a contig on one line
_TO_STORE = bytes.maketrans(b"UuRYSWKMBDHVryswkmbdhv", b"Tt" + b"N" * 10 + b"n" * 10)
_UPPER = b"ACGTN"


class ContigError(EpisomeError):
    """A FASTA that cannot be a genome, or a stretch that is not in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What the normalising of a whole genome met, in bases.

    Attributes:
        lower_case: came in lower case (soft-masking).
        uracil: U that became T.
        ambiguous: IUPAC codes other than N that became N.
        n: N, those from ambiguous codes included.
    """

    lower_case: int
    uracil: int
    ambiguous: int
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Contigs:
    """A genome that is open. Made by `opened`; of no use after its context.

    Attributes:
        lengths: bases of each contig, in the order of the file.
        counts: of all contigs together.
    """

    lengths: Mapping[str, int]
    counts: Counts
    _starts: Mapping[str, int] = field(repr=False)
    _scratch: int = field(repr=False)

    def fetch(self, contig: str, start: int, end: int, strand: str = "+") -> str:
        """Upper-case A C G T N of a stretch, 5' to 3' of `strand`; `start` and `end` count on the plus strand.

        Raises:
            ContigError: no such contig, or a stretch that leaves it.
        """
        sequence = self._read(contig, start, end).decode("ascii").upper()
        return sequence if strand == "+" else reverse_complement(sequence)

    def lower_case(self, contig: str, start: int, end: int) -> float:
        """Share of the bases of a stretch that came in lower case; 0.0 for a stretch of none.

        Raises:
            ContigError: as `fetch`.
        """
        came = self._read(contig, start, end)
        return len(came.translate(None, _UPPER)) / len(came) if came else 0.0

    def _read(self, contig: str, start: int, end: int) -> bytes:
        length = self.lengths.get(contig)
        if length is None:
            raise ContigError(f"no contig {contig!r} in the FASTA; it has {', '.join(list(self.lengths)[:5])} …")
        if not 0 <= start <= end <= length:
            raise ContigError(f"{contig}:{start}-{end} leaves the contig, which has {length} bases")
        return os.pread(self._scratch, end - start, self._starts[contig] + start)


@contextmanager
def opened(path: Path, ambiguous: Literal["n", "error"]) -> Iterator[Contigs]:
    """Open a FASTA file, plain, gzip or bgz, as a genome.

    One byte a base is needed in the folder for temporary files (``TMPDIR``).

    Args:
        path: the FASTA.
        ambiguous: what becomes of IUPAC codes other than N: ``n`` or refused.

    Raises:
        ContigError: no such file, an empty file, no header where one belongs, an empty or repeated id, a contig
            without sequence, anything that is no nucleotide, a truncated or damaged gzip file, no room for the
            scratch file.
    """
    with _scratch(path) as scratch:
        writer = _Writer(path=path, scratch=scratch, ambiguous=ambiguous)
        with packed.binary(path, ContigError) as stream:
            writer.copy(stream)
        yield writer.contigs()


def names(path: Path) -> list[str]:
    """Ids of a FASTA file, plain, gzip or bgz, as they come and unchecked: a quick look before it is read.

    Raises:
        ContigError: no such file, a truncated or damaged gzip file.
    """
    found = []
    fresh = True  # the next bytes begin a line
    with packed.binary(path, ContigError) as stream:
        lines = io.BufferedReader(cast("io.RawIOBase", stream))
        while part := lines.readline(_LINE):
            if fresh and part.startswith(b">"):
                found += part[1:].decode("utf-8", "replace").split(maxsplit=1)[:1]
            fresh = part.endswith(b"\n")
    return found


def _scratch(path: Path) -> io.FileIO:
    try:
        return tempfile.TemporaryFile(prefix="episome-", buffering=0)
    except OSError as cause:
        raise _no_room(path, cause) from cause


def _no_room(path: Path, cause: OSError) -> ContigError:
    return ContigError(
        f"{path}: no room for a scratch file of one byte a base in {tempfile.gettempdir()}: {cause.strerror}; make "
        "room or name another folder in TMPDIR"
    )


@dataclass(slots=True, kw_only=True)
class _Writer:
    """Copies a FASTA stream to the scratch file, block by block.

    Attributes:
        written: bytes in the scratch file.
        starts: contig → where it begins in the scratch file; the last one is being written.
        totals: lower case, uracil, ambiguous, N.
    """

    path: Path
    scratch: io.FileIO
    ambiguous: Literal["n", "error"]
    written: int = 0
    starts: dict[str, int] = field(default_factory=dict)
    lengths: dict[str, int] = field(default_factory=dict)
    totals: list[int] = field(default_factory=lambda: [0, 0, 0, 0])

    def copy(self, stream: BinaryIO) -> None:
        """Take up the whole stream, at least one line at a time where a line is a header."""
        rest = b""
        fresh = True  # `rest` begins a line
        while block := stream.read(_BLOCK):
            rest += block
            while rest and (b"\n" in rest or not (fresh and rest.startswith(b">"))):
                if fresh and rest.startswith(b">"):
                    line, _, rest = rest.partition(b"\n")
                    self._header(line)
                else:
                    part, rest = _until_header(rest)
                    self._sequence(part)
                    fresh = part.endswith(b"\n")
        if rest:
            self._header(rest)
        if not self.starts:
            raise ContigError(f"{self.path}: no record; wanted: FASTA with at least one '>id' line and its sequence")
        self._close()

    def contigs(self) -> Contigs:
        """The genome that was copied."""
        lower_case, uracil, ambiguous, n = self.totals
        return Contigs(
            lengths=MappingProxyType(self.lengths),
            counts=Counts(lower_case=lower_case, uracil=uracil, ambiguous=ambiguous, n=n),
            _starts=self.starts,
            _scratch=self.scratch.fileno(),
        )

    def _header(self, line: bytes) -> None:
        if self.starts:
            self._close()
        number = len(self.starts) + 1
        name = line[1:].decode("utf-8", "replace")
        if not name[:1].strip():
            raise ContigError(f"{self.path}: record {number} has no id; wanted: '>id' with at least one character")
        name = name.split(maxsplit=1)[0]
        if name in self.starts:
            first = list(self.starts).index(name) + 1
            raise ContigError(
                f"{self.path}: records {first} and {number} share the id {name!r}; ids of contigs must differ"
            )
        self.starts[name] = self.written

    def _close(self) -> None:
        """The contig that was being written is complete."""
        name = next(reversed(self.starts))
        self.lengths[name] = self.written - self.starts[name]
        if not self.lengths[name]:
            raise ContigError(f"{self.path}: contig {name!r} has no sequence; is the file whole?")

    def _sequence(self, part: bytes) -> None:
        came = part.translate(None, b"\r\n")
        if not came:
            return
        if not self.starts:
            raise ContigError(f"{self.path}: not FASTA: it begins with {came[:20]!r}; wanted: a '>id' line first")
        try:
            met = normalise(came.decode("latin-1"), self.ambiguous)
        except SequenceError as error:
            name = next(reversed(self.starts))
            at = self.written - self.starts[name] + (error.position or 0)
            also = " or an IUPAC code" if self.ambiguous == "n" else ""
            raise ContigError(
                f"{self.path}: contig {name!r}, base {at}: {error.character!r} is no nucleotide here; wanted: A, C, G, "
                f"T, U, N{also}"
            ) from error
        for i, count in enumerate((met.lower_case, met.uracil, met.ambiguous, met.n)):
            self.totals[i] += count
        self._write(came.translate(_TO_STORE))

    def _write(self, data: bytes) -> None:
        """All of it: a file without a buffer may take less at a time."""
        self.written += len(data)
        try:
            while data:
                data = data[self.scratch.write(data) :]
        except OSError as cause:
            raise _no_room(self.path, cause) from cause


def _until_header(data: bytes) -> tuple[bytes, bytes]:
    """What comes before the next header line, and that line with all after it."""
    found = data.find(b"\n>") + 1
    return (data[:found], data[found:]) if found else (data, b"")
