"""Contig names of one assembly under several naming schemes, and an annotation brought to the names of its FASTA.

Names are never guessed (``chr1`` is ``1`` in most genomes, ``chrM`` is not ``MT`` in hg19): either the two files
agree, or a table of names says so.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from episome import packed
from episome.annotation import Transcript, bases
from episome.types import EpisomeError

_NCBI = ("Sequence-Name", "GenBank-Accn", "RefSeq-Accn", "UCSC-style-name")
_DUMP = 3  # columns of UCSC's database table: alias, chrom, source
_NONE = frozenset({"", "na"})
_NAMED = 5


class AliasError(EpisomeError):
    """A table of names that is none, or an annotation that does not belong to the FASTA."""


def read(path: Path) -> dict[str, tuple[str, ...]]:
    """Every name of every contig → all names of that contig.

    Three tables are known: NCBI's ``*_assembly_report.txt``; UCSC's ``*.chromAlias.txt`` with a ``#`` line first and
    a contig a line; UCSC's database table ``chromAlias.txt.gz`` with alias, contig and source, without such a line.

    Raises:
        AliasError: no such file, none of the three, or a name that stands for two contigs.
    """
    with packed.text(path, AliasError) as text:
        lines = [line.rstrip("\r\n").split("\t") for line in text if line.strip()]
    names: dict[str, tuple[str, ...]] = {}
    for group in _groups(path, lines):
        for name in group:
            if names.setdefault(name, group) != group:
                raise AliasError(
                    f"{path}: {name!r} is a name of {names[name][0]!r} and of {group[0]!r}; wanted: one contig a name"
                )
    if not names:
        raise AliasError(f"{path}: no names; wanted: UCSC chromAlias.txt or NCBI assembly_report.txt")
    return names


def _groups(path: Path, lines: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """All names of a contig, contig by contig."""
    headers = [line for line in lines if line[0].startswith("#")]
    rows = [line for line in lines if not line[0].startswith("#")]
    if headers and headers[-1][0].lstrip("# ") == _NCBI[0]:
        header = [headers[-1][0].lstrip("# "), *headers[-1][1:]]
        columns = [header.index(name) for name in _NCBI if name in header]
        found = [[row[column] for column in columns if column < len(row)] for row in rows]
    elif headers:
        found = [list(row) for row in rows]
    else:
        by_contig: dict[str, list[str]] = defaultdict(list)
        for row in rows:
            if len(row) != _DUMP:
                raise AliasError(
                    f"{path}: {len(row)} columns and no '#' line; wanted: alias, contig, source as UCSC's chromAlias "
                    "table has, or the '#' line of chromAlias.txt or assembly_report.txt"
                )
            by_contig[row[1]].append(row[0])
        found = [[contig, *others] for contig, others in by_contig.items()]
    groups = [tuple(dict.fromkeys(name for name in group if name not in _NONE)) for group in found]
    return [group for group in groups if group]


def meet(
    names: Collection[str], annotated: Mapping[str, int], aliases: Mapping[str, tuple[str, ...]] | None, where: str
) -> None:
    """Refuse a FASTA and an annotation that have no contig in common, before both are read in full.

    Args:
        names: of the contigs of the FASTA (`contigs.names`).
        annotated: contigs of the annotation, and how much of it each has (`annotation.contigs`).
        aliases: from `read`; None where there is no table.
        where: what is being read, for errors.

    Raises:
        AliasError: they have contigs, but none in common; names the first of both.
    """
    lengths = dict.fromkeys(names, 0)
    known = {contig: _in_fasta(contig, lengths, aliases or {}, where) for contig in annotated}
    if lengths and known and not any(known.values()):
        raise AliasError(
            _stranger(f"{where}: no contig in common", annotated, known, lengths, given=aliases is not None)
        )


def reconcile(
    lengths: Mapping[str, int],
    transcripts: Sequence[Transcript],
    aliases: Mapping[str, tuple[str, ...]] | None,
    min_annotated: float,
    where: str,
) -> tuple[list[Transcript], dict[str, Any]]:
    """Transcripts under the names of the FASTA, in the order of contig, start and id, and a report.

    Transcripts on contigs that the FASTA does not have are left out, as long as they are few. The report says
    ``renamed`` (contigs, annotation → FASTA), ``unmatched`` (contigs of the annotation), ``dropped`` (transcripts on
    them) and ``annotated_share`` (of the annotated exon bases, those on contigs of the FASTA).

    Args:
        lengths: contigs of the FASTA.
        transcripts: at least one.
        aliases: from `read`; None where there is no table.
        min_annotated: share of the annotated exon bases that must be on contigs of the FASTA.
        where: what is being read, for errors.

    Raises:
        AliasError: too few bases on known contigs, a contig with two names in the FASTA, or a transcript that ends,
            or whose CDS ends, beyond its contig.
    """
    weights: Counter[str] = Counter()
    for transcript in transcripts:
        weights[transcript.contig] += bases(transcript.exons)
    known = {contig: _in_fasta(contig, lengths, aliases or {}, where) for contig in weights}
    share = sum(weight for contig, weight in weights.items() if known[contig]) / weights.total()
    if share < min_annotated:
        what = f"{share:.1%} of the annotated bases are on contigs that the FASTA has; wanted: {min_annotated:.1%}"
        raise AliasError(_stranger(f"{where}: {what}", weights, known, lengths, given=aliases is not None))
    kept = [
        transcript if known[transcript.contig] == transcript.contig else replace(transcript, contig=name)
        for transcript in transcripts
        if (name := known[transcript.contig])
    ]
    for transcript in kept:
        _refuse_beyond(transcript, lengths[transcript.contig], where)
    kept.sort(key=lambda t: (t.contig, t.span, t.id))
    return kept, {
        "renamed": {contig: name for contig, name in known.items() if name and name != contig},
        "unmatched": [contig for contig, name in known.items() if not name],
        "dropped": len(transcripts) - len(kept),
        "annotated_share": share,
    }


def _refuse_beyond(transcript: Transcript, length: int, where: str) -> None:
    """Refuse a transcript that leaves its contig; its coding part may reach beyond its exons, if a file is wrong."""
    for what, parts in (("transcript", transcript.exons), ("the CDS of transcript", transcript.cds)):
        if parts and parts[-1][1] > length:
            raise AliasError(
                f"{where}: {what} {transcript.id!r} ends at {parts[-1][1]} on {transcript.contig!r}, which "
                f"has {length} bases in the FASTA; are the two of one assembly?"
            )


def _in_fasta(
    contig: str, lengths: Mapping[str, int], aliases: Mapping[str, tuple[str, ...]], where: str
) -> str | None:
    """The name that the FASTA has for a contig; None where it has none."""
    if contig in lengths:
        return contig
    found = [name for name in aliases.get(contig, ()) if name in lengths]
    if len(found) > 1:
        raise AliasError(f"{where}: contig {contig!r} is {_some(found)} in the FASTA; wanted: one name for one contig")
    return found[0] if found else None


def _stranger(
    what: str,
    weights: Mapping[str, int],
    known: Mapping[str, str | None],
    lengths: Mapping[str, int],
    *,
    given: bool,
) -> str:
    annotated = [contig for contig in sorted(weights, key=weights.__getitem__, reverse=True) if not known[contig]]
    mend = (
        "the table named by `aliases:` does not join them"
        if given
        else "if these are two names for one assembly, name a table of them with `aliases:` (UCSC chromAlias.txt or "
        "NCBI assembly_report.txt)"
    )
    return f"{what}. Annotation only: {_some(annotated)}. FASTA: {_some(list(lengths))}. {mend[0].upper()}{mend[1:]}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
