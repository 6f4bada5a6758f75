"""CSV files of labelled sequences, plain or gzip, row by row with the place each came from."""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from episome import packed
from episome.sequence import Normalised, SequenceError, normalise
from episome.types import EpisomeError

_KMER_TEXT = re.compile(r"[A-Za-z]{2,}( [A-Za-z]{2,})+")


class TableError(EpisomeError):
    """A CSV file that cannot be read, or a row of it that is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One row of a CSV file.

    Attributes:
        place: file name and line, for people: ``train.csv.gz line 7``.
        fields: text by column.
    """

    place: str
    fields: dict[str, str]


def read(path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> Iterator[Line]:
    """Yield the rows of a CSV file with a header; plain or gzip.

    Raises:
        TableError: no such file, not text, not CSV, a column missing or unknown, a row too short or too long.
    """
    try:
        with packed.text(path, TableError) as text:
            reader = csv.DictReader(text, strict=True)
            _check_header(path, reader.fieldnames or (), required, optional)
            for fields in reader:
                place = f"{path.name} line {reader.line_num}"
                if None in fields or None in fields.values():
                    raise TableError(f"{path.parent}: {place}: not as many fields as the header has columns")
                yield Line(place=place, fields=fields)
    except csv.Error as error:
        raise TableError(f"{path}: not CSV: {error}") from error


def _check_header(path: Path, came: Sequence[str], required: Sequence[str], optional: Sequence[str]) -> None:
    wrong = [c for c in came if c not in required and c not in optional]
    if wrong or any(c not in came for c in required):
        more = f" and perhaps {', '.join(optional)}" if optional else ""
        raise TableError(f"{path}: columns are {', '.join(came) or 'none'}; wanted: {', '.join(required)}{more}")


def label(path: Path, line: Line) -> int:
    """The label of a row, 0 or 1.

    Raises:
        TableError: anything else.
    """
    text = line.fields["label"].strip()
    if text not in ("0", "1"):
        raise TableError(f"{path.parent}: {line.place}: label {text!r}; wanted: 0 or 1 (one task, two classes)")
    return int(text)


def sequence(path: Path, line: Line, ambiguous: Literal["n", "error"]) -> Normalised:
    """The clean sequence of a row.

    Raises:
        TableError: a character that is no nucleotide, an empty sequence, or k-mer text.
    """
    raw = line.fields["sequence"]
    try:
        return normalise(raw, ambiguous)
    except SequenceError as error:
        hint = ""
        if _KMER_TEXT.fullmatch(raw):
            hint = "; this is k-mer text, as for DNABERT 1: join it (first k-mer, then the last letter of each other)"
        raise TableError(f"{path.parent}: {line.place}: {error}{hint}") from error
