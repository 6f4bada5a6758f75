"""The stage `train`: what params ask for is what is trained, and a killed process goes on to the same bytes."""

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from episome import dataset, lora
from episome.types import EpisomeError
from pipelines import train as stage
from tests import micro
from tests.conftest import ROOT
from tests.pipelines import toy_training

HUMAN, MOUSE, FLY = micro.SPECIES


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A toy project, the human and the fly trained; torch's settings come back afterwards."""
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    toy_training.make(tmp_path)
    monkeypatch.chdir(tmp_path)
    stage.main(HUMAN)
    stage.main(FLY)
    yield tmp_path
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(strict)


def digests(project: Path, species: str) -> dict[str, str]:
    """Hash of every tensor file of an adapter; the curve in training.json begins anew after a kill."""
    files = sorted((project / "adapters" / species).glob("*.safetensors"))
    assert len(files) == 3
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def again(project: Path, **train: Any) -> dict[str, str]:
    """The mouse trained with some numbers of its own."""
    micro.change(project / "params.yaml", "species", MOUSE, "train", to=train)
    stage.main(MOUSE)
    assert not list((project / "checkpoints").iterdir())
    return digests(project, MOUSE)


def test_every_weight_reaches_the_training_and_zero_is_none(project: Path) -> None:
    micro.change(project / "params.yaml", "transfer", "check_epochs", to=0)
    plain = again(project)
    assert again(project, retain_lambda=0, distil_lambda=0.0, joint_lambda=0, precision="fp32") == plain
    assert toy_training.trained(project, MOUSE)["transfer"]["start"] == {"from": HUMAN}
    strands = {"strand_free": ["promoter"], "reverse_complement_share": 0.5}
    changes: list[dict[str, Any]] = [
        {"retain_lambda": 100.0}, {"distil_lambda": 10.0}, {"joint_lambda": 1.0}, {"precision": "bf16"}, strands,
        {"balance": "sampling"}, {"auxiliary": {"targets": ["gc", "orf"], "weight": 1.0}},
    ]  # fmt: skip
    seen = [plain["adapter_model.safetensors"]]
    for change in changes:
        seen.append(again(project, **change)["adapter_model.safetensors"])
        penalties = [step["penalty"] for step in toy_training.trained(project, MOUSE)["steps"]]
        assert (max(penalties) > 0) is bool(change.keys() & {"retain_lambda", "distil_lambda"})
    assert len(set(seen)) == len(seen)
    assert again(project, gradient_checkpointing=True) == plain


def test_a_second_donor_is_mixed_in_by_its_distance(project: Path) -> None:
    micro.change(project / "params.yaml", "species", MOUSE, "beside", to=FLY)
    micro.change(project / "params.yaml", "species", MOUSE, "train", to={"epochs": 0})
    stage.main(MOUSE)
    about = toy_training.trained(project, MOUSE)
    start = about["transfer"]["start"]
    assert about["beside"] == FLY
    human, fly = start["mixture"]["weights"]
    assert human + fly == pytest.approx(1.0)
    assert human / fly == pytest.approx(np.exp(1.72 - 0.22), rel=0.05)
    assert 0 <= start["mixture"]["lost"] < 1
    if start["from"] == HUMAN:
        parts = [lora.read(project / "adapters" / name) for name in (MOUSE, HUMAN, FLY)]
        for key in (key for key in parts[0] if "lora_B" in key):
            got, one, other = (part[key] @ part[key.replace("lora_B", "lora_A")] for part in parts)
            whole = human * one + fly * other
            assert float((got - whole).norm()) <= float(min((whole - one).norm(), (whole - other).norm())) + 1e-6


def test_joint_rows_of_a_donor_without_the_targets_tasks_are_refused(project: Path) -> None:
    table = toy_training.rows_of(HUMAN, 0).assign(label_promoter=-1, label_donor=-1)
    table = table.astype({"label_promoter": "int8", "label_donor": "int8"})
    dataset.write(project / "data/windows" / HUMAN / "rows.parquet", table)
    micro.change(project / "params.yaml", "species", MOUSE, "train", to={"joint_lambda": 1.0})
    with pytest.raises(EpisomeError, match=r"the donor has 0 training .*promoter, donor.*set train\.joint_lambda to 0"):
        stage.main(MOUSE)


def begin(folder: Path) -> subprocess.Popen[bytes]:
    """The real stage in a process of its own."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT)))}
    command = [sys.executable, "-m", "pipelines.train", HUMAN]
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)


@pytest.mark.slow
def test_a_process_killed_twice_leaves_the_adapter_of_an_undisturbed_one(tmp_path: Path) -> None:
    folders = [tmp_path / "whole", tmp_path / "killed"]
    for folder in folders:
        folder.mkdir()
        toy_training.make(folder, epochs=40, patience=99, checkpoint_seconds=1e-3)
    whole, killed = folders
    assert begin(whole).wait() == 0
    checkpoint = killed / "checkpoints" / f"{HUMAN}.safetensors"
    rng = np.random.default_rng()
    for _ in range(2):
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        process = begin(killed)
        while process.poll() is None and (not checkpoint.exists() or checkpoint.stat().st_mtime_ns == before):
            time.sleep(0.005)
        time.sleep(float(rng.uniform(0.0, 0.4)))
        assert process.poll() is None, "it ended before it could be killed"
        process.kill()
        assert process.wait() == -9
    assert checkpoint.is_file()
    assert not (killed / "adapters" / HUMAN).exists()
    assert begin(killed).wait() == 0
    assert digests(killed, HUMAN) == digests(whole, HUMAN)
    resumed, undisturbed = (toy_training.trained(folder, HUMAN)["steps"] for folder in (killed, whole))
    assert 0 < len(resumed) < len(undisturbed)
    assert not checkpoint.exists()
