"""What a version was made from, as it is when the version is registered: kept beside it, so that it can be made again.

``state.json`` says which commit, which tracked files differed from it, which packages and machine; ``dvc.lock`` has
DVC's hashes; ``workspace/`` holds the small files that a clone of the commit may lack (params.yaml, ``.dvc`` files).
"""

import json
import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import yaml

from pipelines import commit, dvclock, paths
from pipelines.dvclock import LOCK, Stage

STATE = "state.json"
WORKSPACE = "workspace"
PARAMS = Path("params.yaml")
_BESIDE = (
    ".gitignore",
    "sha256sums.txt",
)  # what `episome data fetch` writes beside a .dvc file, hashed with its folder


def record(species: str) -> dict[str, str]:
    """Name → text of everything that is kept."""
    head, _ = commit.state()
    here: dict[str, Any] = {"commit": head, "changed": commit.changes(), "python": platform.python_version()}
    here |= {"machine": platform.machine(), "packages": packages()}
    kept = {STATE: json.dumps(here, indent=2, sort_keys=True) + "\n"}
    kept[f"{WORKSPACE}/{PARAMS}"] = PARAMS.read_text(encoding="utf-8")
    text = LOCK.read_text(encoding="utf-8") if LOCK.exists() else ""
    stages = made(text, kept[f"{WORKSPACE}/{PARAMS}"], species) if text else ()
    if stages and stages[-1].outs.get(str(paths.bundle(species))) == dvclock.digest(paths.bundle(species)):
        kept[str(LOCK)] = text
        kept |= {f"{WORKSPACE}/{pin}": pin.read_text(encoding="utf-8") for pin in _pins(stages)}
    return kept


def made(lock: str, params: str, species: str) -> tuple[Stage, ...]:
    """The stages behind a species' bundle, its export last; none where the lock has no export of it."""
    known = yaml.safe_load(params)
    keys = {*known.get("species", ()), *known.get("world", ())}
    return dvclock.behind(dvclock.read(lock), target(species), keys)


def target(species: str) -> str:
    """The stage that makes a species' bundle."""
    return f"export@{species}"


def unrecorded(changed: tuple[str, ...]) -> tuple[str, ...]:
    """Of the files that differed from the commit, those that are not kept and may matter."""
    kept = (str(PARAMS), ".dvc", ".gitignore")
    return tuple(name for name in changed if not name.endswith(kept))


def packages() -> Mapping[str, str]:
    """Version of every installed package."""
    return {each.name: each.version for each in distributions()}


def _pins(stages: tuple[Stage, ...]) -> Iterator[Path]:
    """``.dvc`` files of the data that no stage makes: of the path, of a folder around it, or of files in it."""
    found: set[Path] = set()
    for name in dvclock.inputs(stages):
        path = Path(name)
        if not dvclock.is_code(name) and not path.is_absolute():
            around = (path, *path.parents[:-1])
            found |= {pin for each in around if (pin := each.with_name(f"{each.name}.dvc")).is_file()}
            inside = [pin for pin in path.rglob("*.dvc") if pin.is_file()]
            beside = [pin.with_name(other) for pin in inside for other in _BESIDE]
            found |= {*inside, *(each for each in beside if each.is_file())}
    yield from sorted(found)
