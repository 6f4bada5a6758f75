"""The stage `world`: a folder and a line per species, and refusals that name the fault."""

from pathlib import Path

import pytest
import yaml

from pipelines import world as stage


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    given = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text())
    given["world"] = {"tiny": {"genes": 6, "species": ["fly_sim", "human_sim"]}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(given))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_stage_writes_a_folder_and_prints_a_line_per_species(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert stage.main(["tiny"]) == 0
    out = capsys.readouterr()
    assert [line.split(":")[0] for line in out.out.splitlines()] == ["fly_sim", "human_sim"]
    assert out.err == ""  # no bar where nobody watches
    made = sorted(str(path.relative_to(project)) for path in (project / "data").rglob("*.*"))
    assert made == [
        f"data/world/tiny/{name}/{file}"
        for name in ("fly_sim", "human_sim")
        for file in ("genes.gtf.gz", "genome.fa.gz", "truth.json")
    ]


def test_stage_refuses_an_unknown_world_and_a_wrong_call(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert stage.main(["demo"]) == 1
    assert "no world 'demo' in params.yaml; known: tiny" in capsys.readouterr().err
    assert stage.main([]) == 2
    assert "usage" in capsys.readouterr().err
