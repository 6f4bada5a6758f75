"""Rows that a retrain adds to a species: CSV files with columns ``sequence,label,task`` and perhaps ``group,split``.

Each file is one release, named as the file; the folder holds the newest beside those the champion was trained on, so
that the gate can judge each of them apart.
A release never moves or takes away a row that was there before, in the source or in an earlier release. Where it
repeats one with the same label, the repeat is dropped; where it says the contrary, both stay, are counted here, and
the data gate judges. A release that gives one sequence both labels loses these rows.
A row that is new and alike to one of the source goes where that one is, into its group: else a copy of a test row with
a base changed could be trained on.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pandas as pd

from episome import dataset, kmertext, nearby, split, table
from episome.sequence import canonical, n_share
from episome.sources import Homology, SplitShares, Windows
from episome.types import EpisomeError, Split, Task

SHARES = SplitShares(train=0.6, val=0.15, test=0.25)
EXAMPLES = 5
# What is alike to rows of several sides goes to the first of these: what is held out stays unseen.
_HELD_OUT_FIRST: tuple[Split, ...] = ("test", "val", "train")

_Home = tuple[Split, str]  # side and group


class ReleaseError(EpisomeError):
    """A release folder that cannot be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    place: str
    release: str
    task: str
    sequence: str
    lower_case: float
    kmer: int
    key: str
    label: int
    group: str
    split: Split | None


@dataclass(frozen=True, slots=True)
class _Known:
    """What the source already has.

    Attributes:
        labels: task and sequence, on the lesser strand → label.
        homes: group, of a row or of its sequence alone → where it is.
        sequences: each sequence, on the lesser strand → where it is.
    """

    labels: dict[tuple[str, str], int]
    homes: dict[str, _Home]
    sequences: dict[str, _Home]


def load(
    folder: Path,
    source: pd.DataFrame,
    tasks: Sequence[Task],
    *,
    species: str,
    windows: Windows,
    homology: Homology,
    seed: int,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Rows of a release and of those before it, each named after its file, and what was found in the files.

    A row is on the side that its file states; else where the source has its group or sequence; else, with all of its
    group, where the source has a sequence alike to one of the group; else where a stable hash of its group puts it
    (60 % train, 15 % val, 25 % test).

    Args:
        folder: holds ``*.csv`` or ``*.csv.gz``.
        source: rows the species has without the release.
        tasks: the species' tasks, in the order of its head's columns.
        species: key of the species.
        windows: N share and IUPAC policy.
        homology: what is alike; the search is that of numpy whatever its method.
        seed: decides the sides.

    Raises:
        EpisomeError: no CSV file, an unknown task or split, a wrong sequence or label; named by file and line.
    """
    known = _known(source, tasks)
    kept, report = _new(_read(folder, tasks, windows), known, windows.max_n_share)
    near = _near(kept, known, homology)
    followed = [entry for entry in kept if entry.group in near]
    report["near_source"] = {
        "rows": sum(not entry.split for entry in followed),
        "stated_otherwise": sum(entry.split not in (None, near[entry.group][0]) for entry in followed),
    }
    homes = {**known.homes, **near}
    frames = [
        _frame([e for e in kept if e.task == task.name], task, [t.name for t in tasks], species, homes, seed)
        for task in tasks
    ]
    return pd.concat(frames, ignore_index=True), report


def _frame(
    entries: Sequence[_Entry],
    task: Task,
    tasks: Sequence[str],
    species: str,
    homes: Mapping[str, _Home],
    seed: int,
) -> pd.DataFrame:
    """Rows of one task."""
    places = [_home(entry, homes, seed) for entry in entries]
    columns = {
        "sequence": [e.sequence for e in entries],
        "species": species,
        "contig": "",
        "start": 0,
        "end": [len(e.sequence) for e in entries],
        "strand": "+",
        "split": [side for side, _ in places],
        "gene": "",
        "group": [group for _, group in places],
        "origin": [f"release:{e.release}" for e in entries],
        "negative_kind": ["" if e.label else task.labels[0] for e in entries],
        "release": [e.release for e in entries],
        "lower_case": [e.lower_case for e in entries],
    }
    return dataset.build(columns, {task.name: [e.label for e in entries]}, tasks)


def _read(folder: Path, tasks: Sequence[Task], windows: Windows) -> list[_Entry]:
    # The newest, named as the folder, comes last: a row it repeats stays with the release that had it first.
    paths = sorted(
        [*folder.glob("*.csv"), *folder.glob("*.csv.gz")], key=lambda path: (_name(path) == folder.name, path)
    )
    if not paths:
        raise ReleaseError(f"{folder}: no .csv or .csv.gz file; wanted: columns sequence,label,task")
    entries = []
    for path in paths:
        for line in table.read(path, ("sequence", "label", "task"), ("group", "split")):
            where = f"{path.parent}: {line.place}"
            task = line.fields["task"]
            if task not in [t.name for t in tasks]:
                raise ReleaseError(f"{where}: task {task!r}; this species has: {', '.join(t.name for t in tasks)}")
            side = line.fields.get("split", "")
            if side not in ("", *split.SPLITS):
                raise ReleaseError(f"{where}: split {side!r}; wanted: {', '.join(split.SPLITS)} or nothing")
            clean = table.sequence(path, line, windows.ambiguous)
            sequence = clean.sequence
            entries.append(
                _Entry(
                    place=line.place,
                    release=_name(path),
                    task=task,
                    sequence=sequence,
                    lower_case=clean.lower_case / len(sequence),
                    kmer=kmertext.size(line.fields["sequence"]),
                    key=canonical(sequence),
                    label=table.label(path, line),
                    group=line.fields.get("group", "") or split.canonical_group(sequence),
                    split=cast("Split", side) if side else None,
                )
            )
    return entries


def _name(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".csv")


def _known(source: pd.DataFrame, tasks: Sequence[Task]) -> _Known:
    labels: dict[tuple[str, str], int] = {}
    places: list[_Home] = list(zip(source["split"], source["group"], strict=True))
    keys = [canonical(sequence) for sequence in source["sequence"]]
    sequences = dict(zip(keys, places, strict=True))
    homes = {group: (side, group) for side, group in places}
    homes |= {split.canonical_group(key): home for key, home in sequences.items()}
    for task in tasks:
        for key, label in zip(keys, source[dataset.label_column(task.name)].tolist(), strict=True):
            if label != dataset.MISSING:
                labels[task.name, key] = label
    return _Known(labels, homes, sequences)


def _new(entries: Sequence[_Entry], known: _Known, max_n_share: float) -> tuple[list[_Entry], dict[str, Any]]:
    seen: dict[tuple[str, str, str], set[int]] = defaultdict(set)
    for entry in entries:
        seen[entry.release, entry.task, entry.key].add(entry.label)
    counts = dict.fromkeys(("read", "kept", "too_many_n", "contradicts_itself", "repeated", "already_there"), 0)
    contrary: dict[str, list[dict[str, Any]]] = {"source": [], "release": []}
    kept: list[_Entry] = []
    earlier: dict[tuple[str, str], set[int]] = defaultdict(set)
    for entry in entries:
        identity = (entry.task, entry.key)
        before = known.labels.get(identity)
        reason = {
            "too_many_n": n_share(entry.sequence) > max_n_share,
            "contradicts_itself": len(seen[entry.release, *identity]) > 1,
            "repeated": entry.label in earlier[identity],
            "already_there": before == entry.label,
        }
        fate = next((name for name, applies in reason.items() if applies), "kept")
        counts[fate] += 1
        if fate == "kept":
            if before is not None:
                contrary["source"].append({"place": entry.place, "label": entry.label, "source_label": before})
            if earlier[identity]:
                contrary["release"].append({"place": entry.place, "label": entry.label})
            kept.append(entry)
            earlier[identity].add(entry.label)
    counts |= {"read": len(entries), "kmer_text": sum(entry.kmer > 0 for entry in entries)}
    found = {f"contradicts_{what}": {"rows": len(c), "examples": c[:EXAMPLES]} for what, c in contrary.items()}
    return kept, {**counts, **found}


def _near(entries: Sequence[_Entry], known: _Known, settings: Homology) -> dict[str, _Home]:
    """Groups that the source has not, but sequences alike to theirs: group → where those are."""
    new = {entry.key: entry.group for entry in entries if entry.group not in known.homes}
    texts, others = sorted(new), sorted(known.sequences)
    found: dict[str, list[_Home]] = defaultdict(list)
    for a, b in nearby.pairs(texts, others, settings):
        found[new[texts[a]]].append(known.sequences[others[b]])
    return {
        group: min(homes, key=lambda home: (_HELD_OUT_FIRST.index(home[0]), home[1])) for group, homes in found.items()
    }


def _home(entry: _Entry, homes: Mapping[str, _Home], seed: int) -> _Home:
    """Side and group of a row; what its file states stays with the group that it states."""
    if entry.split:
        return entry.split, entry.group
    return homes.get(entry.group) or (split.by_group(entry.group, SHARES, seed), entry.group)
