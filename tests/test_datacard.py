"""Dataset cards: what they count, where they say rows came from, and the same bytes from the same rows."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from episome import datacard, multilabel, sites, tiles
from episome.sources import LabelledSource, MultilabelSource
from episome.types import Task
from tests import table_rows

TASK = Task(name="donor", scope="site", window=8, motif="GT", labels=("decoy", "donor"))
FACTS = datacard.Facts(
    species="elf",
    scientific_name="Elfus elfus",
    taxon_id=12,
    simulated=True,
    release="none",
    source=LabelledSource(
        kind="labelled", folder=Path("data/elf"), sets={"donor": "d"}, licence="CC0-1.0", citation="Elf | 2020"
    ),
    sha256="ab" * 32,
    windows={
        "kind": "labelled",
        "rows": {"donor": 6},
        "split": {"rule": "as given"},
        "sets": {
            "donor": {"dropped": {"too_many_n": 3}, "examples": [{"place": "a"}], "k": [4, 6], "rows": 9, "at": []}
        },
    },
    check=None,
    homology=None,
)
CHECK = {
    "passed": False,
    "rules": [
        {"rule": "shortcut_gc", "task": "donor", "observed": 0.83, "wanted": "at most 0.70", "passed": False},
        {"rule": "shortcut_n", "task": "donor", "observed": None, "wanted": "at most 0.60", "passed": True},
        {"rule": "length", "task": "donor", "observed": 1.0, "wanted": "8 bases", "passed": True},
        {"rule": "shortcut_gc", "task": "promoter", "observed": 0.5, "wanted": "at most 0.70", "passed": True},
    ],
}


@pytest.fixture
def rows() -> pd.DataFrame:
    """Six donor rows, two of them positive and none in val, beside one row of another task."""
    columns: dict[str, Any] = {
        "sequence": ["AAAAGTCC", "CCCCGTCC", "AAAAGTAA", "NNAAGTAA", "AAAAGTTTT", "AAAAGTGC"],
        "label": [1, 1, 0, 0, 0, 0],
        "species": "elf",
        "contig": ["1", "2", "1", "1", "1", ""],
        "start": [0, 0, 10, 20, 30, 0],
        "end": [8, 8, 18, 28, 39, 8],
        "strand": "+",
        "split": ["train", "test", "train", "train", "train", "test"],
        "group": ["a", "b", "a", "c", "c", "d"],
        "origin": ["genome:x"] * 5 + ["labelled:y"],
        "negative_kind": ["", "", "exon", "exon", "odd", ""],
        "release": ["none"] * 5 + ["r1"],
        "lower_case": [0.5, 0.0, 0.0, 0.0, 0.0, 1.0],
    }
    asked = table_rows.build(columns, "donor", ["donor", "promoter"])
    other = {name: (value[:1] if isinstance(value, list) else value) for name, value in columns.items()}
    return pd.concat([asked, table_rows.build(other, "promoter", ["donor", "promoter"])], ignore_index=True)


def test_every_kind_that_a_maker_gives_has_words_and_no_other(tmp_path: Path) -> None:
    tasks = tuple(Task(name=name, scope="sequence") for name in ("one", "two"))
    for stem in ("train", "dev", "test"):
        (tmp_path / f"{stem}.csv").write_text("sequence,one,two\nAACC,1,0\nACCC,0,0\n")
    source = MultilabelSource(kind="multilabel", folder=tmp_path, tasks=("one", "two"), licence="CC0", citation="us")
    rows, _ = multilabel.load(source, tasks, species="elf", windows=table_rows.windows())
    made = {*tiles.KINDS, *rows["negative_kind"]} - {""}
    made |= {kind for recipe in sites.RECIPES.values() for kind in recipe.kinds}
    assert set(datacard.KINDS) == made


def test_rows_are_counted_by_split_class_and_kind(rows: pd.DataFrame) -> None:
    made = datacard.card(rows, TASK, FACTS)
    assert made["rows"] == {
        "train": {"rows": 4, "positives": 1, "negatives": 3, "groups": 2, "negative_kinds": {"exon": 2, "odd": 1}},
        "val": {"rows": 0, "positives": 0, "negatives": 0, "groups": 0, "negative_kinds": {}},
        "test": {"rows": 2, "positives": 1, "negatives": 1, "groups": 2, "negative_kinds": {"": 1}},
    }
    assert (made["contigs"], made["groups"]) == (2, 4)
    assert made["origins"] == {"genome:x": 5, "labelled:y": 1}
    assert made["releases"] == {"none": 5, "r1": 1}


def test_sequences_are_described_by_class_and_kind(rows: pd.DataFrame) -> None:
    made = datacard.card(rows, TASK, FACTS)
    assert list(made["classes"]) == ["donor", "decoy"]
    assert made["classes"]["donor"] == {
        "rows": 2,
        "length": {"min": 8, "median": 8.0, "max": 8},
        "gc": {"mean": 0.625, "sd": 0.25},
        "n_share": 0.0,
        "lower_case": 0.25,
    }
    assert made["classes"]["decoy"]["length"]["max"] == 9
    assert made["classes"]["decoy"]["n_share"] == pytest.approx(0.0625)
    assert made["negative_kinds"]["exon"]["means"] == "the motif inside an exon"
    assert made["negative_kinds"]["odd"]["means"] == "as the source has it"


def test_source_licence_citation_and_hash_are_on_card_and_page(rows: pd.DataFrame) -> None:
    made = datacard.card(rows, TASK, FACTS)
    assert made["source"]["licence"] == "CC0-1.0"
    page = datacard.markdown(made)
    for words in ("CC0-1.0", r"Elf \| 2020", "data/elf", "ab" * 32, "Elfus elfus", "NCBI 12", "donor: d"):
        assert words in page
    assert "**Simulated sequences." in page
    assert "Real sequences." in datacard.markdown({**made, "simulated": False})


def test_what_was_dropped_and_how_the_split_was_made_are_told(rows: pd.DataFrame) -> None:
    made = datacard.card(rows, TASK, FACTS)
    assert "rows" not in made["task_report"]
    assert made["task_report"]["dropped"] == {"too_many_n": 3}
    assert made["how_made"] == {"kind": "labelled", "split": {"rule": "as given"}}
    page = datacard.markdown(made)
    for line in (
        "- dropped · too_many_n: 3",
        "- split · rule: as given",
        "- examples: 1 (in card.json)",
        "- k: 4, 6",
        "- at: none",
    ):
        assert line in page.splitlines()


def test_a_report_that_does_not_know_the_task_leaves_the_part_empty(rows: pd.DataFrame) -> None:
    assert datacard.card(rows, TASK, replace(FACTS, windows={"tasks": {}}))["task_report"] == {}


def test_homology_is_told_or_said_to_be_missing(rows: pd.DataFrame) -> None:
    assert "- homology: no report" in datacard.markdown(datacard.card(rows, TASK, FACTS))
    facts = replace(FACTS, homology={"method": "mmseqs2", "families": 12_345, "trusted": True})
    page = datacard.markdown(datacard.card(rows, TASK, facts))
    assert "- homology · method: mmseqs2" in page
    assert "- homology · families: 12,345" in page
    assert "- homology · trusted: True" in page


def test_the_data_gate_and_its_shortcuts_are_shown(rows: pd.DataFrame) -> None:
    made = datacard.card(rows, TASK, replace(FACTS, check=CHECK))
    assert made["data_gate"]["failed_rules"] == ["shortcut_gc"]
    assert list(made["data_gate"]["shortcuts"]) == ["gc", "n"]
    page = datacard.markdown(made)
    assert "| told apart by gc | 0.83 | at most 0.70 | FAILED |" in page
    assert "| told apart by n | – | at most 0.60 | holds |" in page
    assert "failed for the species; here: shortcut_gc" in page
    passed = datacard.card(rows, TASK, replace(FACTS, check={"passed": True, "rules": []}))
    assert "| all rules | – | every rule of the data gate | holds |" in datacard.markdown(passed)
    assert "the data gate has not run" in datacard.markdown(datacard.card(rows, TASK, FACTS))


def test_a_task_without_rows_has_a_card_too(rows: pd.DataFrame) -> None:
    made = datacard.card(rows[rows["label_donor"] < 0], TASK, FACTS)
    assert made["classes"]["donor"]["rows"] == 0
    assert "| donor | 0 | – | – | – | – |  |" in datacard.markdown(made)


def test_equal_rows_give_equal_cards_that_json_can_hold(rows: pd.DataFrame) -> None:
    first, second = (json.dumps(datacard.card(each, TASK, FACTS), sort_keys=True) for each in (rows, rows.copy()))
    assert first == second
