"""What a study hoped for, held against its numbers; whatever does not hold is said as it is."""

from dataclasses import dataclass

import numpy as np

from episome import significance
from episome.report import performance
from episome.report.cells import Cell, Grid, difference
from episome.transferscores import Score

MOST_LOSS = 0.005
"""AUROC by which an adapted run may be below one from nothing."""
LEAST_SAVED = 2.0
"""A near donor is hoped to halve the training rows."""
LEAST_GAIN = 0.03
"""MCC by which an adapted run is hoped to beat k-mers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One hope and what became of it.

    Attributes:
        claim: what was hoped for.
        held: False where it does not hold somewhere, None where the runs cannot tell.
        words: how often it holds, or why nobody can tell.
        failures: each place where it does not, numbers included.
    """

    claim: str
    held: bool | None
    words: str
    failures: tuple[str, ...] = ()


def all_of(grid: Grid) -> list[Check]:
    """Every check of a study."""
    return [not_worse(grid), beyond_shuffled(grid), near_pairs_save(grid), beats_kmers(grid)]


def _check(claim: str, total: int, failures: list[str], unsaid: str) -> Check:
    if not total:
        return Check(claim=claim, held=None, words=unsaid)
    words = f"holds in {total - len(failures)} of {total}"
    return Check(claim=claim, held=not failures, words=words, failures=tuple(failures))


def _name(cell: Cell) -> str:
    return f"task {cell.task}, {cell.donor} → {cell.target}"


def not_worse(grid: Grid) -> Check:
    """Adapted against scratch, on every pair and task."""
    total, failures = 0, []
    for task in grid.tasks:
        own = grid.scratch(task)
        for cell in grid.of(task, "adapted").values():
            if cell.target in own:
                total += 1
                found = difference(cell, own[cell.target])
                if found.value < -MOST_LOSS:
                    failures.append(f"{_name(cell)}: {_difference(found)}, p {found.p:.2g}")
    claim = f"Adapted is at least scratch − {MOST_LOSS:g} AUROC on every pair"
    return _check(claim, total, failures, "no pair has both an adapted run and one from nothing")


def _difference(found: significance.Difference) -> str:
    return f"{found.value:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"


def beyond_shuffled(grid: Grid) -> Check:
    """The policy against the same policy at other pairs' distances: mean over the pairs of each task."""
    total, failures = 0, []
    for task in grid.tasks:
        ours, theirs = grid.of(task, "adapted"), grid.of(task, "adapted", "shuffled")
        if pairs := [pair for pair in ours if pair in theirs]:
            total += 1
            value = float(np.mean([ours[pair].value - theirs[pair].value for pair in pairs]))
            drawn = np.mean([ours[pair].drawn - theirs[pair].drawn for pair in pairs], axis=0)
            found = significance.from_draws("auroc", value, drawn, grid.setting.confidence)
            if found.low <= 0:
                failures.append(
                    f"task {task}: policy minus shuffled {_difference(found)} over {len(pairs)} pairs: with "
                    "distances dealt out anew it is as good, as far as these runs tell"
                )
    claim = "With shuffled distances the policy's advantage disappears"
    return _check(claim, total, failures, "no pair was run with shuffled distances")


def near_pairs_save(grid: Grid) -> Check:
    """Training rows saved by a near donor, on every near pair with a learning curve."""
    total, failures, open_ones = 0, [], []
    for task in grid.tasks:
        for pair, score in performance.data_efficiency(grid, task).items():
            name = f"task {task}, {pair[0]} → {pair[1]}"
            if why := grid.setting.lacking(pair):
                open_ones.append(f"{name}: {why}")
            elif grid.setting.distance(pair) < grid.setting.near:
                enough = _enough(score)
                if enough is None:
                    open_ones.append(f"{name}: {score.reason}")
                else:
                    total += 1
                    failures += [] if enough else [f"{name}: scratch data / transfer data = {_ratio(score)}"]
    claim = "A near donor needs at most half of the data for the score of all data from nothing"
    found = _check(claim, total, failures, "no near pair has a learning curve that tells")
    unsaid = f"; cannot be told: {'; '.join(open_ones)}" if open_ones else ""
    return Check(claim=claim, held=found.held, words=found.words + unsaid, failures=found.failures)


def _enough(score: Score) -> bool | None:
    if score.value is not None:
        return score.value >= LEAST_SAVED
    if score.at_least is not None and score.at_least >= LEAST_SAVED:
        return True
    return False if score.at_most is not None and score.at_most < LEAST_SAVED else None


def _ratio(score: Score) -> str:
    return f"{score.value:.2f}" if score.value is not None else f"at most {score.at_most:.2f}"


def beats_kmers(grid: Grid) -> Check:
    """Adapted against k-mers in MCC, on every pair and task."""
    total, failures = 0, []
    for task in grid.tasks:
        kmers = {cell.target: cell for cell in grid.of(task, "kmer").values()}
        for cell in grid.of(task, "adapted").values():
            if cell.target in kmers:
                total += 1
                if (gain := cell.mcc.value - kmers[cell.target].mcc.value) < LEAST_GAIN:
                    failures.append(f"{_name(cell)}: {gain:+.3f} MCC")
    claim = f"Adapted beats k-mers by {LEAST_GAIN:g} MCC on every pair"
    return _check(claim, total, failures, "no pair has both an adapted run and k-mers")
