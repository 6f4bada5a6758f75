"""The numbers of a study's report as tidy tables: one line per mark, with the reason where there is no number."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from episome import curves, mantel, transferscores
from episome.mantel import Mantel
from episome.report import frames
from episome.report.cells import CHANCE, Cell, Grid, difference, interval, over_seeds
from episome.significance import holm
from episome.studyparams import Method
from episome.transferscores import Pair, Score

PANELS = ("zero_shot", "adapted", "performance_loss", "scratch")


def matrix(grid: Grid) -> pd.DataFrame:
    """Zero-shot, adapted and scratch AUROC and the performance loss of every pair, by task.

    The interval of a loss is of the draws on which both of its scores were taken, the ceiling's runs held fixed.
    """
    lines = []
    for task in grid.tasks:
        for method in ("zero_shot", "adapted"):
            lines += [{"task": task, "panel": method, **line} for line in _pairs(grid, task, method)]
        for target in grid.targets(task):
            own = grid.scratch(task).get(target)
            found = frames.auroc(own) if own else {"reason": grid.why_missing(task, "scratch", ("base", target))}
            lines.append({"task": task, "panel": "scratch", "donor": "base", "target": target, **found})
        losses = shares(grid, task, transferscores.performance_loss)
        lines += [{"task": task, "panel": "performance_loss", **line} for line in losses]
    return frames.of(lines, ("task", "panel", "donor", "target", *frames.NUMBERS, "reason"))


def _pairs(grid: Grid, task: str, method: Method) -> list[dict[str, Any]]:
    done = grid.of(task, method)
    return [
        {"donor": pair[0], "target": pair[1]}
        | (frames.auroc(done[pair]) if pair in done else {"reason": grid.why_missing(task, method, pair)})
        for pair in grid.pairs(task)
    ]


def shares(grid: Grid, task: str, share: Callable[[float, float, float], Score]) -> list[dict[str, Any]]:
    """Loss or efficiency of every pair with its interval."""
    done, best, lines = grid.of(task, "adapted"), grid.ceilings(task), []
    for pair in grid.pairs(task):
        line: dict[str, Any] = {"donor": pair[0], "target": pair[1]}
        if pair not in done:
            lines.append(line | {"reason": grid.why_missing(task, "adapted", pair)})
            continue
        cell, top = done[pair], best[pair[1]]
        found = share(cell.value, top.value, CHANCE)
        line |= {**frames.score(found), "n": cell.n, "seeds": len(cell.runs)}
        if found.value is not None:
            drawn = [share(ours, theirs, CHANCE).value for ours, theirs in zip(cell.drawn, top.drawn, strict=True)]
            ends = interval(found.value, np.array(drawn, np.float64), cell.confidence)
            line |= {"low": ends.low, "high": ends.high}
        lines.append(line)
    return lines


def by_distance(grid: Grid) -> pd.DataFrame:
    """Zero-shot and adapted AUROC of every pair beside its distance; without a value where it has no distance."""
    lines = [
        {"task": task, "method": method, **line, **_apart(grid, (line["donor"], line["target"]))}
        for task in grid.tasks
        for method in ("zero_shot", "adapted")
        for line in _pairs(grid, task, method)
    ]
    return frames.of(lines, ("task", "method", "donor", "target", "distance", *frames.NUMBERS, "reason"))


def _apart(grid: Grid, pair: Pair) -> dict[str, Any]:
    """Distance of a pair, or that it has no place among the others and why."""
    if why := grid.setting.lacking(pair):
        return {"distance": None, "value": None, "low": None, "high": None, "reason": why}
    return {"distance": grid.setting.distance(pair)}


def correlations(grid: Grid) -> dict[tuple[str, Method], Mantel]:
    """Task and method → distance against AUROC, tested over relabellings of the species that all have a distance."""
    setting, methods = grid.setting, tuple[Method, ...](("zero_shot", "adapted"))
    measured = set(setting.measured)
    return {
        (task, method): mantel.mantel(
            setting.distances,
            {pair: cell.value for pair, cell in grid.of(task, method).items() if measured >= {*pair}},
            permutations=setting.bootstrap,
            seed=setting.seed,
        )
        for task in grid.tasks
        for method in methods
        if grid.of(task, method)
    }


def dynamics(grid: Grid) -> pd.DataFrame:
    """Loss and validation AUROC by epoch of every adapted and scratch run on all rows, epochs counted from 1."""
    lines = [
        {
            **frames.who(cell),
            "seed": run.seed,
            "start": run.start,
            "epoch": number,
            "loss": at.loss,
            "val_auroc": at.val_auroc,
        }
        for task in grid.tasks
        for cell in _trained(grid, task)
        for run in cell.runs
        for number, at in enumerate(run.curve, start=1)
    ]
    return frames.of(lines, ("task", "target", "donor", "method", "seed", "start", "epoch", "loss", "val_auroc"))


def _trained(grid: Grid, task: str) -> list[Cell]:
    """Adapted and scratch cells on all rows, by target, scratch first."""
    scratch, adapted = grid.of(task, "scratch"), grid.of(task, "adapted")
    everything = [("base", target) for target in grid.targets(task)] + grid.pairs(task)
    found = [each[pair] for pair in everything for each in (scratch, adapted) if pair in each]
    return sorted(found, key=lambda cell: grid.setting.species.index(cell.target))


def convergence(grid: Grid) -> pd.DataFrame:
    """Convergence epoch and stability of every adapted and scratch run, on its validation AUROC."""
    lines = []
    for task in grid.tasks:
        best = grid.ceilings(task)
        for cell in _trained(grid, task):
            for run in cell.runs:
                seen = [at.val_auroc for at in run.curve]
                found = {
                    "convergence_epoch": curves.convergence_epoch(seen, best[cell.target].value, CHANCE),
                    "stability": curves.stability(seen),
                }
                lines += [
                    {**frames.who(cell), "seed": run.seed, "epochs": len(seen), "metric": name, **frames.score(score)}
                    for name, score in found.items()
                ]
    return frames.of(lines, ("task", "target", "donor", "method", "seed", "epochs", "metric", "value", "reason"))


def table(grid: Grid) -> pd.DataFrame:
    """Every method on every target and task, against training from nothing; Holm over those of a target and task."""
    lines = []
    for task in grid.tasks:
        own = grid.scratch(task)
        for cell in sorted(_all_rows(grid, task), key=lambda c: (grid.setting.species.index(c.target), _rank(c))):
            area, calls = cell.auroc, cell.mcc
            line: dict[str, Any] = {
                **frames.who(cell),
                "policy": cell.policy,
                "auroc": area.value,
                "auroc_low": area.low,
                "auroc_high": area.high,
                "mcc": calls.value,
                "mcc_low": calls.low,
                "mcc_high": calls.high,
                "n": cell.n,
                "seeds": len(cell.runs),
                "seed_sd": cell.seed_sd,
            }
            if cell.target in own and cell.method != "scratch":
                line |= _against(cell, own[cell.target])
            lines.append(line)
    frame = frames.of(lines, (*_TABLE, *_AGAINST))
    for _, part in frame[frame["p"].notna()].groupby(["task", "target"]):
        frame.loc[part.index, "p_holm"] = holm(part["p"].astype(float))
    return frame


_TABLE = (
    "task", "target", "donor", "method", "policy", "auroc", "auroc_low", "auroc_high", "mcc", "mcc_low", "mcc_high",
    "n", "seeds", "seed_sd",
)  # fmt: skip
_AGAINST = ("gain", "gain_low", "gain_high", "p", "p_holm", "p_seeds", "p_seeds_smallest")
_ORDER: Mapping[Method, int] = {"scratch": 0, "adapted": 1, "zero_shot": 2}


def _rank(cell: Cell) -> tuple[int, str, str, str]:
    return _ORDER.get(cell.method, len(_ORDER)), cell.method, cell.policy, cell.donor


def _all_rows(grid: Grid, task: str) -> list[Cell]:
    return [cell for cell in grid.cells if cell.task == task and cell.share == 1]


def _against(cell: Cell, scratch: Cell) -> dict[str, Any]:
    found, flips = difference(cell, scratch), over_seeds(cell, scratch)
    return {
        "gain": found.value,
        "gain_low": found.low,
        "gain_high": found.high,
        "p": found.p,
        "p_seeds": flips.p if flips and len(scratch.runs) > 1 else None,
        "p_seeds_smallest": flips.smallest if flips and len(scratch.runs) > 1 else None,
    }
