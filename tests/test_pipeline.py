"""The whole pipeline on a micro world with the network cut: it runs, stops where it should, does nothing twice."""

import json
import random
import re
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from episome import params
from tests import lonely, micro
from tests.walk import SCREENSHOT

pytestmark = pytest.mark.slow

PER_SPECIES = ("windows", "check", "train", "evaluate", "export", "gate", "register")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the working tree whose micro world is trained and registered."""
    folder = lonely.copy(tmp_path_factory.mktemp("walk") / "episome")
    micro.write(folder / "params.yaml")
    ran = lonely.repro(folder)
    assert {f"{stage}@{species}" for stage in PER_SPECIES for species in micro.SPECIES} <= ran
    return folder


@pytest.fixture(scope="module")
def walked(project: Path) -> dict[str, Any]:
    """What promotion, service and command line answered."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    done = lonely.run(project, "python", "-m", "tests.walk", port)
    assert done.returncode == 0, done.stderr[-4000:]
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def test_a_second_run_does_nothing(project: Path) -> None:
    assert lonely.repro(project) == set()


def test_a_learning_rate_retrains_its_species_and_whoever_starts_from_it(project: Path) -> None:
    numbers = project / "params.yaml"
    micro.change(numbers, "species", "human_sim", "train", to={"learning_rate": 1.0e-3})
    try:
        assert lonely.repro(project, "train") == {"train@human_sim", "train@mouse_sim"}
    finally:
        micro.change(numbers, "species", "human_sim", "train", to={})
        lonely.repro(project, "train")


def test_command_line_and_service_give_the_same_numbers(walked: dict[str, Any]) -> None:
    (over_http,) = json.loads(walked["http"])["results"]
    (by_command,) = map(json.loads, walked["cli"].splitlines())
    assert over_http["status"] == "ok"
    assert over_http["simulated"] is True
    assert any(task["scored"] for task in over_http["tasks"].values())
    assert by_command["tasks"] == over_http["tasks"]


def test_the_demo_says_how_to_go_on(walked: dict[str, Any]) -> None:
    for part in ("curl", "/docs", "/monitor", "make stop"):
        assert part in walked["demo"]
    assert walked["stop"] == "stopped\n"


@pytest.mark.parametrize("page", ["docs", "monitor"])
def test_a_page_loads_nothing_from_outside(walked: dict[str, Any], page: str) -> None:
    assert re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?(?:https?:)?//[^"')\s]*""", walked[page]) == []


def gauge(metrics: str, name: str) -> float:
    """Value of one of the human adapter's series in what /metrics answered."""
    (value,) = re.findall(rf'^{name}\{{.*species="human_sim".*\}} (\S+)$', metrics, flags=re.MULTILINE)
    return float(value)


def row(page: dict[str, Any], species: str) -> dict[str, Any]:
    """What the monitor says of a species."""
    (found,) = [row for row in page["species"] if row["species"] == species]
    return dict(found)


def test_human_sequences_sent_to_the_human_adapter_raise_no_alarm(walked: dict[str, Any]) -> None:
    own = walked["human_sim"]
    assert [match for match in own["matches"] if match["status"] == "mismatch"] == []
    assert gauge(own["metrics"], "episome_drift_mismatch_ratio") == 0
    assert row(own["page"], "human_sim")["state"] != "alarm"


def test_fly_sequences_sent_to_the_human_adapter_are_flagged_in_the_answer(walked: dict[str, Any]) -> None:
    matches = walked["fly_sim"]["matches"]
    flagged = [match for match in matches if match["status"] == "mismatch"]
    assert len(matches) >= 12
    assert len(flagged) > 0.75 * len(matches)
    for match in flagged:
        assert match["best_species"] == "fly_sim"
        assert match["margin_nats"] < 0


def test_fly_sequences_sent_to_the_human_adapter_move_gauge_and_monitor(walked: dict[str, Any], project: Path) -> None:
    after, limits = walked["fly_sim"], params.read(project / "params.yaml").monitor
    ratio = gauge(after["metrics"], "episome_drift_mismatch_ratio")
    assert ratio > limits.mismatch_share
    assert 'episome_drift_alarm{signal="mismatch",species="human_sim"} 1.0' in after["metrics"]
    human = row(after["page"], "human_sim")
    assert human["state"] == "alarm"
    assert human["mismatch_share"] == pytest.approx(ratio)
    assert human["best_other"]["species"] == "fly_sim"
    assert row(after["page"], "fly_sim")["state"] != "alarm"


def test_a_browser_shows_the_alarm_of_the_running_service(walked: dict[str, Any], project: Path) -> None:
    shown = walked["shown"]
    if shown is None:
        pytest.skip("no Chromium is installed (Debian package chromium)")
    assert "alarm" in shown["human_sim"]["Verdict"]
    assert shown["human_sim"]["Looks like"].startswith("fly_sim")
    assert "alarm" not in shown["fly_sim"]["Verdict"]
    assert shown["title"].startswith("▲ 1 in alarm")
    assert shown["errors"] == []
    assert all(url.startswith(("http://127.0.0.1:", "data:")) for url in shown["requested"])
    assert (project / SCREENSHOT).read_bytes().startswith(b"\x89PNG")


def test_a_planted_bad_row_is_named_and_stops_its_species_alone(project: Path) -> None:
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
        "simulated": False,
        "donor": "base",
        "beside": "base",
        "prior": "none",
        "release": "none",
        "train": {},
    }
    source = {"kind": "labelled", "folder": "data/planted", "sets": {"promoter": "promoters"}}
    source |= {"licence": "CC0-1.0", "citation": "nobody"}
    numbers = project / "params.yaml"
    before = numbers.read_text(encoding="utf-8")
    micro.change(numbers, "species", "planted", to={**entry, "source": source})
    micro.change(numbers, "species", "human_sim", "train", to={"learning_rate": 1.5e-3})
    try:
        done = lonely.run(project, "dvc", "repro", "--keep-going", "train@planted", "train@human_sim")
    finally:
        numbers.write_text(before, encoding="utf-8")
        for folder in ("data/genes", "data/windows", "reports/check"):  # stages depend on the first two as a whole
            shutil.rmtree(project / folder / "planted", ignore_errors=True)
        lonely.repro(project, "homology", "train")
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "Running stage 'train@planted'" not in said
    assert "Running stage 'train@human_sim'" in said
    assert "rule length" in said
    assert "row 7: ACGGTACGGT" in said


def test_nothing_tried_to_reach_the_outside(project: Path, walked: dict[str, Any]) -> None:
    assert lonely.tried(project) == ""


def test_the_fence_refuses_and_tells(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    folder = lonely.copy(tmp_path / "p")
    done = lonely.run(folder, "python", "-c", "import socket; socket.create_connection(('192.0.2.1', 80), timeout=3)")
    assert done.returncode != 0
    assert "192.0.2.1" in lonely.tried(folder)
