"""Small genomes with known sites, written as FASTA and Ensembl-style GTF, for the tests that read genomes."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from episome import contigs, places, territory
from episome.annotation import Interval, Transcript
from episome.places import Genome
from episome.sequence import reverse_complement
from tests import table_rows

WINDOWS = table_rows.windows()

# A gene, 5' to 3': exon 1 holds the start codon, then GT..AG around the intron, exon 2 ends it.
EXON, INTRON = 400, 500
GENE = 2 * EXON + INTRON
SPACE = 1200


def contig(rng: np.random.Generator, strands: str) -> tuple[str, list[tuple[int, int]]]:
    """A random contig with one gene for each strand named, and the genes' 0-based half-open spans."""
    parts, spans, at = [], [], 0
    for strand in strands:
        between, body = random(rng, SPACE), list(random(rng, GENE))
        body[100:103] = "ATG"
        body[EXON : EXON + 2] = "GT"
        body[EXON + INTRON - 2 : EXON + INTRON] = "AG"
        gene = "".join(body)
        parts += [between, gene if strand == "+" else reverse_complement(gene)]
        spans.append((at + SPACE, at + SPACE + GENE))
        at += SPACE + GENE
    return "".join([*parts, random(rng, SPACE)]), spans


def random(rng: np.random.Generator, length: int) -> str:
    return "".join(rng.choice(list("ACGT"), length))


def parts(span: tuple[int, int], strand: str) -> dict[str, list[tuple[int, int]]]:
    """Exons and CDS of a gene, 0-based half-open on the plus strand, 5' to 3' of the gene."""
    local = {
        "exon": [(0, EXON), (EXON + INTRON, GENE)],
        "CDS": [(100, EXON), (EXON + INTRON, GENE - 100)],
    }
    if strand == "+":
        return {name: [(span[0] + a, span[0] + b) for a, b in pieces] for name, pieces in local.items()}
    return {name: [(span[1] - b, span[1] - a) for a, b in pieces] for name, pieces in local.items()}


def gene(
    *,
    exons: tuple[Interval, ...],
    cds: tuple[Interval, ...] = (),
    strand: str = "+",
    name: str = "g",
    contig_name: str = "c0",
    **changes: str | bool | int,
) -> Transcript:
    """A transcript of which a test states what it cares for."""
    given: dict[str, Any] = {"biotype": "", "family": "", "rank": 0, "start_complete": True, "tss_complete": True}
    return Transcript(
        id=f"{name}T", gene=name, contig=contig_name, strand=strand, exons=exons, cds=cds, **{**given, **changes}
    )


@contextmanager
def surveyed(sequences: Mapping[str, str], transcripts: Sequence[Transcript], seed: int = 3) -> Iterator[Genome]:
    """An open genome of a few contigs, divided by families or loci."""
    lengths = {name: len(sequence) for name, sequence in sequences.items()}
    owners = territory.divide(transcripts, lengths, WINDOWS.split, seed, {}, "family")
    with tempfile.TemporaryDirectory() as folder:
        fasta = Path(folder) / "genome.fa"
        fasta.write_text("".join(f">{name}\n{sequence}\n" for name, sequence in sequences.items()))
        with contigs.opened(fasta, "n") as opened:
            yield places.survey(opened, tuple(lengths), transcripts, owners)


def gtf_lines(name: str, contig_name: str, span: tuple[int, int], strand: str, family: str = "") -> list[str]:
    """Lines of one gene as Ensembl writes them."""
    own = f'gene_id "{name}"; gene_biotype "protein_coding";' + (f' family "{family}";' if family else "")
    both = f'{own} transcript_id "{name}T"; tag "basic"; tag "Ensembl_canonical";'
    lines = [line(contig_name, "gene", span, strand, own), line(contig_name, "transcript", span, strand, both)]
    for feature, pieces in parts(span, strand).items():
        lines += [line(contig_name, feature, piece, strand, both) for piece in pieces]
    return lines


def line(contig_name: str, feature: str, interval: tuple[int, int], strand: str, attributes: str) -> str:
    return f"{contig_name}\ttoy\t{feature}\t{interval[0] + 1}\t{interval[1]}\t.\t{strand}\t.\t{attributes}"


def write(folder: Path, *, contigs: int = 3, strands: str = "+-+-+-", families: bool = True, seed: int = 1) -> Path:
    """A genome folder; gene ``c0g1`` is the second gene of contig ``c0`` and of family ``FAM000001``."""
    rng = np.random.default_rng(seed)
    fasta, lines = [], ["#!genome-build toy"]
    for c in range(contigs):
        sequence, spans = contig(rng, strands)
        fasta.append(f">c{c} toy\n{sequence}\n")
        for g, (span, strand) in enumerate(zip(spans, strands, strict=True)):
            family = f"FAM{c * len(strands) + g:06d}" if families else ""
            lines += gtf_lines(f"c{c}g{g}", f"c{c}", span, strand, family)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "genome.fa").write_text("".join(fasta))
    (folder / "genes.gtf").write_text("\n".join(lines) + "\n")
    return folder
