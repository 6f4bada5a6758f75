"""From the columns of an evolved genome to contigs and gene models on both strands."""

from dataclasses import dataclass

import numpy as np

from episome.simulate.facts import Facts
from episome.simulate.sites import Bytes, Genes, Mask, Part, Sites

GAP = 100  # N of an assembly gap, and of each contig end
GAP_SHARE = 0.03  # share of genes with an assembly gap before their intergenic stretch
CONTIG_WEIGHTS = (24, 21, 18, 15, 12, 10)  # genes per contig, relative
LETTERS = np.frombuffer(b"ACGTN", dtype=np.uint8)
N = 4

Interval = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gene:
    """One protein-coding gene with its one transcript; coordinates on the contig, 0-based half-open.

    Attributes:
        name: gene id.
        transcript: transcript id.
        family: orthologue family, shared between species.
        contig: name of the contig.
        strand: ``+`` or ``-``.
        exons: ascending on the contig.
        coding: coding parts of the exons, ascending, the stop codon included.
        signals: promoter motifs the gene carries, and ``cpg_island``.
    """

    name: str
    transcript: str
    family: str
    contig: str
    strand: str
    exons: tuple[Interval, ...]
    coding: tuple[Interval, ...]
    signals: tuple[str, ...]

    @property
    def span(self) -> Interval:
        """From the first to the last base of the transcript."""
        return self.exons[0][0], self.exons[-1][1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Genome:
    """One species' simulated genome.

    Attributes:
        species: name ending in ``_sim``.
        contigs: name → sequence over A C G T N, in the order of the file.
        genes: sorted by contig and position.
        parameters: what `world` was asked for, and the tree it evolved on.
    """

    species: str
    contigs: dict[str, str]
    genes: tuple[Gene, ...]
    parameters: dict[str, object]


def _runs(mask: Mask) -> tuple[Interval, ...]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]])))
    return tuple((int(start), int(end)) for start, end in edges.reshape(-1, 2))


def _on_contig(runs: tuple[Interval, ...], length: int, forward: bool, offset: int) -> tuple[Interval, ...]:
    """Shift a gene block's intervals to the contig, mirrored where the block lies on the minus strand."""
    turned = runs if forward else tuple((length - end, length - start) for start, end in reversed(runs))
    return tuple((start + offset, end + offset) for start, end in turned)


def _sizes(genes: int, contigs: int) -> list[int]:
    """Genes per contig: by weight, at least one each."""
    weights = np.array(CONTIG_WEIGHTS[:contigs], dtype=np.float64)
    bounds = np.round(np.cumsum(weights) / weights.sum() * genes).astype(int)
    return [int(size) for size in np.diff(np.concatenate([[0], bounds]))]


def _model(
    part: Bytes, gene: int, forward: bool, contig: str, offset: int, species: str, *, signals: tuple[str, ...]
) -> Gene:
    """The gene model of one block that begins at ``offset`` on its contig."""
    exon = (part == Part.UTR5) | (part == Part.CODING) | (part == Part.UTR3)
    return Gene(
        name=f"{species}_G{gene + 1:06d}",
        transcript=f"{species}_T{gene + 1:06d}",
        family=f"FAM{gene + 1:06d}",
        contig=contig,
        strand="+" if forward else "-",
        exons=_on_contig(_runs(exon), len(part), forward, offset),
        coding=_on_contig(_runs(part == Part.CODING), len(part), forward, offset),
        signals=signals,
    )


def _signals(known: Genes, facts: Facts, gene: int) -> tuple[str, ...]:
    names = [motif.name for motif, has in zip(facts.motifs, known.promoter[gene], strict=True) if has]
    return tuple(names + ["cpg_island"] * bool(known.island[gene]))


def assemble(
    sites: Sites, known: Genes, facts: Facts, species: str, contig_names: tuple[str, ...], rng: np.random.Generator
) -> tuple[dict[str, str], tuple[Gene, ...]]:
    """Contigs and gene models of an evolved genome.

    The genes' blocks lie one after the other, each on its strand, with N at the contig's ends and in a few gaps.

    Args:
        sites: columns over the bases.
        known: columns over the genes.
        facts: published frequencies; names the promoter motifs.
        species: prefix of the gene ids.
        contig_names: names to give out; fewer are used where there are fewer than two genes for each.
        rng: places the assembly gaps.
    """
    starts = np.searchsorted(sites.gene, np.arange(len(known.order) + 1))
    count = max(1, min(len(contig_names), len(known.order) // 2))
    chunks = np.split(known.order, np.cumsum(_sizes(len(known.order), count))[:-1])
    gap = np.full(GAP, N, dtype=np.int8)
    contigs: dict[str, str] = {}
    genes: list[Gene] = []
    for contig, chosen in zip(contig_names, chunks, strict=False):
        pieces, offset = [gap], GAP
        for gene in chosen:
            if rng.random() < GAP_SHARE:
                pieces.append(gap)
                offset += GAP
            block = slice(starts[gene], starts[gene + 1])
            forward = bool(known.strand[gene] > 0)
            pieces.append(sites.base[block] if forward else 3 - sites.base[block][::-1])
            genes.append(
                _model(
                    sites.part[block], int(gene), forward, contig, offset, species, signals=_signals(known, facts, gene)
                )
            )
            offset += len(pieces[-1])
        contigs[contig] = LETTERS[np.concatenate([*pieces, gap])].tobytes().decode("ascii")
    return contigs, tuple(genes)
