"""Published sets that a lab brings: what the importer finds in them, what the stage says of it, and the gate."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from episome import dataset
from episome.sequence import canonical
from pipelines import paths, windows
from tests.conftest import ROOT

# Of each GUE set: test rows that are in train too, and sequences with both labels, as the data's README counts them.
TATA = {"prom_300_tata": (6, 15), "prom_core_tata": (16, 15)}


def project(folder: Path, sets: Path, name: str, window: int) -> None:
    """params.yaml with one species whose promoters are a published set, as a lab would write it."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["tasks"]["promoter"] |= {"window": window}
    species = params["species"].pop("human_sim") | {"simulated": False}
    species["source"] = {
        "kind": "labelled", "folder": str(sets), "sets": {"promoter": name},
        "licence": "Apache-2.0", "citation": "GUE (Zhou 2023)",
    }  # fmt: skip
    params |= {"species": {"human": species}, "world": {}}
    params["base"]["species"] = ["human"]
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    # No relatives: the families that the stage before finds are not what is asked here.
    families = folder / paths.families("human")
    families.parent.mkdir(parents=True)
    families.touch()


def report(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "data/windows/human/report.json").read_text())["sets"]["promoter"]
    return found


def by_hand(folder: Path) -> pd.DataFrame:
    """The three files as they are, with one string for both strands; nothing of the importer is used."""
    frames = [pd.read_csv(folder / f"{name}.csv.gz").assign(split=name) for name in ("train", "dev", "test")]
    rows = pd.concat(frames, ignore_index=True)
    return rows.assign(key=rows["sequence"].map(lambda s: min(s, s.translate(str.maketrans("ACGT", "TGCA"))[::-1])))


@pytest.mark.parametrize("name", TATA)
def test_the_gue_tata_sets_show_their_leaks_and_contradictions(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    sets = shared / "data/labelled/gue/prom"
    came = by_hand(sets / name)
    project(tmp_path, sets, name, window=len(came["sequence"][0]))
    monkeypatch.chdir(tmp_path)
    windows.main("human")
    found = report(tmp_path)
    assert found["read"] == {"train": 4904, "val": 613, "test": 613}
    leaked, groups = TATA[name]
    assert found["overlap"]["train/test"]["rows"] == leaked
    assert found["tasks"]["promoter"]["contradictions"]["groups"] == groups
    # The same counts without the importer.
    keys = {side: came.loc[came["split"] == side, "key"] for side in ("train", "dev", "test")}
    assert keys["test"].isin(keys["train"]).sum() == leaked
    assert (came.groupby("key")["label"].nunique() > 1).sum() == groups
    assert found["duplicates"]["train"]["exact"] == keys["train"].duplicated().sum()
    # An example can be looked up in the file.
    example = found["overlap"]["train/test"]["examples"][0]
    line = int(example["place"].split()[-1])
    assert came.loc[came["split"] == "test", "sequence"].iloc[line - 2] == example["sequence"]


@pytest.mark.parametrize("name", TATA)
def test_what_is_kept_of_them_leaks_nothing_and_the_test_set_is_the_published_one(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    sets = shared / "data/labelled/gue/prom"
    came = by_hand(sets / name)
    project(tmp_path, sets, name, window=len(came["sequence"][0]))
    monkeypatch.chdir(tmp_path)
    windows.main("human")
    rows = dataset.read(tmp_path / "data/windows/human/rows.parquet")
    keys = rows["sequence"].map(canonical)
    assert not keys.duplicated().any()
    test = came[came["split"] == "test"]
    denied = test.groupby("key")["label"].transform("nunique") > 1
    wanted = test[~denied].drop_duplicates("key")
    kept = rows[rows["split"] == "test"]
    assert kept["sequence"].tolist() == wanted["sequence"].tolist()
    assert kept["label_promoter"].tolist() == wanted["label"].tolist()
    dropped = {why: sum(sides.values()) for why, sides in report(tmp_path)["dropped"].items()}
    assert len(rows) == len(came) - sum(dropped.values())


def test_sets_that_were_prepared_are_clean(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(tmp_path, shared / "data/labelled/promoter300", "zebrafish", window=300)
    monkeypatch.chdir(tmp_path)
    windows.main("human")
    found = report(tmp_path)
    assert found["read"] == found["kept"] == {"train": 2992, "val": 383, "test": 351}
    assert found["overlap"]["train/test"]["rows"] == found["tasks"]["promoter"]["contradictions"]["groups"] == 0
