"""Rows beside their reverse complements: only those that ask nothing of the strand."""

import pandas as pd

from episome import strands


def table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "sequence": ["AACC", "ACGG", "TTTA", "GGGA"],
            "label_open": [1, 0, -1, 1],
            "label_donor": [-1, -1, 1, 0],
            "group": list("abcd"),
        }
    )


def test_a_row_is_turned_when_all_it_is_asked_is_strand_free() -> None:
    rows, turned = strands.both(table(), {"open"})
    assert list(rows["sequence"]) == ["AACC", "ACGG", "TTTA", "GGGA", "GGTT", "CCGT"]
    assert list(turned) == [4, 5, 2, 3]
    assert list(rows["group"]) == ["a", "b", "c", "d", "a", "b"]
    assert list(rows["label_open"]) == [1, 0, -1, 1, 1, 0]
    assert list(rows.index) == list(range(6))


def test_without_a_strand_free_task_nothing_is_added() -> None:
    rows, turned = strands.both(table(), {"elsewhere"})
    pd.testing.assert_frame_equal(rows, table())
    assert list(turned) == [0, 1, 2, 3]
    both, places = strands.both(table(), {"open", "donor"})
    assert len(both) == 8
    assert list(places) == [4, 5, 6, 7]
