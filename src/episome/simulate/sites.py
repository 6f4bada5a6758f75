"""A genome in the making: one column per property of a base, all genes in the sense of their transcript.

Annotation is a column beside the bases, so it cannot go out of step with them. Strand, order and contig of
the genes are kept apart and applied when the genome is written.
"""

from dataclasses import dataclass, fields
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from episome.simulate.facts import AMINO_ACIDS

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.int8]

A, C, G, T = range(4)
NO_SLOT = -1
STOP = np.frombuffer(AMINO_ACIDS.encode(), dtype=np.uint8) == ord("*")
"""bool[64]: which codons are stops."""


class Part(IntEnum):
    """What a base belongs to."""

    INTERGENIC = 0
    UTR5 = 1
    CODING = 2
    INTRON = 3
    UTR3 = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Sites:
    """Columns over the bases of one genome; all have the same length.

    Attributes:
        base: int8, 0..3 for A C G T.
        part: int8, a `Part`.
        slot: int16, row of the motif table the base stands in, or `NO_SLOT`.
        isochore: int8, isochore family.
        gene: int32, index of the gene, ascending.
        island: bool, in a CpG island.
    """

    base: Bytes
    part: Bytes
    slot: npt.NDArray[np.int16]
    isochore: Bytes
    gene: npt.NDArray[np.int32]
    island: Mask

    def __len__(self) -> int:
        return len(self.base)

    def part_of(self, start: int, end: int) -> "Sites":
        """The columns of a stretch."""
        return Sites(**{field.name: getattr(self, field.name)[start:end] for field in fields(self)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Genes:
    """Columns over the genes and introns of one genome.

    Attributes:
        order: int64[genes], gene indices along the chromosomes.
        strand: int8[genes], +1 or -1, by gene index.
        promoter: bool[genes, motifs], which motifs hang on the gene's transcription start.
        island: bool[genes], whether the gene starts in a CpG island.
        intron_rank: float64[introns], where each intron stands in its lineage's length distribution.
    """

    order: Ints
    strand: Bytes
    promoter: Mask
    island: Mask
    intron_rank: npt.NDArray[np.float64]


def edit(sites: Sites, keep: Mask, where: Ints, bases: Bytes) -> Sites:
    """Delete bases and insert others; an inserted base takes its other columns from the base it follows.

    Args:
        sites: the genome before.
        keep: which bases stay; those named in ``where`` must.
        where: ascending positions in ``sites`` after which one base each is inserted; repeats insert several.
        bases: the inserted bases, in order.
    """
    kept = np.flatnonzero(keep)
    index = np.insert(kept, np.searchsorted(kept, where, side="right"), where)
    new = np.append(False, index[1:] == index[:-1])
    base = sites.base[index]
    base[new] = bases
    return Sites(
        base=base,
        part=sites.part[index],
        slot=sites.slot[index],
        isochore=sites.isochore[index],
        gene=sites.gene[index],
        island=sites.island[index],
    )


def borders(sites: Sites) -> Ints:
    """First base of every new part or gene, but the first."""
    return np.flatnonzero((np.diff(sites.part) != 0) | (np.diff(sites.gene) != 0)) + 1


def first_of_gene(sites: Sites, part: Part) -> Ints:
    """First base of that part in each gene; int64[genes]."""
    found = np.flatnonzero(sites.part == part)
    return found[np.append(True, np.diff(sites.gene[found]) != 0)]


def gene_ends(sites: Sites) -> Ints:
    """First base after each gene's 3' UTR; int64[genes]."""
    found = np.flatnonzero(sites.part == Part.UTR3)
    return found[np.append(np.diff(sites.gene[found]) != 0, True)] + 1


def introns(sites: Sites) -> tuple[Ints, Ints]:
    """Starts and ends (0-based half-open) of all introns, in order."""
    edges = np.diff(np.concatenate([[0], (sites.part == Part.INTRON).astype(np.int8), [0]]))
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)


def anchors(sites: Sites, name: str) -> Ints:
    """Positions a motif with that anchor hangs on (see `facts.Motif.anchor`)."""
    if name == "tss":
        return first_of_gene(sites, Part.UTR5)
    if name == "start_codon":
        return first_of_gene(sites, Part.CODING)
    if name == "gene_end":
        return gene_ends(sites)
    starts, ends = introns(sites)
    return starts if name == "intron_start" else ends


def codons(base: Bytes, coding: Ints) -> Ints:
    """Codon numbers (0..63) of the coding sequences laid end to end; ``coding`` holds their positions."""
    triplets = base[coding].reshape(-1, 3).astype(np.int64)
    return triplets @ np.array([16, 4, 1])


def coding_positions(sites: Sites) -> Ints:
    """Positions of all coding bases; every gene's are a multiple of three."""
    return np.flatnonzero(sites.part == Part.CODING)
