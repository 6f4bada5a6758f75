"""The few training rows of a champion that a retrain may keep: chosen by class, spread over homology groups, hashed.

Of each class of each task at most so many rows. Groups take turns (the first row of every group before the second of
any), so that a large family does not crowd out the small ones; within a group and among groups a hash of seed and row
decides, which does not depend on the order that the rows lie in.
"""

import hashlib
import json
from pathlib import Path

import pandas as pd

from episome import dataset
from episome.dataset import MISSING, label_column
from episome.types import EpisomeError

ROWS = "coreset.parquet"
ABOUT = "coreset.json"


def choose(rows: pd.DataFrame, per_class: int, seed: int) -> pd.DataFrame:
    """At most `per_class` rows of each class of each task.

    Args:
        rows: training rows, with columns ``sequence``, ``group`` and labels; equal ones count once.
        per_class: a row that is chosen for one task says nothing of another that has enough without it: its label of
            that one is taken away.
        seed: decides among equals.

    Returns:
        Rows with the columns of `rows`, in an order of their own.
    """
    order = [_rank(seed, name) for name in hashes(rows)]
    ranked = rows.assign(_rank=order).sort_values("_rank").drop_duplicates("_rank").reset_index(drop=True)
    chosen = ranked.drop(columns="_rank")
    columns = [label_column(task) for task in dataset.tasks(rows)]
    for column in columns:
        kept = pd.Series(MISSING, index=ranked.index, dtype="int8")
        for label in (0, 1):
            asked = ranked[ranked[column] == label]
            turns = asked.groupby("group", sort=False).cumcount()
            kept[turns.sort_values(kind="stable").index[:per_class]] = label
        chosen[column] = kept
    return chosen[(chosen[columns] != MISSING).any(axis=1)].reset_index(drop=True)


def hashes(rows: pd.DataFrame) -> tuple[str, ...]:
    """Sha256 of every row's sequence and of the labels that it has."""
    tasks = dataset.tasks(rows)
    labels = zip(*(rows[label_column(task)].tolist() for task in tasks), strict=True)
    return tuple(
        hashlib.sha256("\t".join([sequence, *_stated(tasks, stated)]).encode()).hexdigest()
        for sequence, stated in zip(rows["sequence"], labels, strict=True)
    )


def counts(rows: pd.DataFrame) -> dict[str, list[int]]:
    """Task → negatives and positives."""
    return {task: [int((rows[label_column(task)] == label).sum()) for label in (0, 1)] for task in dataset.tasks(rows)}


def write(folder: Path, rows: pd.DataFrame, per_class: int, seed: int) -> str:
    """Write what `choose` chose, and its hashes beside it; answers the sha256 of these.

    Args:
        folder: ``coreset.parquet`` and ``coreset.json`` are put there.
        rows: chosen with the two numbers.
        per_class: written down.
        seed: written down.
    """
    about = {"per_class": per_class, "seed": seed, "rows": counts(rows), "sha256": hashes(rows)}
    text = json.dumps(about, indent=1, sort_keys=True) + "\n"
    dataset.write(folder / ROWS, rows)
    (folder / ABOUT).write_text(text, encoding="utf-8")
    return hashlib.sha256(text.encode()).hexdigest()


def read(folder: Path, per_class: int | None = None) -> pd.DataFrame:
    """Rows that `write` wrote, where they are still what their hashes say.

    Args:
        folder: what was given to `write`.
        per_class: what they must have been chosen with; None: any number.

    Raises:
        EpisomeError: there is none, it was chosen with another number, or its rows are not those of its hashes.
    """
    if not (folder / ABOUT).is_file():
        raise EpisomeError(f"{folder}: holds no coreset; `episome retrain` with train.memory: coreset pins one")
    about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    if per_class not in (None, about["per_class"]):
        raise EpisomeError(
            f"{folder / ABOUT}: chosen with coreset_per_class {about['per_class']}, params.yaml has {per_class}; "
            "`episome retrain` chooses anew"
        )
    rows = dataset.read(folder / ROWS)
    if list(hashes(rows)) != about["sha256"]:
        raise EpisomeError(f"{folder / ROWS}: its rows are not those that {ABOUT} has the hashes of; pin it anew")
    return rows


def _stated(tasks: tuple[str, ...], labels: tuple[int, ...]) -> list[str]:
    return [f"{task}={label}" for task, label in zip(tasks, labels, strict=True) if label != MISSING]


def _rank(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed}\t{name}".encode()).hexdigest()
