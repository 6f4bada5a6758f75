"""The gate's columns: one value per row, empty where the question does not apply."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given as every
from hypothesis import settings
from hypothesis import strategies as st

from episome import audit
from episome.contract import rules
from episome.types import Task
from tests.check_limits import limits

BOTH = Task(name="a", scope="sequence")
FORWARD = Task(name="b", scope="sequence", strands="forward")
TASKS = (BOTH, FORWARD)
SHORTCUT = {"case": 0.7, "case_of_kind": 0.95, "n": 0.6, "length": 0.6, "gc": 0.7}


def rows(*lines: tuple[str, int, int, str, str], kinds: tuple[str, ...] = ()) -> pd.DataFrame:
    """Rows of (sequence, label of a, label of b, split, group) without a locus; the index is not the row number."""
    table = pd.DataFrame(lines, columns=["sequence", "label_a", "label_b", "split", "group"])
    ends = table["sequence"].str.len()
    fixed: dict[str, Any] = {"contig": "", "start": 0, "strand": "+", "release": "none", "lower_case": 0.0}
    table = table.assign(end=ends, negative_kind=list(kinds) or "", **fixed)
    return table.set_index(pd.Index(range(10, 10 + len(table))))


def audited_of(given: pd.DataFrame, related: Mapping[str, Sequence[str]] | None = None, **changes: Any) -> pd.DataFrame:
    return audit.columns(given, TASKS, limits(**changes), related or {})


def column(given: pd.DataFrame, name: str, related: Mapping[str, Sequence[str]] | None = None) -> list[object]:
    return list(audited_of(given, related)[name])


def test_rows_of_other_tasks_are_not_asked() -> None:
    given = rows(("ACGT", 1, -1, "train", "g"), ("AACC", -1, 0, "train", "h"))
    audited = audited_of(given)
    assert list(audited.index) == [0, 1]
    assert list(audited["a:contradictions"]) == [False, None]
    assert list(audited["b:contradictions"]) == [None, False]


def test_every_rule_finds_its_column() -> None:
    audited = audited_of(rows(("ACGT", 1, 0, "train", "g")))
    for rule in rules("human", TASKS, limits(), 100):
        assert rule.column in {*audited.columns, "species"}
        assert rule.shown in {*audited.columns, ""}


def test_measures_are_of_every_row() -> None:
    given = rows(("ACNN", 1, -1, "train", "g"), ("ACG", 1, -1, "train", "h"))
    assert column(given, "n_share") == [0.5, 0.0]
    assert column(given, "bases") == [4, 3]
    assert column(given, "gc") == [0.5, pytest.approx(2 / 3)]


def test_a_contradiction_is_told_once_per_sequence_and_within_a_task() -> None:
    given = rows(
        ("ACGG", 1, -1, "train", "g"),
        ("ACGG", 0, -1, "val", "g"),
        ("ACGG", -1, 0, "val", "g"),
        ("ACGA", 1, -1, "val", "g"),
    )
    assert column(given, "a:contradictions") == [True, None, None, False]
    assert column(given, "b:contradictions") == [None, None, False, None]


def test_the_other_strand_contradicts_where_the_task_is_asked_of_both() -> None:
    given = rows(("AACC", 1, 1, "train", "g"), ("GGTT", 0, 0, "val", "h"))
    assert column(given, "a:contradictions") == [True, None]
    assert column(given, "b:contradictions") == [False, False]


def test_a_negative_for_its_strand_contradicts_its_own_strand_alone() -> None:
    lines = [("GGTT", 0, -1, "train", "g"), ("AACC", 1, -1, "train", "g")]
    kinds = (audit.STRANDED, "")
    assert column(rows(*lines, kinds=kinds), "a:contradictions") == [False, None]
    lines.append(("AACC", 0, -1, "train", "g"))
    assert column(rows(*lines, kinds=(*kinds, "intron")), "a:contradictions") == [True, None, None]
    lines[-1] = ("AACC", 0, -1, "train", "g")
    assert column(rows(*lines, kinds=(*kinds, audit.STRANDED)), "a:contradictions") == [True, None, None]


def test_overlap_is_asked_of_later_sides_on_either_strand() -> None:
    given = rows(
        ("AACC", 1, -1, "train", "g"),
        ("GGTT", 1, -1, "test", "h"),
        ("AACG", 1, -1, "test", "g"),
        ("AACC", 1, -1, "val", "k"),
        ("CGTT", 1, -1, "val", "m"),
    )
    assert column(given, "a:test_in_train") == [None, "row 0", False, None, None]
    assert column(given, "a:val_in_train") == [None, None, None, "row 0", False]
    assert column(given, "a:test_in_val") == [None, "row 3", "row 4", None, None]
    assert column(given, "a:group_overlap") == [None, False, True, None, None]


def test_relatives_in_another_species_are_asked_of_test_rows() -> None:
    given = rows(("AACC", 1, -1, "train", "g"), ("AACG", 1, -1, "test", "g"), ("ACCG", 1, -1, "test", "h"))
    assert column(given, "a:species_overlap", {"g": ["mouse", "fly"]}) == [None, "mouse, fly", False]


def test_the_place_is_the_locus_where_there_is_one_and_else_the_sequence_of_either_strand() -> None:
    given = rows(("AACC", 1, -1, "train", "g"), ("GGTT", 1, -1, "train", "h"), ("GGTT", 1, -1, "val", "h"))
    first, second, third = column(given, "a:place")
    assert first == second != third
    located = given.assign(contig="1", start=[5, 9, 9], end=[9, 13, 13], strand=["+", "+", "-"], split="train")
    assert column(located, "a:place") == ["train none 1:5-9+", "train none 1:9-13+", "train none 1:9-13-"]


def classes(kinds: tuple[str, ...], case: tuple[float, ...]) -> pd.DataFrame:
    """A positive for every kind "" and a negative for any other, with their share of soft-masked bases."""
    lines = [("ACGT", int(not kind), -1, "train", "g") for kind in kinds]
    return rows(*lines, kinds=kinds).assign(lower_case=list(case))


def test_a_shortcut_is_measured_in_its_better_direction_and_for_each_kind_of_negatives() -> None:
    audited = audited_of(
        classes(("", "", "x", "x", "y", "y"), (0.2, 0.3, 0.0, 0.1, 0.2, 0.3)), shortcut={**SHORTCUT, "min_rows": 2}
    )
    areas = audit.shortcuts(audited, BOTH, 2)
    assert areas["lower_case"] == {audit.ALL: 0.75, "x": 1.0, "y": 0.5}
    assert areas["n_share"] == areas["bases"] == areas["gc"] == {audit.ALL: 0.5, "x": 0.5, "y": 0.5}
    assert list(audited["a:by_case"]) == [0.75] * 6
    assert audited["a:by_case_of_kind"].fillna(-1).tolist() == [-1, -1, 1.0, 1.0, 0.5, 0.5]


def test_a_negative_says_the_larger_of_its_kinds_area_and_that_of_all() -> None:
    given = classes(("", "", "x", "x", "y", "y"), (0.0,) * 6).assign(sequence=["AC", "ACG", "A", "A", "AC", "ACG"])
    audited = audited_of(given, shortcut={**SHORTCUT, "min_rows": 2})
    assert list(audited["a:by_length"]) == [0.75, 0.75, 1.0, 1.0, 0.75, 0.75]


def test_gc_is_compared_with_all_negatives_alone() -> None:
    audited = audited_of(
        classes(("", "", "x", "x", "y", "y"), (0.0,) * 6).assign(sequence=["AC", "AC", "AA", "AA", "CC", "CC"]),
        shortcut={**SHORTCUT, "min_rows": 2},
    )
    assert audit.shortcuts(audited, BOTH, 2)["gc"] == {audit.ALL: 0.5, "x": 1.0, "y": 1.0}
    assert set(audited["a:by_gc"]) == {0.5}


def test_one_kind_of_negatives_is_all_of_them_and_a_small_one_is_not_judged() -> None:
    given = classes(("", "", "x", "x"), (0.0, 0.0, 1.0, 1.0))
    assert audit.shortcuts(audited_of(given), BOTH, 2)["lower_case"] == {audit.ALL: 1.0}
    assert audit.shortcuts(audited_of(given), BOTH, 3)["lower_case"] == {}
    assert audited_of(given)["a:by_case"].isna().all()
    several = classes(("", "", "x", "x", "y"), (0.0, 0.0, 1.0, 1.0, 0.0))
    audited = audited_of(several, shortcut={**SHORTCUT, "min_rows": 2})
    assert list(audited["a:by_case"]) == pytest.approx([0.8333] * 5)
    assert list(audited["a:by_case_of_kind"].dropna()) == [1.0, 1.0]


@pytest.mark.parametrize("turned", [False, True])
def test_the_rows_that_tell_most_are_the_furthest_apart(turned: bool) -> None:
    case = np.array([0.5, 0.1, 0.2, 0.6, 0.9, 0.7, 0.5])
    given = classes(("", "", "", "x", "x", "x", "y"), tuple(1 - case if turned else case))
    small = limits(shortcut={**SHORTCUT, "min_rows": 1})
    audited = audit.columns(given, TASKS, small, {})
    rule = next(r for r in rules("human", TASKS, small, 100) if (r.name, r.task) == ("shortcut_case_of_kind", "a"))
    assert audit.most_telling(audited, rule, 4) == [4, 5, 1, 2]


@settings(deadline=None)
@every(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=30))
def test_the_area_is_the_share_of_pairs_in_order(pairs: list[tuple[bool, int]]) -> None:
    positives, negatives = ([v / 5 for p, v in pairs if p is side] for side in (True, False))
    audited = audited_of(classes(tuple("" if p else "x" for p, _ in pairs), tuple(v / 5 for _, v in pairs)))
    areas = audit.shortcuts(audited, BOTH, 1)["lower_case"]
    if not positives or not negatives:
        assert areas == {}
        return
    share = np.mean([(p > n) + (p == n) / 2 for p in positives for n in negatives])
    assert areas[audit.ALL] == pytest.approx(max(share, 1 - share), abs=1e-4)
