"""Whether an annotation belongs to a FASTA: introns begin with GT and end with AG, translation starts at ATG.

About 99 of 100 introns of mammals are GT..AG (Burset et al. 2000, doi:10.1093/nar/28.21.4364). Where most are
not, the annotation is not wrong in each place but in all of them alike: on the other strand, moved by a base, of
another assembly. `check` finds out which.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import product
from typing import Any

from episome.annotation import Interval, Transcript
from episome.contigs import Contigs
from episome.sequence import reverse_complement
from episome.types import EpisomeError

_REACH = 3  # bases, both ways, by which an annotation is moved to see whether it fits then
_TRIED = 2000  # sites that the search for the fault looks at, evenly drawn
_KINDS = {("GT", "AG"): "gt_ag", ("GC", "AG"): "gc_ag", ("AT", "AC"): "at_ac"}
_START = "ATG"
_SAME = {"+": "+", "-": "-"}
_OTHER = {"+": "-", "-": "+"}
_SHIFTS = sorted(range(-_REACH, _REACH + 1), key=abs)
_UNKNOWN = (
    f"Neither the other strand nor a shift by up to {_REACH} bases makes them fit: is the FASTA of another assembly?"
)

Site = tuple[str, Interval, str]  # contig, an intron or the bases of a start codon, strand


class SoundnessError(EpisomeError):
    """An annotation that does not fit its FASTA, with what would make it fit."""


def check(contigs: Contigs, transcripts: Sequence[Transcript], min_motif_share: float) -> dict[str, Any]:
    """Look at every intron and every complete start codon, each place once.

    Args:
        contigs: the genome, open.
        transcripts: under its names and within its contigs (`aliases.reconcile`).
        min_motif_share: of the introns that must be GT..AG, and of the start codons that must be ATG.

    Returns:
        Counts for the report: ``introns`` and, of them, ``gt_ag``, ``gc_ag``, ``at_ac``, ``other`` and ``n`` (N at an
        end: not judged); ``gaps``, which are too short for an intron and not judged; ``starts``, ``atg``.

    Raises:
        SoundnessError: fewer than the share; the message names the fault where one is found.
    """
    introns = sorted({(t.contig, intron, t.strand) for t in transcripts for intron in t.introns})
    starts = sorted({(t.contig, span, t.strand) for t in transcripts if (span := _start_codon(t))})
    kinds = Counter(_kind(contigs, site) for site in introns)
    atg = sum(contigs.fetch(contig, *span, strand) == _START for contig, span, strand in starts)
    judged = len(introns) - kinds["n"]
    if kinds["gt_ag"] < min_motif_share * judged:
        raise SoundnessError(
            f"{kinds['gt_ag']} of {judged} introns begin with GT and end with AG; wanted: {min_motif_share:.0%} "
            f"(`windows.min_motif_share`). {_fault(contigs, introns, ('GT', 'AG'), min_motif_share)}"
        )
    if atg < min_motif_share * len(starts):
        raise SoundnessError(
            f"{atg} of {len(starts)} coding sequences start with ATG; wanted: {min_motif_share:.0%} "
            f"(`windows.min_motif_share`). {_fault(contigs, starts, (_START, _START), min_motif_share)}"
        )
    return {
        "introns": len(introns),
        **{kind: kinds[kind] for kind in (*_KINDS.values(), "other", "n")},
        "gaps": len({(t.contig, gap, t.strand) for t in transcripts for gap in t.gaps}),
        "starts": len(starts),
        "atg": atg,
    }


def _kind(contigs: Contigs, intron: Site) -> str:
    contig, (start, end), strand = intron
    ends = contigs.fetch(contig, start, start + 2, strand), contigs.fetch(contig, end - 2, end, strand)
    donor, acceptor = ends if strand == "+" else ends[::-1]
    return "n" if "N" in donor + acceptor else _KINDS.get((donor, acceptor), "other")


def _start_codon(transcript: Transcript) -> Interval | None:
    """Where a complete CDS starts; None where it is not complete, or where an intron parts the codon."""
    if not transcript.start_complete:
        return None
    start, end = transcript.cds[0] if transcript.strand == "+" else transcript.cds[-1]
    if end - start < len(_START):
        return None
    return (start, start + len(_START)) if transcript.strand == "+" else (end - len(_START), end)


def _fault(contigs: Contigs, sites: Sequence[Site], motif: tuple[str, str], wanted: float) -> str:
    """What would make the sites fit, as a sentence.

    Args:
        contigs: the genome.
        sites: ascending.
        motif: what a site on the plus strand begins and ends with.
        wanted: share of the sites that would have to fit.
    """
    motifs = {"+": motif, "-": (reverse_complement(motif[1]), reverse_complement(motif[0]))}
    windows = [
        (strand, *around)
        for contig, span, strand in sites[:: max(1, len(sites) // _TRIED)]
        if (around := _around(contigs, contig, span))
    ]
    best, hits = ("", 0, 0), 0
    for which, left, right in product((_SAME, _OTHER), _SHIFTS, _SHIFTS):
        found = 0
        for strand, at_start, at_end in windows:
            first, last = motifs[which[strand]]
            begins = at_start.startswith(first, _REACH + left)
            found += begins and at_end.endswith(last, 0, len(at_end) - _REACH + right)
        if found > hits:
            best, hits = ("" if which is _SAME else "on the other strand", left, right), found
    return _sentence(*best) if hits and hits >= wanted * len(windows) else _UNKNOWN


def _around(contigs: Contigs, contig: str, span: Interval) -> tuple[str, str] | None:
    """Bases about both ends of a site on the plus strand; None where a contig ends too near."""
    reach = _REACH + len(_START)
    if span[0] < reach or span[1] + reach > contigs.lengths[contig]:
        return None
    at_start = contigs.fetch(contig, span[0] - _REACH, span[0] + reach)
    return at_start, contigs.fetch(contig, span[1] - reach, span[1] + _REACH)


def _sentence(strand: str, left: int, right: int) -> str:
    if left == right:
        moved = f"with every position moved by {left:+d} (are they 0-based?)" if left else ""
    else:
        moved = f"with exon ends moved by {left:+d} and exon starts by {right:+d} (are starts 0-based, as in BED?)"
    return f"They fit {' and '.join(filter(None, (strand, moved)))}"
