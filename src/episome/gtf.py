"""GTF gene models, read line by line. Coordinates leave this file 0-based half-open on the plus strand.

Exons and CDS decide; gene and transcript lines only add what they know (biotype, tags, family), since refGene-style
and FlyBase files have none. What a GTF cannot say and this file does not guess: whether a transcript is complete.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from episome import packed
from episome.types import EpisomeError

Interval = tuple[int, int]

_COLUMNS = 9
_ATTRIBUTE = re.compile(r'(\w+)\s+(?:"([^"]*)"|([^\s;"]+))\s*(?:;|$)')
_CANONICAL = frozenset({"Ensembl_canonical", "MANE_Select"})


class GtfError(EpisomeError):
    """A file that is no GTF, or a line of it that contradicts itself or another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """One transcript.

    Attributes:
        exons: ascending, not overlapping; at least one.
        cds: ascending; empty where the file names no coding part.
        biotype: of the gene; "" where the file does not say.
        family: homology family that the file states, "" where it states none.
        canonical: tagged as its gene's representative.
    """

    id: str
    gene: str
    contig: str
    strand: str
    exons: tuple[Interval, ...]
    cds: tuple[Interval, ...]
    biotype: str
    family: str
    canonical: bool

    @property
    def span(self) -> Interval:
        """From the first to the last exonic base."""
        return self.exons[0][0], self.exons[-1][1]

    @property
    def introns(self) -> tuple[Interval, ...]:
        """The gaps between exons, ascending."""
        return tuple((a[1], b[0]) for a, b in pairwise(self.exons))


@dataclass(slots=True)
class _Draft:
    """A transcript while its lines are still coming."""

    gene: str
    contig: str
    strand: str
    exons: set[Interval] = field(default_factory=set)
    cds: set[Interval] = field(default_factory=set)
    canonical: bool = False


@dataclass(frozen=True, slots=True)
class _Line:
    place: str
    contig: str
    feature: str
    interval: Interval
    strand: str
    attributes: dict[str, list[str]]

    def first(self, *names: str) -> str:
        return next((self.attributes[name][0] for name in names if name in self.attributes), "")


def read(path: Path) -> list[Transcript]:
    """All transcripts of a GTF file, plain or gzip, in the order of contig, start and id.

    Raises:
        GtfError: no such file, no text, no exon at all, or a line that is wrong (named by its number).
    """
    drafts: dict[str, _Draft] = {}
    biotypes: dict[str, str] = {}
    families: dict[str, str] = {}
    for line in _lines(path):
        gene = line.first("gene_id")
        biotypes.setdefault(gene, line.first("gene_biotype", "gene_type"))
        families[gene] = families.get(gene) or line.first("family")
        if line.feature in ("transcript", "exon", "CDS"):
            _add(drafts, line, gene)
    transcripts = [
        Transcript(
            id=name,
            gene=draft.gene,
            contig=draft.contig,
            strand=draft.strand,
            exons=_joined(draft.exons),
            cds=_joined(draft.cds),
            biotype=biotypes[draft.gene],
            family=families[draft.gene],
            canonical=draft.canonical,
        )
        for name, draft in drafts.items()
        if draft.exons
    ]
    if not transcripts:
        raise GtfError(f"{path}: no exon lines; wanted: a GTF with exons that name gene_id and transcript_id")
    return sorted(transcripts, key=lambda t: (t.contig, t.span, t.id))


def representative(transcripts: list[Transcript]) -> Transcript:
    """The one transcript that stands for a gene: canonical, then longest CDS, then longest, then first by id."""

    def rank(t: Transcript) -> tuple[bool, int, int, str]:
        return not t.canonical, -_bases(t.cds), -_bases(t.exons), t.id

    return min(transcripts, key=rank)


def _bases(intervals: tuple[Interval, ...]) -> int:
    return sum(end - start for start, end in intervals)


def _add(drafts: dict[str, _Draft], line: _Line, gene: str) -> None:
    name = line.first("transcript_id")
    if not name or not gene:
        raise GtfError(f"{line.place}: a {line.feature} without gene_id and transcript_id")
    draft = drafts.setdefault(name, _Draft(gene, line.contig, line.strand))
    if (draft.gene, draft.contig, draft.strand) != (gene, line.contig, line.strand):
        raise GtfError(
            f"{line.place}: transcript {name!r} is on {line.contig} {line.strand} in gene {gene!r} here and on "
            f"{draft.contig} {draft.strand} in gene {draft.gene!r} before; wanted: one place for one transcript_id"
        )
    draft.canonical |= not _CANONICAL.isdisjoint(line.attributes.get("tag", ()))
    if line.feature == "exon":
        draft.exons.add(line.interval)
    if line.feature == "CDS":
        draft.cds.add(line.interval)


def _joined(intervals: set[Interval]) -> tuple[Interval, ...]:
    """Ascending, with touching and overlapping intervals made one."""
    joined: list[Interval] = []
    for start, end in sorted(intervals):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return tuple(joined)


def _lines(path: Path) -> Iterator[_Line]:
    with packed.text(path, GtfError) as text:
        for number, raw in enumerate(text, start=1):
            if raw.strip() and not raw.startswith("#"):
                yield _line(raw, f"{path} line {number}")


def _line(raw: str, place: str) -> _Line:
    columns = raw.rstrip("\r\n").split("\t")
    if len(columns) != _COLUMNS:
        raise GtfError(f"{place}: {len(columns)} tab-separated columns; wanted: {_COLUMNS}, as GTF has")
    contig, _, feature, first, last, _, strand, _, text_of_attributes = columns
    if not first.isdecimal() or not last.isdecimal() or not 1 <= int(first) <= int(last):
        raise GtfError(f"{place}: from {first!r} to {last!r}; wanted: 1-based positions, the first not after the last")
    if strand not in ("+", "-"):
        raise GtfError(f"{place}: strand {strand!r}; wanted: + or -")
    attributes: dict[str, list[str]] = {}
    for name, quoted, bare in _ATTRIBUTE.findall(text_of_attributes):
        attributes.setdefault(name, []).append(quoted or bare)
    if "gene_id" not in attributes:
        hint = "; this looks like GFF3, convert it to GTF" if "=" in text_of_attributes else ""
        raise GtfError(f"{place}: no gene_id among the attributes {text_of_attributes[:60]!r}{hint}")
    return _Line(place, contig, feature, (int(first) - 1, int(last)), strand, attributes)
