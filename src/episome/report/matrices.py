"""Sheets of the report that show pairs: the transfer matrix, and performance against distance."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd

from episome.mantel import Mantel
from episome.report import frames, scores
from episome.report.cells import Grid
from episome.report.drawing import Canvas, Panel, Sheet, legend, look, missing, tile
from episome.studyparams import Method

_TITLES = {
    "zero_shot": "zero-shot (Z)",
    "adapted": "adapted (M)",
    "scratch": "scratch (S)",
    "performance_loss": "performance loss (U − M) / (U − c)",
}
_CAPTIONS = {
    "zero_shot": "AUROC of the donor's adapter as it is; colours from 0.5 to 1.",
    "adapted": "AUROC after training on the target, mean over seeds; colours from 0.5 to 1.",
    "scratch": "AUROC of training from nothing, mean over seeds; colours from 0.5 to 1.",
    "performance_loss": "0: nothing lost against the best of that target; 1: all skill lost. Colours from 0 to 1.",
}


def matrix(grid: Grid) -> Sheet:
    """Zero-shot, adapted, scratch and performance loss of every task."""
    data = scores.matrix(grid)
    panels = [
        _panel(grid, task, name, data[(data["task"] == task) & (data["panel"] == name)])
        for task in grid.tasks
        for name in scores.PANELS
    ]
    said = "Test AUROC and its interval over whole homology groups; rows are donors, columns targets; hatched: missing."
    return Sheet(
        name="transfer_matrix",
        title="Transfer matrix",
        said=(said,),
        panels=tuple(panels),
        columns=4 if len(grid.setting.species) < 6 else 2,
        data=data,
    )


def _panel(grid: Grid, task: str, name: str, data: pd.DataFrame) -> Panel:
    donors = ["base"] if name == "scratch" else list(grid.setting.species)
    missing = data[data["value"].isna()]
    why = "".join(f" Missing: {'; '.join(_missing(part, reason))}." for reason, part in missing.groupby("reason"))
    return Panel(
        name=f"{task}-{name}",
        group=task,
        title=_TITLES[name],
        caption=f"{_CAPTIONS[name]} {_seeds(data)}{_began(data)}{why}",
        words="; ".join(f"{_who(line)} {spoken(line)}" for line in frames.lines(data)),
        data=data,
        draw=partial(_heat, data=data, donors=donors, targets=grid.targets(task), falling=name == "performance_loss"),
        height=1.25 + 0.49 * len(donors),
    )


def _missing(part: pd.DataFrame, reason: object) -> list[str]:
    pairs = ", ".join(f"{line['donor']} → {line['target']}" for line in frames.lines(part))
    return [f"{pairs}: {reason}"]


def _who(line: Mapping[str, Any]) -> str:
    return f"{line['donor']} → {line['target']}" if line["donor"] != "base" else str(line["target"])


def _seeds(data: pd.DataFrame) -> str:
    counts = sorted({int(count) for count in data["seeds"].dropna()})
    if counts == [1]:
        return "One seed: nothing is said of the spread over seeds."
    return f"Seeds: {' to '.join(str(count) for count in dict.fromkeys([counts[0], counts[-1]]))}." if counts else ""


def _began(data: pd.DataFrame) -> str:
    """How many adapted runs the negative-transfer check sent back to nothing."""
    back, runs = data["from_nothing"].sum(), data["seeds"].sum()
    return f" {back:.0f} of {runs:.0f} runs began from nothing, as their check said." if back else ""


def spoken(line: Mapping[str, Any]) -> str:
    """A value with its interval, or why there is none, in words."""
    if pd.isna(line["value"]):
        return f"missing ({line['reason']})"
    ends = f" [{line['low']:.3f}, {line['high']:.3f}]" if pd.notna(line["low"]) else ""
    return f"{line['value']:.3f}{ends}"


def _heat(figure: Canvas, data: pd.DataFrame, donors: Sequence[str], targets: Sequence[str], *, falling: bool) -> None:
    axes, low = figure.add_subplot(), 0.0 if falling else 0.5
    for line in frames.lines(data):
        x, y = list(targets).index(line["target"]), list(donors).index(line["donor"])
        if pd.isna(line["value"]):
            missing(axes, x, y)
            continue
        ink = tile(axes, (x, y), (line["value"] - low) / (1 - low), falling=falling)
        axes.text(x, y - 0.13, f"{line['value']:.3f}", ha="center", va="center", fontsize=11, color=ink)
        if pd.notna(line["low"]):
            ends = f"{line['low']:.2f}–{line['high']:.2f}"
            axes.text(x, y + 0.22, ends, ha="center", va="center", fontsize=8, color=ink)
    rows = data.dropna(subset=["n"]).drop_duplicates("target").set_index("target")["n"]
    # Side by side whole names would run into each other.
    heads = [name.replace("_", "\n_") + (f"\nn = {rows[name]:,.0f}" if name in rows else "") for name in targets]
    axes.set_xticks(range(len(targets)), heads, fontsize=8.5)
    axes.set_yticks(range(len(donors)), donors, fontsize=9.5)
    axes.set(xlim=(-0.5, len(targets) - 0.5), ylim=(len(donors) - 0.5, -0.5), xlabel="target", ylabel="donor")
    axes.tick_params(length=0)
    axes.set_aspect(0.9, anchor="N")
    axes.spines[["left", "bottom"]].set_visible(False)


def distance(grid: Grid) -> Sheet:
    """Zero-shot and adapted AUROC over the distance of donor and target."""
    data, found = scores.by_distance(grid), scores.correlations(grid)
    panels = [
        _points(
            data[(data["task"] == task) & (data["method"] == method)], grid, (task, method), found.get((task, method))
        )
        for task in grid.tasks
        for method in _METHODS
    ]
    return Sheet(
        name="distance_performance_correlation",
        title="Performance over distance",
        said=("A point per pair with its interval; pairs of one distance stand side by side.",),
        panels=tuple(panels),
        columns=2,
        data=data,
    )


_METHODS: dict[Method, str] = {"zero_shot": "zero-shot", "adapted": "adapted"}


def _points(data: pd.DataFrame, grid: Grid, about: tuple[str, Method], found: Mantel | None) -> Panel:
    task, method = about
    said = (tested(found) if found else "No run.") + _left_out(grid)
    return Panel(
        name=f"{task}-{method}-distance",
        group=task,
        title=_METHODS[method],
        caption=said,
        words="; ".join(f"{_who(line)}{_at(line)}: {spoken(line)}" for line in frames.lines(data)),
        data=data,
        draw=partial(_scatter, data=data.dropna(subset=["value"]), grid=grid, found=found),
        height=3.6,
    )


def _at(line: Mapping[str, Any]) -> str:
    return f" at {line['distance']:.2f}" if pd.notna(line["distance"]) else ""


def _left_out(grid: Grid) -> str:
    """Pairs without a distance, and the species that the test is therefore without."""
    setting = grid.setting
    if not setting.unknown:
        return ""
    pairs = "; ".join(f"{a}, {b}: {why}" for (a, b), why in setting.unknown.items())
    return f" Without a distance: {pairs}. The test is over {', '.join(setting.measured)}."


def _scatter(figure: Canvas, data: pd.DataFrame, grid: Grid, found: Mantel | None) -> None:
    axes, names = figure.add_subplot(), grid.setting.species
    step = 0.022 * max(1.0, float(data["distance"].max()) if len(data) else 1.0)
    for _, part in data.groupby("distance", sort=True):
        for i, line in enumerate(frames.lines(part.sort_values(["target", "donor"]))):
            x = line["distance"] + step * (i - (len(part) - 1) / 2)
            colour, marker = look(names, line["target"])
            if pd.notna(line["low"]):
                axes.plot([x, x], [line["low"], line["high"]], color=colour, linewidth=1.2)
            axes.plot(x, line["value"], marker, color=colour, markersize=6)
    axes.set(xlabel="distance of donor and target", ylabel="test AUROC")
    axes.axhline(0.5, color="#888888", linewidth=0.8, linestyle=":")
    if found and found.rho is not None:
        said = f"Spearman {found.rho:+.2f}, Mantel p {found.p:.3f}\nleast possible p {found.smallest:.3f}"
        said += "; underpowered" if found.species < UNDERPOWERED else ""
        axes.set_title(said, fontsize=9, loc="left")
    shown = [name for name in names if name in set(data["target"])]
    if shown:
        legend(figure, names, shown, "target")


UNDERPOWERED = 10
"""With fewer species a correlation over their pairs is called underpowered."""


def tested(found: Mantel) -> str:
    """A correlation and its test in words, with what such a test could have found at all."""
    if found.rho is None:
        return f"No correlation: {found.reason}."
    how = "exact" if found.exact else "by random relabelling"
    spread = (
        f"; leaving out one species: {found.without_one[0]:+.2f} to {found.without_one[1]:+.2f}"
        if found.without_one
        else ""
    )
    weak = ""
    if found.species < UNDERPOWERED:
        weak = f" Underpowered: {found.species} species"
        weak += ", whose relabelling cannot give a p below 0.05." if found.smallest > 0.05 else "."
    return (
        f"Spearman {found.rho:+.3f} over {found.pairs} pairs{spread}; Mantel p {found.p:.4f} ({how}, "
        f"{found.relabellings} relabellings; smallest possible {found.smallest:.4f}).{weak}"
    )


def correlated(grid: Grid) -> list[str]:
    """Of every task and method, how performance goes with distance."""
    found = scores.correlations(grid)
    return [f"{task}, {_METHODS[method]}: {tested(each)}{_left_out(grid)}" for (task, method), each in found.items()]
