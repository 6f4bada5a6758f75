"""GTF lines, made into drafts of transcripts: Ensembl, GENCODE, UCSC refGene, FlyBase, AUGUSTUS and BRAKER.

Exons and CDS decide; gene and transcript lines only add what they know (biotype, tags, family), since refGene-style
and FlyBase files have none, and those of AUGUSTUS and BRAKER hold a bare id (``g1``, ``g1.t1``).
"""

import re
from collections.abc import Iterable

from episome.drafts import AnnotationError, Drafts, Line, marks

_ATTRIBUTE = re.compile(r'(\w+)\s+(?:"([^"]*)"|([^\s;"]+))\s*(?:;|$)')
_OWNERS = frozenset({"gene", "transcript"})
_READ = _OWNERS | {"exon", "CDS", "start_codon"}


def collect(lines: Iterable[Line]) -> Drafts:
    """What the lines of a GTF file say.

    Raises:
        AnnotationError: an exon or CDS without gene_id or transcript_id, one transcript in two genes.
    """
    drafts = Drafts()
    for line in lines:
        if line.feature in _READ:
            _take(drafts, line, attributes(line.attributes))
    return drafts


def attributes(text: str) -> dict[str, list[str]]:
    """Attribute → its values: a name may come more than once, and ``tag`` does.

    >>> attributes('gene_id "g1"; tag "basic"; exon_number 2; tag "MANE_Select";')
    {'gene_id': ['g1'], 'tag': ['basic', 'MANE_Select'], 'exon_number': ['2']}
    """
    found: dict[str, list[str]] = {}
    for name, quoted, bare in _ATTRIBUTE.findall(text):
        found.setdefault(name, []).append(quoted or bare)
    return found


def _take(drafts: Drafts, line: Line, named: dict[str, list[str]]) -> None:
    gene = named.get("gene_id", [""])[0]
    if not gene:
        if line.feature in _OWNERS:
            return
        raise AnnotationError(f"{line.place}: no gene_id among the attributes {line.attributes[:60]!r}; wanted: GTF")
    for name in ("gene_biotype", "gene_type"):
        if name in named:
            drafts.biotypes.setdefault(gene, named[name][0])
    if "family" in named:
        drafts.families.setdefault(gene, named["family"][0])
    if line.feature == "gene":
        return
    transcript = named.get("transcript_id", [""])[0]
    if not transcript:
        raise AnnotationError(f"{line.place}: {line.feature} without transcript_id among its attributes")
    draft = drafts.of(transcript, line, gene)
    draft.marks |= marks(named.get("tag", []))
    draft.add(line)
