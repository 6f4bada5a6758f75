"""A version made again from what was recorded, in a temporary clone, and its adapter's sha256 beside the recorded one.

The project is read, never written: the clone has its own workspace, DVC cache and lock, gone at the end.
"""

import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from episome import bundle
from episome.types import EpisomeError
from pipelines import child, commit, dvclock, origin, paths, recipe, trace
from pipelines.dvclock import LOCK
from pipelines.recipe import Command, Recipe
from pipelines.trace import Trace


class ReproduceError(EpisomeError):
    """It cannot be made again from what is here; nothing was said about its hash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduced:
    """What came of it.

    Attributes:
        species: short id.
        wanted: recorded sha256 of the adapter.
        found: of the one just made.
        whole: whether every other file of the bundle is equal too.
        blame: stages with another output, in order, and what they were given that differs.
        packages: packages with another version than at registration, in words.
    """

    species: str
    wanted: str
    found: str
    whole: bool
    blame: tuple[str, ...]
    packages: tuple[str, ...]

    @property
    def equal(self) -> bool:
        """Whether the adapter is the recorded one."""
        return self.found == self.wanted

    def words(self) -> Iterator[str]:
        """Lines for people, the verdict first."""
        if self.equal:
            yield f"{self.species}: equal: adapter sha256 {self.found}"
            rest = "and so is every other file of the bundle" if self.whole else "but other files of the bundle differ"
            yield f"  {rest}"
        else:
            yield f"{self.species}: DIFFERENT: recorded adapter sha256 {self.wanted}"
            yield f"  {'made again':>{len(self.species) + 28}} {self.found}"
        if not (self.equal and self.whole):
            yield from (f"  other output: {each}" for each in self.blame)
            yield from (f"  other package: {each}" for each in self.packages)


def reproduce(found: Trace) -> Reproduced:
    """Make a version again.

    Raises:
        ReproduceError: what was recorded does not suffice, the commit or an input is not here, the code was not that of
            the commit, or a command failed.
    """
    steps = _recipe(found)
    _refuse(found, steps)
    with tempfile.TemporaryDirectory(prefix="episome-reproduce-") as scratch:
        clone = Path(scratch) / recipe.FOLDER
        cloned, checked_out, _ = recipe.outside(steps, str(clone))
        _run(cloned, steps.project)
        _run(checked_out, steps.project)
        trace.place_inputs(found, clone)  # what the third command does
        for command in recipe.data(steps):
            _run(command, clone)
        _same_inputs(found, clone)
        _run(recipe.build(steps), clone)
        return _compared(found, steps, clone)


def _recipe(found: Trace) -> Recipe:
    if found.recipe is None:
        raise ReproduceError(f"{found.bundle[:12]} cannot be made again; missing: {'; '.join(found.missing)}")
    return found.recipe


def _refuse(found: Trace, steps: Recipe) -> None:
    """What can be known before anything is cloned."""
    name = f"{steps.species} (bundle {steps.bundle[:12]})"
    if not commit.has(steps.commit):
        raise ReproduceError(
            f"{name}: registered at commit {steps.commit}, which is not in this repository ({steps.project}); fetch it"
        )
    changed = (found.state or {}).get("changed")
    if changed is None:
        raise ReproduceError(f"{name}: whether files differed from commit {steps.commit} was not recorded")
    if other := origin.unrecorded(tuple(changed)):
        raise ReproduceError(
            f"{name}: made from a tree that was not commit {steps.commit}: {', '.join(other)} differed, and what "
            "was in them is recorded nowhere. Commit before `dvc repro` to get versions that can be made again"
        )
    if lacking := tuple(_not_cached(found, steps)):
        raise ReproduceError(
            f"{name}: not in DVC's cache ({steps.cache}): {', '.join(lacking)}; `dvc fetch` brings what a remote has"
        )


def _not_cached(found: Trace, steps: Recipe) -> Iterator[str]:
    """Inputs whose bytes the cache does not have."""
    with tempfile.TemporaryDirectory() as scratch:
        if steps.pins:
            trace.place_inputs(found, Path(scratch))
        for pin in steps.pins:
            for out in yaml.safe_load((Path(scratch) / pin).read_text(encoding="utf-8")).get("outs", ()):
                if steps.cache is None or not _cached(steps.cache / "files/md5", str(out.get("md5", "none"))):
                    yield str(Path(pin).parent / out["path"])


def _cached(cache: Path, md5: str) -> bool:
    held = cache / md5[:2] / md5[2:]
    if not held.is_file():
        return False
    listed = json.loads(held.read_bytes()) if md5.endswith(".dir") else []
    return all((cache / each["md5"][:2] / each["md5"][2:]).is_file() for each in listed)


def _same_inputs(found: Trace, clone: Path) -> None:
    """The clone has every input, code included, as the stages saw it."""
    wrong = []
    for path, md5 in dvclock.inputs(found.stages).items():
        here = dvclock.digest(clone / path)
        if here is None:
            wrong.append(f"{path} is neither in the commit nor tracked by DVC then (`dvc add`)")
        elif here != md5:
            wrong.append(f"{path} is {here} there, it was {md5}")
    if wrong:
        raise ReproduceError(
            f"{found.species} (bundle {found.bundle[:12]}): what it was made from is not what commit, registry and "
            "DVC's cache give:\n" + "\n".join(f"  - {each}" for each in wrong)
        )


def _run(command: Command, folder: Path) -> None:
    """Run one command with its output on stderr; it ends with this process, however that ends."""
    print(f"$ {command.line()}", file=sys.stderr, flush=True)
    code = child.run(recipe.own(command.words), folder=folder, environment=command.environment)
    if code != 0:
        raise ReproduceError(f"`{command.line()}` stopped with exit status {code}; what it said is above")


def _compared(found: Trace, steps: Recipe, clone: Path) -> Reproduced:
    made = clone / paths.bundle(steps.species)
    again = dvclock.read((clone / LOCK).read_text(encoding="utf-8"))
    blame = (
        f"{stage.name}, given {'what differs: ' + ', '.join(given) if given else 'the same'}"
        for stage, given in dvclock.differing(found.stages, again)
    )
    return Reproduced(
        species=steps.species,
        wanted=steps.adapter,
        found=hashlib.sha256((made / recipe.ADAPTER).read_bytes()).hexdigest(),
        whole=bundle.digest(made) == steps.bundle,
        blame=tuple(blame),
        packages=tuple(_other_packages((found.state or {}).get("packages", {}))),
    )


def _other_packages(before: Mapping[str, str]) -> Iterator[str]:
    now = origin.packages()
    for name in sorted({*before} | {*now}, key=str.lower):
        if before.get(name) != now.get(name):
            yield f"{name} {before.get(name, 'none')} → {now.get(name, 'none')}"
