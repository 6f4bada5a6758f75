"""The commands that make a registered version again, in a clone that reads the project and changes nothing of it."""

import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipelines import origin, paths

FOLDER = "rebuilt"
ADAPTER = "adapter.safetensors"
# Where the clone's own code goes before what is installed, and nothing is looked up outside.
ENVIRONMENT = {"PYTHONPATH": "src:.", "HF_HUB_OFFLINE": "1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What the commands are about.

    Attributes:
        project: root folder of the git repository that has the commit.
        commit: that the version was registered at.
        species: short id.
        bundle: digest of its bundle.
        pins: ``.dvc`` files of the data that no stage makes.
        cache: DVC's cache that has those data; None where there are none.
        adapter: recorded sha256 of the adapter.
    """

    project: Path
    commit: str
    species: str
    bundle: str
    pins: tuple[str, ...]
    cache: Path | None
    adapter: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command, and what it has in its environment beside everything else."""

    words: tuple[str, ...]
    environment: Mapping[str, str]

    def line(self) -> str:
        """As a shell takes it."""
        return " ".join([*(f"{name}={value}" for name, value in self.environment.items()), shlex.join(self.words)])


def outside(recipe: Recipe, folder: str = FOLDER) -> tuple[Command, ...]:
    """A clone of the commit with params.yaml and ``.dvc`` files as registered; run in the project's root folder.

    `--shared` copies nothing and finds a commit that no branch has any more.
    """
    return (
        _plain("git", "clone", "--quiet", "--no-checkout", "--shared", str(recipe.project), folder),
        _plain("git", "-C", folder, "checkout", "--quiet", "--detach", recipe.commit),
        _plain("episome", "trace", recipe.bundle, "--inputs", folder),
    )


def data(recipe: Recipe) -> tuple[Command, ...]:
    """The data of ``.dvc`` files, out of the project's cache into the clone's own; nothing where there are none."""
    if not recipe.pins:
        return ()
    return (
        _plain("dvc", "remote", "add", "--quiet", "--local", "--default", "project", str(recipe.cache)),
        _plain("dvc", "pull", "--quiet", *recipe.pins),
    )


def build(recipe: Recipe) -> Command:
    """Training and export; `--force` takes nothing that an earlier run left in a cache."""
    return Command(words=("dvc", "repro", "--force", origin.target(recipe.species)), environment=ENVIRONMENT)


def lines(recipe: Recipe) -> tuple[str, ...]:
    """All of them, for a person to run from the project's root folder; the last shows what came of it."""
    return (
        *(command.line() for command in outside(recipe)),
        f"cd {FOLDER}",
        *(command.line() for command in (*data(recipe), build(recipe))),
        f"sha256sum {paths.bundle(recipe.species) / ADAPTER}  # recorded: {recipe.adapter}",
    )


def cache() -> Path | None:
    """Where the project's DVC keeps data; None where DVC cannot say."""
    done = subprocess.run(own(("dvc", "cache", "dir")), capture_output=True, text=True, check=False)
    return Path(done.stdout.strip()) if done.returncode == 0 else None


def own(words: tuple[str, ...]) -> list[str]:
    """The words with this environment's program in front, whatever PATH says."""
    program = Path(sys.executable).with_name(words[0])
    return [str(program) if program.exists() else words[0], *words[1:]]


def _plain(*words: str) -> Command:
    return Command(words=words, environment={})
