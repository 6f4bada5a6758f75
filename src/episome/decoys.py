"""Where hard negatives may be put: places that look like sites, or like the surroundings of one, and are none.

`of_gene` and `between_genes` only propose; who calls removes what is too near to an annotated site of any transcript.
Anchors are oriented (see `sites`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from episome import sites
from episome.annotation import Interval, Transcript
from episome.types import Task

Ints = npt.NDArray[np.int64]
Fetch = Callable[[int, int, str], str]
Stretch = Callable[[int, int, int, str], str]

_SHIFT = 1000
# Bases looked at between genes for one motif: 1 in 64 places has an ATG.
_STRETCH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """Oriented anchors of one kind on one strand."""

    kind: str
    strand: str
    anchors: Ints


def of_gene(
    transcript: Transcript, task: Task, length: int, fetch: Fetch, *, draws: int, rng: np.random.Generator
) -> Iterator[Proposal]:
    """Proposals in and around a gene, without ``intergenic``.

    Args:
        transcript: the gene's representative.
        task: gives motif and window.
        length: of the contig.
        fetch: sequence of the contig from, to and on a strand.
        draws: places drawn for each kind that has no motif; of a motif, every place is proposed.
        rng: draws.
    """
    if task.motif:
        yield from _motifs(transcript, task.motif, length, fetch)
    else:
        yield from _around_start(transcript, task, length, draws, rng)


def find(text: str, motif: str) -> Ints:
    """Positions at which a motif begins.

    >>> find("GTAGT", "GT").tolist()
    [0, 3]
    """
    bases = np.frombuffer(text.encode("ascii"), dtype=np.uint8)
    hits = np.ones(max(len(bases) - len(motif) + 1, 0), dtype=np.bool_)
    for i, base in enumerate(motif.encode("ascii")):
        hits &= bases[i : len(hits) + i] == base
    return np.flatnonzero(hits)


def _motifs(transcript: Transcript, motif: str, length: int, fetch: Fetch) -> Iterator[Proposal]:
    strand = transcript.strand
    positions = find(fetch(*transcript.span, strand), motif) + sites.turn(transcript.span, strand, length)[0]
    exonic, _ = _inside(positions, sites.oriented(transcript.exons, strand, length))
    coding, before = _inside(positions, sites.oriented(transcript.cds, strand, length))
    kinds = {"intron": ~exonic, "exon": exonic}
    if motif == "ATG":
        in_frame = before % 3 == 0
        kinds = {
            "intron": ~exonic,
            "utr": exonic & ~coding,
            "cds_in_frame": coding & in_frame,
            "cds_out_of_frame": coding & ~in_frame,
        }
    for kind, mask in kinds.items():
        yield Proposal(kind=kind, strand=strand, anchors=positions[mask])


def _inside(positions: Ints, intervals: list[Interval]) -> tuple[npt.NDArray[np.bool_], Ints]:
    """Which positions lie in ascending intervals, and how many bases of the intervals come before each."""
    if not intervals:
        return np.zeros(len(positions), dtype=np.bool_), np.zeros(len(positions), dtype=np.int64)
    starts, ends = np.array(intervals, dtype=np.int64).T
    index = np.maximum(np.searchsorted(starts, positions, side="right") - 1, 0)
    before = np.cumsum(ends - starts) - (ends - starts)
    return (positions >= starts[index]) & (positions < ends[index]), before[index] + positions - starts[index]


def _around_start(
    transcript: Transcript, task: Task, length: int, draws: int, rng: np.random.Generator
) -> Iterator[Proposal]:
    """Promoter-like places: behind the first exon, beside the TSS, and over the TSS on the other strand."""
    here, width, lead = transcript.strand, task.window or 0, sites.lead(task)
    there = "-" if here == "+" else "+"
    start, end = sites.turn(transcript.span, here, length)
    first_exon_end = sites.oriented(transcript.exons, here, length)[0][1]
    low, high = first_exon_end + lead, end - width + lead + 1
    within = rng.integers(low, high, draws) if high > low else np.empty(0, dtype=np.int64)
    yield Proposal(kind="gene_body", strand=here, anchors=within)
    shifts = rng.integers(width, max(_SHIFT, width) + 1, draws) * rng.choice((-1, 1), draws)
    yield Proposal(kind="shifted", strand=here, anchors=start + shifts)
    # Moved no further than the window reaches behind its anchor, so that it still holds the TSS.
    behind = width - lead - 1
    opposite = length - 1 - start + rng.integers(-behind, behind + 1, draws)
    yield Proposal(kind="opposite_strand", strand=there, anchors=opposite)


def between_genes(
    gaps: Ints, task: Task, length: Callable[[int], int], fetch: Stretch, *, count: int, rng: np.random.Generator
) -> Iterator[tuple[int, str, int]]:
    """Contig, strand and oriented anchor of places in stretches without a gene.

    Args:
        gaps: columns contig, start and end on the plus strand, (gaps, 3).
        task: a motif is looked for; a window without one lies in a gap with all its bases.
        length: bases of a contig.
        fetch: sequence of a contig from, to and on a strand.
        count: how many; fewer where the drawn stretches hold no motif.
        rng: draws.
    """
    width = len(task.motif) if task.motif else task.window or 0
    room = np.maximum(gaps[:, 2] - gaps[:, 1] - width + 1, 0)
    until = np.cumsum(room)
    if not room.any():
        return
    drawn = rng.integers(0, until[-1], count)
    gap = np.searchsorted(until, drawn, side="right")
    starts = gaps[gap, 1] + drawn - (until[gap] - room[gap])
    rows = zip(gaps[gap, 0].tolist(), starts.tolist(), gaps[gap, 2].tolist(), rng.random((count, 2)), strict=True)
    for contig, start, gap_end, (coin, pick) in rows:
        strand = "+" if coin < 0.5 else "-"
        end = min(start + (_STRETCH if task.motif else width), gap_end)
        first = sites.turn((start, end), strand, length(contig))[0]
        if not task.motif:
            yield contig, strand, first + sites.lead(task)
        elif len(hits := find(fetch(contig, start, end, strand), task.motif)):
            yield contig, strand, first + int(hits[int(pick * len(hits))])
