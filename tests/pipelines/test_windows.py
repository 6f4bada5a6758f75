import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from episome import dataset, kin, params, split
from episome.types import EpisomeError
from pipelines import corpus, paths, windows
from tests import tiny_genome
from tests.conftest import ROOT

TERMS = {"licence": "CC0-1.0", "citation": "nobody"}


def species(source: dict[str, Any], *, simulated: bool = False, release: str = "none") -> dict[str, Any]:
    return {
        "scientific_name": "Toy species", "taxon_id": 1, "simulated": simulated, "donor": "base",
        "beside": "base", "prior": "none", "release": release, "source": source, "train": {},
    }  # fmt: skip


def labelled(folder: Path) -> None:
    texts = {"train": "AACCGTAC1 CCGGTATA0 AAAATTTC1", "dev": "GGGGATAT1", "test": "TTCACACA0"}
    folder.mkdir(parents=True)
    for name, rows in texts.items():
        lines = [f"{row[:-1]},{row[-1]}" for row in rows.split()]
        (folder / f"{name}.csv").write_text("\n".join(["sequence,label", *lines]) + "\n")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one species of a genome and one of labelled sets; the working directory is its root."""
    tiny_genome.write(tmp_path / "data/world/demo/wild")
    labelled(tmp_path / "sets/orf")
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    genome = {"kind": "genome", "folder": "data/world/demo/wild", "tasks": ["promoter", "donor"], **TERMS}
    sets = {"kind": "labelled", "folder": "sets", "sets": {"orf": "orf"}, **TERMS}
    params["tasks"]["orf"] = {"scope": "sequence", "labels": ["noncoding", "coding"]}
    params["species"] = {"wild": species(genome, simulated=True), "lab": species(sets)}
    params["base"]["species"] = ["wild", "lab"]
    params["study"]["curves"]["pairs"] = []
    params["windows"] |= {"exclusion": 10, "corpus_window": 100, "corpus_share": 1.0}
    write(tmp_path, params)
    monkeypatch.chdir(tmp_path)
    related("wild")
    related("lab")
    return tmp_path


def related(name: str, **families: str) -> None:
    """What the stage homology leaves for a species."""
    paths.homology().mkdir(parents=True, exist_ok=True)
    kin.write_families(paths.families(name), families)


def write(folder: Path, params: dict[str, Any]) -> None:
    (folder / "params.yaml").write_text(yaml.safe_dump(params))


def report(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(f"data/windows/{name}/report.json").read_text())
    return found


def test_a_genome_becomes_rows_a_report_and_a_corpus(project: Path) -> None:
    windows.main("wild")
    rows = dataset.read(project / "data/windows/wild/rows.parquet")
    assert dataset.tasks(rows) == ("promoter", "donor")
    assert set(rows["species"]) == {"wild"}
    assert set(rows["origin"]) == {"simulated:demo"}
    found = report("wild")
    texts = (project / "data/windows/wild/corpus.txt").read_text().splitlines()
    assert found["corpus"] == {"sequences": len(texts), "bases": sum(map(len, texts))}
    assert set("".join(texts)) <= set("ACGTN")
    assert sum(found["rows"]["donor"][side].get("1", 0) for side in ("train", "val", "test")) == 18


def test_labelled_sets_become_rows_and_only_training_text_enters_the_corpus(project: Path) -> None:
    windows.main("lab")
    rows = dataset.read(project / "data/windows/lab/rows.parquet")
    assert set(rows["origin"]) == {"labelled:orf"}
    assert report("lab")["rows"] == {"orf": {"train": {"0": 1, "1": 2}, "val": {"1": 1}, "test": {"0": 1}}}
    texts = (project / "data/windows/lab/corpus.txt").read_text().split()
    assert texts == ["AACCGTAC", "CCGGTATA", "AAAATTTC"]


def test_a_release_adds_rows_and_leaves_the_others_and_the_corpus_alone(project: Path) -> None:
    windows.main("lab")
    before = dataset.read(project / "data/windows/lab/rows.parquet")
    text = (project / "data/windows/lab/corpus.txt").read_bytes()
    (project / "releases/june").mkdir(parents=True)
    (project / "releases/june/new.csv").write_text("sequence,label,task,split\nGAGAGAGA,1,orf,train\n")
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["species"]["lab"]["release"] = "june"
    write(project, params)
    windows.main("lab")
    after = dataset.read(project / "data/windows/lab/rows.parquet")
    assert after.iloc[: len(before)].equals(before)
    assert after.iloc[-1][["sequence", "release"]].tolist() == ["GAGAGAGA", "new"]
    assert report("lab")["release"]["kept"] == 1
    assert (project / "data/windows/lab/corpus.txt").read_bytes() == text


def test_the_stage_gives_the_same_bytes_again(project: Path) -> None:
    files = [project / "data/windows/wild" / name for name in ("rows.parquet", "report.json", "corpus.txt")]
    windows.main("wild")
    first = [path.read_bytes() for path in files]
    windows.main("wild")
    assert [path.read_bytes() for path in files] == first


def test_labelled_rows_are_grouped_by_their_family(project: Path) -> None:
    one, two = (split.canonical_group(text) for text in ("AACCGTAC", "CCGGTATA"))
    related("lab", **{one: "cousins", two: "cousins"})
    windows.main("lab")
    rows = dataset.read(project / "data/windows/lab/rows.parquet")
    alone = rows["sequence"].map(split.canonical_group)
    assert rows["group"].tolist() == ["cousins", "cousins", *alone[2:]]


def test_a_family_of_another_species_moves_a_gene_to_the_families_side(project: Path) -> None:
    settings = params.read()
    before = dataset.read(written("wild"))
    family = next(
        name
        for name in map(str, range(99))
        if split.by_group(name, settings.windows.split, settings.seed)
        != before.loc[before["gene"] == "c0g1", "split"].iloc[0]
    )
    related("wild", c0g1=family)
    after = dataset.read(written("wild"))
    assert set(after.loc[after["group"] == family, "split"]) == {
        split.by_group(family, settings.windows.split, settings.seed)
    }


def written(name: str) -> Path:
    windows.main(name)
    return Path(f"data/windows/{name}/rows.parquet")


def test_a_species_text_enters_the_corpus_once_it_has_rows(project: Path) -> None:
    with pytest.raises(EpisomeError, match=r"data/windows/wild/corpus\.txt: no such file.*windows@wild"):
        corpus.main("wild")
    windows.main("wild")
    corpus.main("wild")
    assert paths.corpus("wild").read_bytes() == (project / "data/windows/wild/corpus.txt").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pipelines.windows", "nobody"], "windows: no species 'nobody'"),
        (["pipelines.corpus", "wild"], "corpus: data/windows/wild/corpus.txt: no such file"),
    ],
)
def test_what_is_wrong_is_one_line_and_a_failing_status(project: Path, arguments: list[str], message: str) -> None:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=project, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1
