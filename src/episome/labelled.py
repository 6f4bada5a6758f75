"""Labelled sets in the GUE layout, made into rows; nothing about the given split is trusted or changed silently.

A folder per task holds ``train``, ``dev`` and ``test`` as ``.csv`` or ``.csv.gz`` with columns ``sequence,label``.
What the sets do not say and this file cannot know: homology. A row's group is its own sequence on either strand.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Any, Literal

import pandas as pd

from episome import dataset, table
from episome.sequence import Normalised, canonical, gc, n_share
from episome.sources import Windows
from episome.split import SPLITS, canonical_group
from episome.types import EpisomeError, Split, Task

FILES: dict[Split, str] = {"train": "train.csv", "val": "dev.csv", "test": "test.csv"}
EXAMPLES = 5


class LabelledError(EpisomeError):
    """A folder that does not hold a labelled set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One labelled sequence as a file has it.

    Attributes:
        split: the side the file puts it on.
        place: file and line.
        clean: the sequence, normalised.
        label: 0 or 1.
        key: the same string for both strands.
    """

    split: Split
    place: str
    clean: Normalised
    label: int
    key: str


def load(
    folder: Path, sets: Mapping[str, str], tasks: Sequence[Task], *, species: str, windows: Windows
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Rows of every set of a species, and what was found in the files.

    Dropped, always counted in the report: sequences with more N than allowed, sequences with both labels,
    repeats of a sequence or its reverse complement within a split (the first is kept), train rows that are
    also in val or test and val rows that are also in test (so the test set stays as published).

    Args:
        folder: what the sub-folders of `sets` are in.
        sets: task name to sub-folder.
        tasks: the species' tasks, in the order of its head's columns; their labels name the classes.
        species: key of the species.
        windows: N share and IUPAC policy.

    Raises:
        EpisomeError: a file is missing or wrong; the message names file, line and character.
    """
    names = [task.name for task in tasks]
    frames, reports = [], {}
    for task in tasks:
        entries = read(folder / sets[task.name], windows.ambiguous)
        kept, reports[task.name] = clean(entries, task, windows.max_n_share)
        reports[task.name]["folder"] = sets[task.name]
        columns = _columns(kept, species, f"labelled:{sets[task.name]}", task.labels[0])
        frames.append(dataset.build(columns, {task.name: [e.label for e in kept]}, names))
    return pd.concat(frames, ignore_index=True), {"kind": "labelled", "sets": reports}


def read(folder: Path, ambiguous: Literal["n", "error"]) -> list[Entry]:
    """All entries of one set, as the files have them.

    Raises:
        EpisomeError: a file is missing, empty or wrong.
    """
    entries: list[Entry] = []
    for split, name in FILES.items():
        path = _file(folder, name)
        before = len(entries)
        for line in table.read(path, ("sequence", "label")):
            value = table.sequence(path, line, ambiguous)
            label = table.label(path, line)
            entries.append(
                Entry(split=split, place=line.place, clean=value, label=label, key=canonical(value.sequence))
            )
        if len(entries) == before:
            raise LabelledError(f"{path}: no rows; wanted: at least one labelled sequence")
    return entries


def clean(entries: Sequence[Entry], task: Task, max_n_share: float) -> tuple[list[Entry], dict[str, Any]]:
    """The entries that become rows, and the report on all of them."""
    usable = [e for e in entries if n_share(e.clean.sequence) <= max_n_share]
    labels = defaultdict(set)
    for entry in usable:
        labels[entry.key].add(entry.label)
    contradictory = {key for key, values in labels.items() if len(values) > 1}
    firsts, repeats = _first_of_each(usable)
    keys = {split: {e.key for e in usable if e.split == split} for split in SPLITS}
    later = {split: set[str]().union(*(keys[s] for s in SPLITS[i + 1 :])) for i, split in enumerate(SPLITS)}
    kept = [e for e in firsts if e.key not in contradictory and e.key not in later[e.split]]
    report = {
        "read": _per_split(entries),
        "kept": _per_split(kept),
        "too_many_n": _per_split([e for e in entries if n_share(e.clean.sequence) > max_n_share]),
        "duplicates": repeats,
        "overlap": {f"{a}/{b}": _overlap(usable, keys, a, b) for a, b in combinations(SPLITS, 2)},
        "contradictions": _contradictions(usable, contradictory),
        "normalised": _normalised(entries),
        "classes": {name: _class(e for e in entries if e.label == i) for i, name in enumerate(task.labels)},
    }
    return kept, report


def _file(folder: Path, name: str) -> Path:
    found = [path for path in (folder / name, folder / f"{name}.gz") if path.is_file()]
    if len(found) != 1:
        came = " and ".join(path.name for path in found) or "neither"
        raise LabelledError(f"{folder}: wanted one of {name} and {name}.gz; there: {came}")
    return found[0]


def _first_of_each(entries: Sequence[Entry]) -> tuple[list[Entry], dict[str, Any]]:
    first: dict[tuple[Split, str], Entry] = {}
    counts: dict[str, dict[str, int]] = {split: {"exact": 0, "reverse_complement": 0} for split in SPLITS}
    examples: list[dict[str, str]] = []
    for entry in entries:
        known = first.setdefault((entry.split, entry.key), entry)
        if known is entry:
            continue
        kind = "exact" if known.clean.sequence == entry.clean.sequence else "reverse_complement"
        counts[entry.split][kind] += 1
        if len(examples) < EXAMPLES:
            examples.append({"place": entry.place, "same_as": known.place, "kind": kind})
    return list(first.values()), {**counts, "examples": examples}


def _overlap(entries: Sequence[Entry], keys: Mapping[Split, set[str]], a: Split, b: Split) -> dict[str, Any]:
    rows = [entry for entry in entries if entry.split == b and entry.key in keys[a]]
    examples = []
    for entry in rows[:EXAMPLES]:
        twin = next(e for e in entries if e.split == a and e.key == entry.key)
        examples.append({"place": entry.place, "also": twin.place, "sequence": entry.clean.sequence})
    return {"rows": len(rows), "examples": examples}


def _contradictions(entries: Sequence[Entry], keys: set[str]) -> dict[str, Any]:
    groups: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.key in keys:
            groups[entry.key].append(entry)
    examples = [
        {"sequence": group[0].clean.sequence, "rows": [{"place": e.place, "label": e.label} for e in group]}
        for group in list(groups.values())[:EXAMPLES]
    ]
    return {"groups": len(groups), "rows": sum(map(len, groups.values())), "examples": examples}


def _normalised(entries: Sequence[Entry]) -> dict[str, int]:
    fields = ("lower_case", "uracil", "ambiguous", "n")
    return {field: sum(getattr(entry.clean, field) for entry in entries) for field in fields}


def _class(entries: Iterable[Entry]) -> dict[str, Any]:
    """What could give a class away without biology: case, N, length, GC."""
    texts = [entry.clean for entry in entries]
    bases = sum(len(t.sequence) for t in texts)
    return {
        "rows": len(texts),
        "length_median": median(len(t.sequence) for t in texts) if texts else 0,
        "lower_case_share": round(sum(t.lower_case for t in texts) / max(bases, 1), 6),
        "n_share": round(sum(t.n for t in texts) / max(bases, 1), 6),
        "gc": round(sum(gc(t.sequence) for t in texts) / max(len(texts), 1), 6),
    }


def _per_split(entries: Sequence[Entry]) -> dict[str, int]:
    return {split: sum(entry.split == split for entry in entries) for split in SPLITS}


def _columns(entries: Sequence[Entry], species: str, origin: str, negative: str) -> dict[str, Any]:
    return {
        "sequence": [e.clean.sequence for e in entries],
        "species": species,
        "contig": "",
        "start": 0,
        "end": [len(e.clean.sequence) for e in entries],
        "strand": "+",
        "split": [e.split for e in entries],
        "gene": "",
        "group": [canonical_group(e.clean.sequence) for e in entries],
        "origin": origin,
        "negative_kind": ["" if e.label else negative for e in entries],
        "release": "none",
        "lower_case": [e.clean.lower_case / len(e.clean.sequence) for e in entries],
    }
