"""Which split every base of a genome belongs to, so that no window can straddle or leak between two splits.

Overlapping genes form one locus. The space between two loci is cut in the middle; each half goes with its
locus. A locus whose genes would land on different sides belongs to nobody and is lost.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from episome import split
from episome.annotation import Interval, Transcript
from episome.sources import SplitShares
from episome.types import Split


@dataclass(frozen=True, slots=True, kw_only=True)
class Territory:
    """A stretch of a contig around one locus, 0-based half-open.

    Attributes:
        core: from the first to the last base of its genes.
        split: side of all its genes; None where they disagree.
        group: homology family, or the first gene's name.
    """

    start: int
    end: int
    core: Interval
    split: Split | None
    group: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Map:
    """All territories of a genome.

    Attributes:
        rule: what decided the sides: ``family``, ``contig`` or ``locus``.
        contigs: ascending territories of each contig; no gaps.
    """

    rule: str
    contigs: Mapping[str, tuple[Territory, ...]]

    def around(self, contig: str, interval: Interval) -> tuple[Territory, ...]:
        """The territories that an interval touches, ascending; none on a contig without genes."""
        territories = self.contigs.get(contig, ())
        first = bisect_right(territories, interval[0], key=lambda t: t.end)
        last = bisect_right(territories, interval[1] - 1, key=lambda t: t.start)
        return territories[max(first, 0) : last]

    def split(self, contig: str, interval: Interval) -> Split | None:
        """The one side that a whole interval belongs to, or None."""
        sides = {territory.split for territory in self.around(contig, interval)}
        return sides.pop() if len(sides) == 1 else None

    def group(self, contig: str, base: int) -> str:
        """The group of the locus whose territory holds a base."""
        return self.around(contig, (base, base + 1))[0].group


def divide(transcripts: Sequence[Transcript], lengths: Mapping[str, int], shares: SplitShares, seed: int) -> Map:
    """Give every base of the annotated contigs to a split.

    Where the annotation states families, a family's side depends on its name alone, so that it is the same
    in every species. Else whole contigs are split, where there are enough of them; else loci by name.

    Args:
        transcripts: all transcripts of the genome.
        lengths: bases of each contig.
        shares: asked shares of the splits.
        seed: decides the sides.
    """
    loci = _loci(transcripts)
    asked = sum(share > 0 for share in (shares.train, shares.val, shares.test))
    by_family = any(t.family for t in transcripts)
    rule = "family" if by_family else "contig" if len(loci) >= asked else "locus"
    weights = {contig: len(members) for contig, members in loci.items()}
    of_contig = split.by_contig(weights, shares, seed) if rule == "contig" else {}
    contigs = {}
    for contig, members in loci.items():
        sides = [{of_contig.get(contig) or split.by_group(_group(t, m), shares, seed) for t in m} for m in members]
        cores = [(min(t.span[0] for t in m), max(t.span[1] for t in m)) for m in members]
        cuts = [0, *((a[1] + b[0]) // 2 for a, b in pairwise(cores)), lengths[contig]]
        contigs[contig] = tuple(
            Territory(
                start=cuts[i],
                end=cuts[i + 1],
                core=cores[i],
                split=next(iter(sides[i])) if len(sides[i]) == 1 else None,
                group=_group(member[0], member),
            )
            for i, member in enumerate(members)
        )
    return Map(rule=rule, contigs=contigs)


def _group(transcript: Transcript, locus: Sequence[Transcript]) -> str:
    return transcript.family or locus[0].gene


def _loci(transcripts: Iterable[Transcript]) -> dict[str, list[list[Transcript]]]:
    """Transcripts that overlap, directly or through others and on either strand, by contig and ascending."""
    loci: dict[str, list[list[Transcript]]] = defaultdict(list)
    ends: dict[str, int] = {}
    for transcript in sorted(transcripts, key=lambda t: (t.contig, t.span, t.id)):
        start, end = transcript.span
        if start < ends.get(transcript.contig, 0):
            loci[transcript.contig][-1].append(transcript)
        else:
            loci[transcript.contig].append([transcript])
        ends[transcript.contig] = max(end, ends.get(transcript.contig, 0))
    return dict(loci)
