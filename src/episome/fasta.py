"""FASTA records one by one, plain or gzip, with errors that say where."""

import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import dnaio

from episome.packed import MAGIC
from episome.types import EpisomeError


class FastaError(EpisomeError):
    """A file or stream that is not FASTA, or not whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One FASTA record.

    Attributes:
        id: the header up to the first white space.
        description: the rest of the header, "" when there is none.
        sequence: as it came, not normalised; lines joined.
    """

    id: str
    description: str
    sequence: str


def read_all(sources: Iterable[Path | BinaryIO]) -> Iterator[Record]:
    """The records of several files or streams, one after the other, as `read` gives them.

    Raises:
        FastaError: as for `read`, and where two sources have a record of the same id.
    """
    seen: dict[str, str] = {}
    for source in sources:
        name = _name(source)
        for record in read(source):
            if record.id in seen:
                raise FastaError(f"{seen[record.id]} and {name} have a record {record.id!r} each; ids must differ")
            yield record
            seen[record.id] = name


def read(source: Path | BinaryIO) -> Iterator[Record]:
    """Yield the records of a FASTA file or binary stream; gzip is known by its first bytes, CRLF is fine.

    A stream is used up and closed.

    Raises:
        FastaError: no such file, an empty file, no header where one belongs, bytes that are no ASCII text,
            an empty or a repeated id, a truncated or damaged gzip file.
    """
    name = _name(source)
    with ExitStack() as stack:
        try:
            raw = stack.enter_context(source.open("rb")) if isinstance(source, Path) else source
        except OSError as error:
            raise FastaError(f"{name}: cannot be opened: {error.strerror}; wanted: a FASTA file") from error
        try:
            yield from _records(raw, name)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise FastaError(f"{name}: the gzip file is truncated or damaged ({error}); copy it again") from error
        except dnaio.FileFormatError as error:
            raise FastaError(f"{name}: not FASTA: {error}; wanted: '>id' lines, each followed by sequence") from error
        except UnicodeDecodeError as error:
            raise FastaError(f"{name}: not FASTA: byte {error.object[error.start]:#04x} is no ASCII text") from error


def _records(raw: BinaryIO, name: str) -> Iterator[Record]:
    stream = raw if isinstance(raw, io.BufferedReader) else io.BufferedReader(cast("io.RawIOBase", raw))
    packed = stream.peek(len(MAGIC)).startswith(MAGIC)
    text = cast("BinaryIO", gzip.GzipFile(fileobj=stream) if packed else stream)
    seen: dict[str, int] = {}
    with closing(text), dnaio.open(text, fileformat="fasta") as reader:
        for number, entry in enumerate(reader, start=1):
            identifier, description = _header(entry.name)
            if not identifier:
                raise FastaError(f"{name}: record {number} has no id; wanted: '>id' with at least one character")
            if identifier in seen:
                raise FastaError(
                    f"{name}: records {seen[identifier]} and {number} share the id {identifier!r}; ids must differ"
                )
            seen[identifier] = number
            yield Record(id=identifier, description=description, sequence=entry.sequence)
    if not seen:
        raise FastaError(f"{name}: no record; wanted: at least one '>id' line with sequence")


def _name(source: Path | BinaryIO) -> str:
    return str(source) if isinstance(source, Path) else "input"


def _header(line: str) -> tuple[str, str]:
    identifier, description = (*line.split(maxsplit=1), "", "")[:2] if line[:1].strip() else ("", line.strip())
    return identifier, description
