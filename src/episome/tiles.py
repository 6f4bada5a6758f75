"""The ``contains_*`` tasks: what a stretch of genome holds, one row for all of them.

Windows lie on a grid, so that no two overlap, and are read on one strand: a site or a coding base counts on the
window's own strand only. The label of a window is 1 where it holds what a gene's representative transcript has
there, whole; missing where it holds only a part of it, or what another transcript has; else 0. All-zero windows stay.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from episome import dataset, places, sites, split
from episome.annotation import Interval, Transcript
from episome.places import Bools, Genome, Ints, Places
from episome.sources import Windows
from episome.types import EpisomeError, Task

PREFIX = "contains_"
# What a window is a negative of: it holds something else that was asked for, or nothing of all that.
KINDS = ("intergenic", "in_gene", "other_content")

Labels = npt.NDArray[np.int8]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Content:
    """What a task asks for.

    Attributes:
        whole: a part of it does not count (a site), or does (a coding stretch, an intron).
        recipe: whose genes count as known.
        intervals: where a transcript has it, on the plus strand, given its contig's length.
    """

    whole: bool
    recipe: sites.Recipe
    intervals: Callable[[Transcript, int], Sequence[Interval]]


def _site(name: str) -> _Content:
    recipe = sites.RECIPES[name]
    long = len(recipe.motif or "N")

    def intervals(transcript: Transcript, length: int) -> list[Interval]:
        anchors = recipe.anchors(transcript, length)
        return [sites.turn((a, a + long), transcript.strand, length) for a in anchors]

    return _Content(whole=True, recipe=recipe, intervals=intervals)


CONTENTS = {
    "contains_tss": _site("promoter"),
    "contains_donor": _site("donor"),
    "contains_acceptor": _site("acceptor"),
    "contains_tis": _site("tis"),
    "contains_cds": _Content(whole=False, recipe=sites.RECIPES["donor"], intervals=lambda t, _: t.cds),
    "contains_intron": _Content(whole=False, recipe=sites.RECIPES["donor"], intervals=lambda t, _: t.introns),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiles:
    """Windows of all ``contains_*`` tasks.

    Attributes:
        places: kinds are indices into `KINDS`, -1 where a window is no task's negative.
        labels: of each task, (rows, tasks).
        report: counts.
    """

    places: Places
    labels: Labels
    report: dict[str, Any]


def width(tasks: Sequence[Task]) -> int:
    """The one window length of some ``contains_*`` tasks.

    Raises:
        EpisomeError: a task that does not exist or is no window, or lengths that differ.
    """
    for task in tasks:
        if task.name not in CONTENTS:
            raise EpisomeError(f"task {task.name!r}: no recipe makes it from a genome; known: {', '.join(CONTENTS)}")
        if task.scope != "window":
            raise EpisomeError(f"tasks.{task.name}: scope {task.scope!r}; from a genome it has scope 'window'")
    widths = {task.window or 0 for task in tasks}
    if len(widths) > 1:
        came = ", ".join(f"{task.name} {task.window}" for task in tasks)
        raise EpisomeError(f"one window is asked all contains_* questions, so one length is wanted; came: {came}")
    return widths.pop()


def of_genome(genome: Genome, tasks: Sequence[Task], windows: Windows, salt: str) -> Tiles:
    """Draw windows and label them.

    A share of them (`sources.Tiles.genic_share`) is drawn for each task in turn from the windows that hold what it
    asks for, since a start of translation is rare; the rest is drawn from everywhere.

    Args:
        genome: surveyed.
        tasks: ``contains_*`` tasks.
        windows: numbers of the windows.
        salt: seed and species; decides the draw.
    """
    wide = width(tasks)
    grid, labels = _grid(genome, tasks, wide)
    order = split.generator(0, f"{salt}:{PREFIX}").permutation(len(grid))
    seen: set[bytes] = set()
    genic = round(windows.tiles.most * windows.tiles.genic_share)
    found: list[Ints] = []
    taken = np.zeros(len(grid), dtype=np.bool_)

    def look(some: Ints) -> Ints:
        kept, _ = places.look(genome, grid[some], wide, windows.max_n_share, seen)
        return some[kept]

    for t in range(len(tasks)):
        queue = order[(labels[order, t] == 1) & ~taken[order]]
        want = genic // len(tasks) + (t < genic % len(tasks))
        found.append(_fill(queue, want, look))
        taken[found[-1]] = True
    rest = windows.tiles.most - int(taken.sum())
    found.append(_fill(order[~taken[order]], rest, look))
    rows = np.sort(np.concatenate(found))
    return Tiles(places=grid[rows], labels=labels[rows], report=_report(grid[rows], labels[rows], tasks))


def _fill(queue: Ints, want: int, look: Callable[[Ints], Ints]) -> Ints:
    """The first `want` of a queue that pass a `look`, which says which of some do."""
    found = [queue[:0]]
    while want and len(queue):
        some, queue = queue[:want], queue[want:]
        found.append(look(some))
        want -= len(found[-1])
    return np.concatenate(found)


def _grid(genome: Genome, tasks: Sequence[Task], wide: int) -> tuple[Places, Labels]:
    """All windows of the grid that one split owns, on both strands, and their labels (windows, tasks)."""
    index = {name: c for c, name in enumerate(genome.names)}
    count = [genome.length(c) // wide for c in range(len(genome.names))]
    labels = [np.zeros((n, 2, len(tasks)), dtype=np.int8) for n in count]
    genes = [np.full((n, 2), -1, dtype=np.int32) for n in count]
    numbers = {gene.gene: g for g, gene in enumerate(genome.genes)}
    for transcript in genome.transcripts:
        contig, strand, g = index[transcript.contig], int(transcript.strand == "-"), numbers[transcript.gene]
        start, end = transcript.span
        own = genes[contig][start // wide : (end - 1) // wide + 1, strand]
        own[own < 0] = g
        _label(labels[contig][:, strand], transcript, genome, g, tasks, wide)
    parts = []
    for contig, n in enumerate(count):
        rows = np.zeros((n, 2), dtype=places.PLACE)
        rows["contig"], rows["gene"], rows["minus"] = contig, genes[contig], [False, True]
        rows["start"] = np.arange(n)[:, None] * wide
        rows["side"] = genome.sides(contig, np.arange(n) * wide, wide)[:, None]
        rows["kind"] = (genes[contig].max(axis=1) >= 0)[:, None]
        holds: Bools = (labels[contig] == 1).any(axis=2)
        rows["kind"][holds] = KINDS.index("other_content")
        negative: Bools = (labels[contig] == 0).any(axis=2)
        rows["kind"][~negative] = -1
        parts.append(rows.ravel())
    grid, answers = np.concatenate(parts), np.concatenate([a.reshape(-1, len(tasks)) for a in labels])
    owned = grid["side"] >= 0
    return grid[owned], answers[owned]


def _label(labels: Labels, transcript: Transcript, genome: Genome, g: int, tasks: Sequence[Task], wide: int) -> None:
    """Mark what a transcript has in the windows of its contig and strand, (windows, tasks)."""
    length = genome.contigs.lengths[transcript.contig]
    for t, task in enumerate(tasks):
        content = CONTENTS[task.name]
        believed = genome.genes[g] is transcript and genome.believes(transcript, content.recipe)
        for start, end in content.intervals(transcript, length):
            first, last = start // wide, (end - 1) // wide
            own = labels[first : last + 1, t]
            if believed and (first == last or not content.whole):
                own[:] = 1
            else:
                own[own == 0] = dataset.MISSING


def _report(rows: Places, labels: Labels, tasks: Sequence[Task]) -> dict[str, Any]:
    """Of each task and split, how many windows hold it, do not, and are not asked."""
    report: dict[str, Any] = {}
    for t, task in enumerate(tasks):
        report[task.name] = {"rows": {}}
        for s, side in enumerate(split.SPLITS):
            own = labels[rows["side"] == s, t]
            counts = {"positive": (own == 1).sum(), "absent": (own == 0).sum(), "missing": (own < 0).sum()}
            report[task.name]["rows"][side] = {name: int(n) for name, n in counts.items() if n}
    return report
