"""What is known about a simulated genome and could only be guessed at for a real one."""

from collections import Counter

from episome.simulate.gene import Gene
from episome.simulate.world import Genome


def truth(genome: Genome) -> dict[str, object]:
    """Parameters, counts, composition and repeats of a simulated genome, and what every gene is and carries."""
    contigs, genes = genome.contigs, genome.genes
    transcripts = [transcript for gene in genes for transcript in gene.transcripts]
    return {
        "simulated": True,
        "species": genome.species,
        "parameters": genome.parameters,
        "counts": {
            "contigs": {name: len(bases) for name, bases in contigs.items()},
            "bases": sum(map(len, contigs.values())),
            "n": sum(bases.count("N") for bases in contigs.values()),
            "soft_masked": sum(sum(map(bases.count, "acgt")) for bases in contigs.values()),
            "genes": len(genes),
            "biotypes": dict(Counter(gene.biotype for gene in genes)),
            "minus_strand": sum(gene.strand == "-" for gene in genes),
            "transcripts": len(transcripts),
            "kinds": dict(Counter(transcript.kind for transcript in transcripts)),
            "exons": sum(len(transcript.exons) for transcript in transcripts),
            "introns": sum(len(transcript.exons) - 1 for transcript in transcripts),
            "coding_parts": sum(len(transcript.coding) for transcript in transcripts),
            "signals": dict(Counter(signal for gene in genes for signal in gene.signals)),
        },
        "composition": _composition("N".join(contigs.values()).upper()),
        "repeats": {
            kind: {"length": len(family.consensus), "copies": family.copies, "bases": family.bases}
            for kind, family in genome.repeats.items()
        },
        "genes": {gene.name: _gene(gene) for gene in genes},
    }


def _composition(sequence: str) -> dict[str, float]:
    known = len(sequence) - sequence.count("N")
    c, g = sequence.count("C") / known, sequence.count("G") / known
    return {
        "gc": round(c + g, 4),
        "cpg_observed_to_expected": round(sequence.count("CG") / known / (c * g), 4),
    }


def _gene(gene: Gene) -> dict[str, object]:
    return {
        "biotype": gene.biotype,
        "family": gene.family,
        "parent": gene.parent,
        "signals": list(gene.signals),
        "transcripts": {transcript.name: transcript.kind for transcript in gene.transcripts},
    }
