"""From blocks with a gene each to an assembly: chromosomes, scaffolds and a mitochondrion, N and lower case."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from episome.simulate.gene import Block, Gene, placed
from episome.simulate.lineage import Lineage
from episome.simulate.noncoding import MT, mitochondrion
from episome.simulate.sites import Bytes, Genes, Mask
from episome.simulate.traits import background

GAP = 100  # N of an assembly gap, and of each end of a chromosome
GAP_SHARE = 0.03  # share of genes with an assembly gap before their intergenic stretch
CONTIG_WEIGHTS = (24, 21, 18, 15, 12, 10)  # genes per chromosome, relative
LETTERS = np.frombuffer(b"ACGTN", dtype=np.uint8)
LOWER = ord("a") - ord("A")
N = 4

Oriented = tuple[Block, bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """Contigs in the order of the file, and what is annotated on them.

    Attributes:
        contigs: name → sequence over A C G T N, repeats in lower case.
        kinds: name → ``chromosome`` or ``scaffold``.
        genes: in the order of the contigs, each contig's by position.
    """

    contigs: Mapping[str, str]
    kinds: Mapping[str, str]
    genes: tuple[Gene, ...]


@dataclass(slots=True)
class _Contig:
    """A contig that grows at its right end."""

    name: str
    length: int = 0
    bases: list[Bytes] = field(default_factory=list)
    masks: list[Mask] = field(default_factory=list)
    genes: list[Gene] = field(default_factory=list)

    def append(self, base: Bytes, masked: Mask | None = None) -> None:
        self.bases.append(base)
        self.masks.append(np.zeros(len(base), dtype=bool) if masked is None else masked)
        self.length += len(base)

    def lay(self, block: Block, forward: bool) -> None:
        self.genes.append(placed(block.gene, self.name, self.length, len(block.base), forward))
        if forward:
            self.append(block.base, block.masked)
        else:
            self.append((3 - block.base[::-1]).astype(np.int8), block.masked[::-1])

    def text(self) -> str:
        letters = LETTERS[np.concatenate(self.bases)]
        return (letters + LOWER * np.concatenate(self.masks)).astype(np.uint8).tobytes().decode("ascii")


def _sizes(genes: int, contigs: int) -> list[int]:
    """Genes per chromosome: by weight, at least one each."""
    weights = np.array(CONTIG_WEIGHTS[:contigs], dtype=np.float64)
    bounds = np.round(np.cumsum(weights) / weights.sum() * genes).astype(int)
    return [int(size) for size in np.diff(np.concatenate([[0], bounds]))]


def _chromosomes(
    blocks: list[Oriented], extras: Sequence[Block], names: Sequence[str], rng: np.random.Generator
) -> list[_Contig]:
    """Lay the blocks one after the other, the extras between them; N at the ends and in a few gaps."""
    count = max(1, min(len(names), len(blocks) // 2))
    sizes = _sizes(len(blocks), count)
    firsts = np.cumsum([0, *sizes[:-1]])
    inner = np.setdiff1d(np.arange(len(blocks)), firsts)
    before: dict[int, list[Oriented]] = {}
    for extra, place, turn in zip(extras, rng.choice(inner, size=len(extras)), rng.random(len(extras)), strict=True):
        before.setdefault(int(place), []).append((extra, bool(turn < 0.5)))
    gap = np.full(GAP, N, dtype=np.int8)
    contigs = []
    for name, first, size in zip(names, firsts, sizes, strict=False):
        contig = _Contig(name)
        contig.append(gap)
        for number in range(first, first + size):
            for extra, forward in before.get(number, []):
                contig.lay(extra, forward)
            if rng.random() < GAP_SHARE:
                contig.append(gap)
            contig.lay(*blocks[number])
        contig.append(gap)
        contigs.append(contig)
    return contigs


def _scaffolds(blocks: list[Oriented], lineage: Lineage) -> list[_Contig]:
    """Short scaffolds: the first two share the blocks where there are any, the others hold no gene."""
    rng, spec, traits = lineage.stream("scaffolds"), lineage.facts.contigs, lineage.traits
    half = len(blocks) // 2
    contigs = []
    shares = [blocks[:half], blocks[half:]]
    for number, name in enumerate(spec["scaffolds"][lineage.key]):
        contig = _Contig(name)
        for block, forward in shares[number] if number < len(shares) else []:
            contig.lay(block, forward)
        length = int(rng.integers(*spec["scaffold_length"]))
        contig.append(background(np.full(length, traits.gc[0]), traits.cpg, rng))
        contigs.append(contig)
    return contigs


def assemble(blocks: list[Block], extras: list[Block], known: Genes, lineage: Lineage) -> Assembly:
    """Lay coding blocks and extras on contigs named as Ensembl names the species'.

    Args:
        blocks: of the protein-coding genes, by index; `Genes.order` and `Genes.strand` say how they lie.
        extras: other blocks, laid between those at random.
        known: columns over the genes.
        lineage: the species.
    """
    spec = lineage.facts.contigs
    order = [(blocks[gene], bool(known.strand[gene] > 0)) for gene in known.order]
    inside = len(order) - 2 * round(len(order) * spec["genes_on_scaffolds"] / 2)
    names = spec["chromosomes"][lineage.key]
    chromosomes = _chromosomes(order[:inside], extras, names, lineage.stream("assembly"))
    mt = _Contig(MT)
    bases, mt.genes = mitochondrion(lineage)
    mt.append(bases)
    kinds = {"chromosome": [*chromosomes, mt], "scaffold": _scaffolds(order[inside:], lineage)}
    contigs = [contig for some in kinds.values() for contig in some]
    return Assembly(
        contigs={contig.name: contig.text() for contig in contigs},
        kinds={contig.name: kind for kind, some in kinds.items() for contig in some},
        genes=tuple(gene for contig in contigs for gene in contig.genes),
    )
