"""All of MLflow: registered models `episome-<species>`, one version per bundle, aliases `champion` and `previous`.

sqlite under ``registry/`` unless ``MLFLOW_TRACKING_URI`` names another store. A version exists only after its files
were uploaded, fetched back and found equal: MLflow itself calls a half-uploaded model READY.
"""

import os
import re
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple
from functools import cache
from importlib.metadata import distribution, packages_distributions
from pathlib import Path
from typing import Any

# MLflow reads these while it is imported: no telemetry, no progress bars, no run links on stdout.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["DO_NOT_TRACK"] = "true"
os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
os.environ["MLFLOW_LOGGING_LEVEL"] = "WARNING"
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # the default tries for minutes when a server is gone
os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")

import mlflow.pyfunc
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import Metric, Param
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.types import ColSpec, Schema
from sqlalchemy.exc import SQLAlchemyError

import episome
from episome import bundle, modelcard
from pipelines import commit, lock, measurements, registered
from pipelines.registered import Files, TrackingError, Version, model_name, pyfunc_uri, sha256

REGISTRY = Path("registry")
ORIGIN = "origin"
CARD = "card"
_SQLITE = "sqlite:///"
_CHUNK = 500  # metrics a call; MLflow refuses more than 1,000


def register(
    species: str, files: Files, numbers: Mapping[str, Any], origin: Mapping[str, str], experiment: str
) -> Version:
    """The version of a bundle: made when there is none yet; its gate report is renewed when it changed.

    Args:
        species: short id.
        files: what it is made of; both bundles are verified first.
        numbers: nested parameters to log; keys are joined by dots.
        origin: name → text of what it was made from, kept with a new version.
        experiment: MLflow experiment of the run.

    Raises:
        BundleError: a bundle does not verify.
        TrackingError: MLflow failed, or what it stored differs from what was sent.
    """
    bundle.verify(files.bundle)
    bundle.verify(files.base)
    digest = bundle.digest(files.bundle)
    with _errors_named(), lock.hold(REGISTRY / ".register.lock"):
        client = _client()
        known = next((found for found in map(_version, _search(client, species)) if found.bundle == digest), None)
        if known is None:
            return _create(client, species, files, numbers, origin, experiment)
        if known.gate != sha256(files.gate):
            _log_gate(client, known.run_id, files.gate)
            client.set_model_version_tag(model_name(species), str(known.number), "gate", sha256(files.gate))
        return _version(client.get_model_version(model_name(species), str(known.number)))


def versions(species: str) -> tuple[Version, ...]:
    """All versions of a species, newest first; none where nothing was registered."""
    with _errors_named():
        return tuple(_version(found) for found in _search(_client(), species))


def known() -> bool:
    """Whether there is a registry to ask; unlike every other question here, this makes none."""
    uri = _address()
    return not uri.startswith(_SQLITE) or Path(uri.removeprefix(_SQLITE)).is_file()


def named(bundle_digest: str) -> tuple[Version, ...]:
    """The versions, of any species, whose bundle's digest begins so; newest first."""
    with _errors_named():
        every = _pages(_client(), f"name LIKE '{model_name('%')}'")
        return tuple(_version(found) for found in every if found.tags.get("bundle", "").startswith(bundle_digest))


def aliases(version: Version) -> tuple[str, ...]:
    """What MLflow calls a version."""
    with _errors_named():
        return tuple(sorted(_client().get_model_version(model_name(version.species), str(version.number)).aliases))


def numbers(version: Version) -> dict[str, str]:
    """The parameters that were logged with a version."""
    with _errors_named():
        return dict(_client().get_run(version.run_id).data.params)


def kept(version: Version, name: str, folder: Path) -> Path | None:
    """Fetch a file, or a folder with all it holds, of a version's into `folder`; None where MLflow does not hold it."""
    with _errors_named():
        client = _client()
        there = {each.path for each in client.list_artifacts(version.run_id, str(Path(name).parent))}
        if name not in there:
            return None
        asked = {"run_id": version.run_id, "artifact_path": name}
        return Path(download_artifacts(**asked, dst_path=str(folder), tracking_uri=client.tracking_uri))


def champion(species: str) -> Version | None:
    """The version that the alias `champion` names, or None.

    Raises:
        TrackingError: MLflow cannot be asked.
    """
    with _errors_named():
        client = _client()
        found = client.search_registered_models(f"name = '{model_name(species)}'")
        if not found or "champion" not in found[0].aliases:
            return None
        return _version(client.get_model_version_by_alias(found[0].name, "champion"))


def aliased(species: str) -> dict[str, int]:
    """Every alias of a species' model and the number of the version that it names."""
    with _errors_named():
        found = _client().search_registered_models(f"name = '{model_name(species)}'")
        return {alias: int(number) for alias, number in found[0].aliases.items()} if found else {}


def set_alias(species: str, alias: str, number: int | None) -> None:
    """Point an alias at a version; None takes the alias away."""
    with _errors_named():
        if number is None:
            _client().delete_registered_model_alias(model_name(species), alias)
        else:
            _client().set_registered_model_alias(model_name(species), alias, str(number))


def download(version: Version, folder: Path) -> Files:
    """Fetch a version's files into `folder`, which must be empty.

    Raises:
        TrackingError: a file is missing; the bundles are for the caller to verify.
    """
    with _errors_named():
        uri = _uri()
        for part in ("model", "reports"):
            download_artifacts(run_id=version.run_id, artifact_path=part, dst_path=str(folder), tracking_uri=uri)
    files = Files(
        bundle=folder / "model/artifacts" / version.species,
        base=folder / "model/artifacts/base",
        gate=folder / "reports" / f"gate-{version.gate}.json",
        evaluation=folder / "reports/evaluation.json",
        training=folder / "reports/training.json",
    )
    if missing := [path.name for path in astuple(files) if not path.exists()]:
        raise TrackingError(f"{pyfunc_uri(version)}: MLflow no longer holds {', '.join(missing)}; register it again")
    return files


def _client() -> MlflowClient:
    return MlflowClient(tracking_uri=_uri())


def _address() -> str:
    return os.environ.get("MLFLOW_TRACKING_URI") or f"{_SQLITE}{REGISTRY / 'mlflow.db'}"


def _uri() -> str:
    """Where MLflow keeps its tables; an sqlite file is made here, whole or not at all.

    Several processes that open a fresh sqlite file at once break it for good: each would create the tables.
    """
    uri = _address()
    if not uri.startswith(_SQLITE):
        return uri
    path = Path(uri.removeprefix(_SQLITE)).absolute()
    with lock.hold(path.parent / ".lock"):
        if not path.exists():
            with tempfile.TemporaryDirectory(prefix=".new-", dir=path.parent) as folder:
                fresh = Path(folder) / path.name
                store = SqlAlchemyStore(f"{_SQLITE}{fresh}", str(path.parent / "artifacts"))
                store.engine.dispose()
                fresh.rename(path)
    return f"{_SQLITE}{path}"


def _experiment(client: MlflowClient, name: str) -> str:
    """Id of the experiment; beside an sqlite file artifacts lie in ``artifacts/``, else where the server puts them."""
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    uri = client.tracking_uri
    location = str(Path(uri.removeprefix(_SQLITE)).parent / "artifacts") if uri.startswith(_SQLITE) else None
    return str(client.create_experiment(name, artifact_location=location))


def _create(
    client: MlflowClient,
    species: str,
    files: Files,
    numbers: Mapping[str, Any],
    origin: Mapping[str, str],
    experiment: str,
) -> Version:
    """Log, upload, fetch back, compare, and only then make the version."""
    digest, git_commit, dirty = bundle.digest(files.bundle), *commit.state()
    about, card = {"species": species, "bundle": digest}, registered.model_card(files, git_commit)
    run = client.create_run(_experiment(client, experiment), run_name=f"{species}-{digest[:12]}", tags=about)
    run_id = run.info.run_id
    try:
        _log_numbers(client, run_id, files, numbers)
        _log_gate(client, run_id, files.gate)
        for path, name in ((files.evaluation, "evaluation.json"), (files.training, "training.json")):
            client.log_text(run_id, path.read_text(encoding="utf-8"), f"reports/{name}")
        for name, text in origin.items():
            client.log_text(run_id, text, f"{ORIGIN}/{name}")
        client.log_text(run_id, bundle.canonical(card).decode(), f"{CARD}/model_card.json")
        client.log_text(run_id, modelcard.markdown(card), f"{CARD}/model_card.md")
        _upload_model(client, run_id, species, files)
    except BaseException:
        client.set_terminated(run_id, "FAILED")
        raise
    client.set_terminated(run_id)
    if not client.search_registered_models(f"name = '{model_name(species)}'"):
        client.create_registered_model(model_name(species), description=f"Adapters of {species}, a version a bundle")
    tags = {"bundle": digest, "base": bundle.digest(files.base), "gate": sha256(files.gate)}
    tags |= {"git_commit": git_commit, "dirty": dirty}
    made = client.create_model_version(
        model_name(species),
        source=f"runs:/{run_id}/model",
        run_id=run_id,
        tags=tags,
        description=modelcard.headline(card),
    )
    return _version(made)


def _upload_model(client: MlflowClient, run_id: str, species: str, files: Files) -> None:
    """Save the pyfunc model, send it and fetch it back.

    Raises:
        TrackingError: a file came back different or not at all.
    """
    with tempfile.TemporaryDirectory() as scratch:
        sent, back = Path(scratch) / "model", Path(scratch) / "back"
        back.mkdir()
        _save_model(sent, files)
        client.log_artifacts(run_id, str(sent), "model")
        download_artifacts(run_id=run_id, artifact_path="model", dst_path=str(back), tracking_uri=client.tracking_uri)
        wanted, found = _hashes(sent), _hashes(back / "model")
        if wrong := sorted(name for name in wanted if found.get(name) != wanted[name]):
            raise TrackingError(
                f"{species}: MLflow stored {', '.join(wrong)} incomplete or changed; no version was made, run it again"
            )


def _save_model(folder: Path, files: Files) -> None:
    card = bundle.read_species_card(files.bundle)
    outputs = Schema([ColSpec("double", task.name) for task in card.tasks])
    with warnings.catch_warnings():
        for hint in (".*type hints.*", ".*input example was not provided.*"):
            warnings.filterwarnings("ignore", hint, UserWarning)
        mlflow.pyfunc.save_model(
            path=str(folder),
            python_model=str(Path(__file__).with_name("answer.py")),
            artifacts={"bundle": str(files.bundle), "base": str(files.base)},
            code_paths=[str(Path(episome.__file__).parent)],
            pip_requirements=_requirements(),
            signature=ModelSignature(inputs=Schema([ColSpec("string", "sequence")]), outputs=outputs),
            metadata={"species": card.species, "simulated": card.simulated},
        )


@cache
def _requirements() -> list[str]:
    """What answering needs, at the versions of this environment."""
    names = ["dnaio", "mlflow", "numpy", "pandas", "pydantic", "pyyaml", "safetensors", "tokenizers"]
    runtimes = [name for name in packages_distributions()["onnxruntime"] if name.startswith("onnxruntime")]
    return [f"{name}=={distribution(name).version}" for name in sorted({*names, *runtimes})]


def _log_numbers(client: MlflowClient, run_id: str, files: Files, numbers: Mapping[str, Any]) -> None:
    """Parameters, the training curve, test metrics and the gate's measurements."""
    params = [Param(key, str(value)[:6000]) for key, value in measurements.flat(numbers)]
    for start in range(0, len(params), 100):
        client.log_batch(run_id, params=params[start : start + 100])
    now = int(time.time() * 1000)
    measured = measurements.of(files.training, files.evaluation, files.gate)
    metrics = [Metric(key, value, now, step) for key, value, step in measured]
    for start in range(0, len(metrics), _CHUNK):
        client.log_batch(run_id, metrics=metrics[start : start + _CHUNK])


def _log_gate(client: MlflowClient, run_id: str, report: Path) -> None:
    client.log_text(run_id, report.read_text(encoding="utf-8"), f"reports/gate-{sha256(report)}.json")


def _search(client: MlflowClient, species: str) -> Iterator[ModelVersion]:
    return _pages(client, f"name = '{model_name(species)}'")


def _pages(client: MlflowClient, wanted: str) -> Iterator[ModelVersion]:
    """All versions that fit, newest first, page by page."""
    token: str | None = None
    while True:
        page = client.search_model_versions(wanted, order_by=["version_number DESC"], page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _version(found: ModelVersion) -> Version:
    return registered.version(found.name, int(found.version), found.tags, str(found.run_id))


def _hashes(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): sha256(path) for path in sorted(folder.rglob("*")) if path.is_file()}


@contextmanager
def _errors_named() -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            # MLflow's own table mapping, under SQLAlchemy 2.1.
            warnings.filterwarnings("ignore", "(?s).*noload.*", DeprecationWarning)
            yield
    except (MlflowException, SQLAlchemyError, OSError, ImportError) as error:
        where = re.sub("//[^/]*@", "//", _address())
        raise TrackingError(f"MLflow at {where}: {error}") from error
