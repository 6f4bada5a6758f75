"""What can be wrong with a table of rows, as extra columns: one value per row, empty where a question does not apply.

The data gate turns these columns into rules; this module only measures.
"""

from collections.abc import Sequence

import pandas as pd

from episome.dataset import label_column
from episome.sequence import canonical, n_share
from episome.types import Task


def columns(rows: pd.DataFrame, tasks: Sequence[Task]) -> pd.DataFrame:
    """The rows with ``n_share`` and, per task, the columns of `_task_columns`; the index is the row number."""
    numbered = rows.reset_index(drop=True)
    same = numbered["sequence"].map(canonical)
    parts = [numbered, numbered["sequence"].map(n_share).rename("n_share")]
    parts.extend(_task_columns(numbered, same, task.name) for task in tasks)
    return pd.concat(parts, axis=1)


def _task_columns(rows: pd.DataFrame, same: pd.Series, task: str) -> pd.DataFrame:
    """Five columns of one task, None for rows without its label.

    ``<task>_sequence``: the sequence; ``<task>_place``: locus, or sequence of either strand where there is no locus,
    within a split and a release; ``<task>_contradicts``: whether a sequence carries both labels, at its first row;
    ``<task>_test_in_train``: whether a test row's sequence, on either strand, is in train;
    ``<task>_group_in_train``: whether a test row's homology group is in train.
    """
    labels = rows[label_column(task)]
    has = labels >= 0
    test, train = has & (rows["split"] == "test"), has & (rows["split"] == "train")
    sequences = rows["sequence"].where(has)
    both = labels.where(has).groupby(sequences).transform("nunique") > 1
    measured = {
        "sequence": (sequences, has),
        "place": (_place(rows, same), has),
        "contradicts": (both, has & ~sequences.duplicated()),
        "test_in_train": (same.isin(same[train]), test),
        "group_in_train": (rows["group"].isin(rows["group"][train]), test),
    }
    return pd.DataFrame(
        {f"{task}_{name}": values.astype(object).where(asked, None) for name, (values, asked) in measured.items()}
    )


def _place(rows: pd.DataFrame, same: pd.Series) -> pd.Series:
    span = rows["start"].astype(str) + "-" + rows["end"].astype(str) + rows["strand"]
    where = (rows["contig"] + ":" + span).where(rows["contig"] != "", same)
    return rows["split"] + " " + rows["release"] + " " + where
