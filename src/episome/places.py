"""Where windows may be put, as columns: 35 bytes a place instead of its sequence, since a genome has millions."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from episome import annotation, sites, split, territory
from episome.annotation import Transcript
from episome.contigs import Contigs
from episome.sequence import canonical, gc, n_share
from episome.types import Task

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Places = npt.NDArray[np.void]

# contig, gene and kind are indices into lists that the maker of the places keeps; -1 is none. `start` is the window's
# first base on the plus strand, `side` an index into `split.SPLITS`.
# `gc` and `masked`, the share of soft-masked bases, are 0 until somebody `look`s.
PLACE = np.dtype(
    [
        ("contig", "i4"),
        ("start", "i8"),
        ("minus", "?"),
        ("kind", "i1"),
        ("gene", "i4"),
        ("side", "i1"),
        ("gc", "f8"),
        ("masked", "f8"),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Genome:
    """A genome that windows are cut from; contigs and genes go by their index here.

    Attributes:
        contigs: open sequences.
        names: contigs that count, in the order of the FASTA.
        transcripts: all of them.
        genes: the representative transcript of each gene, in genome order.
        coding: ids of the genes that make protein.
        owners: territories.
        edges: starts and ends of a contig's territories, their sides (-1: nobody's), and a number for each run of
            neighbours on one side.
    """

    contigs: Contigs
    names: tuple[str, ...]
    transcripts: Sequence[Transcript]
    genes: tuple[Transcript, ...]
    coding: frozenset[str]
    owners: territory.Map
    edges: Mapping[int, tuple[Ints, Ints, Ints, Ints]]

    def length(self, contig: int) -> int:
        """Bases of a contig."""
        return self.contigs.lengths[self.names[contig]]

    def fetch(self, contig: int, start: int, end: int, strand: str = "+") -> str:
        """Upper-case bases of a stretch, 5' to 3' of a strand; coordinates on the plus strand."""
        return self.contigs.fetch(self.names[contig], start, end, strand)

    def believes(self, transcript: Transcript, recipe: sites.Recipe) -> bool:
        """Whether a representative's own site is one of a recipe's: of a coding gene, where it must be, and known."""
        return (transcript.gene in self.coding or not recipe.coding_only) and recipe.known(transcript)

    def sides(self, contig: int, starts: Ints, width: int) -> Ints:
        """The one side that owns all bases of each window, or -1."""
        if contig not in self.edges:
            return np.full(len(starts), -1)
        first_bases, last_bases, sides, runs = self.edges[contig]
        first = np.searchsorted(last_bases, starts, side="right")
        last = np.searchsorted(first_bases, starts + width - 1, side="right") - 1
        found: Ints = np.where(runs[first] == runs[last], sides[first], -1)
        return found


def survey(
    contigs: Contigs, names: tuple[str, ...], transcripts: Sequence[Transcript], owners: territory.Map
) -> Genome:
    """A genome whose bases have been divided; of its contigs, those of `names` count."""
    by_gene: dict[str, list[Transcript]] = defaultdict(list)
    for transcript in transcripts:
        by_gene[transcript.gene].append(transcript)
    genes = sorted(map(annotation.representative, by_gene.values()), key=lambda t: (t.contig, t.span, t.id))
    edges = {}
    for c, name in enumerate(names):
        if own := owners.contigs.get(name, ()):
            sides = np.array([-1 if t.split is None else split.SPLITS.index(t.split) for t in own])
            runs = np.cumsum(np.diff(sides, prepend=sides[0]) != 0)
            edges[c] = (np.array([t.start for t in own]), np.array([t.end for t in own]), sides, runs)
    return Genome(
        contigs=contigs,
        names=names,
        transcripts=transcripts,
        genes=tuple(genes),
        coding=sites.coding(transcripts),
        owners=owners,
        edges=edges,
    )


def at(genome: Genome, task: Task, contig: int, strand: str, anchors: Ints) -> tuple[Places, Bools]:
    """Places of one contig and strand with their sides, and which of the anchors have room for a window there.

    Args:
        genome: where.
        task: gives the window.
        contig: index in `genome.names`.
        strand: of all of them.
        anchors: oriented positions.
    """
    length, width = genome.length(contig), task.window or 0
    own = anchors - sites.lead(task)
    room = (own >= 0) & (own + width <= length)
    places = np.zeros(int(room.sum()), dtype=PLACE)
    places["contig"] = contig
    places["minus"] = strand == "-"
    places["start"] = own[room] if strand == "+" else length - own[room] - width
    places["kind"] = places["gene"] = -1
    places["side"] = genome.sides(contig, places["start"], width)
    return places, room


class Near:
    """Plus-strand positions of every annotated site, of any transcript, biotype and strand."""

    def __init__(self, genome: Genome, recipe: sites.Recipe) -> None:
        """Look up the sites of all transcripts once."""
        found: dict[tuple[int, str], set[int]] = defaultdict(set)
        index = {name: c for c, name in enumerate(genome.names)}
        for transcript in genome.transcripts:
            contig, strand = index[transcript.contig], transcript.strand
            length, own = genome.length(contig), found[contig, strand]
            own.update(sites.turn((a, a + 1), strand, length)[0] for a in recipe.anchors(transcript, length))
        self._on = {key: np.array(sorted(positions), dtype=np.int64) for key, positions in found.items()}

    def close(self, contig: int, starts: Ints, ends: Ints, strands: str = "+-") -> Bools:
        """Whether a site of one of the strands lies in each interval, 0-based half-open on the plus strand."""
        close = np.zeros(len(starts), dtype=np.bool_)
        for strand in strands:
            positions = self._on.get((contig, strand), np.empty(0, dtype=np.int64))
            close |= np.searchsorted(positions, starts) < np.searchsorted(positions, ends)
        return close


def motif_span(places: Places, task: Task) -> tuple[Ints, Ints]:
    """What exclusion is measured from: a window's motif, or all of a window without one; on the plus strand."""
    width = task.window or 0
    if not task.motif:
        return places["start"], places["start"] + width
    before, long = sites.lead(task), len(task.motif)
    start = np.where(places["minus"], places["start"] + width - before - long, places["start"] + before)
    return start, start + long


def look(genome: Genome, places: Places, width: int, max_n_share: float, seen: set[bytes]) -> tuple[Ints, Counter[str]]:
    """Write GC and soft-masked share of windows into `places`; indices of those that may be rows.

    Those may not that no split owns (``between_splits``), that have too many N (``too_many_n``), or whose sequence
    is `seen` already, on either strand (``duplicate``); how many of each is the second answer. The others are then
    `seen`, as a hash.
    """
    dropped: Counter[str] = Counter()
    kept = []
    columns = (places[name].tolist() for name in ("contig", "start", "side"))
    for i, (contig, start, side) in enumerate(zip(*columns, strict=True)):
        if side < 0:
            dropped["between_splits"] += 1
            continue
        sequence = genome.fetch(contig, start, start + width)
        digest = hashlib.blake2b(canonical(sequence).encode("ascii"), digest_size=8).digest()
        if n_share(sequence) > max_n_share:
            dropped["too_many_n"] += 1
        elif digest in seen:
            dropped["duplicate"] += 1
        else:
            seen.add(digest)
            places["gc"][i] = gc(sequence)
            places["masked"][i] = genome.contigs.lower_case(genome.names[contig], start, start + width)
            kept.append(i)
    return np.array(kept, dtype=np.int64), dropped
