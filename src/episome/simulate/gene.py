"""What is annotated: genes with their transcripts, first on their own block of sequence, then on a contig."""

from dataclasses import dataclass, replace

import numpy as np

from episome.simulate.sites import Bytes, Mask

Interval = tuple[int, int]
Intervals = tuple[Interval, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """One transcript; coordinates as those of its gene.

    Attributes:
        name: transcript id.
        kind: ``canonical``, or what makes it an alternative.
        exons: ascending.
        coding: coding parts of the exons, ascending, the stop codon included; empty where nothing is translated.
    """

    name: str
    kind: str
    exons: Intervals
    coding: Intervals

    @property
    def span(self) -> Interval:
        """From the first to the last base of the transcript."""
        return self.exons[0][0], self.exons[-1][1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gene:
    """One gene; coordinates on its contig (or, before assembly, on its block), 0-based half-open.

    Attributes:
        name: gene id.
        biotype: as Ensembl names it: ``protein_coding``, ``lncRNA``, ``processed_pseudogene``, ``Mt_rRNA``, ...
        family: orthologue family, shared between species; a pseudogene's is its parent's; "" for other genes.
        parent: id of the gene a pseudogene was copied from, "" for other genes.
        contig: name of the contig, "" before assembly.
        strand: ``+`` or ``-``.
        transcripts: the canonical one first.
        signals: promoter motifs the gene carries, and ``cpg_island``.
    """

    name: str
    biotype: str
    family: str
    parent: str
    contig: str
    strand: str
    transcripts: tuple[Transcript, ...]
    signals: tuple[str, ...]

    @property
    def span(self) -> Interval:
        """From the first to the last base of any transcript."""
        spans = [transcript.span for transcript in self.transcripts]
        return min(start for start, _ in spans), max(end for _, end in spans)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A stretch of sequence with one gene on it, in the sense of the gene, ready to be laid on a contig.

    Attributes:
        base: int8, 0..3 for A C G T.
        masked: bool, in a repeat.
        gene: coordinates on the block, strand ``+``.
    """

    base: Bytes
    masked: Mask
    gene: Gene


def bare(name: str, biotype: str, exons: Intervals, *, family: str = "", parent: str = "") -> Gene:
    """A gene of one untranslated transcript on a block; the transcript takes the gene's name with T after it."""
    only = Transcript(name=f"{name}T", kind="canonical", exons=exons, coding=())
    return Gene(
        name=name,
        biotype=biotype,
        family=family,
        parent=parent,
        contig="",
        strand="+",
        transcripts=(only,),
        signals=(),
    )


def runs(mask: Mask) -> Intervals:
    """The stretches where a mask is set."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]])))
    return tuple((int(start), int(end)) for start, end in edges.reshape(-1, 2))


def placed(gene: Gene, contig: str, offset: int, length: int, forward: bool) -> Gene:
    """The gene on its contig: its block of that length begins at ``offset``, mirrored where not forward."""

    def moved(intervals: Intervals) -> Intervals:
        turned = intervals if forward else tuple((length - end, length - start) for start, end in reversed(intervals))
        return tuple((start + offset, end + offset) for start, end in turned)

    return replace(
        gene,
        contig=contig,
        strand="+" if forward else "-",
        transcripts=tuple(
            replace(transcript, exons=moved(transcript.exons), coding=moved(transcript.coding))
            for transcript in gene.transcripts
        ),
    )
