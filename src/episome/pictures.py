"""Pictures of what went into a task, as inline SVG; the only importer of matplotlib.

The same rows give the same bytes: no date, no random ids. Colours are those of Okabe & Ito (2008), which people with
any colour vision tell apart; text and axes take the colour of the page around them, so a dark page stays readable.
"""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from episome.dataset import label_column, labelled
from episome.sequence import gc
from episome.split import SPLITS
from episome.types import Task

BLUE, ORANGE, GREEN, VERMILION, SKY, PURPLE = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7"
OF_SPLIT = dict(zip(SPLITS, (BLUE, ORANGE, GREEN), strict=True))
OF_KIND = (ORANGE, GREEN, SKY, VERMILION, PURPLE, "#999999")
INK = "#010203"
"""Stands for the page's own text colour."""

MOST_CONTIGS = 12
_BINS = 100
_NAMES = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" aria-hidden="true"'
_WIDTH = 4.1
_NARROW = 22
STYLE: dict[Any, Any] = {
    "text.parse_math": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "episome",
    "font.family": "sans-serif",
    "font.size": 11.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.fontsize": 10.0,
    "savefig.transparent": True,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One figure and what it was drawn from.

    Attributes:
        name: for file names and anchors; unique within a task.
        title: what it shows.
        alt: the same in words, numbers included, for whoever does not see it.
        svg: the drawing, an ``svg`` element whose ids begin with `name`.
        data: the drawn numbers, one line per mark.
    """

    name: str
    title: str
    alt: str
    svg: str
    data: pd.DataFrame


def of_task(rows: pd.DataFrame, task: Task) -> list[Picture]:
    """Every picture of a task: lengths, GC, classes by split, kinds of negatives, and places on the contigs.

    Args:
        rows: of one species (`episome.dataset`).
        task: whose rows are drawn. Without a row there is nothing to draw, without contigs no picture of places.
    """
    asked = labelled(rows, task.name)
    if asked.empty:
        return []
    seen = pd.DataFrame(
        {
            "class": np.where(asked[label_column(task.name)] == 1, task.labels[1], task.labels[0]),
            "kind": asked["negative_kind"].to_numpy(),
            "split": asked["split"].to_numpy(),
            "length": asked["sequence"].str.len().to_numpy(),
            "gc": asked["sequence"].map(gc).to_numpy(np.float64),
        }
    )
    with mpl.rc_context(STYLE):
        pictures = [
            _lengths(seen, task),
            _gc(seen, task),
            _classes(seen, task),
            _kinds(seen, task),
            _gc_by_kind(seen, task),
        ]
        places = asked[(asked["contig"] != "") & (asked[label_column(task.name)] == 1)]
        return [*pictures, _places(places, task)] if len(places) else pictures


def _named(seen: pd.DataFrame, task: Task) -> list[tuple[str, str, pd.DataFrame]]:
    """Classes with their colour and rows, the positive one first."""
    colours = zip(task.labels[::-1], (BLUE, ORANGE), strict=True)
    return [(name, colour, seen[seen["class"] == name]) for name, colour in colours]


def _lengths(seen: pd.DataFrame, task: Task) -> Picture:
    figure, axes = _axes(2.9)
    low, high = int(seen["length"].min()), int(seen["length"].max())
    if low == high:  # a histogram of one bin says less than two bars
        table = seen["class"].value_counts().reindex(list(task.labels[::-1]), fill_value=0)
        data = pd.DataFrame({"class": table.index, "length_bp": low, "rows": table.to_numpy()})
        names = [f"{name}\nn = {count:,}" for name, count in table.items()]
        axes.bar(names, table.to_numpy(), 0.5, color=(BLUE, ORANGE))
        axes.set(xlabel=f"every sequence has {low:,} bp", ylabel="rows")
    else:
        edges = np.linspace(low, high + 1, min(30, high - low + 1) + 1)
        data = _histogram(figure, [(n, c, s["length"].to_numpy()) for n, c, s in _named(seen, task)], edges, "bp")
        axes.set(xlabel="length, bp", ylabel="rows")
    words = "; ".join(
        f"{name}: {len(part)} rows, {part['length'].min()} to {part['length'].max()} bp, "
        f"median {part['length'].median():g}"
        for name, _, part in _named(seen, task)
        if len(part)
    )
    return picture(figure, f"{task.name}-lengths", "Length of the sequences by class", words, data)


def _gc(seen: pd.DataFrame, task: Task) -> Picture:
    figure, axes = _axes(2.9)
    data = _histogram(
        figure, [(n, c, s["gc"].to_numpy()) for n, c, s in _named(seen, task)], np.linspace(0, 1, 41), "GC"
    )
    near = max(0, seen["gc"].min() - 0.05), min(1, seen["gc"].max() + 0.05)
    axes.set(xlabel="GC, share of bases", ylabel="rows", xlim=near)
    words = "; ".join(
        f"{name}: mean {part['gc'].mean():.3f}, standard deviation {part['gc'].std(ddof=0):.3f}, n = {len(part)}"
        for name, _, part in _named(seen, task)
        if len(part)
    )
    return picture(figure, f"{task.name}-gc", "GC of the sequences by class", words, data)


def _histogram(
    figure: Figure, parts: Sequence[tuple[str, str, NDArray[np.float64]]], edges: NDArray[np.float64], unit: str
) -> pd.DataFrame:
    """Filled outlines, so that two classes over each other both show; as many rows as drawn."""
    axes, data = figure.axes[0], pd.DataFrame({f"from_{unit}": edges[:-1], f"to_{unit}": edges[1:]})
    for name, colour, values in parts:
        counts = np.histogram(values, edges)[0]
        axes.stairs(counts, edges, fill=True, color=colour, alpha=0.3)
        axes.stairs(counts, edges, color=colour, linewidth=1.6, label=f"{name}, n = {len(values):,}")
        data[f"rows_{name}"] = counts
    _legend(figure)
    return data


def _classes(seen: pd.DataFrame, task: Task) -> Picture:
    figure, axes = _axes(2.9)
    table = _cross(seen, "class", task.labels[::-1])
    _stack(figure, table, (BLUE, ORANGE))
    axes.set(ylabel="rows")
    return picture(figure, f"{task.name}-classes", "Rows by split and class", _spoken(table), table.reset_index())


def _kinds(seen: pd.DataFrame, task: Task) -> Picture:
    figure, axes = _axes(2.9)
    negatives = seen[seen["class"] == task.labels[0]]
    table = _cross(negatives.assign(kind=negatives["kind"].replace("", "unnamed")), "kind", ())
    _stack(figure, table, OF_KIND)
    axes.set(ylabel="negative rows")
    words = _spoken(table) if len(negatives) else "There is no negative row."
    return picture(figure, f"{task.name}-kinds", "Kinds of negatives by split", words, table.reset_index())


def _cross(seen: pd.DataFrame, by: str, columns: Sequence[str]) -> pd.DataFrame:
    table = pd.crosstab(seen["split"], seen[by])
    return table.reindex(index=list(SPLITS), columns=list(columns or table.columns), fill_value=0)


def _stack(figure: Figure, table: pd.DataFrame, colours: Sequence[str]) -> None:
    axes, bottom = figure.axes[0], np.zeros(len(table))
    names = [f"{split}\nn = {count:,}" for split, count in table.sum(axis=1).items()]
    for i, name in enumerate(table.columns):
        counts = table[name].to_numpy()
        # Hatching tells apart what colours repeat for.
        hatch = "//" if i >= len(colours) else ""
        axes.bar(names, counts, 0.65, bottom=bottom, color=colours[i % len(colours)], hatch=hatch, label=str(name))
        bottom = bottom + counts
    if len(table.columns):
        _legend(figure)


def _spoken(table: pd.DataFrame) -> str:
    lines = table.iterrows()
    return "; ".join(f"{split}: " + ", ".join(f"{n} {name}" for name, n in counts.items()) for split, counts in lines)


def _gc_by_kind(seen: pd.DataFrame, task: Task) -> Picture:
    positive = seen[seen["class"] == task.labels[1]]
    negative = seen[seen["class"] == task.labels[0]]
    parts = [(task.labels[1], BLUE, positive["gc"].to_numpy())] if len(positive) else []
    for i, (kind, part) in enumerate(negative.groupby("kind", sort=True)):
        parts.append((str(kind) or "unnamed", OF_KIND[i % len(OF_KIND)], part["gc"].to_numpy()))
    figure, axes = _axes(1.3 + 0.42 * len(parts))
    quantiles = (0.05, 0.25, 0.5, 0.75, 0.95)
    drawn = [[name, len(values), *np.quantile(values, quantiles).round(4).tolist()] for name, _, values in parts]
    data = pd.DataFrame(drawn, columns=["rows_of", "n", *(f"GC_{q:.0%}" for q in quantiles)])
    for i, ((_, colour, _), (_, _, low, first, middle, third, high)) in enumerate(zip(parts, drawn, strict=True)):
        axes.plot([low, high], [i, i], color=colour, linewidth=1.5)
        axes.barh(i, third - first, 0.5, left=first, color=colour)
        axes.plot([middle, middle], [i - 0.32, i + 0.32], color=INK, linewidth=1.8)
    axes.set(xlabel="GC, share of bases (5, 25, 50, 75, 95 %)", yticks=range(len(parts)))
    axes.set_yticklabels([f"{name}\nn = {n:,}" for name, n, *_ in drawn], fontsize=9.5)
    axes.invert_yaxis()
    words = "; ".join(f"{name}: median {middle:.3f}, n = {n}" for name, n, _, _, middle, *_ in drawn)
    return picture(figure, f"{task.name}-gc-by-kind", "GC of positives and of each kind of negative", words, data)


def _places(sites: pd.DataFrame, task: Task) -> Picture:
    """Sites per bin of the contigs with most of them; a bin's bars are stacked over the splits."""
    found = sites["contig"].value_counts()
    names = sorted(sorted(found.index, key=lambda name: (-found[name], _natural(name)))[:MOST_CONTIGS], key=_natural)
    drawn = sites[sites["contig"].isin(names)]
    width = max(1, -(-int(drawn["end"].max()) // _BINS))
    data = _binned(drawn, names, width)
    fullest = int(data["top"].max())
    scale, unit = _bases(width * _BINS)
    figure, axes = _axes(1.4 + 0.36 * max(len(names), 3))
    for split in SPLITS:
        axes.add_patch(_bars(data[data["split"] == split], names, width / scale, fullest, OF_SPLIT[split]))
    for i, name in enumerate(names):
        axes.plot([0, drawn.loc[drawn["contig"] == name, "end"].max() / scale], [i, i], color=INK, linewidth=0.6)
    axes.set(xlabel=f"position, {unit}; one bin = {width:,} bp", ylim=(len(names) - 0.5, -1.1))
    axes.set_yticks(range(len(names)), [f"{_short(name)} ({found[name]:,})" for name in names], fontsize=9.5)
    of_split = sites["split"].value_counts()
    _legend(figure, [Patch(color=OF_SPLIT[s], label=f"{s}, n = {of_split.get(s, 0):,}") for s in SPLITS])
    rest = len(found) - len(names)
    more = f" {rest} more contigs with {len(sites) - len(drawn)} sites are not drawn." if rest else ""
    words = "; ".join(f"{name}: {found[name]} sites" for name in names) + f". Highest bar: {fullest} sites.{more}"
    data = data.assign(from_bp=data["bin"] * width, to_bp=(data["bin"] + 1) * width)
    columns = ["contig", "split", "from_bp", "to_bp", "sites"]
    return picture(figure, f"{task.name}-places", "Sites along the contigs by split", words, data[columns])


def _binned(sites: pd.DataFrame, names: Sequence[str], width: int) -> pd.DataFrame:
    """Contig, bin, split, number of sites, and how many of the bin's are up to and with this split."""
    middles = (sites["start"] + sites["end"]) // 2
    order = {
        name: pd.Categorical(sites[name], pd.Index(known)) for name, known in (("contig", names), ("split", SPLITS))
    }
    table = sites.assign(bin=middles // width, **order).groupby(["contig", "bin", "split"], observed=True).size()
    data = table.rename("sites").reset_index()
    return data.assign(top=data.groupby(["contig", "bin"], observed=True)["sites"].cumsum())


def _bars(data: pd.DataFrame, names: Sequence[str], width: float, fullest: int, colour: str) -> PathPatch:
    """All bars of one split as one shape: thousands of single ones would be megabytes."""
    high = 0.85 / fullest
    boxes = [
        Path([(left, foot), (left + width, foot), (left + width, head), (left, head), (left, foot)], closed=True)
        for left, foot, head in zip(
            data["bin"] * width,
            data["contig"].map(names.index).astype(float) - high * (data["top"] - data["sites"]),
            data["contig"].map(names.index).astype(float) - high * data["top"],
            strict=True,
        )
    ]
    return PathPatch(Path.make_compound_path(*boxes), facecolor=colour, edgecolor=colour, linewidth=0.4)


def _natural(name: str) -> list[tuple[int, str]]:
    """chr2 before chr10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _short(name: str) -> str:
    return name if len(name) <= 14 else f"{name[:6]}…{name[-6:]}"


def _bases(length: int) -> tuple[int, str]:
    return (1_000_000, "Mb") if length >= 2_000_000 else (1_000, "kb") if length >= 2_000 else (1, "bp")


def _axes(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    axes = figure.add_subplot()
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))  # rows are counted
    return figure, axes


def _legend(figure: Figure, handles: list[Patch] | None = None) -> None:
    """Above the axes and from the figure's edge on, where there is most room and no bar behind it."""
    given = handles or figure.axes[0].get_legend_handles_labels()[0]
    columns = 2 if max(len(str(handle.get_label())) for handle in given) <= _NARROW else 1
    figure.legend(handles=given, loc="outside upper left", ncols=columns, handlelength=1.2)


def picture(figure: Figure, name: str, title: str, words: str, data: pd.DataFrame) -> Picture:
    """What was drawn, as an ``svg`` element that can stand in a page beside others."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    # Several drawings share one page: their ids must not meet.
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg).replace(INK, "currentColor")
    svg = re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', rf"<svg {_NAMES} \g<1>>", svg, count=1)
    # A hundredth of a point is finer than any screen.
    svg = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path[0]), svg)
    return Picture(name=name, title=title, alt=words, svg=svg, data=data)
