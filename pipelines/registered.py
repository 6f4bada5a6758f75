"""What is registered: a version, the files it is made of, and how a tracking store names it; `tracking` stores it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from episome import bundle, modelcard, provenance
from episome.types import EpisomeError


class TrackingError(EpisomeError):
    """MLflow cannot be reached, refused, or does not hold what it should."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """What one version is made of.

    Attributes:
        bundle: folder of the species bundle, named as the species.
        base: folder of the base bundle it needs, named ``base``.
        gate: gate report (JSON) of this bundle.
        evaluation: test metrics (JSON).
        training: steps and epochs of the training run (JSON).
    """

    bundle: Path
    base: Path
    gate: Path
    evaluation: Path
    training: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One registered version.

    Attributes:
        species: short id.
        number: version number in MLflow.
        bundle: digest of its bundle.
        gate: sha256 of the newest gate report of this bundle.
        git_commit: of the project when it was registered, or ``none``.
        dirty: whether tracked files differed from that commit (``yes``, ``no`` or ``unknown``).
        run_id: MLflow run that holds its files.
    """

    species: str
    number: int
    bundle: str
    gate: str
    git_commit: str
    dirty: str
    run_id: str


def sha256(path: Path) -> str:
    """Of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def model_name(species: str) -> str:
    """Name of the registered model."""
    return f"episome-{species}"


def pyfunc_uri(version: Version) -> str:
    """What `mlflow.pyfunc.load_model` wants."""
    return f"models:/{model_name(version.species)}/{version.number}"


def version(model: str, number: int, tags: Mapping[str, str], run_id: str) -> Version:
    """The version that a model's tags describe.

    Raises:
        TrackingError: it lacks a tag, so it was not `tracking.register` that made it.
    """
    missing = [tag for tag in ("bundle", "gate", "git_commit", "dirty") if tag not in tags]
    if missing:
        raise TrackingError(
            f"{model} version {number} has no tag {', '.join(missing)}; it was not registered by Episome: delete it"
        )
    return Version(
        species=model.removeprefix("episome-"),
        number=number,
        bundle=tags["bundle"],
        gate=tags["gate"],
        git_commit=tags["git_commit"],
        dirty=tags["dirty"],
        run_id=run_id,
    )


def model_card(files: Files, git_commit: str) -> dict[str, Any]:
    """The model card of what is about to be registered, which has no number yet.

    Raises:
        BundleError: the bundle's card or data.json is none.
    """
    return modelcard.build(
        bundle.read_species_card(files.bundle),
        provenance.read(files.bundle),
        bundle=bundle.digest(files.bundle),
        git_commit=git_commit,
        gate=sha256(files.gate),
    )
