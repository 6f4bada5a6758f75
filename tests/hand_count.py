"""Real genome folders by another hand than the importer's: plain text operations on their lines, and no more."""

import gzip
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from episome import genome
from episome.annotation import Transcript
from episome.sources import GenomeSource
from tests.table_rows import windows

FOLDERS = ("fly_1pct", "fly_2l2r", "human_chr9", "human_mini", "mouse_chr9")
SHORTEST_INTRON = 15
PAIRS = {"A": "T", "C": "G", "G": "C", "T": "A", "N": "N"}
# Transcripts, genes, introns (distinct), gaps too short for one (distinct), TSS (distinct), complete start codons
# (distinct), as counted by hand in this file.
COUNTS = {
    "fly_1pct": (285, 126, 484, 0, 160, 104),
    "fly_2l2r": (356, 167, 557, 0, 229, 0),
    "human_chr9": (105, 23, 195, 0, 100, 15),
    "human_mini": (364, 114, 1241, 0, 171, 148),
    "mouse_chr9": (54, 23, 111, 27, 49, 20),
}


@dataclass
class Model:
    """A transcript in the words of its file: 1-based, both ends included."""

    contig: str
    strand: str
    exons: list[tuple[int, int]] = field(default_factory=list)
    cds: list[tuple[int, int, str]] = field(default_factory=list)
    open_start: bool = False
    open_tss: bool = False
    start_codon: bool = False
    own_line: bool = True


def by_hand(path: Path) -> dict[str, Model]:
    """Transcripts of a GTF or of a FlyBase GFF3, line by line."""
    models: dict[str, Model] = {}
    text_of_file = gzip.decompress(path.read_bytes()).decode()
    for line in text_of_file.splitlines():
        if line.startswith("#"):
            continue
        contig, _, kind, first, last, _, strand, phase, text = line.split("\t")
        if kind not in ("exon", "CDS", "start_codon"):
            continue
        names = re.findall(r'transcript_id "([^"]+)"', text) or re.findall(r"Parent=([^;]+)", text)[0].split(",")
        for name in names:
            model = models.setdefault(name, Model(contig, strand))
            model.open_start |= "cds_start_NF" in text
            model.open_tss |= "_start_NF" in text
            if kind == "exon":
                model.exons.append((int(first), int(last)))
            elif kind == "CDS":
                model.cds.append((int(first), int(last), phase))
            else:
                model.start_codon = True
    for name, model in models.items():
        model.own_line = "Parent=" not in text_of_file or f"\tID={name};" in text_of_file
        model.exons.sort()
        model.cds.sort()
    return models


def plain_fasta(path: Path) -> dict[str, str]:
    """Contig → its bases, upper-case."""
    found: dict[str, list[str]] = {}
    for line in gzip.decompress(path.read_bytes()).decode().splitlines():
        if line.startswith(">"):
            lines = found[line[1:].split()[0]] = []
        else:
            lines.append(line.upper())
    return {name: "".join(lines) for name, lines in found.items()}


def first_base(model: Model) -> tuple[str, int, str]:
    """Where it is transcribed from: contig, 1-based position, strand."""
    return model.contig, model.exons[0][0] if model.strand == "+" else model.exons[-1][1], model.strand


def start_of_cds(model: Model) -> tuple[str, int, str] | None:
    """The A of its start codon; None where its CDS is not complete there."""
    if not model.cds:
        return None
    first, last, phase = model.cds[0] if model.strand == "+" else model.cds[-1]
    whole = sum(b - a + 1 for a, b, _ in model.cds) % 3 == 0
    known = whole and phase == "0" and not model.open_start and model.own_line
    return (model.contig, first if model.strand == "+" else last, model.strand) if known else None


def all_starts(models: dict[str, Model]) -> dict[str, tuple[str, int, str]]:
    """Transcript → the A of its start codon, where it is complete."""
    wanted = any(model.start_codon for model in models.values())
    found = {name: start_of_cds(model) for name, model in models.items() if model.start_codon or not wanted}
    return {name: start for name, start in found.items() if start}


def between(model: Model) -> list[tuple[str, int, int, str]]:
    """What lies between its exons, 1-based with both ends."""
    pairs = zip(model.exons, model.exons[1:], strict=False)
    return [(model.contig, a[1] + 1, b[0] - 1, model.strand) for a, b in pairs]


def annotation_of(folder: Path) -> Path:
    return next(folder.glob("genes.*"))


def stretch(sequence: str, first: int, last: int, strand: str) -> str:
    """1-based, both ends included; the minus strand base by base."""
    plus = sequence[first - 1 : last]
    return plus if strand == "+" else "".join(PAIRS[base] for base in reversed(plus))


def read(folder: Path) -> tuple[list[Transcript], dict[str, Any]]:
    """As a run reads a genome, up to the verdict on its annotation."""
    source = GenomeSource(kind="genome", folder=folder, tasks=("donor",), licence="none", citation="none")
    with genome.opened(source, windows(min_motif_share=0.8, min_annotated=0.95)) as (_, transcripts, report):
        return transcripts, report["soundness"]
