from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from episome import audit, labelled
from episome.sources import LabelledSource
from episome.types import EpisomeError, Task
from tests import table_rows
from tests.check_limits import limits

WINDOWS = table_rows.windows(max_n_share=0.25, corpus_window=16)
TASK = Task(name="orf", scope="sequence", labels=("noncoding", "coding"))


def load(folder: Path, *tasks: Task, **sets: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    source = LabelledSource(kind="labelled", folder=folder, sets=sets or {"orf": "."}, licence="CC0", citation="us")
    return labelled.load(source, tasks or (TASK,), species="toy", windows=WINDOWS)


def write(folder: Path, train: str, dev: str, test: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in (("train", train), ("dev", dev), ("test", test)):
        lines = [f"{row[:-1]},{row[-1]}" for row in rows.split()]
        (folder / f"{name}.csv").write_text("\n".join(["sequence,label", *lines]) + "\n")


def test_clean_sets_become_rows_as_they_are(tmp_path: Path) -> None:
    write(tmp_path, "AACC1 acgu0", "GGGA1", "TTCA0")
    rows, report = load(tmp_path)
    assert rows["sequence"].tolist() == ["AACC", "ACGT", "GGGA", "TTCA"]
    assert rows["label_orf"].tolist() == [1, 0, 1, 0]
    assert rows["split"].tolist() == ["train", "train", "val", "test"]
    assert rows["negative_kind"].tolist() == ["", "noncoding", "", "noncoding"]
    assert set(rows["origin"]) == {"labelled:."}
    assert rows["end"].tolist() == [4, 4, 4, 4]
    found = report["sets"]["orf"]
    assert found["read"] == found["kept"] == {"train": 2, "val": 1, "test": 1}
    assert found["normalised"] == {"lower_case": 4, "uracil": 1, "ambiguous": 0, "n": 0}
    assert found["tasks"]["orf"]["classes"]["noncoding"]["lower_case_share"] == 0.5
    assert found["tasks"]["orf"]["classes"]["coding"] == {
        "rows": 2, "length_median": 4, "lower_case_share": 0.0, "n_share": 0.0, "gc": 0.625,
    }  # fmt: skip


def test_repeats_within_a_split_are_kept_once_and_counted_by_kind(tmp_path: Path) -> None:
    write(tmp_path, "AACC1 AACC1 GGTT1 CCCC0", "GGGA1", "TTCA0 TGAA0")
    rows, report = load(tmp_path)
    assert rows["sequence"].tolist() == ["AACC", "CCCC", "GGGA", "TTCA"]
    repeats = report["sets"]["orf"]["duplicates"]
    assert repeats["train"] == {"exact": 1, "reverse_complement": 1}
    assert repeats["test"] == {"exact": 0, "reverse_complement": 1}
    assert repeats["examples"][1] == {
        "place": "train.csv line 4", "same_as": "train.csv line 2", "kind": "reverse_complement",
    }  # fmt: skip


def test_overlap_leaves_the_test_set_as_published(tmp_path: Path) -> None:
    write(tmp_path, "AACC1 AAAA0 GAGA1", "GGTT1 TCTC1 CCCG0", "CGGG0 TTTT0")
    rows, report = load(tmp_path)
    kept = {side: rows.loc[rows["split"] == side, "sequence"].tolist() for side in ("train", "val", "test")}
    assert kept == {"train": [], "val": ["GGTT", "TCTC"], "test": ["CGGG", "TTTT"]}
    overlap = report["sets"]["orf"]["overlap"]
    assert {pair: found["rows"] for pair, found in overlap.items()} == {"train/val": 2, "train/test": 1, "val/test": 1}
    assert overlap["train/test"]["examples"] == [
        {"place": "test.csv line 3", "also": "train.csv line 3", "sequence": "TTTT"}
    ]


def test_a_sequence_with_both_labels_is_used_as_the_test_set_has_it_or_not_at_all(tmp_path: Path) -> None:
    write(tmp_path, "AACC1 CCCC0 AGAG1", "GGGA1 AGAG0 TGTG1", "GGTT0 TTCA0 CACA0 AAAC1 AAAC0")
    rows, report = load(tmp_path)
    assert rows["sequence"].tolist() == ["CCCC", "GGGA", "GGTT", "TTCA", "CACA"]
    assert rows["label_orf"].tolist() == [0, 1, 0, 0, 0]
    assert report["sets"]["orf"]["dropped"]["contradictory"] == {"train": 2, "val": 2, "test": 2}
    contradictions = report["sets"]["orf"]["tasks"]["orf"]["contradictions"]
    assert (contradictions["groups"], contradictions["rows"]) == (4, 8)
    assert contradictions["examples"][0]["rows"] == [
        {"place": "train.csv line 2", "label": 1}, {"place": "test.csv line 2", "label": 0},
    ]  # fmt: skip


def test_a_task_of_forward_strands_tells_a_sequence_from_its_reverse_complement(tmp_path: Path) -> None:
    write(tmp_path, "AACC1 GGTT0 AACC1 CCCA1 CCCA0", "TTGA1 TCAA1", "AGTT1 AACT0 CACA0 TGTG0 TGTG0")
    forward = replace(TASK, strands="forward")
    rows, report = load(tmp_path, forward)
    assert rows["sequence"].tolist() == ["AACC", "GGTT", "TTGA", "TCAA", "AGTT", "AACT", "CACA", "TGTG"]
    assert rows["label_orf"].tolist() == [1, 0, 1, 1, 1, 0, 0, 0]
    found = report["sets"]["orf"]
    assert found["dropped"]["contradictory"] == {"train": 2, "val": 0, "test": 0}
    assert found["dropped"]["repeated"] == {"train": 1, "val": 0, "test": 1}
    assert found["duplicates"]["test"] == {"exact": 1, "reverse_complement": 0}
    assert found["tasks"]["orf"]["contradictions"]["groups"] == 1
    audited = audit.columns(rows, [forward], limits(), {})
    assert not audited["orf:place"].duplicated().any()
    assert not audited["orf:contradictions"].any()


def test_the_other_strand_of_a_test_row_leaves_train_whatever_the_strands_of_the_task(tmp_path: Path) -> None:
    write(tmp_path, "AACC1 CCCA0", "TTGA1", "GGTT0")
    rows, report = load(tmp_path, replace(TASK, strands="forward"))
    assert rows["sequence"].tolist() == ["CCCA", "TTGA", "GGTT"]
    assert report["sets"]["orf"]["dropped"]["held_out"] == {"train": 1, "val": 0, "test": 0}


def test_too_many_n_are_dropped_and_ambiguity_codes_counted(tmp_path: Path) -> None:
    write(tmp_path, "AANN1 ACRC0", "GGGA1", "TTCA0")
    rows, report = load(tmp_path)
    assert rows["sequence"].tolist() == ["ACNC", "GGGA", "TTCA"]
    assert report["sets"]["orf"]["dropped"]["too_many_n"] == {"train": 1, "val": 0, "test": 0}
    assert report["sets"]["orf"]["normalised"]["ambiguous"] == 1


def test_two_tasks_share_rows_of_one_species(tmp_path: Path) -> None:
    write(tmp_path / "a", "AACC1 CCCC0", "GGGA1", "TTCA0")
    write(tmp_path / "b", "AACC0", "GGGA0", "TTCA1")
    other = Task(name="near", scope="window", window=4)
    rows, _ = load(tmp_path, TASK, other, orf="a", near="b")
    assert rows["label_orf"].tolist() == [1, 0, 1, 0, -1, -1, -1]
    assert rows["label_near"].tolist() == [-1, -1, -1, -1, 0, 0, 1]
    assert rows["negative_kind"].tolist()[4:] == ["absent", "absent", ""]


def test_a_class_that_never_occurs_is_reported_as_empty(tmp_path: Path) -> None:
    write(tmp_path, "AACC1", "GGGA1", "TTCA1")
    _, report = load(tmp_path)
    assert report["sets"]["orf"]["tasks"]["orf"]["classes"]["noncoding"]["rows"] == 0


def test_missing_ambiguous_and_empty_files_are_named(tmp_path: Path) -> None:
    write(tmp_path, "AACC1", "GGGA1", "TTCA1")
    (tmp_path / "dev.csv").write_text("sequence,label\n")
    with pytest.raises(EpisomeError, match=r"dev\.csv: no rows"):
        load(tmp_path)
    (tmp_path / "dev.csv.gz").touch()
    with pytest.raises(EpisomeError, match=r"there: dev\.csv and dev\.csv\.gz"):
        load(tmp_path)
    wanted = r"wanted one of train\.csv, train\.csv\.gz, train\.tsv, train\.tsv\.gz; there: none of them"
    with pytest.raises(EpisomeError, match=wanted):
        load(tmp_path / "nowhere")


def test_every_entry_read_is_kept_or_dropped_for_one_reason(tmp_path: Path) -> None:
    write(tmp_path, "AACC1 GGTT1 ANNN0 CCCC0 CCCC1 AAAA0 GAGA1 GAGA1", "GGGA1 TTTT0", "TTCA0 TGAA0 TCCC1")
    _, report = load(tmp_path)
    found = report["sets"]["orf"]
    none = {"train": 0, "val": 0, "test": 0}
    assert found["dropped"] == {
        "too_many_n": none | {"train": 1},
        "no_label": none,
        "contradictory": none | {"train": 2},
        "repeated": none | {"train": 2, "test": 1},
        "held_out": none | {"train": 1, "val": 1},
    }
    assert found["kept"] == {"train": 2, "val": 1, "test": 2}


def test_kmer_text_in_tsv_files_becomes_the_sequence_it_spells(tmp_path: Path) -> None:
    rows = {"train": "ACGTAC CGTACG GTACGG\t1\nACGTAC CGTACC\t0", "dev": "ACG CGT\t1", "test": "GGGTTA\t0"}
    for name, lines in rows.items():
        (tmp_path / f"{name}.tsv").write_text(f"sequence\tlabel\n{lines}\n")
    found, report = load(tmp_path)
    assert found["sequence"].tolist() == ["ACGTACGG", "ACGTACC", "ACGT", "GGGTTA"]
    assert report["sets"]["orf"]["kmer_text"] == {"rows": 3, "k": [3, 6]}
    (tmp_path / "test.tsv").write_text("sequence\tlabel\nACGTAC CGTACG TTACGG\t1\n")
    with pytest.raises(EpisomeError, match=r"test\.tsv line 2: k-mer 3 is 'TTACGG'; wanted: 'GTACG' and one letter"):
        load(tmp_path)


def test_blanks_around_a_sequence_are_passed_over(tmp_path: Path) -> None:
    write(tmp_path, "AACC1", "GGGA1", "TTCA0")
    (tmp_path / "train.csv").write_text("sequence,label\nAACC ,1\n CCCA,0\nACG CGT ,1\n")
    found, report = load(tmp_path)
    assert found["sequence"].tolist()[:3] == ["AACC", "CCCA", "ACGT"]
    assert report["sets"]["orf"]["kmer_text"] == {"rows": 1, "k": [3]}


def test_names_in_the_folder_must_be_those_of_the_task(tmp_path: Path) -> None:
    write(tmp_path, "AACC1", "GGGA1", "TTCA1")
    names = tmp_path / "labels.yaml"
    names.write_text("{0: noncoding, 1: coding}")
    assert len(load(tmp_path)[0]) == 3
    names.write_text("{0: coding, 1: noncoding}")
    wanted = (
        r"labels\.yaml: the classes are {0: 'coding'.*wanted: {0: 'noncoding', 1: 'coding'}, the labels of task 'orf'"
    )
    with pytest.raises(EpisomeError, match=wanted):
        load(tmp_path)
    names.write_text("{0: ")
    with pytest.raises(EpisomeError, match=r"labels\.yaml: not YAML"):
        load(tmp_path)
