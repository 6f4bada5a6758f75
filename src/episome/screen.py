"""What of a labelled set is used, by one rule for every layout; nothing is dropped or changed without being counted.

The split that a set came with is kept and not believed: what train shares with val or test, or val with test, on
either strand, leaves the earlier side. So the test set stays as published, but for what it says twice or denies itself.
A sequence and its reverse complement are one sequence, but for a task whose strands are ``forward``: of its rows the
other strand may have another label. A side has shares of both strands of a sequence all the same.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations, pairwise
from statistics import median
from typing import Any

from episome.dataset import MISSING
from episome.entry import Entry
from episome.sequence import Normalised, gc, n_share
from episome.split import SPLITS
from episome.types import Split, Task

EXAMPLES = 5
REASONS = ("too_many_n", "no_label", "contradictory", "repeated", "held_out")


def keep(entries: Sequence[Entry], tasks: Sequence[Task], max_n_share: float) -> tuple[list[Entry], dict[str, Any]]:
    """The entries that become rows, in their order, and the report on all of them.

    An entry is dropped for the first reason that applies: ``too_many_n``; ``no_label``, none is stated;
    ``contradictory``, a label is not used where the set (of a test entry: the test side) says both 0 and 1 of the
    sequence, and no other is left;
    ``repeated``, its sequence came before in the same split, whose entry then has the labels of both;
    ``held_out``, its sequence, on either strand, is also in a later split of train, val, test.
    Elsewhere the same sequence means either strand, or for a task of ``forward`` strands the same letters; entries
    that one of several tasks tells apart by strand are not repeats of each other.

    Args:
        entries: all splits of one set.
        tasks: the tasks that the set has labels of; their labels name the classes.
        max_n_share: an entry with more N is dropped.

    Returns:
        The kept entries, and counts and examples: ``read`` = ``kept`` + every reason under ``dropped``.
    """
    usable = [e for e in entries if n_share(e.clean.sequence) <= max_n_share]
    contrary = {task: _contrary(usable, task) for task in tasks}
    in_test = {task: _contrary([e for e in usable if e.split == "test"], task) for task in tasks}
    stated = [e for e in usable if e.known]
    agreed = [e for e in (_without(e, in_test if e.split == "test" else contrary) for e in stated) if e.known]
    exact = any(map(_forward, tasks))
    firsts = _firsts(agreed, exact=exact)
    keys = _keys(firsts)
    later = {split: set[str]().union(*(keys[s] for s in SPLITS[i + 1 :])) for i, split in enumerate(SPLITS)}
    kept = [e for e in firsts if e.key not in later[e.split]]
    left = [_per_split(e) for e in (entries, usable, stated, agreed, firsts, kept)]
    steps = zip(REASONS, pairwise(left), strict=True)
    report = {
        "read": left[0],
        "kept": left[-1],
        "dropped": {why: {split: before[split] - after[split] for split in SPLITS} for why, (before, after) in steps},
        "duplicates": _duplicates(usable, exact=exact),
        "overlap": {f"{a}/{b}": _overlap(usable, a, b) for a, b in combinations(SPLITS, 2)},
        "normalised": _normalised(entries),
        "kmer_text": {"rows": sum(e.kmer > 0 for e in entries), "k": sorted({e.kmer for e in entries} - {0})},
        "tasks": {
            task.name: {
                "contradictions": _contradictions(usable, task, contrary[task]),
                "classes": _classes(entries, task),
            }
            for task in tasks
        },
    }
    return kept, report


def _forward(task: Task) -> bool:
    return task.strands == "forward"


def _key(entry: Entry, *, exact: bool) -> str:
    """What the same sequence has in common: its letters, or those of either strand."""
    return entry.clean.sequence if exact else entry.key


def _contrary(entries: Sequence[Entry], task: Task) -> set[str]:
    """Keys of the sequences that carry both labels of a task."""
    labels = defaultdict(set)
    for entry in entries:
        if task.name in entry.known:
            labels[_key(entry, exact=_forward(task))].add(entry.labels[task.name])
    return {key for key, values in labels.items() if len(values) > 1}


def _without(entry: Entry, contrary: Mapping[Task, set[str]]) -> Entry:
    wrong = [task.name for task, keys in contrary.items() if _key(entry, exact=_forward(task)) in keys]
    return replace(entry, labels={**entry.labels, **dict.fromkeys(wrong, MISSING)}) if wrong else entry


def _firsts(entries: Sequence[Entry], *, exact: bool) -> list[Entry]:
    """The first entry of each sequence in each split, with the labels that any of them states."""
    first: dict[tuple[Split, str], Entry] = {}
    for entry in entries:
        place = entry.split, _key(entry, exact=exact)
        known = first.setdefault(place, entry)
        if new := {task: label for task, label in entry.known.items() if task not in known.known}:
            first[place] = replace(known, labels={**known.labels, **new})
    return list(first.values())


def _keys(entries: Sequence[Entry]) -> dict[Split, set[str]]:
    return {split: {e.key for e in entries if e.split == split} for split in SPLITS}


def _duplicates(entries: Sequence[Entry], *, exact: bool) -> dict[str, Any]:
    """Sequences that a split has more than once, as they came."""
    first: dict[tuple[Split, str], Entry] = {}
    counts: dict[str, dict[str, int]] = {split: {"exact": 0, "reverse_complement": 0} for split in SPLITS}
    examples: list[dict[str, str]] = []
    for entry in entries:
        known = first.setdefault((entry.split, _key(entry, exact=exact)), entry)
        if known is entry:
            continue
        kind = "exact" if known.clean.sequence == entry.clean.sequence else "reverse_complement"
        counts[entry.split][kind] += 1
        if len(examples) < EXAMPLES:
            examples.append({"place": entry.place, "same_as": known.place, "kind": kind})
    return {**counts, "examples": examples}


def _overlap(entries: Sequence[Entry], a: Split, b: Split) -> dict[str, Any]:
    """Rows of split `b` whose sequence, on either strand, is in split `a` too, as they came."""
    twins = {e.key: e for e in reversed(entries) if e.split == a}
    rows = [entry for entry in entries if entry.split == b and entry.key in twins]
    examples = [{"place": e.place, "also": twins[e.key].place, "sequence": e.clean.sequence} for e in rows[:EXAMPLES]]
    return {"rows": len(rows), "examples": examples}


def _contradictions(entries: Sequence[Entry], task: Task, keys: set[str]) -> dict[str, Any]:
    groups: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        key = _key(entry, exact=_forward(task))
        if key in keys and task.name in entry.known:
            groups[key].append(entry)
    examples = [
        {"sequence": group[0].clean.sequence, "rows": [{"place": e.place, "label": e.labels[task.name]} for e in group]}
        for group in list(groups.values())[:EXAMPLES]
    ]
    return {"groups": len(groups), "rows": sum(map(len, groups.values())), "examples": examples}


def _normalised(entries: Sequence[Entry]) -> dict[str, int]:
    fields = ("lower_case", "uracil", "ambiguous", "n")
    return {field: sum(getattr(entry.clean, field) for entry in entries) for field in fields}


def _classes(entries: Sequence[Entry], task: Task) -> dict[str, dict[str, Any]]:
    return {
        name: _class([e.clean for e in entries if e.known.get(task.name) == label])
        for label, name in enumerate(task.labels)
    }


def _class(texts: Sequence[Normalised]) -> dict[str, Any]:
    """What could give a class away without biology: case, N, length, GC."""
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
