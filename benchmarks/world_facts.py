"""The simulated world against the facts it is drawn from: fact, source, asked and measured, as a Markdown table.

Run as ``python benchmarks/world_facts.py [name of a world in params.yaml]``; it simulates and reads nothing else.
"""

import sys
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from episome import params, simulate
from episome.sequence import reverse_complement
from episome.simulate import facts
from episome.simulate.gene import Gene, Intervals

KNOWN = facts.load()
MOTIFS = {motif.name: motif for motif in KNOWN.motifs}
GAP = 3.0  # penalty of a codon without partner; equal bases score one each
UNEQUAL = 0.75  # what an aligned pair of codons must be worth to be better than nothing
IDENTITY = {"mouse": 0.865, "zebrafish": 0.71, "fly": 0.60}  # of coding sequence to human's: the aim, see docs/world.md

INTRONS = {"human": (0.441, 0.29), "zebrafish": (0.367, 0.53), "fly": (0.392, 0.98)}  # GC, CpG o/e
PROMOTER = tuple(name for name, motif in MOTIFS.items() if motif.promoter)
ALL = tuple(f"{key}_sim" for key in facts.SPECIES)


@dataclass(frozen=True, slots=True)
class Measured:
    """One species, cut into what is measured; every text is in the sense of its gene."""

    key: str
    genome: simulate.Genome
    genes: tuple[Gene, ...]
    introns: tuple[str, ...]
    flanks: dict[str, tuple[str, ...]]
    coding: dict[str, str]


def _text(genome: simulate.Genome, gene: Gene, parts: Intervals) -> str:
    joined = "".join(genome.contigs[gene.contig][start:end] for start, end in parts).upper()
    return joined if gene.strand == "+" else reverse_complement(joined)


def cut(key: str, genome: simulate.Genome) -> Measured:
    """Take introns, motif windows and coding sequences of the canonical transcripts out of a genome."""
    genes = tuple(gene for gene in genome.genes if gene.biotype == "protein_coding")
    introns: list[str] = []
    flanks: dict[str, list[str]] = {"donor": [], "acceptor": [], "kozak": []}
    coding = {}
    for gene in genes:
        first = gene.transcripts[0]
        for left, right in pairwise(first.exons):
            introns.append(_text(genome, gene, ((left[1], right[0]),)))
            around = _text(genome, gene, ((left[1] - 40, right[0] + 40),))
            flanks["donor"].append(around[37:46])
            flanks["acceptor"].append(around[-75:][: MOTIFS["acceptor"].width])
        coding[gene.family] = _text(genome, gene, first.coding)
        start = (first.coding[0][0] - 9, first.coding[0][0] + 6)
        stop = (first.coding[-1][1] - 6, first.coding[-1][1] + 9)
        flanks["kozak"].append(_text(genome, gene, (start if gene.strand == "+" else stop,)))
    return Measured(key, genome, genes, tuple(introns), {name: tuple(texts) for name, texts in flanks.items()}, coding)


def identity(left: str, right: str) -> tuple[int, int]:
    """Equal and aligned bases of two coding sequences, aligned globally, codon by codon."""
    a, b = (np.frombuffer(text.encode(), dtype=np.uint8).reshape(-1, 3) for text in (left, right))
    equal = (a[:, None, :] == b[None, :, :]).sum(axis=2)
    columns = GAP * np.arange(len(b) + 1)
    score = -columns
    steps = np.zeros((len(a) + 1, len(b) + 1), dtype=np.int8)  # 0 gap in a, 1 pair, 2 gap in b
    steps[1:, 0] = 2
    for row in range(len(a)):
        down, pair = score - GAP, np.append(-np.inf, score[:-1] + equal[row] - UNEQUAL)
        best = np.maximum(down, pair)
        score = np.maximum.accumulate(best + columns) - columns
        steps[row + 1, 1:] = np.where(score > best + 1e-9, 0, np.where(pair >= down, 1, 2))[1:]
    same, pairs, i, j = 0, 0, len(a), len(b)
    while i and j:
        step = steps[i, j]
        if step == 1:
            same, pairs = same + int(equal[i - 1, j - 1]), pairs + 3
        i, j = i - (step > 0), j - (step < 2)
    return same, pairs


def composition(text: str) -> tuple[float, float]:
    """GC content, and CpG over what independent C and G would make; N is left out."""
    known = len(text) - text.count("N")
    c, g = text.count("C") / known, text.count("G") / known
    return c + g, text.count("CG") / known / (c * g)


def matrix_error(found: Measured, motif: str) -> float:
    """Largest difference between a measured base frequency and the matrix."""
    letters = np.array([list(text) for text in found.flanks[motif]])
    shares = np.stack([(letters == base).mean(axis=0) for base in "ACGT"], axis=1)
    return float(np.abs(shares - MOTIFS[motif].columns[found.key]).max())


def codon_error(found: Measured) -> float:
    """Half the summed differences between measured codon shares and the table, stops left out."""
    triplets = [text[at : at + 3] for text in found.coding.values() for at in range(0, len(text) - 3, 3)]
    index = {codon: number for number, codon in enumerate(facts.CODONS)}
    counts = np.bincount([index[codon] for codon in triplets], minlength=64)
    return float(np.abs(counts / counts.sum() - KNOWN.codons[found.key]).sum() / 2)


def measured(found: Measured) -> dict[str, float]:
    """What is true of one species' genome, by the names of `asked`."""
    whole = "N".join(found.genome.contigs.values()).upper()
    inner = "N".join(intron[6:-35] for intron in found.introns)  # without splice motifs
    lengths = np.array([len(intron) for intron in found.introns])
    exons = [end - start for gene in found.genes for start, end in gene.transcripts[0].coding[1:-1]]
    biotypes = Counter(gene.biotype for gene in found.genome.genes)
    signals = Counter(signal for gene in found.genes for signal in gene.signals)
    stops = Counter(text[-3:] for text in found.coding.values())
    count = len(found.genes)
    (gc, cpg), (intron_gc, intron_cpg) = composition(whole), composition(inner)
    return {
        "GC of the genome": gc,
        "CpG o/e of the genome": cpg,
        "GC of introns": intron_gc,
        "CpG o/e of introns": intron_cpg,
        "introns, median in bases, long part scaled": float(np.median(lengths)),
        "introns no longer than the published d": float((lengths <= _introns(found.key)["over"]).mean()),
        "introns per gene": len(lengths) / count,
        "internal coding exons, median in bases": float(np.median(exons)),
        "stop codons that are TAA": stops["TAA"] / count,
        "codon usage, share of codons off": codon_error(found),
        **{f"{name}, largest error of a base's share": matrix_error(found, name) for name in found.flanks},
        **{f"promoters with {name}": signals[name] / count for name in PROMOTER},
        "genes with a CpG island": signals["cpg_island"] / count,
        **{f"{kind.upper()}-like repeats, share": _covered(found, kind) for kind in found.genome.repeats},
        "alternative transcripts per coding gene": sum(len(gene.transcripts) - 1 for gene in found.genes) / count,
        "long non-coding genes per coding gene": biotypes["lncRNA"] / count,
        "pseudogenes per coding gene": biotypes["processed_pseudogene"] / count,
    }


def asked(key: str) -> dict[str, tuple[str, float | None]]:
    """Source and wanted value of every fact for a species; None where nothing is published for it."""
    facts_of, lengths, repeats = KNOWN.composition, KNOWN.lengths, KNOWN.repeats
    median = float(facts.intron_quantiles(KNOWN, key, np.array([0.5]))[0])
    genome, augustus, choice = "Hackenberg 2006, Han 2008, fly from memory", "Augustus parameters", "choice"
    intron_gc, intron_cpg = INTRONS.get(key, (None, None))
    taa = KNOWN.stops[key][facts.CODONS.index("TAA")]
    return {
        "GC of the genome": (genome, facts_of["gc"][key]),
        "CpG o/e of the genome": (genome, facts_of["cpg_oe"][key]),
        "GC of introns": (augustus, intron_gc),
        "CpG o/e of introns": (augustus, intron_cpg),
        "introns, median in bases, long part scaled": (augustus, median),
        "introns no longer than the published d": (augustus, _introns(key)["short_share"]),
        "introns per gene": (choice, lengths["introns_per_gene"]),
        "internal coding exons, median in bases": (augustus + " of human", dict(lengths["exon"]["internal"])[0.5]),
        "stop codons that are TAA": (augustus + ", mammals from memory", float(taa)),
        "codon usage, share of codons off": (augustus, 0.0),
        "donor, largest error of a base's share": (augustus, 0.0),
        "acceptor, largest error of a base's share": (augustus, 0.0),
        "kozak, largest error of a base's share": ("Grzegorski 2014, Cavener 1987", 0.0),
        **{f"promoters with {name}": ("facts.json, motifs." + name, MOTIFS[name].use[key]) for name in PROMOTER},
        "genes with a CpG island": (choice, facts_of["island_share"][key]),
        **{
            f"{kind.upper()}-like repeats, share": ("facts.json, repeats, halved", share * repeats["scale"])
            for kind, share in repeats["share"][key].items()
        },
        "alternative transcripts per coding gene": (choice, KNOWN.transcripts["alternatives_per_gene"]),
        "long non-coding genes per coding gene": (choice, KNOWN.noncoding["lincrna_per_gene"]),
        "pseudogenes per coding gene": (choice, KNOWN.noncoding["pseudogenes_per_gene"]),
    }


def _introns(key: str) -> dict[str, float]:
    return KNOWN.lengths["intron"][key]


def _covered(found: Measured, kind: str) -> float:
    return found.genome.repeats[kind].bases / sum(map(len, found.genome.contigs.values()))


def against_human(human: Measured, other: Measured) -> tuple[float, float]:
    """Identity of the coding sequences of all families, and the share of families whose lengths differ."""
    pairs = [(human.coding[family], other.coding[family]) for family in sorted(human.coding)]
    same, aligned = np.sum([identity(left, right) for left, right in pairs], axis=0)
    return float(same / aligned), float(np.mean([len(left) != len(right) for left, right in pairs]))


def table(species: list[Measured]) -> list[str]:
    """Lines of the table; each cell is asked / measured. The first species is human."""
    wanted, found = [asked(one.key) for one in species], [measured(one) for one in species]
    lines = [
        f"| fact | source | {' | '.join(one.genome.species for one in species)} |",
        "|---" * (len(species) + 2) + "|",
    ]
    for name, (source, _) in wanted[0].items():
        cells = [_cell(ask[name][1], have[name]) for ask, have in zip(wanted, found, strict=True)]
        lines.append(f"| {name} | {source} | {' | '.join(cells)} |")
    alike = [against_human(species[0], other) for other in species[1:]]
    cells = [_cell(IDENTITY[one.key], same) for one, (same, _) in zip(species[1:], alike, strict=True)]
    lines.append(f"| coding bases equal to human's, aligned | prototype, see below | – | {' | '.join(cells)} |")
    cells = [_cell(None, unequal) for _, unequal in alike]
    return [*lines, f"| coding sequences of another length than human's | – | – | {' | '.join(cells)} |"]


def _cell(wanted: float | None, got: float) -> str:
    return f"{'–' if wanted is None else f'{wanted:.3g}'} / {got:.3g}"


def main() -> None:
    """Simulate the world and print the table."""
    name = sys.argv[1] if len(sys.argv) > 1 else "demo"
    chosen = params.read().world[name]
    genomes = simulate.world(
        genes=chosen.genes, seed=params.read().seed, species=ALL, motif_divergence=chosen.motif_divergence
    )
    species = [cut(genome.species.removesuffix("_sim"), genome) for genome in genomes]
    print(f"simulated world {name}: {chosen.genes} genes, motif_divergence {chosen.motif_divergence:g}\n")
    print("\n".join(table(species)))
    sizes = [f"{sum(map(len, one.genome.contigs.values())) / 1e6:.2f} Mb" for one in species]
    print(f"\ngenomes: {', '.join(sizes)}")


if __name__ == "__main__":
    main()
