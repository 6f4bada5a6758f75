"""The gate's columns: one value per row, empty where the question does not apply."""

import pandas as pd

from episome import audit
from episome.types import Task

TASKS = (Task(name="a", scope="sequence"), Task(name="b", scope="sequence"))


def rows(*lines: tuple[str, int, int, str, str]) -> pd.DataFrame:
    """Rows of (sequence, label of a, label of b, split, group) without a locus; the index is not the row number."""
    table = pd.DataFrame(lines, columns=["sequence", "label_a", "label_b", "split", "group"])
    return table.assign(contig="", start=0, end=4, strand="+", release="none").set_index(
        pd.Index(range(10, 10 + len(table)))
    )


def column(given: pd.DataFrame, name: str) -> list[object]:
    return list(audit.columns(given, TASKS)[name])


def test_rows_of_other_tasks_are_not_asked() -> None:
    given = rows(("ACGT", 1, -1, "train", "g"), ("AACC", -1, 0, "train", "h"))
    audited = audit.columns(given, TASKS)
    assert list(audited.index) == [0, 1]
    assert list(audited["a_sequence"]) == ["ACGT", None]
    assert list(audited["b_sequence"]) == [None, "AACC"]
    assert list(audited["a_contradicts"]) == [False, None]


def test_n_share_is_of_every_row() -> None:
    assert column(rows(("ACNN", 1, -1, "train", "g"), ("ACGT", 1, -1, "train", "h")), "n_share") == [0.5, 0.0]


def test_a_contradiction_is_told_once_per_sequence_and_within_a_task() -> None:
    given = rows(
        ("ACGG", 1, -1, "train", "g"),
        ("ACGG", 0, -1, "val", "g"),
        ("ACGG", -1, 0, "val", "g"),
        ("ACGA", 1, -1, "val", "g"),
    )
    assert column(given, "a_contradicts") == [True, None, None, False]
    assert column(given, "b_contradicts") == [None, None, False, None]


def test_overlap_is_asked_of_test_rows_on_either_strand() -> None:
    given = rows(
        ("AACC", 1, -1, "train", "g"),
        ("GGTT", 1, -1, "test", "h"),
        ("AACG", 1, -1, "test", "g"),
        ("AACC", 1, -1, "val", "k"),
    )
    assert column(given, "a_test_in_train") == [None, True, False, None]
    assert column(given, "a_group_in_train") == [None, False, True, None]


def test_the_place_is_the_locus_where_there_is_one_and_else_the_sequence_of_either_strand() -> None:
    given = rows(("AACC", 1, -1, "train", "g"), ("GGTT", 1, -1, "train", "h"), ("GGTT", 1, -1, "val", "h"))
    first, second, third = column(given, "a_place")
    assert first == second != third
    located = given.assign(contig="1", start=[5, 9, 9], end=[9, 13, 13], strand=["+", "+", "-"], split="train")
    assert column(located, "a_place") == ["train none 1:5-9+", "train none 1:9-13+", "train none 1:9-13-"]
