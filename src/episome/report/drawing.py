"""A panel of the report as a drawing: alone as SVG, with others as one PNG; the same data give the same bytes."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from episome.pictures import BLUE, GREEN, INK, ORANGE, PURPLE, SKY, STYLE, VERMILION, Picture, picture
from episome.report.frames import lines
from episome.transferscores import Pair

Canvas = FigureBase
"""A figure, or the part of one that a panel has."""

COLOURS = (BLUE, ORANGE, GREEN, VERMILION, SKY, PURPLE)
MARKERS = "osD^vP"
WIDTH = 3.7
"""Of a panel, in inches; at 11 points per letter it can be read at 360 pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One drawing before it is drawn.

    Attributes:
        name: for anchors and file names; unique within a report.
        group: task whose panel it is; empty where it is of all.
        title: what it shows.
        caption: what its marks mean.
        words: its numbers in words.
        data: one line per mark.
        draw: puts it on an empty figure.
        height: in inches.
    """

    name: str
    group: str
    title: str
    caption: str
    words: str
    data: pd.DataFrame
    draw: Callable[[Canvas], None]
    height: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """Panels that make one picture file.

    Attributes:
        name: of the files.
        title: what all of it is about.
        said: what is to be read with it, e.g. of its tests.
        panels: in order.
        columns: of the picture file.
        data: the numbers of all panels.
    """

    name: str
    title: str
    said: tuple[str, ...]
    panels: tuple[Panel, ...]
    columns: int
    data: pd.DataFrame


def svg(panel: Panel, marks: Sequence[str]) -> Picture:
    """A panel for the page; what must be said of every picture stands above it."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, panel.height), layout="constrained")
        panel.draw(figure)
        if marks:
            figure.suptitle(" · ".join(marks), fontsize=8, x=0.99, ha="right")
        return picture(figure, panel.name, headed(panel), panel.words, panel.data)


def png(sheet: Sheet, marks: Sequence[str]) -> bytes:
    """All panels of a sheet as one picture, 100 pixels an inch, on white."""
    rows = [sheet.panels[start : start + sheet.columns] for start in range(0, len(sheet.panels), sheet.columns)]
    heights = [max(panel.height for panel in row) + 0.35 for row in rows]
    with mpl.rc_context({**STYLE, "savefig.transparent": False}):
        figure = Figure(figsize=(WIDTH * sheet.columns, sum(heights) + 0.9), layout="constrained", facecolor="white")
        figure.suptitle(sheet.title + (f"  ({' · '.join(marks)})" if marks else ""), x=0.01, ha="left", fontsize=13)
        lines = figure.subfigures(len(rows), sheet.columns, squeeze=False, height_ratios=heights)
        for line, row in zip(lines, rows, strict=True):
            for part, panel in zip(line, row, strict=False):
                panel.draw(part)
                part.suptitle(headed(panel), fontsize=10.5, x=0.02, ha="left")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=100, metadata={"Software": None})
    return buffer.getvalue()


def headed(panel: Panel) -> str:
    """Title with the task, for where the group is not said above it."""
    return f"{panel.group} · {panel.title}" if panel.group else panel.title


def look(names: Sequence[str], name: str) -> tuple[str, str]:
    """Colour and marker of one of the names; what is none of them has the ink and a cross."""
    if name not in names:
        return INK, "X"
    at = list(names).index(name)
    return COLOURS[at % len(COLOURS)], MARKERS[at % len(MARKERS)]


def legend(figure: Canvas, names: Sequence[str], shown: Sequence[str], of: Literal["donor", "target"]) -> None:
    """Below the axes: which donor or target has which colour and marker; donors are shown with a line."""
    line: Literal["-", "none"] = "-" if of == "donor" else "none"
    handles = []
    for name in shown:
        colour, marker = look(names, name)
        handles.append(Line2D([], [], color=colour, marker=marker, linestyle=line, markersize=6, label=name))
    figure.legend(handles=handles, loc="outside lower left", ncols=2, handlelength=1.4, title=of, alignment="left")


def tile(axes: Axes, at: tuple[int, int], part: float, *, falling: bool) -> str:
    """A filled cell of a matrix; answers with the ink that can be read on it.

    Args:
        axes: of the matrix.
        at: column and row.
        part: 0 to 1 of the colours (cividis, made for colour-blind eyes), clipped.
        falling: 0 is the bright end.
    """
    part = min(1.0, max(0.0, part))
    shade = mpl.colormaps["cividis"](1 - part if falling else part)
    axes.add_patch(Rectangle((at[0] - 0.5, at[1] - 0.5), 1, 1, facecolor=shade, edgecolor="white", linewidth=1))
    return "#ffffff" if (1 - part if falling else part) < 0.55 else "#000000"


def missing(axes: Axes, x: int, y: int) -> None:
    """A hatched cell of a matrix."""
    axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, hatch="///", edgecolor="#888888", linewidth=0))


def whole(axes: Axes, most: int) -> None:
    """Ticks of the x axis at whole numbers only."""
    axes.xaxis.set_major_locator(MaxNLocator(most, integer=True))


def few(axes: Axes) -> None:
    """Ticks of the x axis beside long names: no more than can stand side by side."""
    axes.xaxis.set_major_locator(MaxNLocator(3))


def dots(figure: Canvas, data: pd.DataFrame, labels: Sequence[str], unit: str) -> Axes:
    """One row per line of the data, from the top: ``value`` with its interval, or why there is none.

    A bound instead of a value (``at_least``, ``at_most``) is an arrow.
    """
    axes = figure.add_subplot()
    for i, line in enumerate(lines(data)):
        if pd.notna(line["value"]):
            if pd.notna(line.get("low")) and pd.notna(line.get("high")):
                axes.plot([line["low"], line["high"]], [i, i], color=BLUE, linewidth=1.6)
            axes.plot(line["value"], i, "o", color=BLUE, markersize=6)
        elif pd.notna(line.get("at_least")):
            axes.plot(line["at_least"], i, ">", color=VERMILION, markersize=8)
        elif pd.notna(line.get("at_most")):
            axes.plot(line["at_most"], i, "<", color=VERMILION, markersize=8)
        else:
            axes.annotate("missing", (0.02, i), xycoords=("axes fraction", "data"), fontsize=9, va="center", color=INK)
    axes.set_yticks(range(len(labels)), labels, fontsize=9.5)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_xlabel(unit, loc="right")  # longer than the axis, it goes on below the names
    few(axes)
    axes.grid(axis="x", color="#8888", linewidth=0.4)
    return axes


def arrow(pair: Pair) -> str:
    """Donor → target, for an axis."""
    return f"{pair[0]} → {pair[1]}"
