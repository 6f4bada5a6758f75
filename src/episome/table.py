"""CSV and TSV files of labelled sequences, plain or gzip, row by row with the place each came from."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from episome import kmertext, packed
from episome.sequence import Normalised, SequenceError, normalise
from episome.types import EpisomeError

SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz")


class TableError(EpisomeError):
    """A CSV or TSV file that cannot be read, or a row of it that is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One row of a CSV file.

    Attributes:
        place: file name and line, for people: ``train.csv.gz line 7``.
        fields: text by column.
    """

    place: str
    fields: dict[str, str]


def find(folder: Path, stem: str) -> Path:
    """The one file of that name, whichever way it is separated and packed.

    Raises:
        TableError: none or several.
    """
    found = [path for path in (folder / f"{stem}{suffix}" for suffix in SUFFIXES) if path.is_file()]
    if len(found) != 1:
        came = " and ".join(path.name for path in found) or "none of them"
        wanted = ", ".join(stem + suffix for suffix in SUFFIXES)
        raise TableError(f"{folder}: wanted one of {wanted}; there: {came}")
    return found[0]


def read(path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> Iterator[Line]:
    """Yield the rows of a file with a header; plain or gzip, separated by commas, or by tabs in a ``.tsv``.

    Raises:
        TableError: no such file, not text, not CSV, a column missing, unknown or twice, a row too short or too long.
    """
    try:
        with packed.text(path, TableError) as text:
            reader = csv.DictReader(text, strict=True, delimiter=_separator(path))
            _check_header(path, reader.fieldnames or (), required, optional)
            for fields in reader:
                place = f"{path.name} line {reader.line_num}"
                if None in fields or None in fields.values():
                    raise TableError(f"{path.parent}: {place}: not as many fields as the header has columns")
                yield Line(place=place, fields=fields)
    except csv.Error as error:
        raise TableError(f"{path}: not CSV: {error}") from error


def header(path: Path) -> tuple[str, ...]:
    """The columns that a file states, for a reader that knows more than one set of them.

    Raises:
        TableError: no such file, not text, not CSV.
    """
    try:
        with packed.text(path, TableError) as text:
            return tuple(next(csv.reader(text, strict=True, delimiter=_separator(path)), ()))
    except csv.Error as error:
        raise TableError(f"{path}: not CSV: {error}") from error


def _separator(path: Path) -> str:
    return "\t" if path.name.removesuffix(".gz").endswith(".tsv") else ","


def _check_header(path: Path, came: Sequence[str], required: Sequence[str], optional: Sequence[str]) -> None:
    wrong = [c for c in came if (c not in required and c not in optional) or came.count(c) > 1]
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
    """The clean sequence of a row; k-mer text is joined, and blanks around it are passed over.

    Raises:
        TableError: a character that is no nucleotide, an empty sequence, or words that no one sequence gives.
    """
    raw = line.fields["sequence"]
    try:
        return normalise(kmertext.join(raw), ambiguous)
    except (SequenceError, kmertext.KmerError) as error:
        raise TableError(f"{path.parent}: {line.place}: {error}") from error
