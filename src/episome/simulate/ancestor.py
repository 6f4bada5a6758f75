"""The root of the tree: a genome drawn from the blended facts of all species."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from episome.simulate.facts import Facts
from episome.simulate.promoters import hang, promote
from episome.simulate.sites import (
    NO_SLOT,
    STOP,
    Bytes,
    C,
    Genes,
    Ints,
    Part,
    Sites,
    anchors,
    coding_positions,
    codons,
)
from episome.simulate.traits import Traits, background, draw, intron_lengths

CODING_LEAST = 15  # bases of a coding exon: room for the motifs of both its ends
INTRON_IN_UTR = 34  # bases of 5' UTR after an intron: room for acceptor and Kozak motif
BLOCK = 5  # neighbouring genes that share an isochore

Piece = tuple[Part, Bytes]


def lognormal(spec: dict[str, float], rng: np.random.Generator) -> int:
    """A length with that median and spread (standard deviation of its log), no shorter than the least."""
    return int(max(spec["least"], rng.lognormal(np.log(spec["median"]), spec["sigma"])))


def _exon_lengths(facts: Facts, count: int, rng: np.random.Generator) -> list[int]:
    """Coding lengths of a gene's exons, adding up to a multiple of three."""
    kinds = ["single"] if count == 1 else ["initial", *["internal"] * (count - 2), "terminal"]
    lengths = []
    for kind in kinds:
        shares, quantiles = np.array(facts.lengths["exon"][kind]).T
        drawn = np.exp(np.interp(rng.random(), shares, np.log(quantiles)))
        lengths.append(max(CODING_LEAST, int(drawn)))
    lengths[-1] += -sum(lengths) % 3
    return lengths


def _coding(length: int, traits: Traits, rng: np.random.Generator) -> Bytes:
    """A coding sequence: ATG, sense codons by usage, a stop by usage."""
    rows = np.zeros(length // 3 - 2, dtype=np.int64)
    inner = draw(traits.codons[None], rows, rng)
    stop = draw(traits.stops[None], np.zeros(1, dtype=np.int64), rng)
    numbers = np.concatenate([[0b001110], inner, stop]).astype(np.int64)  # ATG is 0·16 + 3·4 + 2
    return np.stack([numbers // 16, numbers // 4 % 4, numbers % 4], axis=1).reshape(-1).astype(np.int8)


def _gene(facts: Facts, traits: Traits, gc: float, ranks: np.ndarray, rng: np.random.Generator) -> list[Piece]:
    """Pieces of one gene from the intergenic stretch before it to the one after; one intron per rank."""

    def free(length: int) -> Bytes:
        return background(np.full(length, gc), traits.cpg, rng)

    low, high = facts.lengths["intergenic"]
    spaces = [int(rng.integers(low, high)) for _ in range(2)]
    lengths = iter(intron_lengths(traits, ranks).tolist())
    in_utr = len(ranks) > 0 and rng.random() < facts.lengths["utr5_intron_share"]
    exons = _exon_lengths(facts, len(ranks) + 1 - in_utr, rng)
    coding = _coding(sum(exons), traits, rng)
    pieces = [
        (Part.INTERGENIC, free(spaces[0])),
        (Part.UTR5, free(lognormal(facts.lengths["utr5"], rng))),
    ]
    if in_utr:
        pieces += [(Part.INTRON, free(next(lengths))), (Part.UTR5, free(INTRON_IN_UTR))]
    for number, exon in enumerate(np.split(coding, np.cumsum(exons)[:-1])):
        if number:
            pieces.append((Part.INTRON, free(next(lengths))))
        pieces.append((Part.CODING, exon))
    return [
        *pieces,
        (Part.UTR3, free(lognormal(facts.lengths["utr3"], rng))),
        (Part.INTERGENIC, free(spaces[1])),
    ]


def _isochores(facts: Facts, genes: int, rng: np.random.Generator) -> Ints:
    """Isochore family of each gene; neighbours in blocks of `BLOCK` share one."""
    share = np.array([facts.composition["isochore_share"]])
    return np.repeat(draw(share, np.zeros(-(-genes // BLOCK), dtype=np.int64), rng), BLOCK)[:genes].astype(np.int64)


def _without_stops(sites: Sites) -> Sites:
    """Turn internal stops, which drawn motifs may have made, into sense codons: T.. becomes C.."""
    coding = coding_positions(sites)
    last = np.append(np.diff(sites.gene[coding[::3]]) != 0, True)
    wrong = STOP[codons(sites.base, coding)] & ~last
    base = sites.base.copy()
    base[coding[::3][wrong]] = C
    return replace(sites, base=base)


def lay(genes: Sequence[Sequence[Piece]], isochores: Ints) -> Sites:
    """Columns over the genes' pieces laid end to end, no motif placed yet; one isochore per gene."""
    flat = [piece for gene in genes for piece in gene]
    sizes = [sum(len(base) for _, base in gene) for gene in genes]
    total = sum(sizes)
    return Sites(
        base=np.concatenate([base for _, base in flat]),
        part=np.concatenate([np.full(len(base), part, dtype=np.int8) for part, base in flat]),
        slot=np.full(total, NO_SLOT, dtype=np.int16),
        isochore=np.repeat(isochores, sizes).astype(np.int8),
        gene=np.repeat(np.arange(len(genes), dtype=np.int32), sizes),
        island=np.zeros(total, dtype=bool),
    )


def ancestor(facts: Facts, traits: Traits, genes: int, rng: np.random.Generator) -> tuple[Sites, Genes]:
    """Draw the genome at the root: genes on random strands, their splice, start and promoter motifs in place."""
    isochores = _isochores(facts, genes, rng)
    counts = np.minimum(rng.poisson(facts.lengths["introns_per_gene"], size=genes), 8)
    ranks = rng.random(int(counts.sum()))
    pieces: list[list[Piece]] = []
    for index, own in enumerate(np.split(ranks, np.cumsum(counts)[:-1])):
        pieces.append(_gene(facts, traits, float(traits.gc[isochores[index]]), own, rng))
    sites = lay(pieces, isochores)
    for number, motif in enumerate(facts.motifs):
        if not motif.promoter:
            sites = hang(sites, traits, number, anchors(sites, motif.anchor), rng)
    known = Genes(
        order=np.arange(genes),
        strand=rng.choice(np.array([1, -1], dtype=np.int8), size=genes),
        promoter=np.zeros((genes, len(facts.motifs)), dtype=bool),
        island=np.zeros(genes, dtype=bool),
        intron_rank=ranks,
    )
    sites, known = promote(sites, known, traits, 1.0, rng)
    return _without_stops(sites), known
