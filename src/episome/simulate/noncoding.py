"""What is transcribed or copied but makes no protein: long non-coding genes, pseudogenes, a mitochondrion."""

import numpy as np

from episome.simulate.ancestor import Piece, lay, lognormal
from episome.simulate.decay import decayed, frayed
from episome.simulate.facts import Facts
from episome.simulate.gene import Block, Gene, bare, placed, runs
from episome.simulate.lineage import Lineage
from episome.simulate.promoters import hang
from episome.simulate.sites import A, Bytes, Part, anchors
from episome.simulate.traits import Traits, background, intron_lengths

TAIL = 15  # A at the end of a pseudogene: the tail of the transcript it was copied from
MT = "MT"
MITOCHONDRIAL = (  # biotype, first base, length, strand: some of the real ones, ribosomal RNA at two fifths
    ("Mt_tRNA", 40, 70, "+"),
    ("Mt_rRNA", 110, 390, "+"),
    ("Mt_tRNA", 500, 70, "+"),
    ("Mt_rRNA", 570, 610, "+"),
    ("Mt_tRNA", 1900, 70, "-"),
)


def _flank(facts: Facts, traits: Traits, rng: np.random.Generator) -> Bytes:
    length = int(rng.integers(*facts.noncoding["flank"]))
    return background(np.full(length, traits.gc[0]), traits.cpg, rng)


def lincrna(name: str, facts: Facts, traits: Traits, rng: np.random.Generator) -> Block:
    """A spliced gene without a coding sequence: the lineage's splice motifs, no promoter motifs."""
    spec = facts.noncoding

    def exon() -> Piece:
        length = lognormal(spec["lincrna_exon"], rng)
        return Part.UTR5, background(np.full(length, traits.gc[0]), traits.cpg, rng)

    least, most = spec["lincrna_introns"]
    pieces: list[Piece] = [(Part.INTERGENIC, _flank(facts, traits, rng)), exon()]
    for length in intron_lengths(traits, rng.random(int(rng.integers(least, most + 1)))):
        pieces += [(Part.INTRON, background(np.full(length, traits.gc[0]), traits.cpg, rng)), exon()]
    sites = lay([[*pieces, (Part.INTERGENIC, _flank(facts, traits, rng))]], np.zeros(1, dtype=np.int64))
    for number, motif in enumerate(facts.motifs):
        if motif.anchor in ("intron_start", "intron_end"):
            sites = hang(sites, traits, number, anchors(sites, motif.anchor), rng)
    gene = bare(name, "lncRNA", runs(sites.part == Part.UTR5))
    return Block(base=sites.base, masked=np.zeros(len(sites), dtype=bool), gene=gene)


def pseudogene(name: str, parent: Block, facts: Facts, traits: Traits, rng: np.random.Generator) -> Block:
    """A processed copy of a gene's coding sequence, without introns, decayed since, inserted elsewhere."""
    coding = [parent.base[start:end] for start, end in parent.gene.transcripts[0].coding]
    age, gc = float(rng.uniform(*facts.noncoding["pseudogene_age"])), float(traits.gc[0])
    copy = np.concatenate([*coding, np.full(TAIL, A, dtype=np.int8)])
    copy = decayed(frayed(copy, age, facts, gc, rng), age, traits, rng)
    left, right = _flank(facts, traits, rng), _flank(facts, traits, rng)
    exons = ((len(left), len(left) + len(copy)),)
    gene = bare(name, "processed_pseudogene", exons, family=parent.gene.family, parent=parent.gene.name)
    base = np.concatenate([left, copy, right])
    return Block(base=base, masked=np.zeros(len(base), dtype=bool), gene=gene)


def mitochondrion(lineage: Lineage) -> tuple[Bytes, list[Gene]]:
    """A small contig of its own composition with a few RNA genes and no nuclear ones."""
    known, rng = lineage.facts.contigs["mitochondrion"], lineage.stream("mitochondrion")
    genes = [
        placed(bare(f"{lineage.name}_M{number:06d}", biotype, ((0, size),)), MT, start, size, sense == "+")
        for number, (biotype, start, size, sense) in enumerate(MITOCHONDRIAL, start=1)
    ]
    return background(np.full(known["length"], known["gc"][lineage.key]), 1.0, rng), genes
