"""Sheet of the report that shows what a transfer was worth: efficiency, data saved, what is kept inside, resources."""

from collections.abc import Sequence
from functools import partial

import pandas as pd

from episome.report import frames, words
from episome.report.cells import Grid
from episome.report.drawing import Canvas, Panel, Sheet, arrow, dots, legend, look
from episome.report.matrices import spoken
from episome.report.performance import LOOKED, SINGLE, THIRDS, table
from episome.report.resources import RESOURCES

_BY_PAIR = {
    "transfer_efficiency": ("transfer efficiency", "(M − c) / (U − c)", "1: as good as the best of that target."),
    "distance_adjusted_efficiency": (
        "efficiency beyond distance",
        "efficiency − expected",
        "Above 0: better than the other pairs lead one to expect there (falling isotonic fit without the pair).",
    ),
    "species_specificity": (
        "species specificity",
        "S − mean Z of others, AUROC",
        "Above 0: a species' own adapter beats the others' on it.",
    ),
    "data_efficiency": (
        "data efficiency",
        "scratch rows / transfer rows",
        "For the score that all rows give from nothing; 2: half of the rows do. Arrows are bounds, where a curve ends "
        "before the answer.",
    ),
}
_INSIDE = {
    "check_donor": (
        "check: from the donor",
        "validation AUROC",
        "Start from the donor after the negative-transfer check's epochs, mean over tasks and seeds.",
    ),
    "check_nothing": (
        "check: from nothing",
        "validation AUROC",
        "Start from nothing after as many epochs, mean over tasks and seeds.",
    ),
    "cka": (
        "likeness of layers",
        "linear CKA",
        "Of the donor's and its heir's states on rows of the donor, mean over seeds, by third of the layers.",
    ),
    "weight_change": (
        "change of weights",
        "‖after − before‖ / ‖before‖",
        "Of the adapted weights, mean over seeds, by third of the layers.",
    ),
}
_OF_PROCESS = ("peak_gb", "mean_gb")


def performance(grid: Grid) -> Sheet:
    """Everything that is neither matrix nor training, task by task, then the resources."""
    data = table(grid)
    panels: list[Panel] = []
    for task in grid.tasks:
        own = data[data["task"] == task]
        panels += [
            _pairs(task, metric, own[own["metric"] == metric]) for metric in _BY_PAIR if metric in set(own["metric"])
        ]
        curves = own[own["metric"] == "learning_curve"]
        panels += [_learning(grid, task, target, part) for target, part in curves.groupby("target", sort=True)]
        panels += [
            _shared(task, metric, own[own["metric"] == metric]) for metric in LOOKED if metric in set(own["metric"])
        ]
        inside = own[own["at"].isin(THIRDS) | own["metric"].isin(SINGLE)]
        panels += [_inside(grid, task, str(metric), part) for metric, part in inside.groupby("metric", sort=True)]
    for name in RESOURCES:
        part = data[data["metric"] == name]
        panels += [_resource(name, part)] if part["value"].notna().any() else []
    return Sheet(
        name="performance_metrics",
        title="What the transfer was worth",
        said=("Efficiencies, data and layers are of adapted runs under the study's policy; resources of all methods.",),
        panels=tuple(panels),
        columns=3,
        data=data,
    )


def _pairs(task: str, metric: str, data: pd.DataFrame) -> Panel:
    title, unit, caption = _BY_PAIR[metric]
    labels = [_label(line["donor"], line["target"]) for line in frames.lines(data)]
    why = sorted({line["reason"] for line in frames.lines(data) if line["reason"]})
    return Panel(
        name=f"{task}-{metric}",
        group=task,
        title=title,
        caption=caption + (f" Without a value: {'; '.join(why)}." if why else ""),
        words="; ".join(f"{name} {spoken(line)}" for name, line in zip(labels, frames.lines(data), strict=True)),
        data=data,
        draw=partial(_dots, data=data, labels=labels, unit=unit),
        height=1.1 + 0.27 * max(2, len(labels)),
    )


def _dots(figure: Canvas, data: pd.DataFrame, labels: Sequence[str], unit: str) -> None:
    dots(figure, data, labels, unit)


def _label(donor: object, target: object) -> str:
    return arrow((str(donor), str(target))) if isinstance(donor, str) else str(target)


def _learning(grid: Grid, task: str, target: object, data: pd.DataFrame) -> Panel:
    lines = frames.lines(data)
    return Panel(
        name=f"{task}-{target}-learning",
        group=task,
        title=f"{target} · learning curve",
        caption="Test AUROC by share of training rows, mean over seeds with its interval; base: from nothing.",
        words="; ".join(f"{line['donor']} at {line['at']:.4g}: {spoken(line)}" for line in lines),
        data=data,
        draw=partial(_growth, data=data, names=grid.setting.species),
        height=3.1,
    )


def _growth(figure: Canvas, data: pd.DataFrame, names: Sequence[str]) -> None:
    axes = figure.add_subplot()
    shares = sorted(set(data["at"].astype(float)))
    for donor, part in data.groupby("donor", sort=True):
        colour, marker = look(names, str(donor))
        x = part["at"].astype(float)
        axes.plot(x, part["value"], "--" if donor == "base" else "-", marker=marker, color=colour, markersize=5)
        axes.vlines(x, part["low"], part["high"], color=colour, linewidth=1.1, alpha=0.7)
    axes.set_xscale("log", base=2)
    axes.set_xticks(shares, [f"{100 * share:.4g} %" for share in shares])
    axes.set(xlabel="share of training rows", ylabel="test AUROC")
    shown = [name for name in (*names, "base") if name in set(data["donor"])]
    legend(figure, names, shown, "donor")


def _inside(grid: Grid, task: str, metric: str, data: pd.DataFrame) -> Panel:
    """A number by third of the layers, or one number per pair."""
    title, unit, caption = _INSIDE[metric]
    by_third = data["at"].notna().any()
    lines = frames.lines(data)
    labels = [_label(line["donor"], line["target"]) for line in lines]
    at = [f", {line['at']}" if by_third else "" for line in lines]
    said = [f"{name}{third}: {line['value']:.3f}" for name, third, line in zip(labels, at, lines, strict=True)]
    thirds = partial(_thirds, data=data, grid=grid, unit=unit)
    single = partial(_dots, data=data, labels=labels, unit=unit)
    return Panel(
        name=f"{task}-{metric}",
        group=task,
        title=title,
        caption=caption,
        words="; ".join(said),
        data=data,
        draw=thirds if by_third else single,
        height=3.1 if by_third else 1.1 + 0.27 * max(2, len(labels)),
    )


def _shared(task: str, metric: str, data: pd.DataFrame) -> Panel:
    """What an heir shares with its donor, and two seeds of one species with each other."""
    title, unit = LOOKED[metric]
    labels = [
        f"{line['target']}, two seeds" if line["donor"] == line["target"] else _label(line["donor"], line["target"])
        for line in frames.lines(data)
    ]
    return Panel(
        name=f"{task}-{metric.replace('_', '-')}",
        group=task,
        title=title,
        caption="(AUROC after − 0.5) / (AUROC before − 0.5) on the donor's test rows, mean over seeds."
        if metric.endswith("retention")
        else "On the target's test rows, mean over seeds. How alike models are explains nothing of what they do.",
        words="; ".join(f"{name} {line['value']:.3f}" for name, line in zip(labels, frames.lines(data), strict=True)),
        data=data,
        draw=partial(_dots, data=data, labels=labels, unit=unit),
        height=1.1 + 0.27 * max(2, len(labels)),
    )


def _thirds(figure: Canvas, data: pd.DataFrame, grid: Grid, unit: str) -> None:
    axes, names = figure.add_subplot(), grid.setting.species
    for at, third in enumerate(THIRDS):
        part = data[data["at"] == third].sort_values(["target", "donor"])
        for i, line in enumerate(frames.lines(part)):
            colour, marker = look(names, line["target"])
            axes.plot(at + 0.05 * (i - (len(part) - 1) / 2), line["value"], marker, color=colour, markersize=5)
    axes.set_xticks(range(len(THIRDS)), THIRDS)
    axes.set(xlabel="third of the layers", ylabel=unit, xlim=(-0.5, 2.5))
    legend(figure, names, [name for name in names if name in set(data["target"])], "target")


def _resource(name: str, data: pd.DataFrame) -> Panel:
    there = data[data["value"].notna()]
    others = [words.METHODS[method] for method in data[data["value"].isna()]["method"]]
    labels = [f"{line['method']} (n = {line['n']:.0f})" for line in frames.lines(there)]
    return Panel(
        name=name.replace("_", "-"),
        group="",
        title=RESOURCES[name],
        caption="Mean over trainings, from the least to the most; n trainings."
        + (" Of the process: what its earlier work has not given back counts too." if name in _OF_PROCESS else "")
        + (f" Not measured: {', '.join(others)}." if others else ""),
        words="; ".join(f"{label} {spoken(line)}" for label, line in zip(labels, frames.lines(there), strict=True)),
        data=data,
        draw=partial(_dots, data=there, labels=labels, unit=RESOURCES[name]),
        height=1.1 + 0.27 * max(2, len(labels)),
    )
