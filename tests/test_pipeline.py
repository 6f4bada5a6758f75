"""The whole pipeline on a micro world with the network cut: it runs, stops where it should, does nothing twice."""

import json
import random
import re
import socket
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import lonely, micro

pytestmark = pytest.mark.slow

PER_SPECIES = ("windows", "check", "train", "evaluate", "export", "gate", "register")


def repro(project: Path, *targets: str) -> set[str]:
    """Stages that `dvc repro` ran; it must succeed."""
    done = lonely.run(project, "dvc", "repro", *targets)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return set(re.findall(r"Running stage '([^']+)'", done.stdout))


def change(project: Path, *keys: str, to: Any) -> None:
    """Set one value in the project's params.yaml."""
    path = project / "params.yaml"
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    place = params
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = to
    path.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the working tree whose micro world is trained: two species to serve, and the fly up to its adapter."""
    folder = lonely.copy(tmp_path_factory.mktemp("walk") / "episome")
    micro.write(folder / "params.yaml")
    targets = [f"register@{species}" for species in micro.SERVED]
    ran = repro(folder, *targets, "train@fly_sim")
    assert {f"{stage}@{species}" for stage in PER_SPECIES for species in micro.SERVED} <= ran
    return folder


@pytest.fixture(scope="module")
def walked(project: Path) -> dict[str, str]:
    """What promotion, service and command line answered."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    done = lonely.run(project, "python", "-m", "tests.walk", port)
    assert done.returncode == 0, done.stderr[-4000:]
    seen: dict[str, str] = json.loads(done.stdout)
    return seen


def test_a_second_run_does_nothing(project: Path) -> None:
    targets = [f"register@{species}" for species in micro.SERVED]
    assert repro(project, *targets, "train@fly_sim") == set()


def test_a_learning_rate_retrains_its_species_and_whoever_starts_from_it(project: Path) -> None:
    change(project, "species", "human_sim", "train", to={"learning_rate": 1.0e-3})
    try:
        assert repro(project, "train") == {"train@human_sim", "train@mouse_sim"}
    finally:
        change(project, "species", "human_sim", "train", to={})
        repro(project, "train")


def test_command_line_and_service_give_the_same_numbers(walked: dict[str, str]) -> None:
    (over_http,) = json.loads(walked["http"])["results"]
    (by_command,) = map(json.loads, walked["cli"].splitlines())
    assert over_http["status"] == "ok"
    assert over_http["simulated"] is True
    assert any(task["scored"] for task in over_http["tasks"].values())
    assert by_command["tasks"] == over_http["tasks"]


def test_the_demo_says_how_to_go_on(walked: dict[str, str]) -> None:
    for part in ("curl", "/docs", "/monitor", "make stop"):
        assert part in walked["demo"]
    assert walked["stop"] == "stopped\n"


@pytest.mark.parametrize("page", ["docs", "monitor"])
def test_a_page_loads_nothing_from_outside(walked: dict[str, str], page: str) -> None:
    assert re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?(?:https?:)?//[^"')\s]*""", walked[page]) == []


def test_a_planted_bad_row_stops_the_pipeline_and_is_named(project: Path) -> None:
    draw = random.Random(1)
    lines = [f"{''.join(draw.choices('ACGT', k=300))},{i % 2}" for i in range(60)]
    lines[7] = f"{'ACGGT' * 59},1"  # 295 bases where the task's window has 300
    for name, rows in {"train": lines[:40], "dev": lines[40:50], "test": lines[50:]}.items():
        path = project / "data/planted/promoters" / f"{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("sequence,label\n" + "\n".join(rows) + "\n", encoding="ascii")
    entry = {
        "scientific_name": "Planta mala",
        "taxon_id": 1,
        "donor": "base",
        "prior": "none",
        "release": "none",
        "train": {},
    }
    source = {"kind": "labelled", "folder": "data/planted", "sets": {"promoter": "promoters"}}
    params = (project / "params.yaml").read_text(encoding="utf-8")
    change(project, "species", "planted", to={**entry, "source": source})
    try:
        done = lonely.run(project, "dvc", "repro", "train@planted")
    finally:
        (project / "params.yaml").write_text(params, encoding="utf-8")
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "Running stage 'train@planted'" not in said
    assert "rule length" in said
    assert "row 7: ACGGTACGGT" in said


def test_nothing_tried_to_reach_the_outside(project: Path, walked: dict[str, str]) -> None:
    assert lonely.tried(project) == ""


def test_the_fence_refuses_and_tells(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    folder = lonely.copy(tmp_path / "p")
    done = lonely.run(folder, "python", "-c", "import socket; socket.create_connection(('192.0.2.1', 80), timeout=3)")
    assert done.returncode != 0
    assert "192.0.2.1" in lonely.tried(folder)
