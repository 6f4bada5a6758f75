import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.telemetry.utils import is_telemetry_disabled

from episome import bundle, modelcard
from episome.params import Params
from episome.runtime import Engine, Row
from episome.types import EpisomeError
from pipelines import register, registered, tracking
from pipelines.registered import TrackingError
from tests import toy_bundles
from tests.conftest import ROOT
from tests.pipelines import project
from tests.pipelines.project import SPECIES
from tests.toy_bundles import dna


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Params]:
    """A project whose one bundle is registered; the working folder is that project."""
    folder = tmp_path_factory.mktemp("tracking")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        made = project.make(folder)
        patch.chdir(folder)
        register.main(SPECIES)
        yield made


def test_a_bundle_becomes_a_version_that_names_it(settings: Params) -> None:
    (version,) = tracking.versions(SPECIES)
    assert (version.number, version.bundle) == (1, bundle.digest(Path("bundle") / SPECIES))
    assert (version.git_commit, version.dirty) == ("none", "unknown")
    report = json.loads(Path(f"reports/register/{SPECIES}.json").read_bytes())
    assert (report["model"], report["version"], report["bundle"]) == (f"episome-{SPECIES}", 1, version.bundle)
    assert tracking.champion(SPECIES) is None, "registration moves no alias"


def test_a_version_has_its_model_card(settings: Params, tmp_path: Path) -> None:
    (version,) = tracking.versions(SPECIES)
    kept = tracking.kept(version, tracking.CARD, tmp_path)
    assert kept is not None
    made = json.loads((kept / "model_card.json").read_bytes())
    assert (made["model_details"]["bundle"], made["model_details"]["gate"]) == (version.bundle, version.gate)
    assert made["training_data"]["licence"] == toy_bundles.MADE.licence
    page = (kept / "model_card.md").read_text(encoding="utf-8")
    assert page == modelcard.markdown(made)
    client = MlflowClient(tracking_uri="sqlite:///" + str(Path("registry/mlflow.db").absolute()))
    described = client.get_model_version(registered.model_name(SPECIES), str(version.number)).description
    assert page.startswith(f"# {described}\n")
    assert "SIMULATED" in page.splitlines()[0]


def test_the_same_bundle_is_the_same_version(settings: Params) -> None:
    assert register.register(SPECIES, settings) == register.register(SPECIES, settings)
    assert len(tracking.versions(SPECIES)) == 1


def test_numbers_are_logged_with_their_steps(settings: Params) -> None:
    client = MlflowClient(tracking_uri="sqlite:///" + str(Path("registry/mlflow.db").absolute()))
    (version,) = tracking.versions(SPECIES)
    run = client.get_run(version.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["train.learning_rate"] == str(settings.train.learning_rate)
    assert run.data.metrics["evaluation.promoter.test.mcc.low"] == 0.4
    assert run.data.metrics["gate.beats_chance.promoter.n"] == 90
    curve = client.get_metric_history(version.run_id, "train.steps.loss")
    assert [(point.step, point.value) for point in curve] == [(0, 0.7), (1, 0.6)]


def test_a_renewed_gate_report_replaces_the_old_one(settings: Params, tmp_path: Path) -> None:
    path = Path(f"reports/gate/{SPECIES}.json")
    before = path.read_bytes()
    old = register.register(SPECIES, settings)
    project.write(path, json.loads(before) | {"passed": False})
    new = register.register(SPECIES, settings)
    assert (new.number, new.bundle) == (old.number, old.bundle)
    assert new.gate != old.gate
    assert not json.loads(tracking.download(new, tmp_path).gate.read_bytes())["passed"]
    path.write_bytes(before)
    assert register.register(SPECIES, settings).gate == old.gate


def test_what_is_downloaded_verifies_and_is_the_bundle(settings: Params, tmp_path: Path) -> None:
    (version,) = tracking.versions(SPECIES)
    files = tracking.download(version, tmp_path)
    bundle.verify(files.bundle)
    bundle.verify(files.base)
    assert bundle.digest(files.bundle) == version.bundle
    assert bundle.digest(files.base) == bundle.digest(Path("bundle/base"))


@pytest.mark.filterwarnings("ignore:(?s).*type hints.*:UserWarning")
def test_the_version_answers_through_pyfunc_without_pickle(settings: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    (version,) = tracking.versions(SPECIES)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///" + str(Path("registry/mlflow.db").absolute()))
    monkeypatch.setattr(sys, "path", list(sys.path))  # the model brings its own copy of the package
    model = mlflow.pyfunc.load_model(registered.pyfunc_uri(version))
    asked = [dna(1, 60), dna(2, 40).lower(), dna(3, 41)]
    answers = model.predict(pd.DataFrame({"sequence": asked}))

    engine = Engine(Path("bundle/base"), threads=1)
    adapter = engine.add(Path("bundle") / SPECIES)
    whole = adapter.probabilities(engine.score([Row(sequence=s, slot=adapter.slot, centre=None) for s in asked])[0])
    sites = [Row(sequence=s, slot=adapter.slot, centre=len(s) // 2) for s in asked]
    centred = adapter.probabilities(engine.score(sites)[0])
    engine.close()
    assert list(answers.columns) == ["promoter", "donor"]
    np.testing.assert_allclose(answers["promoter"], whole[:, 0], atol=1e-6)
    np.testing.assert_allclose(answers["donor"], centred[:, 1], atol=1e-6)
    assert not [path for path in Path("registry/artifacts").rglob("*") if path.suffix in {".pkl", ".pickle", ".joblib"}]


def test_an_incomplete_upload_makes_no_version(settings: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = MlflowClient.log_artifacts

    def half(client: MlflowClient, run_id: str, local_dir: str, artifact_path: str | None = None) -> None:
        victim = Path(local_dir) / "artifacts" / SPECIES / "head.safetensors"
        content = victim.read_bytes()
        victim.write_bytes(content[: len(content) // 2])
        whole(client, run_id, local_dir, artifact_path)
        victim.write_bytes(content)

    monkeypatch.setattr(MlflowClient, "log_artifacts", half)
    project.train(Path(), seed=5)
    with pytest.raises(TrackingError, match=r"head\.safetensors incomplete or changed; no version was made"):
        register.register(SPECIES, settings)
    assert len(tracking.versions(SPECIES)) == 1
    project.train(Path(), seed=1)


def test_a_report_about_another_bundle_is_not_registered(settings: Params) -> None:
    path = Path(f"reports/gate/{SPECIES}.json")
    before = path.read_bytes()
    project.write(path, json.loads(before) | {"bundle": "0" * 64})
    with pytest.raises(EpisomeError, match="judges bundle 000000000000"):
        register.register(SPECIES, settings)
    path.unlink()
    with pytest.raises(EpisomeError, match=f"reports/gate/{SPECIES}.json is not there; `dvc repro register@{SPECIES}`"):
        register.register(SPECIES, settings)
    path.write_bytes(before)


@pytest.mark.parametrize("uri", ["sqlite:///broken.db", "postgresql://someone:secret@127.0.0.1:9/mlflow"])
def test_a_registry_that_does_not_answer_is_named_without_its_password(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken.db").write_text("not a database" * 100)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(TrackingError, match=r"broken\.db|127\.0\.0\.1:9/mlflow") as refused:
        tracking.versions(SPECIES)
    assert "secret" not in str(refused.value)


@pytest.mark.slow
def test_a_fresh_registry_survives_processes_that_open_it_at_once_and_stdout_stays_clean(tmp_path: Path) -> None:
    script = f"from pipelines import tracking; assert tracking.versions({SPECIES!r}) == ()"
    environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"} | {"PYTHONPATH": str(ROOT)}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(2)
    ]
    for process in running:
        out, err = process.communicate(timeout=120)
        assert (process.returncode, out, err) == (0, b"", b"")
    assert sorted(path.name for path in (tmp_path / "registry").iterdir()) == [".lock", "mlflow.db"]


def test_nothing_is_reported_to_anybody() -> None:
    assert is_telemetry_disabled()
