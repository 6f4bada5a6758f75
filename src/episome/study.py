"""Runs of a transfer study: what was trained for whom from whom, and how well it answers; one JSON line a run."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from episome.studyparams import Method, Policy
from episome.types import EpisomeError

RUNS, PREDICTIONS = "runs.jsonl", "predictions"
_STRICT = ConfigDict(extra="forbid")


class StudyError(EpisomeError):
    """A file of runs that cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """One epoch of a training: mean loss (nats a label) and validation AUROC of the task."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    epoch: int
    loss: float
    val_auroc: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One training, or none where a donor's adapter answers as it is, judged on one task of the target's test rows.

    Attributes:
        world: name of the study, e.g. of the simulated world.
        target: species key.
        donor: species key, or ``base`` for no donor.
        method: what was done; ``adapted`` is the policy of the platform, all others are beside it.
        policy: mode of the transfer policy; "" where none applies.
        share: of the target's training rows that were used.
        test: scores as `metrics.evaluate` reports them.
        curve: validation by epoch; empty where nothing was trained by gradient.
        seconds: of training, wall clock; None where another stage trained and did not measure it.
        peak_bytes: largest resident size of the process while it trained; 0 where nothing was measured.
        plan: what the policy planned (`policy.Plan.record`), None without one.
        start: what an adapted run started from: ``donor`` or ``nothing``; "" for others.
        extra: further numbers by name, e.g. ``cka_shallow``; see docs/transfer.md.
        grid: ``reduced`` where the pipeline's own adapters were judged, ``full`` where the study trained its own.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    world: str
    target: str
    donor: str
    method: Method
    policy: Policy
    task: str
    share: Annotated[float, Field(gt=0, le=1)]
    seed: int
    test: dict[str, Any]
    curve: tuple[Epoch, ...] = ()
    seconds: float | None
    peak_bytes: int
    plan: dict[str, Any] | None = None
    start: Literal["donor", "nothing", ""] = ""
    extra: dict[str, float] = field(default_factory=dict)
    grid: Literal["full", "reduced"] = "full"

    @property
    def key(self) -> str:
        """Name of the run, unique in its world, fit for a file."""
        return key(**{name: getattr(self, name) for name in _KEY})


def key(*, target: str, donor: str, method: str, policy: str, task: str, share: float, seed: int) -> str:
    """Name of a run before it is done; see `Run.key`."""
    return f"{target}-{donor}-{method}-{policy or 'none'}-{task}-{share:g}-{seed}"


_KEY = ("target", "donor", "method", "policy", "task", "share", "seed")
_RUN = TypeAdapter(Run)


def append(path: Path, run: Run) -> None:
    """Add a line; a study that was killed goes on behind its last whole line, and what a kill cut short goes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file() and not (written := path.read_bytes()).endswith(b"\n"):
        os.truncate(path, written.rfind(b"\n") + 1)
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(asdict(run), sort_keys=True) + "\n")


def read(path: Path) -> list[Run]:
    """All runs of a file, in its order; a last line that was cut short by a kill is passed over.

    Raises:
        StudyError: no such file, or a line that is no run.
    """
    if not path.is_file():
        raise StudyError(f"{path}: no such file; the stage `study` writes it")
    text = path.read_text(encoding="utf-8")
    lines = text.split("\n")[:-1]  # what comes after the last line end is cut or nothing
    runs = []
    for number, line in enumerate(lines, start=1):
        try:
            runs.append(_RUN.validate_json(line))
        except ValidationError as error:
            raise StudyError(f"{path} line {number}: no run: {error.errors()[0]['msg']}") from error
    return runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """Test rows of one run, in the order of the table: labels, calibrated probabilities, homology groups."""

    labels: NDArray[np.int8]
    probabilities: NDArray[np.float64]
    groups: Sequence[str]


def save(folder: Path, run: Run, predictions: Predictions) -> None:
    """Write the predictions of a run beside those of the others."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        folder / f"{run.key}.npz",
        labels=predictions.labels,
        probabilities=predictions.probabilities,
        groups=np.asarray(predictions.groups, dtype=np.str_),
    )


def load(folder: Path, run: Run) -> Predictions:
    """The predictions that `save` wrote; nothing is unpickled.

    Raises:
        StudyError: there are none.
    """
    path = folder / f"{run.key}.npz"
    if not path.is_file():
        raise StudyError(f"{path}: no predictions of this run; run the study again")
    with np.load(path, allow_pickle=False) as stored:
        return Predictions(
            labels=stored["labels"], probabilities=stored["probabilities"], groups=stored["groups"].tolist()
        )


def gather(folder: Path) -> tuple[list[Run], Callable[[Run], Predictions]]:
    """All runs of a study, and what answers the predictions of each.

    Args:
        folder: of the full grid, with ``runs.jsonl``; or of the reduced one, with such a folder for each species.

    Raises:
        StudyError: there is neither.
    """
    parts = [folder] if (folder / RUNS).is_file() else sorted(path.parent for path in folder.glob(f"*/{RUNS}"))
    if not parts:
        raise StudyError(f"{folder}: no {RUNS}, nor a folder with one; the stage `study` or `make study` writes it")
    homes = {run.key: (part, run) for part in parts for run in read(part / RUNS)}
    return [run for _, run in homes.values()], lambda run: load(homes[run.key][0] / PREDICTIONS, run)
