"""What can be wrong with a table of rows, as extra columns: one value per row, empty where a question does not apply.

`episome.contract` turns these columns into rules; this module only measures.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from episome import metrics
from episome.contract import MEASURES, SHORTCUTS, Rule, column
from episome.dataset import label_column
from episome.limits import Check
from episome.sequence import canonical
from episome.split import SPLITS
from episome.types import Task

STRANDED = "opposite_strand"  # the kind of negatives that says the other strand is no positive
ALL = "all negatives"


def columns(
    rows: pd.DataFrame, tasks: Sequence[Task], check: Check, related: Mapping[str, Sequence[str]]
) -> pd.DataFrame:
    """The rows with the measures of `contract.MEASURES` and, per task, more columns; the index is the row number.

    The columns of a task are named by `contract.column` and empty for rows without its label:
    ``place``: locus, or where there is none the sequence (of either strand, where the task is asked of both), within a
    split and a release;
    ``contradictions``: whether a sequence carries both labels, at its first row; where the task is asked of both
    strands, either strand of it, unless a negative is one for its strand;
    ``test_in_train``, ``val_in_train``, ``test_in_val``: the first row of the other side with a row's sequence, either
    strand, or False;
    ``group_overlap``: whether a test row's homology group is in train;
    ``species_overlap``: the species that train on a test row's group, or False;
    ``by_case`` and so on for every one of `contract.SHORTCUTS`: how well it tells the classes apart, see `shortcuts`.

    Args:
        rows: rows of one species.
        tasks: its tasks.
        check: says which classes are large enough to be judged.
        related: group → other species that train on it.
    """
    numbered = rows.reset_index(drop=True)
    measured = {name: numbered["sequence"].map(measure) for name, measure in MEASURES.items()}
    numbered = numbered.assign(**measured)
    same = numbered["sequence"].map(canonical)
    parts = [numbered]
    for task in tasks:
        parts.append(_task_columns(numbered, same, task, related))
        parts.append(_shortcut_columns(numbered, task, check.of(task.name).shortcut.min_rows))
    return pd.concat(parts, axis=1)


def shortcuts(audited: pd.DataFrame, task: Task, fewest: int) -> dict[str, dict[str, float]]:
    """How well each property that is no biology tells the classes of one task apart: column → negatives → AUROC.

    The AUROC is that of the better direction, 0.5 to 1, over the rows of all splits: of `ALL` and,
    where there are several, of each kind of them. A class with fewer than `fewest` rows is left out.
    """
    labels = audited[label_column(task.name)]
    positive, negative = labels == 1, labels == 0
    kinds = audited["negative_kind"].where(negative)
    against = {ALL: negative}
    if kinds.nunique() > 1:
        against |= {str(kind): kinds == kind for kind in sorted(kinds.dropna().unique())}
    large = {name: rows for name, rows in against.items() if min(rows.sum(), positive.sum()) >= fewest}
    return {
        values: {
            name: _separation(audited.loc[positive, values], audited.loc[rows, values]) for name, rows in large.items()
        }
        for values in dict.fromkeys(shortcut.column for shortcut in SHORTCUTS.values())
    }


def most_telling(audited: pd.DataFrame, rule: Rule, count: int) -> list[int]:
    """Rows that show what a shortcut rule found: negatives of the worst kind and positives, the furthest apart."""
    labels, worst = audited[label_column(rule.task)], audited[rule.column].max()
    negative = audited.loc[(labels == 0) & (audited[rule.column] == worst), rule.shown].sort_values(kind="stable")
    positive = audited.loc[labels == 1, rule.shown].sort_values(kind="stable")
    if negative.mean() > positive.mean():
        negative, positive = negative[::-1], positive[::-1]
    ends = [*negative.index[: (count + 1) // 2], *positive.index[::-1][: count // 2]]
    return [int(row) for row in ends]


def _separation(positives: pd.Series, negatives: pd.Series) -> float:
    labels = np.repeat([1, 0], [len(positives), len(negatives)])
    area = metrics.auroc(labels, np.concatenate([positives, negatives]))
    return round(max(area, 1 - area), 4)


def _shortcut_columns(rows: pd.DataFrame, task: Task, fewest: int) -> pd.DataFrame:
    """At each row the larger of two AUROCs, as far as a shortcut asks for them: of all negatives, of the row's kind."""
    areas = shortcuts(rows, task, fewest)
    labels = rows[label_column(task.name)]
    found = {}
    for key, shortcut in SHORTCUTS.items():
        kinds = {name: area for name, area in areas[shortcut.column].items() if name != ALL and shortcut.kinds}
        of_kind = rows["negative_kind"].map(kinds).where(labels == 0).astype(float)
        whole = areas[shortcut.column].get(ALL, np.nan) if shortcut.whole else np.nan
        found[column(task.name, f"by_{key}")] = of_kind.fillna(whole).clip(lower=whole).where(labels >= 0)
    return pd.DataFrame(found)


def _task_columns(
    rows: pd.DataFrame, same: pd.Series, task: Task, related: Mapping[str, Sequence[str]]
) -> pd.DataFrame:
    labels = rows[label_column(task.name)]
    has = labels >= 0
    train, val, test = (has & (rows["split"] == side) for side in SPLITS)
    measured = {
        "place": (_place(rows, rows["sequence"] if task.strands == "forward" else same), has),
        "contradictions": _contradictions(rows, same, labels, task),
        "test_in_train": (_found(same, _firsts(same[train])), test),
        "val_in_train": (_found(same, _firsts(same[train])), val),
        "test_in_val": (_found(same, _firsts(same[val])), test),
        "group_overlap": (rows["group"].isin(rows["group"][train]), test),
        "species_overlap": (
            _found(rows["group"], {group: ", ".join(others) for group, others in related.items()}),
            test,
        ),
    }
    return pd.DataFrame(
        {
            column(task.name, name): values.astype(object).where(asked, None)
            for name, (values, asked) in measured.items()
        }
    )


def _contradictions(rows: pd.DataFrame, same: pd.Series, labels: pd.Series, task: Task) -> tuple[pd.Series, pd.Series]:
    """Whether both labels are there, and at which rows that is told: the first of each sequence."""
    has = labels >= 0
    exact = _both(labels, rows["sequence"].where(has))
    if task.strands == "forward":
        return exact, has & ~rows["sequence"].where(has).duplicated()
    either = exact | _both(labels, same.where(has & (rows["negative_kind"] != STRANDED)))
    return either.groupby(same).transform("any"), has & ~same.where(has).duplicated()


def _both(labels: pd.Series, what: pd.Series) -> pd.Series:
    return labels.groupby(what).transform("nunique") > 1


def _firsts(keys: pd.Series) -> dict[str, str]:
    first = keys.drop_duplicates()
    return dict(zip(first, (f"row {row}" for row in first.index), strict=True))


def _found(keys: pd.Series, known: Mapping[str, str]) -> pd.Series:
    """What is known of each key, False for nothing."""
    return keys.map(lambda key: known.get(key, False))


def _place(rows: pd.DataFrame, same: pd.Series) -> pd.Series:
    span = rows["start"].astype(str) + "-" + rows["end"].astype(str) + rows["strand"]
    where = (rows["contig"] + ":" + span).where(rows["contig"] != "", same)
    return rows["split"] + " " + rows["release"] + " " + where
