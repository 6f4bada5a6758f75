"""Stage `report` on folders of invented runs: one study in one folder, or one for each species as DVC keeps them."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from episome import study
from episome.types import EpisomeError
from pipelines import report
from tests import invented

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, target: str, world: str = "demo", left_out: dict[str, str] | None = None) -> None:
    """A scratch run and two adapted ones of one target."""
    made = invented.Study(species=invented.SPECIES, tasks=("donor",))
    made.add(3.0, target=target, task="donor", method="scratch", seed=7)
    for donor in {"human_sim", "mouse_sim"} - {target}:
        made.add(2.0, target=target, donor=donor, task="donor", method="adapted", policy="interpolated", seed=7)
    for run in made.runs:
        stored = replace(run, world=world, grid="reduced")
        study.append(folder / "runs.jsonl", stored)
        study.save(folder / "predictions", stored, made.predictions[run.key])
    (folder / "study.json").write_text(json.dumps({"left_out": left_out or {}}))


def test_folders_of_species_are_one_report(project: Path) -> None:
    for target in ("mouse_sim", "zebrafish_sim"):
        write(Path("reports/study") / target, target, left_out={"fly_sim": "no rows of one class"})
    report.main(Path("reports/study"), Path("reports/transfer"))
    page = Path("reports/transfer/dashboard.html").read_text()
    assert "Reduced grid: the pipeline&#x27;s own adapters were judged; human_sim: no run" in page
    assert "Simulated sequences. No living thing has them." in page
    assert "With one seed nothing is said of the spread over seeds." in page
    lines = Path("reports/transfer/distance_performance_correlation.csv").read_text().splitlines()
    assert [line for line in lines if line.startswith("donor,adapted,human_sim,mouse_sim,0.2175")]
    assert "fly_sim: no rows of one class" in Path("reports/transfer/table.md").read_text()


def test_a_drifted_world_is_said(project: Path) -> None:
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("motif_divergence: 1.0", "motif_divergence: 0.5"))
    write(Path("full"), "mouse_sim")
    report.main(Path("full"), Path("out"))
    assert "motif_divergence is 0.5; 1 is the published drift" in Path("out/table.md").read_text()


def test_a_species_without_a_known_distance_stops_no_report(project: Path) -> None:
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("Drosophila melanogaster", "Musca nowhere"))
    write(Path("full"), "mouse_sim")
    report.main(Path("full"), Path("out"))
    assert "human_sim, fly_sim: " in Path("out/table.md").read_text()
    assert "Musca nowhere" in Path("out/table.md").read_text()


def test_what_is_no_study_is_refused(project: Path) -> None:
    with pytest.raises(EpisomeError, match=r"empty: no runs\.jsonl in it or in a folder of it"):
        report.main(Path("empty"), Path("out"))
    write(Path("two/a"), "mouse_sim")
    write(Path("two/b"), "human_sim", world="another")
    with pytest.raises(EpisomeError, match=r"runs of 2 worlds \(another, demo\); wanted: of one"):
        report.main(Path("two"), Path("out"))
    write(Path("odd"), "dragon")
    with pytest.raises(EpisomeError, match=r"runs of dragon; under species in params\.yaml: human_sim"):
        report.main(Path("odd"), Path("out"))
