"""Sequences that carry labels of several tasks: ``train``, ``dev`` and ``test`` with a column for each task.

A field is 0, 1, or empty or -1 where the label is missing. Instead of the columns of the tasks, one column ``labels``
may name those that apply, separated by ``;``: it says of every task whether it applies, so that none is missing.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from episome import entry, screen, table
from episome.dataset import MISSING
from episome.entry import Entry
from episome.sources import MultilabelSource, Windows
from episome.types import EpisomeError, Task

LIST = "labels"
VALUES = {"0": 0, "1": 1, "": MISSING, "-1": MISSING}


Labels = Callable[[Path, table.Line], Mapping[str, int]]
"""How a line's labels are read."""


class MultilabelError(EpisomeError):
    """A field that is no label."""


def load(
    source: MultilabelSource, tasks: Sequence[Task], *, species: str, windows: Windows
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Rows with the labels of all tasks of a species, and what was found; `episome.screen` says what is dropped.

    A negative is of kind ``other`` where another task's label applies to it, else of kind ``none``.

    Args:
        source: the folder.
        tasks: the species' tasks, in the order of its head's columns.
        species: key of the species.
        windows: N share and IUPAC policy.

    Raises:
        EpisomeError: a file is missing or wrong; the message names file, line and character.
    """
    names = [task.name for task in tasks]
    entries: list[Entry] = []
    for split, stem in entry.FILES.items():
        path = table.find(source.folder, stem)
        columns, labels = _layout(path, names)
        if source.exclusive:
            labels = partial(_one_class, labels=labels)
        entries += entry.read(path, split, columns, labels, windows.ambiguous)
    kept, report = screen.keep(entries, tasks, windows.max_n_share)
    origin = f"multilabel:{source.folder.name}"
    return entry.rows(kept, names, species=species, origin=origin, kind=_kind), {"kind": source.kind, **report}


def _layout(path: Path, names: Sequence[str]) -> tuple[tuple[str, ...], Labels]:
    """The columns that a file should have, and how its labels are read from them."""
    if LIST in table.header(path) and LIST not in names:
        return ("sequence", LIST), partial(_listed, names=names)
    return ("sequence", *names), partial(_columns, names=names)


def _listed(path: Path, line: table.Line, names: Sequence[str]) -> dict[str, int]:
    came = [label.strip() for label in line.fields[LIST].split(";")] if line.fields[LIST].strip() else []
    for label in came:
        if label not in names:
            raise MultilabelError(f"{path.parent}: {line.place}: label {label!r}; known: {', '.join(names)}")
    return {name: int(name in came) for name in names}


def _columns(path: Path, line: table.Line, names: Sequence[str]) -> dict[str, int]:
    labels = {}
    for name in names:
        text = line.fields[name].strip()
        if text not in VALUES:
            raise MultilabelError(
                f"{path.parent}: {line.place}: {name} {text!r}; wanted: 0, 1, or nothing or -1 (missing)"
            )
        labels[name] = VALUES[text]
    return labels


def _one_class(path: Path, line: table.Line, labels: Labels) -> Mapping[str, int]:
    """Labels of a row that is of exactly one class."""
    found = labels(path, line)
    if sorted(found.values()) != [0] * (len(found) - 1) + [1]:
        said = ", ".join(f"{name} {value}" for name, value in found.items())
        raise MultilabelError(f"{path.parent}: {line.place}: {said}; wanted: 1 for one class and 0 for all others")
    return found


def _kind(found: Entry) -> str:
    values = found.known.values()
    if 0 not in values:
        return ""
    return "other" if 1 in values else "none"
