"""An evolved genome as it is annotated: blocks of sequence with a gene each, coding, non-coding and decayed."""

from dataclasses import replace
from itertools import pairwise

import numpy as np

from episome.simulate.facts import Facts
from episome.simulate.gene import Block, Gene, Transcript, runs
from episome.simulate.isoforms import alternative
from episome.simulate.lineage import Lineage
from episome.simulate.noncoding import lincrna, pseudogene
from episome.simulate.sites import Genes, Mask, Part, Sites


def _signals(known: Genes, facts: Facts, gene: int) -> tuple[str, ...]:
    names = [motif.name for motif, has in zip(facts.motifs, known.promoter[gene], strict=True) if has]
    return tuple(names + ["cpg_island"] * bool(known.island[gene]))


def _gene(number: int, sites: Sites, known: Genes, lineage: Lineage) -> Gene:
    """The gene of that index with its canonical transcript; ``sites`` is its block alone."""
    exon = (sites.part == Part.UTR5) | (sites.part == Part.CODING) | (sites.part == Part.UTR3)
    first = Transcript(
        name=f"{lineage.name}_T{number + 1:06d}",
        kind="canonical",
        exons=runs(exon),
        coding=runs(sites.part == Part.CODING),
    )
    return Gene(
        name=f"{lineage.name}_G{number + 1:06d}",
        biotype="protein_coding",
        family=f"FAM{number + 1:06d}",
        parent="",
        contig="",
        strand="+",
        transcripts=(first,),
        signals=_signals(known, lineage.facts, number),
    )


def coding(sites: Sites, masked: Mask, known: Genes, lineage: Lineage) -> list[Block]:
    """A block for every protein-coding gene in the order of their index, some with an alternative transcript.

    Args:
        sites: columns over the bases.
        masked: which bases are repeats.
        known: columns over the genes.
        lineage: the species.
    """
    rng, facts = lineage.stream("alternatives"), lineage.facts
    bounds = np.searchsorted(sites.gene, np.arange(len(known.order) + 1)).tolist()
    blocks = []
    for number, (start, end) in enumerate(pairwise(bounds)):
        own = sites.part_of(start, end)
        gene = _gene(number, own, known, lineage)
        if rng.random() < facts.transcripts["alternatives_per_gene"]:
            (first,) = gene.transcripts
            other = alternative(own.base, first, facts, lineage.traits, rng)
            gene = replace(gene, transcripts=(first, replace(other, name=f"{first.name}_2")))
        blocks.append(Block(base=own.base, masked=masked[start:end], gene=gene))
    return blocks


def uncoding(blocks: list[Block], lineage: Lineage) -> list[Block]:
    """Blocks of long non-coding genes and of pseudogenes of the coding ``blocks``; at least one of each."""
    rng, spec, facts, traits = lineage.stream("noncoding"), lineage.facts.noncoding, lineage.facts, lineage.traits
    spliced = max(1, round(len(blocks) * spec["lincrna_per_gene"]))
    copied = max(1, round(len(blocks) * spec["pseudogenes_per_gene"]))
    parents = rng.choice(len(blocks), size=copied, replace=False)
    return [
        *(lincrna(f"{lineage.name}_L{number:06d}", facts, traits, rng) for number in range(1, spliced + 1)),
        *(
            pseudogene(f"{lineage.name}_P{number:06d}", blocks[parent], facts, traits, rng)
            for number, parent in enumerate(parents, start=1)
        ),
    ]
