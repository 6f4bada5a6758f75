"""Labelled sets in the GUE layout: a folder per task with ``train``, ``dev`` and ``test`` of ``sequence,label``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import yaml

from episome import entry, screen, table
from episome.entry import Entry
from episome.sources import LabelledSource, Windows
from episome.types import EpisomeError, Task

NAMES = "labels.yaml"


class LabelledError(EpisomeError):
    """A folder whose classes are not those of its task."""


def load(
    source: LabelledSource, tasks: Sequence[Task], *, species: str, windows: Windows
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Rows of every set of a species, and what was found in the files; `episome.screen` says what is dropped.

    Args:
        source: folder and the sub-folder of each task.
        tasks: the species' tasks, in the order of its head's columns; their labels name the classes.
        species: key of the species.
        windows: N share and IUPAC policy.

    Raises:
        EpisomeError: a file is missing or wrong; the message names file, line and character.
    """
    names = [task.name for task in tasks]
    frames, reports = [], {}
    for task in tasks:
        folder = source.sets[task.name]
        entries = read(source.folder / folder, task, windows.ambiguous)
        kept, report = screen.keep(entries, [task], windows.max_n_share)
        origin, kind = f"labelled:{folder}", entry.negative_kind(task)
        frames.append(entry.rows(kept, names, species=species, origin=origin, kind=kind))
        reports[task.name] = {**report, "folder": folder}
    return pd.concat(frames, ignore_index=True), {"kind": source.kind, "sets": reports}


def read(folder: Path, task: Task, ambiguous: Literal["n", "error"]) -> list[Entry]:
    """All entries of one set, as the files have them.

    Raises:
        EpisomeError: a file is missing, empty or wrong, or ``labels.yaml`` names other classes than the task.
    """
    _check_names(folder / NAMES, task)
    entries: list[Entry] = []
    for split, stem in entry.FILES.items():
        path = table.find(folder, stem)
        entries += entry.read(
            path, split, ("sequence", "label"), lambda p, li: {task.name: table.label(p, li)}, ambiguous
        )
    return entries


def _check_names(path: Path, task: Task) -> None:
    """Where a set names its classes, they are the task's, or 0 and 1 may be the wrong way round."""
    if not path.is_file():
        return
    wanted = dict(enumerate(task.labels))
    try:
        came = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise LabelledError(f"{path}: not YAML: {error}") from error
    if came != wanted:
        raise LabelledError(
            f"{path}: the classes are {came!r}; wanted: {wanted!r}, the labels of task {task.name!r} in params.yaml"
        )
