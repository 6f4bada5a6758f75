"""What trainings took: time, memory, tokens, and the size of what is kept of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from episome.report.cells import Grid
from episome.study import Run
from episome.studyparams import Method

RESOURCES = {
    "seconds": "seconds of training",
    "epoch_seconds": "seconds an epoch",
    "load_seconds": "seconds to load and compose",
    "cpu_seconds": "CPU seconds of training",
    "peak_gb": "peak memory, GB",
    "mean_gb": "mean memory, GB",
    "stored_mb": "size of what is kept, MB",
    "million_tokens": "tokens seen, million",
}


def lines(grid: Grid) -> list[dict[str, Any]]:
    """What a training took, by method on all rows; one that serves two tasks counts once."""
    found = []
    for method, measures in by_method(grid).items():
        for name, values in measures.items():
            mean = float(np.mean(values)) if values else None
            ends = {"low": min(values), "high": max(values)} if values else {}
            reason = "" if values else "not measured"
            found.append({"metric": name, "method": method, "value": mean, **ends, "n": len(values), "reason": reason})
    return found


def by_method(grid: Grid) -> dict[Method, dict[str, list[float]]]:
    """Method → what was measured of each of its trainings on all rows."""
    trainings: dict[Method, dict[tuple[Any, ...], Run]] = {}
    for cell in grid.cells:
        for run in cell.runs if cell.share == 1 else ():
            # A training that serves several tasks took the same time in the run of each.
            trainings.setdefault(cell.method, {})[cell.target, cell.donor, cell.policy, run.seed, run.seconds] = run
    return {method: _measured(list(trainings[method].values())) for method in sorted(trainings)}


def _measured(runs: Sequence[Run]) -> dict[str, list[float]]:
    timed = [(run, run.seconds) for run in runs if run.seconds is not None]
    return {
        "seconds": [seconds for _, seconds in timed],
        "epoch_seconds": [seconds / run.extra.get("epochs", len(run.curve)) for run, seconds in timed if run.curve],
        "load_seconds": _extra(runs, "load_seconds"),
        "cpu_seconds": _extra(runs, "cpu_seconds"),
        "peak_gb": [run.peak_bytes / 1e9 for run in runs if run.peak_bytes],
        "mean_gb": _extra(runs, "mean_bytes", 1e9),
        "stored_mb": _extra(runs, "stored_bytes", 1e6),
        "million_tokens": _extra(runs, "tokens", 1e6),
    }


def _extra(runs: Sequence[Run], name: str, unit: float = 1) -> list[float]:
    return [run.extra[name] / unit for run in runs if name in run.extra]
