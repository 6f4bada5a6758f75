"""Runs of a transfer study as cells: the seeds of one question together, judged on the same draws of test groups."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np

from episome import metrics, significance
from episome.grid import ONE_SEED
from episome.looks import Look
from episome.metrics import Draws, Floats
from episome.significance import Difference, SignFlip
from episome.study import Predictions, Run
from episome.studyparams import Method, Policy
from episome.transferscores import Pair
from episome.types import EpisomeError

CHANCE = 0.5
"""c: AUROC of an answer that ignores the sequence."""

POLICIES: tuple[Policy, ...] = ("interpolated", "step", "fixed")
"""Of adapted runs, the first that a study has is its policy; ``shuffled`` is a control."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is known of a study beside its runs.

    Attributes:
        world: name of the study's data.
        simulated: the sequences are of no living thing.
        motif_divergence: of the simulated world; 1.0 is the published drift.
        species: keys in the order in which they are shown; what runs hold beside these is refused.
        distances: of every two species but those of `unknown`, in one order or both.
        near: distances below it are near.
        left_out: species → why the study has no run on it.
        bootstrap: draws of groups; also the most relabellings that the Mantel test looks at.
        confidence: two-sided coverage of the intervals.
        seed: of the draws.
        unknown: two species, in one order or both → why they have no distance.
        looks: what heirs share with their donors, inside.
        alone: the heads of the study's own trainings see the encoder and nothing else.
    """

    world: str
    simulated: bool
    motif_divergence: float
    species: tuple[str, ...]
    distances: Mapping[Pair, float]
    near: float
    left_out: Mapping[str, str]
    bootstrap: int
    confidence: float
    seed: int
    unknown: Mapping[Pair, str] = field(default_factory=dict)
    looks: tuple[Look, ...] = ()
    alone: bool = False

    def lacking(self, pair: Pair) -> str:
        """Why a pair has no distance; "" where it has one."""
        return self.unknown.get(pair, self.unknown.get(pair[::-1], ""))

    @property
    def measured(self) -> tuple[str, ...]:
        """Species that all have a distance to each other: while a pair has none, who lacks most goes, last first."""
        left = list(self.species)

        def gaps(name: str) -> int:
            return sum(bool(self.lacking((name, other))) for other in left)

        while left and gaps(worst := max(reversed(left), key=gaps)):
            left.remove(worst)
        return tuple(left)

    def distance(self, pair: Pair) -> float:
        """Of donor and target, either way round.

        Raises:
            EpisomeError: the pair has none.
        """
        for each in (pair, pair[::-1]):
            if each in self.distances:
                return self.distances[each]
        raise EpisomeError(f"no distance of {' and '.join(pair)}; wanted one of every two species of a study")


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A number and its two ends, which are None where nothing says how sure it is."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One method on one target and task: the runs of all seeds.

    Attributes:
        runs: by rising seed.
        n: test rows.
        areas: AUROC of each run on the test rows.
        drawn: float64[draws], mean AUROC of the runs on each draw of groups; a target's cells share the draws.
    """

    task: str
    target: str
    donor: str
    method: Method
    policy: Policy
    share: float
    runs: tuple[Run, ...]
    n: int
    areas: tuple[float, ...]
    drawn: Floats
    confidence: float

    @property
    def pair(self) -> Pair:
        """Donor and target."""
        return self.donor, self.target

    @property
    def value(self) -> float:
        """Mean AUROC over the seeds."""
        return float(np.mean(self.areas))

    @property
    def auroc(self) -> Interval:
        """Mean over the seeds; the interval is of the test groups, not of the seeds."""
        return interval(self.value, self.drawn, self.confidence)

    @property
    def mcc(self) -> Interval:
        """Mean over the seeds of the score and of the ends of its interval."""
        found = [[run.test["mcc"][end] for end in ("value", "low", "high")] for run in self.runs]
        value, low, high = (float(each) for each in np.mean(found, axis=0))
        return Interval(value=value, low=low, high=high)

    @property
    def seed_sd(self) -> float | None:
        """Standard deviation of the AUROC over seeds; None of a single seed."""
        return float(np.std(self.areas, ddof=1)) if len(self.areas) > 1 else None


def interval(value: float, drawn: Floats, confidence: float) -> Interval:
    """A number with the percentile interval of its draws; those that missed a class are left out."""
    usable = drawn[np.isfinite(drawn)]
    if not len(usable):
        return Interval(value=value, low=None, high=None)
    low, high = np.quantile(usable, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(value=value, low=float(low), high=float(high))


def cells(runs: Iterable[Run], load: Callable[[Run], Predictions], setting: Setting) -> list[Cell]:
    """All cells of a study, by task, target, donor, method, policy and share.

    Args:
        runs: of one study.
        load: gives the predictions of a run.
        setting: of the study.

    Raises:
        EpisomeError: there is no run, a species is not in the setting, a run stands there twice, or two runs of one
            target and task were judged on different rows.
    """
    ordered = sorted(runs, key=lambda run: (*_question(run), run.seed))
    if not ordered:
        raise EpisomeError("no run; a report wants one at least: run the stage `study`")
    if unknown := {name for run in ordered for name in (run.target, run.donor)} - {*setting.species, "base"}:
        raise EpisomeError(f"runs of {', '.join(sorted(unknown))}; wanted: {', '.join(setting.species)}")
    answer, judged = [], _Judge(load, setting)
    for _, group in groupby(ordered, key=_question):
        own = tuple(group)
        if len({run.seed for run in own}) < len(own):
            raise EpisomeError(f"run {own[0].key} or another of its seeds stands there twice; wanted every seed once")
        scores = [judged.of(run) for run in own]
        first = own[0]
        answer.append(
            Cell(
                task=first.task,
                target=first.target,
                donor=first.donor,
                method=first.method,
                policy=first.policy,
                share=first.share,
                runs=own,
                n=scores[0][0],
                areas=tuple(area for _, area, _ in scores),
                drawn=np.mean([drawn for *_, drawn in scores], axis=0),
                confidence=setting.confidence,
            )
        )
    return answer


def _question(run: Run) -> tuple[str, str, str, str, str, float]:
    return run.task, run.target, run.donor, run.method, run.policy, run.share


class _Judge:
    """Scores runs; keeps the rows and the draws of each target and task, which all its runs share."""

    def __init__(self, load: Callable[[Run], Predictions], setting: Setting) -> None:
        self.load = load
        self.setting = setting
        self.rows: dict[tuple[str, str], tuple[Predictions, Draws]] = {}

    def of(self, run: Run) -> tuple[int, float, Floats]:
        """Number of test rows, AUROC, and AUROC on each draw."""
        found = self.load(run)
        if (run.target, run.task) not in self.rows:
            drawn = metrics.draws(found.groups, self.setting.bootstrap, self.setting.seed)
            self.rows[run.target, run.task] = found, drawn
        first, drawn = self.rows[run.target, run.task]
        if list(found.groups) != list(first.groups) or not np.array_equal(found.labels, first.labels):
            raise EpisomeError(
                f"run {run.key} was judged on other test rows than the first of {run.target}, {run.task}"
            )
        areas = metrics.area_draws(found.labels, found.probabilities, drawn)[0]
        return len(found.labels), metrics.auroc(found.labels, found.probabilities), areas


def difference(first: Cell, second: Cell) -> Difference:
    """Mean AUROC of the first cell minus that of the second, paired by the draws of groups."""
    return significance.from_draws(
        "auroc", first.value - second.value, first.drawn - second.drawn, confidence=first.confidence
    )


def over_seeds(first: Cell, second: Cell) -> SignFlip | None:
    """Sign flips of the differences by seed; None where the two share no seed.

    The one run of a method that no seed changes (`grid.ONE_SEED`) stands for every seed; of all others only the seeds
    that both have are compared.
    """
    ours, theirs = (_by_seed(cell) for cell in (first, second))
    if second.method in ONE_SEED and len(theirs) == 1:
        theirs = dict.fromkeys(ours, *theirs.values())
    if first.method in ONE_SEED and len(ours) == 1:
        ours = dict.fromkeys(theirs, *ours.values())
    shared = sorted(ours.keys() & theirs.keys())
    return significance.sign_flip([ours[seed] - theirs[seed] for seed in shared]) if shared else None


def _by_seed(cell: Cell) -> dict[int, float]:
    return dict(zip((run.seed for run in cell.runs), cell.areas, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """All cells of a study and how to ask for them."""

    setting: Setting
    cells: Sequence[Cell]

    @property
    def tasks(self) -> list[str]:
        """In the order of their names."""
        return sorted({cell.task for cell in self.cells})

    @property
    def policy(self) -> Policy:
        """Of the study's adapted runs; "" where there are none."""
        there = {cell.policy for cell in self.cells if cell.method == "adapted"}
        return next((policy for policy in POLICIES if policy in there), "")

    def targets(self, task: str) -> list[str]:
        """Species with a run of the task, in the order of the setting."""
        there = {cell.target for cell in self.cells if cell.task == task}
        return [name for name in self.setting.species if name in there]

    def pairs(self, task: str) -> list[Pair]:
        """Every donor with every other target of the task, those without a run among them."""
        return [(donor, target) for target in self.targets(task) for donor in self.setting.species if donor != target]

    def of(self, task: str, method: Method, policy: Policy | None = None) -> dict[Pair, Cell]:
        """Cells of a method on all rows; of ``adapted`` those of the study's policy unless another is asked for."""
        asked = self.policy if policy is None and method == "adapted" else policy
        return {
            cell.pair: cell
            for cell in self.cells
            if (cell.task, cell.method, cell.share) == (task, method, 1.0) and asked in {None, cell.policy}
        }

    def scratch(self, task: str) -> dict[str, Cell]:
        """S by target."""
        return {cell.target: cell for cell in self.of(task, "scratch").values()}

    def ceilings(self, task: str) -> dict[str, Cell]:
        """U by target: the best of S and all M; of equal ones the first by donor."""
        best: dict[str, Cell] = {}
        for cell in [*self.scratch(task).values(), *self.of(task, "adapted").values()]:
            if cell.target not in best or cell.value > best[cell.target].value:
                best[cell.target] = cell
        return best

    @property
    def gaps(self) -> list[str]:
        """In what the grid is smaller than every ordered pair with three seeds; empty if in nothing."""
        found = ["the pipeline's own adapters were judged"] if self._reduced else []
        there = {cell.target for cell in self.cells}
        left = self.setting.left_out
        found += [f"{name}: {left.get(name, 'no run')}" for name in self.setting.species if name not in there]
        for task in self.tasks:
            whole, done = len(self.pairs(task)), self.of(task, "adapted")
            if len(done) < whole:
                found.append(f"task {task}: {len(done)} of {whole} ordered pairs")
            seeds = min((len(cell.runs) for cell in done.values()), default=SEEDS)
            if seeds < SEEDS:
                found.append(f"task {task}: {seeds} seed{'' if seeds == 1 else 's'}, {SEEDS} wanted for a claim")
        return found

    @property
    def _reduced(self) -> bool:
        return any(run.grid == "reduced" for cell in self.cells for run in cell.runs)

    @property
    def marks(self) -> tuple[str, ...]:
        """What must be said on every page and picture; empty where nothing must."""
        setting = self.setting
        said = []
        if setting.simulated:
            said.append("Simulated")
        if self.gaps:
            said.append("reduced grid")
        if setting.motif_divergence != 1:
            said.append(f"motif_divergence {setting.motif_divergence:g}, not 1")
        return tuple(said)

    def why_missing(self, task: str, method: Method, pair: Pair) -> str:
        """Why a cell has no run, as far as the other runs tell."""
        donor, target = pair
        if target not in self.targets(task):
            return self.setting.left_out.get(target, f"no run of {task} on {target}")
        if donor in self.setting.left_out:
            return self.setting.left_out[donor]
        if method == "zero_shot" and donor not in self.targets(task):
            return f"{donor} has not learnt {task}"
        return "not part of the reduced grid" if self._reduced else "not run"


SEEDS = 3
"""Fewest where a claim is made."""
