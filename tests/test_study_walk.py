"""The full grid on a micro world of two species: killed on the way, gone on with, and every run there once."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from episome import looks, study
from tests import lonely, micro

pytestmark = pytest.mark.slow

SPECIES = ("human_sim", "mouse_sim")
METHODS = ("scratch", "adapted", "zero_shot", "head_only", "frozen_probe", "full", "kmer")
PAIRS = [{"donor": "human_sim", "target": "mouse_sim"}]
TRAINED = {"scratch", "adapted", "head_only", "full"}
MEASURED = {"load_seconds", "cpu_seconds", "mean_bytes"}
FULL = Path("reports/study_full")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the working tree whose micro world has rows and a base."""
    folder = lonely.copy(tmp_path_factory.mktemp("study") / "episome")
    numbers = folder / "params.yaml"
    micro.write(numbers, SPECIES)
    micro.change(numbers, "study", "methods", to=list(METHODS))
    micro.change(numbers, "study", "policies", to=["interpolated", "fixed"])
    micro.change(numbers, "study", "curves", to={"shares": [0.5], "pairs": PAIRS})
    lonely.repro(folder, "check", "base")
    return folder


def told(run: study.Run) -> dict[str, float]:
    """Its further numbers that are the same on every machine."""
    return {name: value for name, value in run.extra.items() if name not in MEASURED}


def ran(folder: Path) -> subprocess.CompletedProcess[str]:
    return lonely.run(folder, "python", "-m", "pipelines.study")


def killed(folder: Path, after: int) -> None:
    """Start the study with two workers, and kill it without a warning once it has written so many runs."""
    environment = os.environ | {"PYTHONPATH": f"{folder / 'src'}{os.pathsep}{folder}"}
    began = subprocess.Popen(
        [sys.executable, "-m", "pipelines.study"], cwd=folder, env=environment, stdout=subprocess.DEVNULL
    )
    runs, limit = folder / FULL / study.RUNS, time.monotonic() + 300
    try:
        while not runs.is_file() or len(runs.read_text(encoding="utf-8").splitlines()) < after:
            assert began.poll() is None, "the study ended before it could be killed"
            assert time.monotonic() < limit
            time.sleep(0.05)
    finally:
        began.send_signal(signal.SIGKILL)
        began.wait()


@pytest.fixture(scope="module")
def resumed(project: Path) -> list[study.Run]:
    """A study that was killed with two workers and ended with one; the runs that there were at the kill."""
    micro.change(project / "params.yaml", "study", "workers", to=2)
    killed(project, after=3)
    before = study.read(project / FULL / study.RUNS)
    micro.change(project / "params.yaml", "study", "workers", to=1)
    done = ran(project)
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"{len(before)} runs are there" in done.stdout
    return before


def test_a_study_that_was_killed_goes_on_and_does_nothing_twice(project: Path, resumed: list[study.Run]) -> None:
    before = resumed
    runs, predictions = study.gather(project / FULL)
    assert runs[: len(before)] == before
    assert len({run.key for run in runs}) == len(runs)
    assert Counter((run.method, run.share) for run in runs) == {
        ("scratch", 1): 2, ("adapted", 1): 4, ("zero_shot", 1): 2, ("head_only", 1): 2, ("frozen_probe", 1): 2,
        ("full", 1): 2, ("kmer", 1): 2, ("scratch", 0.5): 1, ("adapted", 0.5): 1,
    }  # fmt: skip
    for run in runs:
        found = predictions(run)
        assert len(found.labels) == run.test["n"] == len(found.groups)
        assert np.isfinite(found.probabilities).all()
    again = ran(project)
    assert again.returncode == 0
    assert f"{len(runs)} runs are there; 0 trainings to do" in again.stdout
    assert "looking into" not in again.stdout


def test_what_heirs_share_with_their_donors_is_looked_into(project: Path, resumed: list[study.Run]) -> None:
    found = looks.read(project / FULL)
    assert {(look.target, look.donor) for look in found} == {SPECIES, SPECIES[::-1]}  # one seed: none beside itself
    for look in found:
        values = look.values
        assert 0 <= values["attention_other_head"] < values["attention_same_head"] <= 1
        assert 0 <= values["key_overlap_expected"] < 0.1
        assert 0 <= values["key_overlap"] <= 1
        for name in ("head", "probe"):
            before, after = values[f"{name}_before"] - 0.5, values[f"{name}_after"] - 0.5
            assert before <= 0 or values[f"{name}_retention"] == pytest.approx(after / before)


def test_a_training_that_is_done_again_is_the_same_and_budgets_are_equal(
    project: Path, resumed: list[study.Run]
) -> None:
    folder = project / FULL
    runs = {run.key: run for run in study.read(folder / study.RUNS)}
    shutil.move(folder, project / "first")
    assert ran(project).returncode == 0
    again = study.read(folder / study.RUNS)
    shutil.rmtree(folder)
    shutil.move(project / "first", folder)  # the other tests are about the one that was killed, in any order
    for run in again:
        first = runs[run.key]
        # whether by a worker or in the study's own process: one thread each, so the same bits
        assert (run.test, run.curve, run.start, run.plan) == (first.test, first.curve, first.start, first.plan)
        assert told(run) == told(first)
        assert (run.extra.keys() - told(run).keys() == MEASURED) == (run.method in TRAINED)
    for run in (run for run in runs.values() if run.method == "adapted"):
        name = study.key(
            target=run.target, donor="base", method="scratch", policy="", task=run.task, share=run.share, seed=run.seed
        )
        if name in runs:
            assert run.extra["tokens"] <= run.extra["granted_tokens"] <= runs[name].extra["granted_tokens"]
        assert (run.plan is None) == (run.policy == "fixed")
        assert run.start in {"donor", "nothing"}


def test_other_numbers_are_not_mixed_in(project: Path, resumed: list[study.Run]) -> None:
    numbers = project / "params.yaml"
    before = numbers.read_text(encoding="utf-8")
    micro.change(numbers, "train", "learning_rate", to=5.0e-3)
    try:
        done = ran(project)
    finally:
        numbers.write_text(before, encoding="utf-8")
    assert done.returncode != 0
    assert "other rows or other numbers in params.yaml" in done.stderr


def test_the_reduced_grid_judges_the_adapters_that_are_there(project: Path) -> None:
    lonely.repro(project, "study")
    runs, _ = study.gather(project / "reports/study")
    assert {run.grid for run in runs} == {"reduced"}
    assert Counter((run.method, run.target, run.donor) for run in runs) == {
        ("scratch", "human_sim", "base"): 1, ("adapted", "mouse_sim", "human_sim"): 1, ("kmer", "human_sim", "base"): 1,
        ("kmer", "mouse_sim", "base"): 1, ("zero_shot", "human_sim", "mouse_sim"): 1,
        ("zero_shot", "mouse_sim", "human_sim"): 1,
    }  # fmt: skip
    (adapted,) = [run for run in runs if run.method == "adapted"]
    record = json.loads((project / "adapters/mouse_sim/training.json").read_text(encoding="utf-8"))
    assert adapted.plan == record["transfer"]["plan"]
    assert [each.val_auroc for each in adapted.curve] == [each["auroc"]["donor"] for each in record["epochs"]]
    assert adapted.seconds is None
