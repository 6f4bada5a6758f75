"""A simulated genome on disk: FASTA and GTF as Ensembl writes them, and what is true about it as JSON."""

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from episome.simulate.assembly import Gene, Genome, Interval

LINE = 60  # bases of a FASTA line


def write(genome: Genome, folder: Path) -> None:
    """Write ``genome.fa.gz``, ``genes.gtf.gz`` and ``truth.json`` into a folder, which is made where it is missing.

    The same genome gives the same bytes: no time stamps, no file names inside the archives.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write_gzip(folder / "genome.fa.gz", _fasta(genome))
    _write_gzip(folder / "genes.gtf.gz", _gtf(genome))
    text = json.dumps(truth(genome), indent=1, sort_keys=True)
    (folder / "truth.json").write_text(text + "\n", encoding="utf-8")


def _write_gzip(path: Path, lines: Iterator[str]) -> None:
    path.write_bytes(gzip.compress("".join(lines).encode("ascii"), compresslevel=6, mtime=0))


def _fasta(genome: Genome) -> Iterator[str]:
    for name, sequence in genome.contigs.items():
        yield f">{name} dna:chromosome chromosome:{genome.species}:{name}:1:{len(sequence)}:1 REF\n"
        for start in range(0, len(sequence), LINE):
            yield sequence[start : start + LINE] + "\n"


def _gtf(genome: Genome) -> Iterator[str]:
    yield f"#!genome-build {genome.species}\n"
    yield f"#!simulated true; seed {genome.parameters['seed']}\n"
    for gene in genome.genes:
        yield from _gene_lines(gene)


def _line(gene: Gene, feature: str, interval: Interval, extra: str = "", frame: str = ".") -> str:
    """One GTF line; the interval becomes 1-based inclusive here and nowhere else."""
    start, end = interval
    shared = f'gene_id "{gene.name}"; family "{gene.family}"; gene_source "simulated"; gene_biotype "protein_coding";'
    return f"{gene.contig}\tsimulated\t{feature}\t{start + 1}\t{end}\t.\t{gene.strand}\t{frame}\t{shared}{extra}\n"


def _gene_lines(gene: Gene) -> Iterator[str]:
    """Lines of a gene: gene, transcript, then its exons with their parts in the order of transcription."""
    own = f' transcript_id "{gene.transcript}"; transcript_biotype "protein_coding"; tag "Ensembl_canonical";'
    yield _line(gene, "gene", gene.span)
    yield _line(gene, "transcript", gene.span, own)
    step = 1 if gene.strand == "+" else -1
    first = gene.coding[0][0], gene.coding[-1][1]
    start_codon = (first[0], first[0] + 3) if step > 0 else (first[1] - 3, first[1])
    stop_codon = (first[1] - 3, first[1]) if step > 0 else (first[0], first[0] + 3)
    done = 0
    for number, exon in enumerate(gene.exons[::step], start=1):
        numbered = f' exon_number "{number}";{own}'
        yield _line(gene, "exon", exon, numbered)
        for part in [part for part in gene.coding if exon[0] <= part[0] and part[1] <= exon[1]]:
            sense = _without(part, stop_codon)
            yield _line(gene, "CDS", sense, numbered, str(-done % 3))
            if exon[0] <= start_codon[0] < exon[1]:
                yield _line(gene, "start_codon", start_codon, numbered, "0")
            if exon[0] <= stop_codon[0] < exon[1]:
                yield _line(gene, "stop_codon", stop_codon, numbered, "0")
            done += part[1] - part[0]
    yield from (_line(gene, name, interval, own) for name, interval in _untranslated(gene, first))


def _without(part: Interval, stop_codon: Interval) -> Interval:
    """A coding part less the stop codon, which Ensembl's CDS lines leave out; stop codons are never split."""
    if part[0] == stop_codon[0]:
        return stop_codon[1], part[1]
    return (part[0], stop_codon[0]) if part[1] == stop_codon[1] else part


def _untranslated(gene: Gene, coding: Interval) -> Iterator[tuple[str, Interval]]:
    """Exon parts before and after the coding sequence, named by the strand."""
    left, right = ("five_prime_utr", "three_prime_utr")[:: 1 if gene.strand == "+" else -1]
    for start, end in gene.exons:
        if start < coding[0]:
            yield left, (start, min(end, coding[0]))
        if end > coding[1]:
            yield right, (max(start, coding[1]), end)


def truth(genome: Genome) -> dict[str, object]:
    """What is known about a simulated genome: its parameters, counts, composition and every gene's signals."""
    sequence = "N".join(genome.contigs.values())
    known = len(sequence) - sequence.count("N")
    c, g = sequence.count("C") / known, sequence.count("G") / known
    return {
        "simulated": True,
        "species": genome.species,
        "parameters": genome.parameters,
        "counts": {
            "contigs": {name: len(bases) for name, bases in genome.contigs.items()},
            "bases": sum(map(len, genome.contigs.values())),
            "n": sum(bases.count("N") for bases in genome.contigs.values()),
            "genes": len(genome.genes),
            "exons": sum(len(gene.exons) for gene in genome.genes),
            "introns": sum(len(gene.exons) - 1 for gene in genome.genes),
            "minus_strand": sum(gene.strand == "-" for gene in genome.genes),
            "signals": dict(Counter(signal for gene in genome.genes for signal in gene.signals)),
        },
        "composition": {
            "gc": round(c + g, 4),
            "cpg_observed_to_expected": round(sequence.count("CG") / known / (c * g), 4),
        },
        "genes": {gene.name: {"family": gene.family, "signals": list(gene.signals)} for gene in genome.genes},
    }
