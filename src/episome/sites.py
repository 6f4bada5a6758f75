"""Where the sites of a task are in a genome, and where hard negatives for them are.

Everything here is *oriented*: positions count from the 5' end of the strand that a gene is on, so a minus gene
reads like a plus gene on the reverse complement. `turn` is its own inverse and leads back to the plus strand.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from episome.gtf import Interval, Transcript
from episome.types import EpisomeError, Task

# Draws of promoter negatives, from which GC matching picks.
_DRAWS_PER_GENE = 24
_DECOYS_PER_GENE = 60
_SHIFT = 1000
_TSS_OFFSET = 249 / 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One place a window may be put.

    Attributes:
        anchor: oriented position of the site itself: TSS, or first base of the motif.
        kind: "" for a true site, else what sort of negative it is.
    """

    contig: str
    strand: str
    anchor: int
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a task's windows are cut.

    Attributes:
        motif: bases at the anchor; None where the site has no motif.
        coding_only: sites of protein-coding genes only.
        anchors: oriented site positions of a transcript, given its contig's length.
    """

    motif: str | None
    coding_only: bool
    anchors: Callable[[Transcript, int], list[int]]


def turn(interval: Interval, strand: str, length: int) -> Interval:
    """Plus-strand coordinates to oriented ones, or back."""
    return interval if strand == "+" else (length - interval[1], length - interval[0])


def oriented(intervals: tuple[Interval, ...], strand: str, length: int) -> list[Interval]:
    """Several intervals, 5' to 3' of their strand."""
    return sorted(turn(interval, strand, length) for interval in intervals)


def _tss(transcript: Transcript, length: int) -> list[int]:
    return [turn(transcript.span, transcript.strand, length)[0]]


def _donors(transcript: Transcript, length: int) -> list[int]:
    return [start for start, _ in oriented(transcript.introns, transcript.strand, length)]


def _acceptors(transcript: Transcript, length: int) -> list[int]:
    return [end - 2 for _, end in oriented(transcript.introns, transcript.strand, length)]


def _starts(transcript: Transcript, length: int) -> list[int]:
    return [start for start, _ in oriented(transcript.cds, transcript.strand, length)[:1]]


RECIPES = {
    "promoter": Recipe(motif=None, coding_only=True, anchors=_tss),
    "donor": Recipe(motif="GT", coding_only=False, anchors=_donors),
    "acceptor": Recipe(motif="AG", coding_only=False, anchors=_acceptors),
    "tis": Recipe(motif="ATG", coding_only=True, anchors=_starts),
}


def recipe(task: Task) -> Recipe:
    """The recipe of a task, by its name.

    Raises:
        EpisomeError: no recipe of that name, or the task's scope or motif is not what the recipe cuts.
    """
    if task.name not in RECIPES:
        raise EpisomeError(f"task {task.name!r}: no recipe makes it from a genome; known: {', '.join(RECIPES)}")
    found = RECIPES[task.name]
    scope = "window" if found.motif is None else "site"
    if (task.scope, task.motif) != (scope, found.motif):
        raise EpisomeError(
            f"tasks.{task.name}: scope {task.scope!r} with motif {task.motif!r}; from a genome it has "
            f"scope {scope!r} with motif {found.motif!r}"
        )
    return found


def window(task: Task, anchor: int) -> Interval:
    """The oriented window around an anchor: centred on a motif; for a promoter -249..+50 of 300, the TSS at 249."""
    width = task.window or 0
    start = anchor - (width // 2 if task.motif else round(width * _TSS_OFFSET))
    return start, start + width


def motif_decoys(
    transcript: Transcript, oriented_sequence: str, motif: str, rng: np.random.Generator
) -> Iterator[Candidate]:
    """Places in a transcript that carry a motif, at most 60 of them; the caller removes those near true sites."""
    length = len(oriented_sequence)
    start, end = turn(transcript.span, transcript.strand, length)
    text = np.frombuffer(oriented_sequence[start:end].encode("ascii"), dtype=np.uint8)
    hits = np.ones(max(len(text) - len(motif) + 1, 0), dtype=np.bool_)
    for i, base in enumerate(motif.encode("ascii")):
        hits &= text[i : len(hits) + i] == base
    positions = np.flatnonzero(hits) + start
    if len(positions) > _DECOYS_PER_GENE:
        positions = np.sort(rng.choice(positions, _DECOYS_PER_GENE, replace=False))
    exons = oriented(transcript.exons, transcript.strand, length)
    coding = oriented(transcript.cds, transcript.strand, length)
    for position in positions.tolist():
        kind = _kind(position, exons, coding, by_frame=motif == "ATG")
        yield Candidate(contig=transcript.contig, strand=transcript.strand, anchor=position, kind=kind)


def _kind(position: int, exons: list[Interval], coding: list[Interval], *, by_frame: bool) -> str:
    if not _within(position, exons):
        return "intron"
    if not by_frame:
        return "exon"
    if not _within(position, coding):
        return "utr"
    before = sum(min(end, position) - start for start, end in coding if start < position)
    return "cds_in_frame" if before % 3 == 0 else "cds_out_of_frame"


def _within(position: int, intervals: list[Interval]) -> bool:
    return any(start <= position < end for start, end in intervals)


def promoter_negatives(
    transcript: Transcript, space: Interval, length: int, task: Task, rng: np.random.Generator
) -> Iterator[Candidate]:
    """Windows that look like a gene's surroundings but hold no TSS, for the caller to match in GC.

    Three kinds: ``gene_body`` after the first exon, ``shifted`` by 300 to 1,000 bases from the TSS (one window
    length at least), ``intergenic`` on either strand.

    Args:
        transcript: the gene's representative.
        space: plus-strand stretch around the gene in which no other gene lies.
        length: of the contig.
        task: gives the window.
        rng: draws the places.
    """
    here, width = transcript.strand, task.window or 0
    lead = -window(task, 0)[0]
    start, end = turn(transcript.span, here, length)
    first_exon_end = oriented(transcript.exons, here, length)[0][1]
    for anchor in _draw(rng, first_exon_end + lead, end - width + lead):
        yield Candidate(contig=transcript.contig, strand=here, anchor=anchor, kind="gene_body")
    shifts = rng.integers(width, max(_SHIFT, width) + 1, _DRAWS_PER_GENE) * rng.choice((-1, 1), _DRAWS_PER_GENE)
    for shift in shifts.tolist():
        yield Candidate(contig=transcript.contig, strand=here, anchor=start + shift, kind="shifted")
    for strand in "+-":
        for side in ((space[0], transcript.span[0]), (transcript.span[1], space[1])):
            low, high = turn(side, strand, length)
            for anchor in _draw(rng, low + lead, high - width + lead):
                yield Candidate(contig=transcript.contig, strand=strand, anchor=anchor, kind="intergenic")


def _draw(rng: np.random.Generator, low: int, high: int) -> list[int]:
    return rng.integers(low, high, _DRAWS_PER_GENE).tolist() if high > low else []
