"""dvc.lock: which stages are behind an output, and what they were made from, by DVC's own hashes."""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from episome.types import EpisomeError

LOCK = Path("dvc.lock")


class LockError(EpisomeError):
    """A dvc.lock that is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage as it last ran; hashes are DVC's: md5, of a folder with ``.dir`` at its end.

    Attributes:
        name: as `dvc repro` takes it.
        cmd: what it ran.
        deps: path → hash.
        outs: path → hash.
        params: file → key → value.
    """

    name: str
    cmd: str
    deps: Mapping[str, str]
    outs: Mapping[str, str]
    params: Mapping[str, Any]


def read(text: str, where: str = str(LOCK)) -> dict[str, Stage]:
    """Stages by name.

    Raises:
        LockError: not a dvc.lock.
    """
    try:
        listed = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))["stages"]
        return {
            name: Stage(
                name=name,
                cmd=str(body["cmd"]),
                deps=_hashes(body.get("deps", ())),
                outs=_hashes(body.get("outs", ())),
                params=body.get("params", {}),
            )
            for name, body in listed.items()
        }
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise LockError(f"{where}: not a dvc.lock: {error!r}") from error


def behind(stages: Mapping[str, Stage], target: str, keys: Collection[str]) -> tuple[Stage, ...]:
    """The target and every stage it is made from, each behind those it needs; none where the target never ran.

    Args:
        stages: of a dvc.lock, which also keeps stages that dvc.yaml has no longer.
        target: name of a stage.
        keys: what ``@key`` of a stage may be; others are left over.
    """
    alive = {name: stage for name, stage in stages.items() if "@" not in name or name.split("@")[1] in keys}
    ordered: dict[str, Stage] = {}

    def visit(stage: Stage) -> None:
        for other in alive.values():
            if other.name != stage.name and any(_meet(dep, out) for dep in stage.deps for out in other.outs):
                visit(other)
        ordered.setdefault(stage.name, stage)

    if target in alive:
        visit(alive[target])
    return tuple(ordered.values())


def inputs(stages: Sequence[Stage]) -> dict[str, str]:
    """What stages need and none of them makes: path → hash, code included."""
    made = [out for stage in stages for out in stage.outs]
    needed = {path: md5 for stage in stages for path, md5 in stage.deps.items()}
    return {path: md5 for path, md5 in sorted(needed.items()) if not any(_meet(path, out) for out in made)}


def is_code(path: str) -> bool:
    """Whether an input is the project's own code, and not data."""
    return path.startswith(("src/", "pipelines/"))


def differing(before: Sequence[Stage], after: Mapping[str, Stage]) -> Iterator[tuple[Stage, tuple[str, ...]]]:
    """Stages with other outputs, in order, with what it was given that differs; nothing, where it is to blame."""
    for stage in before:
        other = after.get(stage.name)
        if other is not None and other.outs != stage.outs:
            given = sorted({*stage.deps} | {*other.deps})
            changed = [path for path in given if stage.deps.get(path) != other.deps.get(path)]
            yield stage, (*changed, *(["params.yaml"] if stage.params != other.params else []))


def digest(path: Path) -> str | None:
    """DVC's hash of a file or folder as it is now; None where nothing is there."""
    if path.is_file():
        return _md5(path)
    if not path.is_dir():
        return None
    files = [each for each in path.rglob("*") if each.is_file() and not _ignored(each.relative_to(path))]
    names = sorted((each.relative_to(path).parts, each) for each in files)
    listed = [{"md5": _md5(each), "relpath": "/".join(parts)} for parts, each in names]
    return hashlib.md5(json.dumps(listed, sort_keys=True).encode(), usedforsecurity=False).hexdigest() + ".dir"


def _hashes(listed: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    return {each["path"]: str(each.get("md5", "")) for each in listed}


def _meet(one: str, other: str) -> bool:
    """Whether two paths are the same or one lies in the other."""
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")


def _ignored(path: Path) -> bool:
    """What .dvcignore leaves out."""
    return "__pycache__" in path.parts or path.suffix == ".pyc"


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
