"""A project folder as the pipeline leaves it: toy bundles, reports and params, for tests of registry and retrain."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from episome import bundle, params
from tests import micro, toy_bundles
from tests.conftest import ROOT

SPECIES = "human_sim"


def make(folder: Path) -> params.Params:
    """Write params.yaml, bundle/base and the workspace of one species (seed 1) below `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(ROOT / "params.yaml", folder / "params.yaml")
    micro.write(folder / "params.yaml")
    toy_bundles.write_base(folder / "bundle/base")
    train(folder, seed=1)
    return params.read(folder / "params.yaml")


def track(folder: Path, stage: str, pipeline: Any) -> None:
    """Put a folder under git and DVC, with a script and the pipeline that runs it, and no prior and no release yet."""
    (folder / "stage.py").write_text(stage)
    (folder / "dvc.yaml").write_text(yaml.safe_dump(pipeline))
    for name in ("prior", "releases"):
        (folder / name / "none").mkdir(parents=True)
    for words in (["git", "init", "--quiet"], [sys.executable, "-m", "dvc", "init", "--quiet"]):
        subprocess.run(words, cwd=folder, check=True, env=os.environ | {"DVC_NO_ANALYTICS": "1"})


def enter(kept: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> params.Params:
    """Copy a project to `folder` and work there; MLflow's artifacts stay where they are."""
    shutil.copytree(kept, folder, ignore=shutil.ignore_patterns("artifacts"))
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("EPISOME_SHELF", raising=False)
    return params.read()


def train(folder: Path, *, seed: int, prior: str = "none", release: str = "none", **gate: Any) -> str:
    """Replace the species' bundle and reports as a pipeline run would; give the bundle's digest."""
    shutil.rmtree(folder / "bundle" / SPECIES, ignore_errors=True)
    base = folder / "bundle/base"
    card = toy_bundles.card(bundle.digest(base), SPECIES)
    card = replace(card, lineage=replace(card.lineage, release=release))
    digest = toy_bundles.write_species(base, folder / "bundle" / SPECIES, card, seed)
    write(folder / "reports/gate" / f"{SPECIES}.json", report(digest, prior=prior) | gate)
    write(folder / "reports/evaluate" / f"{SPECIES}.json", EVALUATION)
    write(folder / "adapters" / SPECIES / "training.json", TRAINING)
    return digest


def write(path: Path, content: Any) -> None:
    """JSON with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def report(digest: str, *, prior: str = "none", prior_bundle: str | None = None) -> dict[str, Any]:
    """A passing gate report."""
    return {
        "species": SPECIES,
        "passed": True,
        "bundle": digest,
        "prior": prior,
        "prior_bundle": prior_bundle,
        "checks": [check("beats_chance", "promoter")],
    }


def check(
    name: str, suite: str, *, passed: bool = True, message: str = "fine", loss: float | None = None
) -> dict[str, Any]:
    """One line of a gate report."""
    return {
        "name": name,
        "suite": suite,
        "passed": passed,
        "message": message,
        "loss": loss,
        "low": 0.4,
        "high": 0.6,
        "n": 90,
        "limit": 0.0,
    }


EVALUATION = {
    "species": SPECIES,
    "tasks": {
        task: {
            "test": {"mcc": {"value": 0.5, "low": 0.4, "high": 0.6}},
            "baseline": {"mcc": {"value": 0.25, "low": 0.15, "high": 0.35}},
            "threshold": 0.5,
        }
        for task in ("promoter", "donor")
    },
}
TRAINING = {
    "steps": [{"step": 0, "loss": 0.7}, {"step": 1, "loss": 0.6}],
    "epochs": [{"epoch": 1, "loss": 0.65, "auroc": {"promoter": 0.8}, "best": True}],
}
