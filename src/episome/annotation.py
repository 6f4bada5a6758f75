"""Gene models of a genome from GTF or GFF3. Coordinates leave this file 0-based half-open on the plus strand.

What files differ in, and what is made of it:

* One transcript_id in several places (refGene writes X and Y copies so) is several transcripts: the first keeps the
  id, the others are ``id_dup1``, ``id_dup2``, … as UCSC names them. Places are told apart by contig and strand, and
  on one strand by a gap longer than any known intron (`LONGEST_INTRON`); copies nearer than that cannot be.
* One id on both strands of a contig may be trans-spliced (fly *mod(mdg4)*): its ends are then taken for unknown.
* Exons that touch or overlap within a transcript are one exon.
* Exons less than `SHORTEST_INTRON` bases apart have no intron between them: Ensembl's automatic models step over a
  base or four to keep a frame open.
* A transcript with CDS lines only has them for exons, and an unknown TSS.
* A transcript with a line of unknown strand (``.`` or ``?``) is left out and counted.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise, takewhile
from pathlib import Path
from typing import NamedTuple

from episome import gff3, gtf, packed
from episome.drafts import CANONICAL, CDS_START_OPEN, MANE, MRNA_START_OPEN, AnnotationError, Draft, Drafts, Line

__all__ = ["Annotation", "AnnotationError", "Interval", "Transcript", "contigs", "read", "representative"]

Interval = tuple[int, int]

# Human introns stay below 1.5 Mb; giant genomes have some that are several times longer.
LONGEST_INTRON = 10_000_000
# The shortest introns known, of the ciliate Stentor, have 15 bases.
SHORTEST_INTRON = 15
_COLUMNS = 9
_END = ("##FASTA", ">")  # sequences that may end a GFF3
_BARE = ("", ".")  # column 9 of a line without attributes


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """One transcript.

    Attributes:
        exons: ascending, neither overlapping nor touching; at least one.
        cds: ascending; empty where the file names no coding part.
        biotype: of the gene; "" where the file does not say.
        family: homology family that the file states, "" where it states none.
        rank: 0 for its gene's Ensembl_canonical, 1 for MANE_Select, 2 for neither.
        start_complete: its CDS begins where translation does. False for a transcript without CDS, with the tag
            cds_start_NF, with a first phase that is not 0, with a CDS that is no multiple of three, and without a
            start_codon line in a file that has such lines.
        tss_complete: its first base is where transcription begins, as far as the file knows. False with the tags
            mRNA_start_NF and cds_start_NF, where the file has no exon lines for it, and (as for `start_complete`) where
            a GFF3 has no line for the transcript itself or says ``partial=true``.
    """

    id: str
    gene: str
    contig: str
    strand: str
    exons: tuple[Interval, ...]
    cds: tuple[Interval, ...]
    biotype: str
    family: str
    rank: int
    start_complete: bool
    tss_complete: bool

    @property
    def span(self) -> Interval:
        """From the first to the last exonic base."""
        return self.exons[0][0], self.exons[-1][1]

    @property
    def introns(self) -> tuple[Interval, ...]:
        """What is spliced out between exons, ascending: gaps of `SHORTEST_INTRON` bases or more."""
        return tuple((a[1], b[0]) for a, b in pairwise(self.exons) if b[0] - a[1] >= SHORTEST_INTRON)

    @property
    def gaps(self) -> tuple[Interval, ...]:
        """Gaps between exons that are too short for an intron, ascending: they mend a reading frame."""
        return tuple((a[1], b[0]) for a, b in pairwise(self.exons) if b[0] - a[1] < SHORTEST_INTRON)


class Annotation(NamedTuple):
    """What a file says: its transcripts in the order of contig, start and id, and how many had no strand."""

    transcripts: list[Transcript]
    strandless: int


def read(path: Path) -> Annotation:
    """All transcripts of a GTF or GFF3 file, plain or gzip, whose strand is known.

    Which of the two it is, the first feature line with attributes says, never the name.

    Raises:
        AnnotationError: no such file, no text, no exon at all or none with a strand, or a line that is wrong (named by
            its number).
    """
    lines = _lines(path)
    first: list[Line] = []
    for line in lines:
        first.append(line)
        if line.attributes.strip() not in _BARE:
            break
    if not first:
        raise AnnotationError(f"{path}: no feature lines; wanted: GTF or GFF3 with exons")
    drafts = (gff3 if _is_gff3(first[-1]) else gtf).collect(chain(first, lines))
    strandless = _without_strandless(drafts)
    transcripts = list(_transcripts(drafts))
    if not transcripts and strandless:
        raise AnnotationError(f"{path}: none of {strandless} transcripts has a strand; wanted: + or - in column 7")
    if not transcripts:
        raise AnnotationError(f"{path}: no exon lines; wanted: GTF or GFF3 with exons that name their transcripts")
    return Annotation(sorted(transcripts, key=lambda t: (t.contig, t.span, t.id)), strandless)


def contigs(path: Path) -> Counter[str]:
    """Feature lines of each contig, as they come and unchecked: a quick look before the file is read.

    Raises:
        AnnotationError: no such file, no text.
    """
    with packed.text(path, AnnotationError) as text:
        lines = takewhile(lambda line: not line.startswith(_END), text)
        return Counter(line.partition("\t")[0] for line in lines if not line.startswith("#") and "\t" in line)


def representative(transcripts: list[Transcript]) -> Transcript:
    """The one transcript that stands for a gene: by rank, then longest CDS, then longest, then first by id."""
    return min(transcripts, key=lambda t: (t.rank, -bases(t.cds), -bases(t.exons), t.id))


def bases(intervals: tuple[Interval, ...]) -> int:
    """Bases in intervals that do not overlap."""
    return sum(end - start for start, end in intervals)


def _is_gff3(line: Line) -> bool:
    """GFF3 writes ``ID=x``; GTF writes ``gene_id "x"``, where a blank comes before any equals sign."""
    return " " not in line.attributes.strip().partition("=")[0] and "=" in line.attributes


def _lines(path: Path) -> Iterator[Line]:
    """Feature lines; comments, blank lines and the sequences that may end a GFF3 are passed over."""
    with packed.text(path, AnnotationError) as text:
        for number, raw in enumerate(text, start=1):
            if raw.startswith(_END):
                return
            if not raw.startswith("#") and raw.strip():
                yield _line(raw, f"{path} line {number}")


def _line(raw: str, place: str) -> Line:
    columns = raw.rstrip("\r\n").split("\t")
    if len(columns) != _COLUMNS:
        raise AnnotationError(
            f"{place}: {len(columns)} tab-separated columns; wanted: {_COLUMNS}, as GTF and GFF3 have"
        )
    contig, _, feature, first, last, _, strand, phase, attributes = columns
    if not first.isdecimal() or not last.isdecimal() or not 1 <= int(first) <= int(last):
        raise AnnotationError(
            f"{place}: from {first!r} to {last!r}; wanted: 1-based positions, the first not after the last"
        )
    return Line(place, contig, feature, int(first) - 1, int(last), strand, phase, attributes)


def _without_strandless(drafts: Drafts) -> int:
    """Let go of transcripts that any line gives no strand, as what is left of them may lack an exon; how many."""
    wrong = {(key.id, key.contig) for key in drafts.transcripts if not key.stranded}
    for key in [key for key in drafts.transcripts if (key.id, key.contig) in wrong]:
        del drafts.transcripts[key]
    return len(wrong)


def _transcripts(drafts: Drafts) -> Iterator[Transcript]:
    """Finished transcripts; every draft is let go when it is done, so that both never fill the memory."""
    has_codons = any(draft.start_codon for draft in drafts.transcripts.values())
    strands: dict[tuple[str, str], set[str]] = defaultdict(set)
    for key in drafts.transcripts:
        strands[key.id, key.contig].add(key.strand)
    copies: dict[str, int] = {}
    shared: dict[Interval, Interval] = {}
    gene = ""
    for key in list(drafts.transcripts):
        draft = drafts.transcripts.pop(key)
        if draft.gene != gene:
            gene, shared = draft.gene, {}
        whole = len(strands[key.id, key.contig]) == 1
        for exons, cds in _places(draft, shared):
            number = copies[key.id] = copies.get(key.id, -1) + 1
            yield Transcript(
                id=f"{key.id}_dup{number}" if number else key.id,
                gene=gene,
                contig=key.contig,
                strand=key.strand,
                exons=exons,
                cds=cds,
                biotype=drafts.biotypes.get(gene, ""),
                family=drafts.families.get(gene, ""),
                rank=0 if draft.marks & CANONICAL else 1 if draft.marks & MANE else 2,
                start_complete=whole and _start_is_known(draft, cds, has_codons),
                tss_complete=whole and bool(draft.exons) and not draft.marks & (MRNA_START_OPEN | CDS_START_OPEN),
            )


def _start_is_known(draft: Draft, cds: tuple[Interval, ...], has_codons: bool) -> bool:
    return (
        bool(cds)
        and not draft.marks & CDS_START_OPEN
        and draft.phase in ("0", ".")
        and bases(cds) % 3 == 0
        and (draft.start_codon or not has_codons)
    )


def _places(draft: Draft, shared: dict[Interval, Interval]) -> Iterator[tuple[tuple[Interval, ...], ...]]:
    """Exons and CDS of each place that one id has on one strand of a contig.

    Args:
        draft: what the file said.
        shared: the gene's intervals so far; isoforms share most of them, so each is kept once.
    """
    cds = _joined(draft.cds, shared)
    exons = _joined(draft.exons, shared) or cds
    ends = [i for i, (a, b) in enumerate(pairwise(exons), start=1) if b[0] - a[1] > LONGEST_INTRON]
    for first, after in pairwise([0, *ends, len(exons)]):
        here = exons[first:after]
        if here:
            yield here, tuple(part for part in cds if here[0][0] <= part[0] < here[-1][1])


def _joined(flat: Sequence[int], shared: dict[Interval, Interval]) -> tuple[Interval, ...]:
    """Ascending, with touching and overlapping intervals made one."""
    joined: list[Interval] = []
    for start, end in sorted(zip(flat[::2], flat[1::2], strict=True)):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return tuple(shared.setdefault(interval, interval) for interval in joined)
