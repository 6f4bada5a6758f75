from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from episome import multilabel, screen
from episome.entry import Entry
from episome.sequence import canonical, normalise
from episome.sources import MultilabelSource
from episome.types import EpisomeError, Split, Task
from tests import table_rows

TASKS = tuple(Task(name=name, scope="sequence") for name in ("donor", "acceptor", "tss"))
NAMES = [task.name for task in TASKS]


def load(folder: Path, *, exclusive: bool = False) -> tuple[pd.DataFrame, dict[str, Any]]:
    source = MultilabelSource(
        kind="multilabel", folder=folder, tasks=tuple(NAMES), licence="CC0", citation="us", exclusive=exclusive
    )
    return multilabel.load(source, TASKS, species="toy", windows=table_rows.windows(max_n_share=0.25))


def write(folder: Path, header: str, **lines: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    given = {"train": "AACC,1,0,", "dev": "GGGA,1,1,1", "test": "TTCA,0,0,0"} | lines
    for name, text in given.items():
        (folder / f"{name}.csv").write_text("\n".join([header, *text.split()]) + "\n")


HEADER = "sequence,donor,acceptor,tss"


def labels(rows: pd.DataFrame) -> list[list[int]]:
    found: list[list[int]] = rows[[f"label_{name}" for name in NAMES]].values.tolist()
    return found


def test_a_row_has_labels_of_every_task_and_missing_ones_are_masked(tmp_path: Path) -> None:
    write(tmp_path / "lab", HEADER, train="AACC,1,0, acgu,-1,0,0 CCCC,0,,-1")
    rows, report = load(tmp_path / "lab")
    assert rows["sequence"].tolist() == ["AACC", "ACGT", "CCCC", "GGGA", "TTCA"]
    assert labels(rows) == [[1, 0, -1], [-1, 0, 0], [0, -1, -1], [1, 1, 1], [0, 0, 0]]
    assert rows["negative_kind"].tolist() == ["other", "none", "none", "", "none"]
    assert set(rows["origin"]) == {"multilabel:lab"}
    assert rows["split"].tolist() == ["train", "train", "train", "val", "test"]
    assert report["tasks"]["acceptor"]["classes"]["present"]["rows"] == 1
    assert report["tasks"]["tss"]["classes"]["absent"]["rows"] == 2


def test_columns_may_come_in_any_order(tmp_path: Path) -> None:
    write(tmp_path, "tss,sequence,acceptor,donor", train="1,AACC,0,0", dev="0,GGGA,1,0", test="0,TTCA,0,1")
    rows, _ = load(tmp_path)
    assert labels(rows) == [[0, 0, 1], [0, 1, 0], [1, 0, 0]]


def test_one_column_may_list_the_labels_that_apply(tmp_path: Path) -> None:
    write(tmp_path, "sequence,labels", train="AACC,donor;tss CCCC,", dev="GGGA,acceptor", test="TTCA,tss;donor;tss")
    rows, _ = load(tmp_path)
    assert labels(rows) == [[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 0, 1]]
    write(tmp_path, "sequence,labels", train="AACC,donor;exon")
    with pytest.raises(EpisomeError, match=r"train\.csv line 2: label 'exon'; known: donor, acceptor, tss"):
        load(tmp_path)


def test_classes_that_exclude_each_other_are_one_label_a_row(tmp_path: Path) -> None:
    write(tmp_path, "sequence,labels", train="AACC,donor CCCC,acceptor", dev="GGGA,tss", test="TTCA,tss")
    rows, _ = load(tmp_path, exclusive=True)
    assert labels(rows) == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]]
    for listed in ("donor;tss", ""):
        write(tmp_path, "sequence,labels", train=f"CCCC,donor AACC,{listed}")
        with pytest.raises(EpisomeError, match=r"train\.csv line 3: donor \d, .*wanted: 1 for one class"):
            load(tmp_path, exclusive=True)
    write(tmp_path, HEADER, train="AACC,1,0,", dev="GGGA,1,0,0")
    with pytest.raises(EpisomeError, match="donor 1, acceptor 0, tss -1; wanted: 1 for one class"):
        load(tmp_path, exclusive=True)


def test_repeats_are_joined_and_contradicted_labels_masked(tmp_path: Path) -> None:
    write(
        tmp_path,
        HEADER,
        train="AACC,1,0, GGTT,,0,1 CCCC,1,1, CCCC,0,1, GAGA,1,, GAGA,0,, ACAC,,, TTCC,,1, ANNA,1,1,1",
        dev="GGAA,0,, GGGA,1,1,1",
    )
    rows, report = load(tmp_path)
    assert rows["sequence"].tolist() == ["AACC", "CCCC", "GGAA", "GGGA", "TTCA"]
    assert labels(rows)[:3] == [[1, 0, 1], [-1, 1, -1], [0, -1, -1]]
    assert {why: sides["train"] for why, sides in report["dropped"].items()} == {
        "too_many_n": 1, "no_label": 1, "contradictory": 2, "repeated": 2, "held_out": 1,
    }  # fmt: skip
    assert report["tasks"]["donor"]["contradictions"]["groups"] == 2
    assert report["tasks"]["acceptor"]["contradictions"] == {"groups": 0, "rows": 0, "examples": []}
    assert report["overlap"]["train/val"]["rows"] == 1


@pytest.mark.parametrize(
    ("header", "train", "message"),
    [
        (HEADER, "AACC,1,0,2", r"train\.csv line 2: tss '2'; wanted: 0, 1, or nothing or -1"),
        (HEADER, "AACC,1,yes,0", r"train\.csv line 2: acceptor 'yes'"),
        (HEADER, "AA-C,1,0,0", r"line 2: character '-' at position 3"),
        ("sequence,donor,tss", "AACC,1,0", r"columns are sequence, donor, tss; wanted: sequence, donor, acceptor, tss"),
        (f"{HEADER},exon", "AACC,1,0,0,1", r"columns are .*exon; wanted"),
        (f"{HEADER},labels", "AACC,1,0,0,tss", r"columns are .*; wanted: sequence, labels"),
        (HEADER, "", r"train\.csv: no rows"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, header: str, train: str, message: str) -> None:
    write(tmp_path, header, train=train)
    with pytest.raises(EpisomeError, match=message):
        load(tmp_path)


FIELDS = st.sampled_from(sorted(multilabel.VALUES))
ROWS = st.tuples(st.text("ACGT", min_size=1, max_size=3), st.tuples(FIELDS, FIELDS, FIELDS))
SPLITS: st.SearchStrategy[Split] = st.sampled_from(["train", "val", "test"])


def entries(drawn: list[tuple[Split, tuple[str, tuple[str, ...]]]]) -> list[Entry]:
    return [
        Entry(
            split=split,
            place=f"line {number}",
            clean=normalise(text),
            labels={name: multilabel.VALUES[field] for name, field in zip(NAMES, fields, strict=True)},
            key=canonical(text),
        )
        for number, (split, (text, fields)) in enumerate(drawn)
    ]


@given(st.lists(st.tuples(SPLITS, ROWS), max_size=25))
def test_what_is_kept_is_without_repeat_contradiction_or_leak_and_everything_is_counted(
    drawn: list[tuple[Split, tuple[str, tuple[str, ...]]]],
) -> None:
    came = entries(drawn)
    kept, report = screen.keep(came, TASKS, 0.25)
    keys = [entry.key for entry in kept]
    assert len(set(keys)) == len(keys)
    for entry in kept:
        twins = [e for e in came if e.key == entry.key and (e.split == "test" or entry.split != "test")]
        assert all(e.known.get(task) in (None, label) for task, label in entry.known.items() for e in twins)
        assert entry.known
    for split, count in report["read"].items():
        assert count == report["kept"][split] + sum(sides[split] for sides in report["dropped"].values())
    # Nothing of the test set is lost but repeats and what the set itself denies.
    test = [e for e in came if e.split == "test" and e.known]
    lost = {e.key for e in test} - {e.key for e in kept if e.split == "test"}
    assert lost <= {e.key for e in test for f in test if e.key == f.key and _contrary(e, f)}


def _contrary(a: Entry, b: Entry) -> bool:
    return any(b.known.get(task, label) != label for task, label in a.known.items())
