"""Runs of a study on disk: written line by line, read back, cut short by a kill, refused when they are none."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from episome import study
from episome.study import Epoch, Predictions, Run, StudyError


def run(**changes: Any) -> Run:
    given: dict[str, Any] = {
        "world": "demo", "target": "mouse_sim", "donor": "human_sim", "method": "adapted", "policy": "interpolated",
        "task": "donor", "share": 0.5, "seed": 3, "test": {"auroc": {"value": 0.8, "low": 0.7, "high": 0.9}},
        "curve": (Epoch(epoch=0, loss=0.6, val_auroc=0.7),), "seconds": 1.5, "peak_bytes": 10, "start": "donor",
    }  # fmt: skip
    return Run(**{**given, **changes})


def test_runs_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "study" / "runs.jsonl"
    runs = [run(), run(seed=4, plan={"rate": 1e-3}, extra={"cka_deep": 0.9})]
    for one in runs:
        study.append(path, one)
    assert study.read(path) == runs
    assert len({one.key for one in runs}) == 2


def test_a_line_cut_short_by_a_kill_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    study.append(path, run())
    whole = path.read_text()
    path.write_text(whole + whole[:40])
    assert study.read(path) == [run()]
    study.append(path, run(seed=4))
    assert study.read(path) == [run(), run(seed=4)]
    path.write_text(whole[:40])
    study.append(path, run())
    assert path.read_text() == whole


def test_what_is_no_run_is_named(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    study.append(path, run())
    path.write_text(path.read_text() + '{"world": "demo"}\n')
    with pytest.raises(StudyError, match=r"runs\.jsonl line 2: no run"):
        study.read(path)
    with pytest.raises(StudyError, match=r"absent\.jsonl: no such file"):
        study.read(tmp_path / "absent.jsonl")


def test_predictions_come_back_and_absent_ones_are_named(tmp_path: Path) -> None:
    given = Predictions(labels=np.array([0, 1], np.int8), probabilities=np.array([0.2, 0.9]), groups=["a", "b"])
    study.save(tmp_path / "predictions", run(), given)
    found = study.load(tmp_path / "predictions", run())
    assert (found.labels == given.labels).all()
    assert (found.probabilities == given.probabilities).all()
    assert found.groups == given.groups
    with pytest.raises(StudyError, match=r"npz: no predictions"):
        study.load(tmp_path / "predictions", run(seed=9))


def test_a_study_is_one_folder_or_one_for_each_species(tmp_path: Path) -> None:
    given = Predictions(labels=np.array([0, 1], np.int8), probabilities=np.array([0.2, 0.9]), groups=["a", "b"])
    with pytest.raises(StudyError, match=r"no runs\.jsonl, nor a folder with one"):
        study.gather(tmp_path)
    for one in (run(), run(target="fly_sim")):
        part = tmp_path / "reduced" / one.target
        study.append(part / study.RUNS, one)
        study.save(part / study.PREDICTIONS, one, given)
    runs, predictions = study.gather(tmp_path / "reduced")
    assert [one.target for one in runs] == ["fly_sim", "mouse_sim"]
    assert [predictions(one).groups for one in runs] == [["a", "b"]] * 2
    whole, _ = study.gather(tmp_path / "reduced" / "fly_sim")
    assert [one.target for one in whole] == ["fly_sim"]
