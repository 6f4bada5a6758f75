"""Sheets of the report that show trainings: loss and validation by epoch, and when and how steadily they end."""

from collections.abc import Sequence
from functools import partial

import pandas as pd

from episome.report import frames, scores
from episome.report.cells import Grid
from episome.report.drawing import Canvas, Panel, Sheet, arrow, few, legend, look, whole

_WHAT = {"loss": ("training loss", "training loss (nats)"), "val_auroc": ("validation", "validation AUROC")}


def dynamics(grid: Grid) -> Sheet:
    """Loss and validation AUROC by epoch: a panel per task, target and measure, a line per seed."""
    data = scores.dynamics(grid)
    panels = [
        _lines(grid, task, target, what, data[(data["task"] == task) & (data["target"] == target)])
        for task in grid.tasks
        for what in _WHAT
        for target in grid.targets(task)
    ]
    return Sheet(
        name="learning_dynamics",
        title="Learning by epoch",
        said=("A line is one seed of one donor; base is training from nothing.",),
        panels=tuple(panels),
        columns=max(len(grid.targets(task)) for task in grid.tasks),
        data=data,
    )


def _lines(grid: Grid, task: str, target: str, what: str, data: pd.DataFrame) -> Panel:
    last = data.groupby(["donor", "seed"], sort=True)[what].last()
    ends = [f"{line['donor']}, seed {line['seed']}: {line[what]:.3f}" for line in frames.lines(last.reset_index())]
    short, long = _WHAT[what]
    return Panel(
        name=f"{task}-{target}-{what}",
        group=task,
        title=f"{target} · {short}",
        caption=f"{long[0].upper()}{long[1:]}, by donor; {data['seed'].nunique()} seeds."
        if len(data)
        else "No training was recorded by epoch.",
        words=f"After the last epoch: {'; '.join(ends)}" if ends else "No training was recorded by epoch.",
        data=data[["task", "target", "donor", "method", "seed", "start", "epoch", what]],
        draw=partial(_curves, data=data, what=what, names=grid.setting.species),
        height=3.0,
    )


def _curves(figure: Canvas, data: pd.DataFrame, what: str, names: Sequence[str]) -> None:
    axes = figure.add_subplot()
    axes.set(xlabel="epoch", ylabel=_WHAT[what][1])
    whole(axes, 6)
    if data.empty:
        axes.text(0.5, 0.5, "missing", ha="center", transform=axes.transAxes)
        return
    for (donor, _), part in data.groupby(["donor", "seed"], sort=True):
        colour, marker = look(names, str(donor))
        style = "--" if donor == "base" else "-"
        axes.plot(
            part["epoch"], part[what], style, marker=marker, color=colour, linewidth=1.2, markersize=3.5, alpha=0.85
        )
    shown = [name for name in (*names, "base") if name in set(data["donor"])]
    legend(figure, names, shown, "donor")


def convergence(grid: Grid) -> Sheet:
    """Epoch of convergence and stability of the end, of each seed."""
    data = scores.convergence(grid)
    panels = [
        _ends(task, metric, data[(data["task"] == task) & (data["metric"] == metric)])
        for task in grid.tasks
        for metric in _ENDS
    ]
    return Sheet(
        name="convergence_analysis",
        title="Convergence",
        said=(
            "Convergence epoch: first from which on validation AUROC stays within 1 % of (U − c) of its best. "
            "Stability: 1 − sd / |mean| of the last half of the epochs, around a straight line.",
        ),
        panels=tuple(panels),
        columns=2,
        data=data,
    )


_ENDS = {"convergence_epoch": ("convergence epoch", "epoch"), "stability": ("stability of the last half", "stability")}


def _ends(task: str, metric: str, data: pd.DataFrame) -> Panel:
    short, unit = _ENDS[metric]
    lacking = data[data["value"].isna()]
    reasons = "; ".join(f"{len(part)} × {reason}" for reason, part in lacking.groupby("reason"))
    groups = data.groupby(["target", "donor"], sort=False)["value"]
    means = [
        f"{arrow((str(donor), str(target)))}: {values.mean():.2f}"
        for (target, donor), values in groups
        if values.notna().any()
    ]
    return Panel(
        name=f"{task}-{metric}",
        group=task,
        title=short,
        caption="A point is a seed, the line their mean." + (f" Without a value: {reasons}." if reasons else ""),
        words="; ".join(means) or "No value.",
        data=data,
        draw=partial(_seeds, data=data, unit=unit),
        height=1.2 + 0.27 * max(2, data[["target", "donor"]].drop_duplicates().shape[0]),
    )


def _seeds(figure: Canvas, data: pd.DataFrame, unit: str) -> None:
    axes, labels = figure.add_subplot(), []
    for i, ((target, donor), part) in enumerate(data.groupby(["target", "donor"], sort=False)):
        labels.append(arrow((str(donor), str(target))))
        colour, marker = look((), "") if donor == "base" else look(("donor",), "donor")
        values = part["value"].dropna()
        for j, value in enumerate(values):
            axes.plot(value, i + 0.16 * (j - (len(values) - 1) / 2), marker, color=colour, markersize=4.5, alpha=0.8)
        if len(values):
            axes.plot([values.mean()] * 2, [i - 0.38, i + 0.38], color=colour, linewidth=1.6)
        if len(values) < len(part):
            axes.annotate(
                f"{len(part) - len(values)} without",
                (0.99, i),
                xycoords=("axes fraction", "data"),
                fontsize=8,
                ha="right",
                va="center",
            )
    axes.set_yticks(range(len(labels)), labels, fontsize=9)
    axes.set(xlabel=unit, ylim=(len(labels) - 0.4, -0.6))
    if unit == "epoch":
        axes.set_xlim(0, data["epochs"].max() + 1)
        whole(axes, 5)
    else:
        few(axes)
    if data["value"].isna().any():
        left, right = axes.get_xlim()
        axes.set_xlim(left, right + 0.5 * (right - left))  # room for how many are without
    if unit == "epoch":
        whole(axes, 5)
    axes.margins(x=0.2)
    axes.grid(axis="x", color="#8888", linewidth=0.4)
