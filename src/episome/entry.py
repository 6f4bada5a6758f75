"""A labelled sequence as a file from outside has it, whatever the layout, and the row that it becomes.

What such files do not say and this one cannot know: homology. A row's group is its own sequence on either strand.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from episome import dataset, kmertext, table
from episome.sequence import Normalised, canonical
from episome.split import canonical_group
from episome.types import EpisomeError, Split, Task

FILES: dict[Split, str] = {"train": "train", "val": "dev", "test": "test"}


class EntryError(EpisomeError):
    """A file without a single labelled sequence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One labelled sequence as a file has it.

    Attributes:
        split: the side the file puts it on.
        place: file and line.
        clean: the sequence, normalised.
        labels: task → 1, 0 or -1 (missing); a task that is not named is missing too.
        key: the same string for both strands.
        kmer: letters of a word where the file has k-mer text; 0 where it has the sequence itself.
        contig: where the sequence lies; "" where no genome is known.
        start: 0-based, on the plus strand of the contig.
        strand: ``+`` or ``-``.
    """

    split: Split
    place: str
    clean: Normalised
    labels: Mapping[str, int]
    key: str
    kmer: int = 0
    contig: str = ""
    start: int = 0
    strand: Literal["+", "-"] = "+"

    @property
    def end(self) -> int:
        """Behind the last base, on the plus strand of the contig."""
        return self.start + len(self.clean.sequence)

    @property
    def known(self) -> dict[str, int]:
        """The labels that are not missing."""
        return {task: label for task, label in self.labels.items() if label != dataset.MISSING}


def read(
    path: Path,
    split: Split,
    columns: Sequence[str],
    labels: Callable[[Path, table.Line], Mapping[str, int]],
    ambiguous: Literal["n", "error"],
) -> list[Entry]:
    """All entries of one file.

    Args:
        path: a CSV or TSV file.
        split: the side that the file is.
        columns: the header, in any order; ``sequence`` is one of them.
        labels: gives a row's labels by task.
        ambiguous: IUPAC policy.

    Raises:
        EpisomeError: the file is missing, empty or wrong; the message names file, line and character.
    """
    entries = []
    for line in table.read(path, columns):
        clean = table.sequence(path, line, ambiguous)
        entries.append(
            Entry(
                split=split,
                place=line.place,
                clean=clean,
                labels=labels(path, line),
                key=canonical(clean.sequence),
                kmer=kmertext.size(line.fields["sequence"]),
            )
        )
    if not entries:
        raise EntryError(f"{path}: no rows; wanted: at least one labelled sequence")
    return entries


def negative_kind(task: Task) -> Callable[[Entry], str]:
    """What a negative of a set of one task is called: the task's name for the class."""
    return lambda entry: "" if entry.labels[task.name] else task.labels[0]


def rows(
    entries: Sequence[Entry], names: Sequence[str], *, species: str, origin: str, kind: Callable[[Entry], str]
) -> pd.DataFrame:
    """The rows of some entries.

    Args:
        entries: what was kept of a set.
        names: all tasks of the species, in the order of its head's columns.
        species: key of the species.
        origin: where the set came from.
        kind: names the kind of negative of an entry; "" where it is none.
    """
    columns = {
        "sequence": [e.clean.sequence for e in entries],
        "species": species,
        "contig": [e.contig for e in entries],
        "start": [e.start for e in entries],
        "end": [e.end for e in entries],
        "strand": [e.strand for e in entries],
        "split": [e.split for e in entries],
        "gene": "",
        "group": [canonical_group(e.clean.sequence) for e in entries],
        "origin": origin,
        "negative_kind": [kind(e) for e in entries],
        "release": "none",
        "lower_case": [e.clean.lower_case / len(e.clean.sequence) for e in entries],
    }
    return dataset.build(columns, {n: [e.labels.get(n, dataset.MISSING) for e in entries] for n in names}, names)
