"""GFF3 lines, made into drafts of transcripts: Ensembl, GENCODE, NCBI and FlyBase.

An exon names its transcripts by ``Parent``, often several of them; a transcript names its gene likewise. A transcript
without a line of its own has no gene but itself, and unknown ends: where its line was lost, as files cut from larger
ones show, so may have been its first exons.
https://github.com/The-Sequence-Ontology/Specifications/blob/master/gff3.md
"""

from collections.abc import Iterable
from urllib.parse import unquote

from episome.drafts import CDS_START_OPEN, MRNA_START_OPEN, AnnotationError, Drafts, Line, marks

_PARTS = frozenset({"exon", "CDS", "start_codon"})
# Sequence Ontology terms of genes and transcripts hold one of these words; nothing else of use has a Parent.
_OWNERS = ("gene", "transcript", "rna")


def collect(lines: Iterable[Line]) -> Drafts:
    """What the lines of a GFF3 file say.

    Raises:
        AnnotationError: an exon or CDS without Parent, one transcript with two genes.
    """
    drafts = Drafts()
    parents: dict[str, str] = {}
    tags: dict[str, int] = {}
    for line in lines:
        if line.feature in _PARTS:
            _take(drafts, line)
        elif any(word in line.feature.lower() for word in _OWNERS):
            _note(drafts, line, parents, tags)
    for key, draft in drafts.transcripts.items():
        draft.gene = _root(key.id, parents)
        draft.marks = tags.get(key.id, CDS_START_OPEN | MRNA_START_OPEN)
    return drafts


def attributes(text: str) -> dict[str, list[str]]:
    """Attribute → its values, which a comma parts; ``%2C`` and the like are resolved after that.

    >>> attributes("ID=transcript:ENST1;Parent=gene:ENSG1;Name=a%2Cb;tag=basic,MANE_Select")
    {'ID': ['ENST1'], 'Parent': ['ENSG1'], 'Name': ['a,b'], 'tag': ['basic', 'MANE_Select']}
    """
    found: dict[str, list[str]] = {}
    for part in text.split(";"):
        name, equals, values = part.strip().partition("=")
        if equals:
            strip = _bare if name in ("ID", "Parent") else str
            found[name] = [strip(unquote(value)) for value in values.split(",")]
    return found


def _bare(identifier: str) -> str:
    """An id as GTF spells it: Ensembl's GFF3 writes ``transcript:ENST…`` and ``gene:ENSG…``."""
    return identifier.removeprefix("transcript:").removeprefix("gene:")


def _take(drafts: Drafts, line: Line) -> None:
    owners = [name for name in attributes(line.attributes).get("Parent", []) if name]
    if not owners:
        raise AnnotationError(
            f"{line.place}: {line.feature} without Parent among its attributes {line.attributes[:60]!r}; wanted: GFF3 "
            "that says which transcript it belongs to"
        )
    for owner in owners:
        drafts.of(owner, line, "").add(line)


def _note(drafts: Drafts, line: Line, parents: dict[str, str], tags: dict[str, int]) -> None:
    """Keep what a gene or transcript line adds."""
    named = attributes(line.attributes)
    name, *_ = named.get("ID", [""])
    if not name:
        return
    for attribute in ("biotype", "gene_biotype", "gene_type"):
        if attribute in named:
            drafts.biotypes.setdefault(name, named[attribute][0])
    if "family" in named:
        drafts.families.setdefault(name, named["family"][0])
    found = marks(named.get("tag", []))
    if named.get("partial") == ["true"]:
        found |= CDS_START_OPEN | MRNA_START_OPEN
    tags[name] = tags.get(name, 0) | found
    above = named.get("Parent", [""])[0]
    if not above:
        return
    if parents.setdefault(name, above) != above:
        raise AnnotationError(
            f"{line.place}: {name!r} belongs to {above!r} here and to {parents[name]!r} before; wanted: one gene"
        )


def _root(name: str, parents: dict[str, str]) -> str:
    """The outermost owner of a transcript; itself where it has none."""
    seen = {name}
    while name in parents and parents[name] not in seen:
        name = parents[name]
        seen.add(name)
    return name
