"""The numbers of a study's report as tidy tables: one line per mark, with the reason where there is no number."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from episome import curves, mantel, transferscores
from episome.curves import Learning
from episome.mantel import Mantel
from episome.report.cells import CHANCE, Cell, Grid, difference, interval, over_seeds
from episome.significance import holm
from episome.studyparams import Method
from episome.transferscores import Pair, Score

PANELS = ("zero_shot", "adapted", "performance_loss", "scratch")
SINGLE = ("check_donor", "check_nothing")
"""Extra numbers of a run that are no layer's: validation AUROC after the check's short trainings."""
THIRDS = ("shallow", "middle", "deep")
RESOURCES = {
    "seconds": "seconds of training",
    "epoch_seconds": "seconds an epoch",
    "peak_gb": "peak memory, GB",
    "million_tokens": "tokens seen, million",
}
_NUMBERS = ("value", "low", "high", "seed_sd", "n", "seeds")


_MORE = {"distance", "at_least", "at_most", "from_nothing", "p", "p_holm", "p_seeds", "p_seeds_smallest", "gain"}


def _score(found: Score) -> dict[str, Any]:
    return {"value": found.value, "reason": found.reason}


def _auroc(cell: Cell) -> dict[str, Any]:
    score = cell.auroc
    numbers = (score.value, score.low, score.high, cell.seed_sd, cell.n, len(cell.runs))
    back = sum(run.start == "nothing" for run in cell.runs)
    return dict(zip(_NUMBERS, numbers, strict=True)) | {"reason": "", "from_nothing": back}


def _frame(lines: list[dict[str, Any]], columns: tuple[str, ...]) -> pd.DataFrame:
    """A table with these columns first, in the order of the lines."""
    frame = pd.DataFrame(lines, columns=pd.Index(list(dict.fromkeys([*columns, *(k for line in lines for k in line)]))))
    numbers = [name for name in frame.columns if name in _NUMBERS or name in _MORE]
    return frame.astype(dict.fromkeys(numbers, "float64"))


def lines(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The lines of a table, one dict each."""
    return [{str(name): value for name, value in line.items()} for line in frame.to_dict("records")]


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
            found = _auroc(own) if own else {"reason": grid.why_missing(task, "scratch", ("base", target))}
            lines.append({"task": task, "panel": "scratch", "donor": "base", "target": target, **found})
        losses = _shares(grid, task, transferscores.performance_loss)
        lines += [{"task": task, "panel": "performance_loss", **line} for line in losses]
    return _frame(lines, ("task", "panel", "donor", "target", *_NUMBERS, "reason"))


def _pairs(grid: Grid, task: str, method: Method) -> list[dict[str, Any]]:
    done = grid.of(task, method)
    return [
        {"donor": pair[0], "target": pair[1]}
        | (_auroc(done[pair]) if pair in done else {"reason": grid.why_missing(task, method, pair)})
        for pair in grid.pairs(task)
    ]


def _shares(grid: Grid, task: str, share: Callable[[float, float, float], Score]) -> list[dict[str, Any]]:
    """Loss or efficiency of every pair with its interval."""
    done, best, lines = grid.of(task, "adapted"), grid.ceilings(task), []
    for pair in grid.pairs(task):
        line: dict[str, Any] = {"donor": pair[0], "target": pair[1]}
        if pair not in done:
            lines.append(line | {"reason": grid.why_missing(task, "adapted", pair)})
            continue
        cell, top = done[pair], best[pair[1]]
        found = share(cell.value, top.value, CHANCE)
        line |= {**_score(found), "n": cell.n, "seeds": len(cell.runs)}
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
    return _frame(lines, ("task", "method", "donor", "target", "distance", *_NUMBERS, "reason"))


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
            **_who(cell),
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
    return _frame(lines, ("task", "target", "donor", "method", "seed", "start", "epoch", "loss", "val_auroc"))


def _who(cell: Cell) -> dict[str, Any]:
    return {"task": cell.task, "target": cell.target, "donor": cell.donor, "method": cell.method}


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
                    {**_who(cell), "seed": run.seed, "epochs": len(seen), "metric": name, **_score(score)}
                    for name, score in found.items()
                ]
    return _frame(lines, ("task", "target", "donor", "method", "seed", "epochs", "metric", "value", "reason"))


def performance(grid: Grid) -> pd.DataFrame:
    """Everything else a transfer is judged by: efficiencies, learning curves, retention, resources."""
    lines: list[dict[str, Any]] = []
    for task in grid.tasks:
        for part in (_efficiencies, _specificity, _learning, _saved_data, _inside):
            lines += [{"task": task, **line} for line in part(grid, task)]
    lines += _resources(grid)
    return _frame(
        lines, ("task", "metric", "method", "donor", "target", "at", *_NUMBERS, "at_least", "at_most", "reason")
    )


def _efficiencies(grid: Grid, task: str) -> list[dict[str, Any]]:
    found = _shares(grid, task, transferscores.efficiency)
    done = {(line["donor"], line["target"]): line for line in found if "value" in line}
    apart = {pair: grid.setting.distance(pair) for pair in done if not grid.setting.lacking(pair)}
    scores = {pair: Score(value=done[pair]["value"], reason=done[pair]["reason"]) for pair in apart}
    adjusted = transferscores.adjusted_efficiency(scores, apart)
    ours = [{"metric": "transfer_efficiency", "method": "adapted", **line} for line in found]
    for line in found:
        pair = line["donor"], line["target"]
        why = grid.setting.lacking(pair) if pair in done else line["reason"]
        score = _score(adjusted[pair]) if pair in adjusted else {"reason": why}
        about = {"metric": "distance_adjusted_efficiency", "method": "adapted", "donor": pair[0], "target": pair[1]}
        ours.append(about | {name: line[name] for name in ("n", "seeds") if name in line} | score)
    return ours


def _specificity(grid: Grid, task: str) -> list[dict[str, Any]]:
    scratch = grid.scratch(task)
    own = {target: scratch[target].value for target in grid.targets(task) if target in scratch}
    foreign = {pair: cell.value for pair, cell in grid.of(task, "zero_shot").items()}
    found = transferscores.specificity(own, foreign)
    return [{"metric": "species_specificity", "target": target, **_score(score)} for target, score in found.items()]


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
            **_auroc(cell),
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
            **_score(score),
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


def _told(name: str) -> bool:
    return name.rpartition("_")[2] in THIRDS or name in SINGLE


def _resources(grid: Grid) -> list[dict[str, Any]]:
    """What a training took, by method on all rows; one that serves two tasks counts once."""
    lines = []
    for method, measures in resources(grid).items():
        for name, values in measures.items():
            mean = float(np.mean(values)) if values else None
            ends = {"low": min(values), "high": max(values)} if values else {}
            reason = "" if values else "not measured"
            lines.append({"metric": name, "method": method, "value": mean, **ends, "n": len(values), "reason": reason})
    return lines


def resources(grid: Grid) -> dict[Method, dict[str, list[float]]]:
    """Method → what was measured of each of its trainings on all rows."""
    trainings: dict[Method, dict[tuple[Any, ...], Any]] = {}
    for cell in grid.cells:
        for run in cell.runs if cell.share == 1 else ():
            # A training that serves several tasks took the same time in the run of each.
            trainings.setdefault(cell.method, {})[cell.target, cell.donor, cell.policy, run.seed, run.seconds] = run
    answer: dict[Method, dict[str, list[float]]] = {}
    for method in sorted(trainings):
        runs = list(trainings[method].values())
        timed = [run for run in runs if run.seconds is not None]
        answer[method] = {
            "seconds": [run.seconds for run in timed],
            "epoch_seconds": [run.seconds / run.extra.get("epochs", len(run.curve)) for run in timed if run.curve],
            "peak_gb": [run.peak_bytes / 1e9 for run in runs if run.peak_bytes],
            "million_tokens": [run.extra["tokens"] / 1e6 for run in runs if "tokens" in run.extra],
        }
    return answer


def table(grid: Grid) -> pd.DataFrame:
    """Every method on every target and task, against training from nothing; Holm over those of a target and task."""
    lines = []
    for task in grid.tasks:
        own = grid.scratch(task)
        for cell in sorted(_all_rows(grid, task), key=lambda c: (grid.setting.species.index(c.target), _rank(c))):
            area, calls = cell.auroc, cell.mcc
            line: dict[str, Any] = {
                **_who(cell),
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
    frame = _frame(lines, (*_TABLE, *_AGAINST))
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
