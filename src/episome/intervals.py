"""Labelled sets in the layout of genomic-benchmarks: intervals of a reference genome, a file for each class.

A folder per task holds ``metadata.yaml`` and ``{train,test}/<class>.csv[.gz]`` with columns
``id,region,start,end,strand``, 0-based half-open. There is no val side; `episome.loci` makes one of train.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, cast

import pandas as pd
import yaml

from episome import aliases, contigs, entry, loci, screen, table
from episome.contigs import Contigs
from episome.entry import Entry
from episome.loci import Locus
from episome.sequence import Normalised, canonical
from episome.sources import IntervalSource, Windows
from episome.types import EpisomeError, Split, Task

SIDES: tuple[Split, Split] = ("train", "test")
COLUMNS = ("id", "region", "start", "end", "strand")
INDEX = ""  # some published files begin with a column that has no name: the number of the row


class IntervalError(EpisomeError):
    """A folder or file that does not fit its task, or a row that is no interval."""


def load(
    source: IntervalSource, tasks: Sequence[Task], *, species: str, windows: Windows, seed: int
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Rows of every set of a species, and what was found in the files.

    `episome.screen` says what is dropped; besides, what of train and val shares bases with a test interval.

    Args:
        source: folder, reference and the sub-folder of each task.
        tasks: the species' tasks, in the order of its head's columns; their labels name the class files.
        species: key of the species.
        windows: N share, IUPAC policy, shares and kind of the split, share of the bases the reference must know.
        seed: decides what of train becomes val.

    Raises:
        EpisomeError: a file is missing or wrong, a class is not the task's, an interval leaves its contig, or too many
            lie on contigs that the reference has not; the message names file and line.
    """
    others = aliases.read(source.folder / source.aliases) if source.aliases else {}
    names = [task.name for task in tasks]
    frames, reports = [], {}
    with contigs.opened(source.folder / source.reference, windows.ambiguous) as reference:
        for task in tasks:
            folder = source.sets[task.name]
            kept, report = _kept(source.folder / folder, task, reference, others, windows, seed)
            origin, kind = f"intervals:{folder}", entry.negative_kind(task)
            frames.append(entry.rows(kept, names, species=species, origin=origin, kind=kind))
            reports[task.name] = {**report, "folder": folder}
        file = {"file": source.reference, "contigs": len(reference.lengths), **asdict(reference.counts)}
    return pd.concat(frames, ignore_index=True), {"kind": source.kind, "reference": file, "sets": reports}


def _kept(
    folder: Path, task: Task, reference: Contigs, others: Mapping[str, Sequence[str]], windows: Windows, seed: int
) -> tuple[list[Entry], dict[str, Any]]:
    came = read(folder, task)
    known, located = loci.locate(came, reference.lengths, others, windows.min_annotated, str(folder))
    given, division = loci.with_val(known, windows, seed)
    screened, report = screen.keep([_entry(x, task, reference) for x in given], [task], windows.max_n_share)
    kept, lost = loci.apart(screened)
    report["kept"] = {side: count - lost[side] for side, count in report["kept"].items()}
    report["dropped"]["shares_bases_with_test"] = lost
    return kept, {**report, "contigs": located, "val": division}


def read(folder: Path, task: Task) -> list[Locus]:
    """All intervals of one set, as the files have them.

    Raises:
        EpisomeError: a file is missing, empty or wrong, or the classes are not those of the task.
    """
    _check_classes(folder, task)
    found: list[Locus] = []
    for side in SIDES:
        for label, name in enumerate(task.labels):
            path = table.find(folder / side, name)
            of_class = [_locus(path, line, side, label) for line in table.read(path, COLUMNS, (INDEX,))]
            if not of_class:
                raise IntervalError(f"{path}: no rows; wanted: at least one interval")
            found += of_class
    return found


def _check_classes(folder: Path, task: Task) -> None:
    """The metadata and both sides name the two classes of the task, and no other."""
    stated = {"metadata.yaml": _classes(folder / "metadata.yaml")}
    stated |= {side: {_stem(path) for path in (folder / side).glob("*.*")} for side in SIDES}
    for where, came in stated.items():
        if came != set(task.labels):
            raise IntervalError(
                f"{folder / where}: the classes are {', '.join(sorted(came)) or 'none'}; wanted: "
                f"{', '.join(task.labels)}, the labels of task {task.name!r} in params.yaml (one task, two classes)"
            )


def _classes(path: Path) -> set[str]:
    try:
        metadata = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise IntervalError(f"{path}: cannot be opened: {error.strerror}; wanted: the metadata of the set") from error
    except yaml.YAMLError as error:
        raise IntervalError(f"{path}: not YAML: {error}") from error
    classes = metadata.get("classes") if isinstance(metadata, dict) else None
    if not isinstance(classes, dict):
        raise IntervalError(f"{path}: no `classes`; wanted: a map with an entry for each class")
    return set(map(str, classes))


def _stem(path: Path) -> str:
    return next((path.name.removesuffix(s) for s in table.SUFFIXES if path.name.endswith(s)), path.name)


def _locus(path: Path, line: table.Line, side: Split, label: int) -> Locus:
    place, fields = f"{side}/{line.place}", line.fields
    span = f"{fields['start']}-{fields['end']}"
    # No sign, no point, no exponent: a negative start is refused here.
    if not (fields["start"].isdecimal() and fields["end"].isdecimal() and int(fields["start"]) < int(fields["end"])):
        raise IntervalError(f"{path.parent.parent}: {place}: {span} is no interval; wanted: start < end, both from 0")
    strand = fields["strand"]
    if strand not in ("+", "-"):
        raise IntervalError(f"{path.parent.parent}: {place}: strand {strand!r}; wanted: + or -")
    return Locus(
        split=side,
        place=place,
        contig=fields["region"],
        start=int(fields["start"]),
        end=int(fields["end"]),
        strand=cast("Literal['+', '-']", strand),
        label=label,
    )


def _entry(locus: Locus, task: Task, reference: Contigs) -> Entry:
    sequence = reference.fetch(locus.contig, locus.start, locus.end, locus.strand)
    masked = round(reference.lower_case(locus.contig, locus.start, locus.end) * len(sequence))
    # U and IUPAC codes are counted for the whole reference, where they became T and N.
    clean = Normalised(sequence=sequence, lower_case=masked, uracil=0, ambiguous=0, n=sequence.count("N"))
    return Entry(
        split=locus.split,
        place=locus.place,
        clean=clean,
        labels={task.name: locus.label},
        key=canonical(sequence),
        contig=locus.contig,
        start=locus.start,
        strand=locus.strand,
    )
