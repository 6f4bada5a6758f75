import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from episome import intervals, split
from episome.sequence import reverse_complement
from episome.sources import IntervalSource
from episome.types import EpisomeError, Task
from tests import table_rows

TASK = Task(name="enhancer", scope="sequence", labels=("negative", "positive"))
HEADER = "id,region,start,end,strand"
GENOME = {
    name: "".join(np.random.default_rng(length).choice(list("ACGTacgt"), length))
    for name, length in {"1": 400, "2": 300, "MT": 120}.items()
}


def write(folder: Path, **rows: str) -> Path:
    """A set of ten intervals on each contig; `rows` replaces those of a file, ``train_positive`` say."""
    (folder / "ref.fa").write_text("".join(f">{name} dna\n{text}\n" for name, text in GENOME.items()))
    (folder / "names.txt").write_text("# ucsc\tensembl\nchr1\t1\nchr2\t2\nchrM\tMT\n")
    sides: dict[str, list[str]] = {
        "train_positive": [f"chr1,{i},{i + 10},+" for i in range(0, 100, 10)],
        "train_negative": [f"chr2,{i},{i + 10},-" for i in range(0, 100, 10)],
        "test_positive": ["chr1,200,210,+", "chrM,3,13,-"],
        "test_negative": ["chr2,200,210,+"],
    }
    for name, lines in (sides | {name: text.split() for name, text in rows.items()}).items():
        side, label = name.split("_")
        (folder / "set" / side).mkdir(parents=True, exist_ok=True)
        text = "\n".join([HEADER, *(f"{i},{line}" for i, line in enumerate(lines))]) + "\n"
        (folder / "set" / side / f"{label}.csv.gz").write_bytes(gzip.compress(text.encode()))
    metadata = {"version": 0, "classes": {name: {"type": "fa.gz", "url": "file"} for name in TASK.labels}}
    (folder / "set/metadata.yaml").write_text(yaml.safe_dump(metadata))
    return folder


def load(folder: Path, **windows: Any) -> tuple[pd.DataFrame, dict[str, Any]]:
    source = IntervalSource(
        kind="intervals", folder=folder, sets={"enhancer": "set"}, reference="ref.fa", aliases="names.txt",
        licence="CC0", citation="us",
    )  # fmt: skip
    return intervals.load(source, [TASK], species="toy", windows=table_rows.windows(**windows), seed=7)


def test_a_row_is_the_reference_at_its_place_on_its_strand(tmp_path: Path) -> None:
    rows, report = load(write(tmp_path))
    assert len(rows) == 23
    for row in rows.to_dict("records"):
        came = GENOME[row["contig"]][row["start"] : row["end"]]
        assert row["sequence"] == (came.upper() if row["strand"] == "+" else reverse_complement(came.upper()))
        assert row["lower_case"] == pytest.approx(sum(c.islower() for c in came) / 10)
        assert row["group"] == split.canonical_group(row["sequence"])
    assert rows["negative_kind"].tolist() == ["negative" * (label == 0) for label in rows["label_enhancer"]]
    assert set(rows["origin"]) == {"intervals:set"}
    assert rows.loc[rows["split"] == "test", "contig"].tolist() == ["2", "1", "MT"]
    assert report["reference"]["contigs"] == 3
    assert report["reference"]["lower_case"] == sum(c.islower() for text in GENOME.values() for c in text)
    found = report["sets"]["enhancer"]
    assert found["contigs"] == {"renamed": 23, "dropped": 0, "unknown": []}
    assert found["tasks"]["enhancer"]["classes"]["positive"]["rows"] == 12


def test_val_is_whole_contigs_of_train_and_the_report_names_them(tmp_path: Path) -> None:
    rows, report = load(write(tmp_path))
    val = report["sets"]["enhancer"]["val"]
    assert (val["by"], val["parts"], val["of"]) == ("contig", 1, 2)
    assert set(rows.loc[rows["split"] == "val", "contig"]) == set(val["contigs"])
    assert load(tmp_path)[0].equals(rows)


def test_the_report_accounts_for_every_interval(tmp_path: Path) -> None:
    train = "chr1,0,10,+ chr1,0,10,- chr1,205,215,+ chr1,30,40,+ chr2,30,40,+ chr2,200,210,-"
    rows, report = load(write(tmp_path, train_positive=train))
    found = report["sets"]["enhancer"]
    dropped = {why: sum(sides.values()) for why, sides in found["dropped"].items()}
    # One locus of train is of both classes, on either strand; another is of the class that test says it is not.
    assert dropped == {
        "too_many_n": 0, "no_label": 0, "contradictory": 3, "repeated": 1, "held_out": 0, "shares_bases_with_test": 1,
    }  # fmt: skip
    assert sum(found["kept"].values()) == len(rows)
    assert sum(found["read"].values()) == len(rows) + sum(dropped.values())
    for side, count in found["kept"].items():
        assert count == (rows["split"] == side).sum()


def test_a_nameless_first_column_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / "set/test/negative.csv.gz"
    path.write_bytes(gzip.compress(b",id,region,start,end,strand\n7,7,chr2,200,210,+\n"))
    assert len(load(tmp_path)[0]) == 23


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("chr1,-1,10,+", r"set: test/positive\.csv\.gz line 2: -1-10 is no interval"),
        ("chr1,10,10,+", r"line 2: 10-10 is no interval"),
        ("chr1,1e2,200,+", r"line 2: 1e2-200 is no interval"),
        ("chr1,395,401,+", r"test/positive\.csv\.gz line 2: chr1:395-401 leaves the contig, which has 400 bases"),
        ("chr1,0,10,.", r"line 2: strand '\.'; wanted: \+ or -"),
        ("chr9,0,300,+", r"Unknown here: chr9; the reference has: 1, 2, MT.*`aliases`"),
        ("", r"positive\.csv\.gz: no rows"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, line: str, message: str) -> None:
    write(tmp_path, test_positive=line)
    with pytest.raises(EpisomeError, match=message):
        load(tmp_path)


def test_classes_other_than_the_tasks_are_named_with_both_lists(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "set/test/third.csv").touch()
    with pytest.raises(EpisomeError, match=r"set/test: the classes are negative, positive, third; wanted: negative, p"):
        load(tmp_path)
    metadata = tmp_path / "set/metadata.yaml"
    metadata.write_text("classes: {ocr: {}, promoter: {}}")
    with pytest.raises(
        EpisomeError, match=r"metadata\.yaml: the classes are ocr, promoter; wanted: negative, positive"
    ):
        load(tmp_path)
    for text, message in (("classes: [a]", "no `classes`"), ("- a", "no `classes`"), ("a: {", "not YAML")):
        metadata.write_text(text)
        with pytest.raises(EpisomeError, match=message):
            load(tmp_path)
    metadata.unlink()
    with pytest.raises(EpisomeError, match=r"metadata\.yaml: cannot be opened: No such file"):
        load(tmp_path)


def test_a_side_without_a_class_says_so(tmp_path: Path) -> None:
    write(tmp_path)
    for path in (tmp_path / "set/train").iterdir():
        path.rename(path.with_name("README.txt"))
    with pytest.raises(EpisomeError, match=r"set/train: the classes are README\.txt; wanted"):
        load(tmp_path)


def test_names_must_agree_where_no_table_joins_them(tmp_path: Path) -> None:
    source = IntervalSource(
        kind="intervals",
        folder=write(tmp_path),
        sets={"enhancer": "set"},
        reference="ref.fa",
        licence="x",
        citation="x",
    )
    with pytest.raises(EpisomeError, match=r"0 of 230 bases lie .*: chr2, chr1, chrM; the reference has: 1, 2, MT"):
        intervals.load(source, [TASK], species="toy", windows=table_rows.windows(), seed=7)
