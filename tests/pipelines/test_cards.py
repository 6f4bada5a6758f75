"""The stage that writes the cards: every file, the same bytes twice, and other stages' reports where they are."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from episome import dataset
from pipelines import cards
from tests import micro
from tests.conftest import ROOT
from tests.test_pictures import rows

SPECIES = "human_sim"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with params.yaml and the rows of one species, in which the stage runs."""
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")
    micro.write(tmp_path / "params.yaml")
    folder = tmp_path / "data/windows" / SPECIES
    folder.mkdir(parents=True)
    dataset.write(folder / "rows.parquet", rows())
    report = {"kind": "genome", "tasks": {"donor": {"dropped": {"too_many_n": 4}}}}
    (folder / "report.json").write_text(json.dumps(report), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(project: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((project / "reports/cards" / SPECIES).iterdir())}


def test_it_writes_a_card_a_page_and_the_same_bytes_twice(project: Path) -> None:
    cards.main(SPECIES)
    first = written(project)
    assert list(first) == ["card.json", "donor.md", "report.html"]
    made = json.loads(first["card.json"])["donor"]
    stored = project / "data/windows" / SPECIES / "rows.parquet"
    assert made["rows_sha256"] == hashlib.sha256(stored.read_bytes()).hexdigest()
    assert made["task_report"] == {"dropped": {"too_many_n": 4}}
    assert made["simulated"] is True
    assert made["data_gate"] is None
    cards.main(SPECIES)
    assert written(project) == first


def test_what_the_data_gate_found_is_on_the_card(project: Path) -> None:
    rule = {"rule": "shortcut_gc", "task": "donor", "observed": 0.5, "wanted": "at most 0.7", "passed": True}
    path = project / "reports/check" / SPECIES / "result.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"passed": True, "rules": [rule]}), encoding="utf-8")
    cards.main(SPECIES)
    made = json.loads(written(project)["card.json"])["donor"]
    assert made["data_gate"]["shortcuts"]["gc"]["observed"] == 0.5
    assert b"told apart by gc" in written(project)["report.html"]
