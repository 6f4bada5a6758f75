"""A simulated genome on disk: FASTA and GTF as Ensembl writes them; every file says that it is simulated."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

from episome.simulate.gene import Gene, Interval, Transcript
from episome.simulate.truth import truth
from episome.simulate.world import Genome

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


def _marks(genome: Genome) -> tuple[str, str]:
    return f"seed {genome.parameters['seed']}", f"motif_divergence {genome.parameters['motif_divergence']}"


def _fasta(genome: Genome) -> Iterator[str]:
    marks = " ".join(mark.replace(" ", ":") for mark in _marks(genome))
    for name, sequence in genome.contigs.items():
        kind = genome.assembly.kinds[name]
        place = f"{kind}:{genome.species}:{name}:1:{len(sequence)}:1"
        yield f">{name} dna_sm:{kind} {place} REF simulated:true {marks}\n"
        for start in range(0, len(sequence), LINE):
            yield sequence[start : start + LINE] + "\n"


def _gtf(genome: Genome) -> Iterator[str]:
    yield f"#!genome-build {genome.species}\n"
    yield f"#!simulated true; {'; '.join(_marks(genome))}\n"
    for gene in genome.genes:
        yield _line(gene, "gene", gene.span)
        for transcript in gene.transcripts:
            yield from _transcript_lines(gene, transcript)


def _line(gene: Gene, feature: str, interval: Interval, extra: str = "", frame: str = ".") -> str:
    """One GTF line; the interval becomes 1-based inclusive here and nowhere else."""
    start, end = interval
    family = f' family "{gene.family}";' if gene.family else ""
    parent = f' parent_gene "{gene.parent}";' if gene.parent else ""
    shared = f'gene_id "{gene.name}";{family}{parent} gene_source "simulated"; gene_biotype "{gene.biotype}";'
    return f"{gene.contig}\tsimulated\t{feature}\t{start + 1}\t{end}\t.\t{gene.strand}\t{frame}\t{shared}{extra}\n"


def _transcript_lines(gene: Gene, transcript: Transcript) -> Iterator[str]:
    """Lines of a transcript, then its exons with their parts in the order of transcription."""
    tags = 'tag "basic"; tag "Ensembl_canonical";' if transcript.kind == "canonical" else 'tag "basic";'
    own = f' transcript_id "{transcript.name}"; transcript_biotype "{gene.biotype}"; {tags}'
    yield _line(gene, "transcript", transcript.span, own)
    step = 1 if gene.strand == "+" else -1
    codons = _codons(gene, transcript)
    done = 0
    for number, exon in enumerate(transcript.exons[::step], start=1):
        numbered = f' exon_number "{number}";{own}'
        yield _line(gene, "exon", exon, numbered)
        for part in [part for part in transcript.coding if exon[0] <= part[0] and part[1] <= exon[1]]:
            yield _line(gene, "CDS", _without(part, codons["stop_codon"]), numbered, str(-done % 3))
            done += part[1] - part[0]
            for name, codon in codons.items():
                if part[0] <= codon[0] < part[1]:
                    yield _line(gene, name, codon, numbered, "0")
    yield from (_line(gene, name, interval, own) for name, interval in _untranslated(gene, transcript))


def _codons(gene: Gene, transcript: Transcript) -> dict[str, Interval]:
    """Where translation starts and stops; both codons lie whole in one exon."""
    if not transcript.coding:
        return {}
    low, high = transcript.coding[0][0], transcript.coding[-1][1]
    left, right = ("start_codon", "stop_codon")[:: 1 if gene.strand == "+" else -1]
    return {left: (low, low + 3), right: (high - 3, high)}


def _without(part: Interval, stop_codon: Interval) -> Interval:
    """A coding part less the stop codon, which Ensembl's CDS lines leave out; stop codons are never split."""
    if part[0] == stop_codon[0]:
        return stop_codon[1], part[1]
    return (part[0], stop_codon[0]) if part[1] == stop_codon[1] else part


def _untranslated(gene: Gene, transcript: Transcript) -> Iterator[tuple[str, Interval]]:
    """Exon parts before and after the coding sequence, named by the strand."""
    if not transcript.coding:
        return
    low, high = transcript.coding[0][0], transcript.coding[-1][1]
    left, right = ("five_prime_utr", "three_prime_utr")[:: 1 if gene.strand == "+" else -1]
    for start, end in transcript.exons:
        if start < low:
            yield left, (start, min(end, low))
        if end > high:
            yield right, (max(start, high), end)
