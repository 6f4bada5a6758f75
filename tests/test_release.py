import random
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from episome import nearby, release, split
from episome.sequence import reverse_complement
from episome.sources import Homology
from episome.types import EpisomeError, Task
from tests import table_rows
from tests.tiny_genome import WINDOWS

HOMOLOGY = Homology(method="mmseqs", identity=0.8, protein_identity=0.3, coverage=0.5)
TASKS = (Task(name="orf", scope="sequence"), Task(name="near", scope="window", window=6, labels=("far", "near")))
# A group whose hash puts it on the given side of a release.
SIDES = {split.by_group(f"g{i}", release.SHARES, 3): f"g{i}" for i in range(200)}


def source() -> pd.DataFrame:
    columns = {
        "sequence": ["AACCGA", "CCCCGA", "TTTTGA"],
        "label": [1, 0, 1],
        "species": "toy",
        "contig": "",
        "start": 0,
        "end": 6,
        "strand": "+",
        "split": ["train", "val", "test"],
        "group": ["FAM1", "FAM2", SIDES["train"]],
        "origin": "labelled:toy",
        "negative_kind": ["", "absent", ""],
        "release": "none",
    }
    return table_rows.build(columns, "orf", [task.name for task in TASKS])


def load(folder: Path, *lines: str, header: str = "sequence,label,task") -> tuple[pd.DataFrame, dict[str, Any]]:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rows.csv").write_text("\n".join([header, *lines]) + "\n")
    return release.load(folder, source(), TASKS, species="toy", windows=WINDOWS, homology=HOMOLOGY, seed=3)


def test_rows_of_several_tasks_carry_the_name_of_their_file(tmp_path: Path) -> None:
    rows, report = load(tmp_path / "june", "ggggaa,1,orf", "GUGUAC,0,near")
    assert rows["sequence"].tolist() == ["GGGGAA", "GTGTAC"]
    assert rows["label_orf"].tolist() == [1, -1]
    assert rows["label_near"].tolist() == [-1, 0]
    assert rows["negative_kind"].tolist() == ["", "far"]
    assert rows["group"].tolist() == [split.canonical_group(s) for s in rows["sequence"]]
    assert (set(rows["release"]), set(rows["origin"])) == ({"rows"}, {"release:rows"})
    assert (report["read"], report["kept"]) == (2, 2)


def test_a_side_comes_from_the_file_then_from_the_source_then_from_the_hash(tmp_path: Path) -> None:
    lines = [
        f"GGGGAA,1,orf,{SIDES['train']},val",
        f"GGGGAC,1,orf,{SIDES['train']},",
        "GGGGAG,1,orf,FAM2,",
        f"GGGGCA,1,orf,{SIDES['test']},",
        f"GGGGCC,1,orf,{SIDES['val']},",
        "AACCGA,0,orf,,",
    ]
    rows, _ = load(tmp_path, *lines, header="sequence,label,task,group,split")
    assert rows["split"].tolist() == ["val", "test", "val", "test", "val", "train"]


def test_repeats_are_dropped_contrary_labels_stay_and_everything_is_counted(tmp_path: Path) -> None:
    rows, report = load(
        tmp_path,
        "AACCGA,1,orf",  # in the source with this label
        "TCGGTT,0,orf",  # its reverse complement, with the other label
        "AACCGA,0,near",  # another task: nothing to repeat
        "GGGGAA,1,orf",
        "TTCCCC,1,orf",  # repeats the row before on the other strand
        "GCGCAA,1,orf",
        "GCGCAA,0,orf",
        "ACNNNN,0,orf",
    )
    # The release says both of AACCGA, so neither of its own two rows is used.
    assert rows["sequence"].tolist() == ["GGGGAA", "AACCGA"]
    assert {k: v for k, v in report.items() if k not in {"contradicts_source", "contradicts_release"}} == {
        "read": 8,
        "kept": 2,
        "too_many_n": 1,
        "contradicts_itself": 4,
        "repeated": 1,
        "already_there": 0,
        "kmer_text": 0,
        "near_source": {"rows": 0, "stated_otherwise": 0},
    }
    rows, report = load(tmp_path, "AACCGA,1,orf", "CCCCGA,1,orf")
    assert rows["sequence"].tolist() == ["CCCCGA"]
    assert rows["split"].tolist() == ["val"]
    assert report["already_there"] == 1
    assert report["contradicts_source"] == {
        "rows": 1,
        "examples": [{"place": "rows.csv line 3", "label": 1, "source_label": 0}],
    }


def test_kmer_text_is_joined_and_counted(tmp_path: Path) -> None:
    rows, report = load(tmp_path, "GGGC GGCA GCAA,1,orf")
    assert rows["sequence"].tolist() == ["GGGCAA"]
    assert report["kmer_text"] == 1


def test_all_files_of_the_folder_are_read_in_order(tmp_path: Path) -> None:
    (tmp_path / "more.csv").write_text("sequence,label,task\nGGGGGG,1,orf\n")
    rows, _ = load(tmp_path, "GCGCAA,1,orf")
    assert rows["sequence"].tolist() == ["GGGGGG", "GCGCAA"]


def test_a_repeated_row_stays_with_the_earlier_release(tmp_path: Path) -> None:
    folder = tmp_path / "april"
    folder.mkdir()
    (folder / "april.csv").write_text("sequence,label,task\nGGGGGG,1,orf\nGCGCAA,1,orf\n")
    rows, report = load(folder, "GGGGGG,1,orf")
    assert rows[["sequence", "release"]].values.tolist() == [["GGGGGG", "rows"], ["GCGCAA", "april"]]
    assert report["repeated"] == 1


def test_a_release_that_contradicts_an_earlier_one_takes_nothing_away_from_it(tmp_path: Path) -> None:
    folder = tmp_path / "june"
    folder.mkdir()
    (folder / "june.csv").write_text("sequence,label,task\nTTCCCC,0,orf\nAACCGA,1,orf\nGGGGAA,1,orf\nGCGCAA,1,orf\n")
    # The new release says both of GGGGAA (on either strand), and repeats what the source says of AACCGA.
    rows, report = load(folder, "GGGGAA,1,orf", "AACCGA,0,orf")
    assert rows[["sequence", "label_orf", "release"]].values.tolist() == [
        ["GGGGAA", 1, "rows"],
        ["AACCGA", 0, "rows"],
        ["GCGCAA", 1, "june"],
    ]
    assert (report["contradicts_itself"], report["already_there"]) == (2, 1)
    (folder / "june.csv").write_text("sequence,label,task\nTTCCCC,0,orf\n")
    rows, report = load(folder, "GGGGAA,1,orf")
    assert rows[["label_orf", "release"]].values.tolist() == [[1, "rows"], [0, "june"]]
    assert report["contradicts_release"] == {"rows": 1, "examples": [{"place": "june.csv line 2", "label": 0}]}


DRAW = random.Random(4)
LONG: dict[str, str] = {side: "".join(DRAW.choices("ACGT", k=200)) for side in split.SPLITS}


def changed(text: str, *places: int) -> str:
    """The sequence with another base at these places."""
    return "".join("ACGT"["CGTA".index(c)] if i in places else c for i, c in enumerate(text))


def long_source() -> pd.DataFrame:
    """Three rows of 200 bases in families of their own, and a copy of the test row that is trained on."""
    rows: dict[str, str] = {**LONG, "copy": changed(LONG["test"], 150)}
    columns = {
        "sequence": list(rows.values()), "label": [1] * 4, "species": "toy", "contig": "", "start": 0, "end": 200,
        "strand": "+", "split": [name.replace("copy", "train") for name in rows],
        "group": [f"FAM {name}" for name in rows], "origin": "labelled:toy", "negative_kind": "", "release": "none",
    }  # fmt: skip
    return table_rows.build(columns, "orf", [task.name for task in TASKS])


def test_a_row_alike_to_one_of_the_source_is_where_that_one_is_on_either_strand(tmp_path: Path) -> None:
    folder = tmp_path / "june"
    folder.mkdir()
    stranger = "".join(random.Random(5).choices("ACGT", k=200))
    group = SIDES["train"]
    lines = [
        f"{reverse_complement(changed(LONG['test'], 20, 90))},1,orf,,",
        f"{changed(LONG['val'], 7)}ACGTACGT,1,orf,{group},",  # the group of the next row, which is alike to nothing
        f"{stranger},1,orf,{group},",
        f"{changed(LONG['test'], 60)},0,orf,,train",
        f"{changed(LONG['train'], 60)},0,orf,,train",
        f"{LONG['val']},0,orf,,",  # what the source has itself
        f"{changed(stranger, 3)},1,orf,{SIDES['test']},",
    ]
    (folder / "june.csv").write_text("\n".join(["sequence,label,task,group,split", *lines]) + "\n")
    rows, report = release.load(folder, long_source(), TASKS, species="toy", windows=WINDOWS, homology=HOMOLOGY, seed=3)
    alone = [split.canonical_group(line.split(",")[0]) for line in lines[3:5]]
    assert rows[["split", "group"]].values.tolist() == [
        ["test", "FAM test"],
        ["val", "FAM val"],
        ["val", "FAM val"],
        ["train", alone[0]],
        ["train", alone[1]],
        ["val", "FAM val"],
        ["test", SIDES["test"]],
    ]
    assert report["near_source"] == {"rows": 3, "stated_otherwise": 1}


def test_parts_that_are_compared_one_after_the_other_give_the_same_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(6)
    many = ["".join(draw.choices("ACGT", k=120)) for _ in range(40)]
    few = [reverse_complement(changed(text, 9, 70)) for text in many[::5]] + ["ACGT", "N" * 50]
    whole = sorted(nearby.pairs(few, many, HOMOLOGY))
    assert whole == [(i, 5 * i) for i in range(8)]
    monkeypatch.setattr(nearby, "_AT_ONCE", 300)
    assert sorted(nearby.pairs(few, many, HOMOLOGY)) == whole
    assert list(nearby.pairs([], many, HOMOLOGY)) == list(nearby.pairs(few, [], HOMOLOGY)) == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("GGGG,1,exon,", "rows.csv line 2: task 'exon'; this species has: orf, near"),
        ("GGGG,1,orf,dev", "line 2: split 'dev'; wanted: train, val, test or nothing"),
        ("GGGG,x,orf,", "line 2: label 'x'"),
        ("GG-G,1,orf,", "line 2: character '-' at position 3"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(EpisomeError, match=message):
        load(tmp_path, line, header="sequence,label,task,split")


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EpisomeError, match=r"no \.csv or \.csv\.gz file"):
        release.load(tmp_path, source(), TASKS, species="toy", windows=WINDOWS, homology=HOMOLOGY, seed=3)
