"""Transcripts while the lines of an annotation are still coming: what GTF and GFF3 fill alike.

A full human annotation has about two million exon and CDS lines, so a draft keeps its coordinates packed (eight
bytes each) and nothing of a line outlives it.
"""

import sys
from array import array
from dataclasses import dataclass, field
from typing import NamedTuple

from episome.types import EpisomeError

STRANDS, UNKNOWN = ("+", "-"), (".", "?")
# What a tag says about a transcript, as bits.
CANONICAL, MANE, CDS_START_OPEN, MRNA_START_OPEN = 1, 2, 4, 8
_TAGS = {
    "Ensembl_canonical": CANONICAL,
    "MANE_Select": MANE,
    "MANE Select": MANE,  # as NCBI spells it
    "cds_start_NF": CDS_START_OPEN,
    "mRNA_start_NF": MRNA_START_OPEN,
}


class AnnotationError(EpisomeError):
    """A file that is no GTF and no GFF3, or a line of it that contradicts itself or another."""


class Line(NamedTuple):
    """One feature line. `start` and `end` are 0-based half-open; `place` names file and line for errors."""

    place: str
    contig: str
    feature: str
    start: int
    end: int
    strand: str
    phase: str
    attributes: str


class Key(NamedTuple):
    """What tells transcripts apart: files give copies of one transcript (X and Y, say) one id.

    `strand` is ``.`` or ``?`` where the file does not know it.
    """

    id: str
    contig: str
    strand: str

    @property
    def stranded(self) -> bool:
        """Whether the strand is known."""
        return self.strand in STRANDS


@dataclass(slots=True)
class Draft:
    """One transcript so far.

    Attributes:
        gene: gene id; "" where a line of its own will name it.
        exons: start, end, start, end, … as they came.
        cds: likewise.
        first_cds: the outermost coding position at the 5' end so far; None before the first CDS line.
        phase: phase column of the CDS line there.
        marks: what its tags say (`_TAGS`), as bits.
        start_codon: a start_codon line was there.
    """

    gene: str
    exons: "array[int]" = field(default_factory=lambda: array("q"))
    cds: "array[int]" = field(default_factory=lambda: array("q"))
    first_cds: int | None = None
    phase: str = "."
    marks: int = 0
    start_codon: bool = False

    def add(self, line: Line) -> None:
        """Take up an exon, CDS or start_codon line; other features tell nothing."""
        if line.feature == "exon":
            self.exons.extend((line.start, line.end))
        elif line.feature == "CDS":
            self.cds.extend((line.start, line.end))
            outermost = line.start if line.strand == "+" else -line.end
            if self.first_cds is None or outermost < self.first_cds:
                self.first_cds, self.phase = outermost, sys.intern(line.phase)
        elif line.feature == "start_codon":
            self.start_codon = True


@dataclass(slots=True)
class Drafts:
    """All that a file has said.

    Attributes:
        transcripts: by id, contig and strand.
        biotypes: gene → biotype.
        families: gene → homology family that the file states.
    """

    transcripts: dict[Key, Draft] = field(default_factory=dict)
    biotypes: dict[str, str] = field(default_factory=dict)
    families: dict[str, str] = field(default_factory=dict)

    def of(self, name: str, line: Line, gene: str) -> Draft:
        """The draft of a transcript that a line speaks of.

        Raises:
            AnnotationError: a strand that is none, or another gene before.
        """
        if line.strand not in STRANDS + UNKNOWN:
            raise AnnotationError(
                f"{line.place}: strand {line.strand!r} of {line.feature} {name!r}; wanted: + or -, or . or ? where it "
                "is not known"
            )
        key = Key(name, sys.intern(line.contig), sys.intern(line.strand))
        draft = self.transcripts.get(key)
        if draft is None:
            draft = self.transcripts[key] = Draft(sys.intern(gene))
        elif draft.gene != gene:
            raise AnnotationError(
                f"{line.place}: transcript {name!r} belongs to gene {gene!r} here and to {draft.gene!r} before; "
                "wanted: one gene"
            )
        return draft


def marks(tags: list[str]) -> int:
    """The bits of all tags that say something about a transcript."""
    found = 0
    for tag in tags:
        found |= _TAGS.get(tag, 0)
    return found
