"""What else a transfer is judged by, as a tidy table: efficiencies, learning curves, what changed inside, resources."""

from typing import Any

import numpy as np
import pandas as pd

from episome import curves, transferscores
from episome.curves import Learning
from episome.report import frames, resources
from episome.report.cells import Cell, Grid
from episome.report.scores import shares
from episome.studyparams import Method
from episome.transferscores import Pair, Score

SINGLE = ("check_donor", "check_nothing")
"""Extra numbers of a run that are no layer's: validation AUROC after the check's short trainings."""
THIRDS = ("shallow", "middle", "deep")
LOOKED = {
    "head_retention": ("retention by the donor's head", "share of skill left"),
    "probe_retention": ("retention by a fresh probe", "share of skill left"),
    "attention_same_head": ("likeness of attention", "1 − JSD, bits"),
    "attention_other_head": ("likeness of attention, heads dealt out anew", "1 − JSD, bits"),
    "key_overlap": ("overlap of key bases", "intersection over union"),
    "key_overlap_expected": ("overlap of key bases by chance", "intersection over union"),
}
"""What `episome.inside` found, with its title and unit."""


def table(grid: Grid) -> pd.DataFrame:
    """Everything else a transfer is judged by: efficiencies, learning curves, retention, resources."""
    lines: list[dict[str, Any]] = []
    for task in grid.tasks:
        for part in (_efficiencies, _specificity, _learning, _saved_data, _inside, _looked):
            lines += [{"task": task, **line} for line in part(grid, task)]
    lines += resources.lines(grid)
    return frames.of(
        lines, ("task", "metric", "method", "donor", "target", "at", *frames.NUMBERS, "at_least", "at_most", "reason")
    )


def _efficiencies(grid: Grid, task: str) -> list[dict[str, Any]]:
    found = shares(grid, task, transferscores.efficiency)
    done = {(line["donor"], line["target"]): line for line in found if "value" in line}
    apart = {pair: grid.setting.distance(pair) for pair in done if not grid.setting.lacking(pair)}
    scores = {pair: Score(value=done[pair]["value"], reason=done[pair]["reason"]) for pair in apart}
    adjusted = transferscores.adjusted_efficiency(scores, apart)
    ours = [{"metric": "transfer_efficiency", "method": "adapted", **line} for line in found]
    for line in found:
        pair = line["donor"], line["target"]
        why = grid.setting.lacking(pair) if pair in done else line["reason"]
        score = frames.score(adjusted[pair]) if pair in adjusted else {"reason": why}
        about = {"metric": "distance_adjusted_efficiency", "method": "adapted", "donor": pair[0], "target": pair[1]}
        ours.append(about | {name: line[name] for name in ("n", "seeds") if name in line} | score)
    return ours


def _specificity(grid: Grid, task: str) -> list[dict[str, Any]]:
    scratch = grid.scratch(task)
    own = {target: scratch[target].value for target in grid.targets(task) if target in scratch}
    foreign = {pair: cell.value for pair, cell in grid.of(task, "zero_shot").items()}
    found = transferscores.specificity(own, foreign)
    about = {"metric": "species_specificity"}
    return [{**about, "target": target, **frames.score(score)} for target, score in found.items()]


def learning(grid: Grid, task: str, method: Method, pair: Pair) -> list[Cell]:
    """Cells of a method on all shares of the target's training rows, the smallest first."""
    policy = grid.policy if method == "adapted" else None
    about = (task, method, pair)
    found = [c for c in grid.cells if (c.task, c.method, c.pair) == about and policy in {None, c.policy}]
    return sorted(found, key=lambda cell: cell.share)


def curve_pairs(grid: Grid, task: str) -> list[Pair]:
    """Pairs with an adapted run on a part of the rows."""
    return [pair for pair in grid.pairs(task) if any(c.share < 1 for c in learning(grid, task, "adapted", pair))]


def _learning(grid: Grid, task: str) -> list[dict[str, Any]]:
    shown: list[tuple[Method, Pair]] = [("adapted", pair) for pair in curve_pairs(grid, task)]
    targets = dict.fromkeys(pair[1] for _, pair in shown)
    methods: list[tuple[Method, Pair]] = [*[("scratch", ("base", target)) for target in targets], *shown]
    return [
        {
            "metric": "learning_curve",
            "method": method,
            "donor": cell.donor,
            "target": cell.target,
            "at": cell.share,
            **frames.auroc(cell),
        }
        for method, pair in methods
        for cell in learning(grid, task, method, pair)
    ]


def data_efficiency(grid: Grid, task: str) -> dict[Pair, Score]:
    """Training rows from nothing over those from the donor, for the score that all rows give from nothing."""
    answer = {}
    for pair in curve_pairs(grid, task):
        ours, theirs = learning(grid, task, "adapted", pair), learning(grid, task, "scratch", ("base", pair[1]))
        if not theirs:
            answer[pair] = transferscores.undefined(f"no run from nothing on {pair[1]}")
            continue
        scratch = _curve(theirs)
        answer[pair] = curves.data_efficiency(scratch, _curve(ours), scratch.top())
    return answer


def _curve(found: list[Cell]) -> Learning:
    """Shares stand for rows, in millionths: only ratios are asked for."""
    points = [(round(cell.share * 1_000_000), area) for cell in found for area in cell.areas]
    return Learning(rows=[rows for rows, _ in points], scores=[area for _, area in points])


def _saved_data(grid: Grid, task: str) -> list[dict[str, Any]]:
    return [
        {
            "metric": "data_efficiency",
            "method": "adapted",
            "donor": donor,
            "target": target,
            **frames.score(score),
            "at_least": score.at_least,
            "at_most": score.at_most,
        }
        for (donor, target), score in data_efficiency(grid, task).items()
    ]


def _adapted(grid: Grid, task: str) -> list[Cell]:
    """Adapted cells in the order of the pairs."""
    done = grid.of(task, "adapted")
    return [done[pair] for pair in grid.pairs(task) if pair in done]


def _inside(grid: Grid, task: str) -> list[dict[str, Any]]:
    """What adapted runs say of the layers and of their start: mean over seeds of those extra numbers."""
    lines = []
    for cell in _adapted(grid, task):
        for name in sorted({name for run in cell.runs for name in run.extra if _told(name)}):
            values = [run.extra[name] for run in cell.runs if name in run.extra]
            spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
            metric, _, third = name.rpartition("_")
            by_third = third in THIRDS
            lines.append(
                {
                    "metric": metric if by_third else name,
                    "method": "adapted",
                    "donor": cell.donor,
                    "target": cell.target,
                    "at": third if by_third else None,
                    "value": float(np.mean(values)),
                    "seed_sd": spread,
                    "seeds": len(values),
                    "reason": "",
                }
            )
    return lines


def _looked(grid: Grid, task: str) -> list[dict[str, Any]]:
    """What heirs share with their donors: mean over seeds; a species beside itself is two seeds of it."""
    found: dict[tuple[str, str, str], list[float]] = {}
    for look in (each for each in grid.setting.looks if each.task == task):
        for name, value in look.values.items():
            if name in LOOKED:
                found.setdefault((name, look.donor, look.target), []).append(value)
    return [
        {
            "metric": name,
            "method": "scratch" if donor == target else "adapted",
            "donor": donor,
            "target": target,
            "value": float(np.mean(values)),
            "seed_sd": float(np.std(values, ddof=1)) if len(values) > 1 else None,
            "seeds": len(values),
            "reason": "",
        }
        for (name, donor, target), values in sorted(found.items())
    ]


def _told(name: str) -> bool:
    return name.rpartition("_")[2] in THIRDS or name in SINGLE
