"""Baselines trained on each species and tested on every one: what transfers, what cannot be tested, what is missing."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from episome import dataset, params
from pipelines import baselines
from tests import micro, table_rows
from tests.conftest import ROOT

WIDTH = 24


def rows(species: str, motif: str, seed: int, n: int = 400, length: int = WIDTH) -> pd.DataFrame:
    """Donor rows of random bases: positives carry `motif` after the GT in the middle; half the decoys are ``exon``."""
    random = np.random.default_rng(seed)
    bases = random.choice(list("ACGT"), (n, length))
    bases[:, 12:14] = list("GT")
    bases[1::2, 14 : 14 + len(motif)] = list(motif)
    columns: dict[str, Any] = {
        "sequence": ["".join(row) for row in bases],
        "label": [i % 2 for i in range(n)],
        "species": species,
        "contig": "",
        "start": 0,
        "end": length,
        "strand": "+",
        "split": ["train" if i < n // 2 else ("val", "test")[i // 2 % 2] for i in range(n)],
        "group": [f"g{i // 2}" for i in range(n)],
        "origin": "toy",
        "negative_kind": ["" if i % 2 else ("exon", "intron")[i // 4 % 2] for i in range(n)],
        "release": "none",
    }
    return table_rows.build(columns, "donor", ["donor"])


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> params.Params:
    """The micro world with short donor windows and a task over whole sequences, in an empty folder."""
    path = tmp_path / "params.yaml"
    shutil.copyfile(ROOT / "params.yaml", path)
    micro.write(path)
    micro.change(path, "tasks", "donor", "window", to=WIDTH)
    micro.change(path, "tasks", "whole", to={"scope": "sequence"})
    micro.change(
        path, "evaluate", to={"bootstrap": 40, "confidence": 0.95, "baseline_k": 2, "threshold": {"rule": "mcc"}}
    )
    monkeypatch.chdir(tmp_path)
    return params.read(path)


def value(result: dict[str, Any], who: str, trained: str, tested: str) -> float:
    found: float = result["tasks"]["donor"][who][trained][tested]["auroc"]["value"]
    return found


def test_a_matrix_moves_to_a_species_with_the_same_motif_and_to_no_other(settings: params.Params) -> None:
    given = {
        "human_sim": rows("human_sim", "AAGT", 0),
        "mouse_sim": rows("mouse_sim", "AAGT", 1),
        "fly_sim": rows("fly_sim", "CCCC", 2),
    }
    result = baselines.report(given, {}, settings)
    assert value(result, "pwm", "human_sim", "human_sim") > 0.9
    assert value(result, "pwm", "human_sim", "mouse_sim") > 0.9
    assert value(result, "pwm", "human_sim", "fly_sim") < 0.7
    assert value(result, "kmer", "fly_sim", "fly_sim") > 0.8
    cell = result["tasks"]["donor"]["pwm"]["human_sim"]["human_sim"]
    assert (cell["n"], cell["groups"]) == (100, 50)
    kinds = cell["negative_kinds"]
    assert {name: (kind["positives"], kind["negatives"]) for name, kind in kinds.items()} == {
        "exon": (50, 25),
        "intron": (50, 25),
    }
    assert "negative_kinds" not in result["tasks"]["donor"]["pwm"]["human_sim"]["fly_sim"]
    matrix = result["tasks"]["donor"]["pwm"]
    assert matrix["human_sim"]["fly_sim"]["lost"]["low"] > 0.1
    assert matrix["human_sim"]["mouse_sim"]["lost"]["low"] <= 0 <= matrix["human_sim"]["mouse_sim"]["lost"]["high"]
    assert "lost" not in matrix["human_sim"]["human_sim"]
    page = baselines.markdown(result)
    assert f"| lost with human_sim | – | {matrix['human_sim']['mouse_sim']['lost']['value']:+.3f} [" in page
    assert cell["auroc"]["low"] <= cell["auroc"]["value"] <= cell["auroc"]["high"]
    assert result["simulated"] == {"human_sim": True, "mouse_sim": True, "fly_sim": True}


def test_what_the_data_gate_would_stop_is_named_and_stops_no_other_species(settings: params.Params) -> None:
    one_class = rows("mouse_sim", "AAGT", 1).assign(label_donor=1)
    given = {
        "human_sim": rows("human_sim", "AAGT", 0),
        "mouse_sim": one_class,
        "fly_sim": rows("fly_sim", "AAGT", 2, length=WIDTH - 1),
    }
    task = baselines.report(given, {}, settings)["tasks"]["donor"]
    assert task["left_out"] == {
        "mouse_sim": "only one class, or none, in train, val, test",
        "fly_sim": "400 rows are not 24 bases long",
    }
    assert list(task["pwm"]) == ["human_sim"]
    page = baselines.markdown(baselines.report(given, {}, settings))
    assert "Left out: mouse_sim: only one class" in page


def test_whole_sequences_have_k_mers_and_say_that_they_have_no_matrix(settings: params.Params) -> None:
    given = rows("human_sim", "AAGT", 0).rename(columns={"label_donor": "label_whole"})
    result = baselines.report({"human_sim": given}, {}, settings)
    assert list(result["tasks"]) == ["whole"]
    assert "pwm" not in result["tasks"]["whole"]
    page = baselines.markdown(result)
    assert "no position-weight matrix: the task has no fixed length" in page
    assert "| k-mers, trained on | human_sim (n = 100) |" in page
    assert "weight matrix, trained on" not in page


def test_where_no_species_can_be_tested_the_page_says_why(settings: params.Params) -> None:
    given = {"human_sim": rows("human_sim", "AAGT", 0).assign(label_donor=0)}
    page = baselines.markdown(baselines.report(given, {}, settings))
    assert "Left out: human_sim: only one class, or none, in train, val, test." in page


def test_the_stage_writes_report_and_page_and_names_species_without_rows(
    settings: params.Params, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed, species in enumerate(("human_sim", "fly_sim")):
        path = Path("data/windows") / species / "rows.parquet"
        path.parent.mkdir(parents=True)
        dataset.write(path, rows(species, "AAGT", seed))
    baselines.main()
    result = json.loads(Path("reports/baselines.json").read_text(encoding="utf-8"))
    assert list(result["missing"]) == ["mouse_sim"]
    page = Path("reports/baselines.md").read_text(encoding="utf-8")
    assert "Missing: mouse_sim: data/windows/mouse_sim/rows.parquet is not there" in page
    assert page in capsys.readouterr().out
    first = Path("reports/baselines.json").read_bytes()
    baselines.main()
    assert Path("reports/baselines.json").read_bytes() == first
