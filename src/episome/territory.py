"""Which split every base of a genome belongs to, so that no window can straddle or leak between two splits.

Overlapping genes form one locus. The space between two loci is cut in the middle; each half goes with its
locus. What decides the side of a locus:

``family``: the homology family of its genes, by the family's name alone, the same in every species;
``contig``: the contig it is on, whole contigs to the asked shares;
``locus``: the name of its first gene.

Whatever the rule, a family has one side, that of its name, since one species cannot know on which contigs another
has it. A gene that the annotation has in more than one locus, of one contig or of several, is such a family for its
own name where it has no other. So under ``contig`` and ``locus`` a locus is lost whose family belongs to another side:
with shares of 0.7, 0.15 and 0.15 nearly half of the loci with relatives, and 85 % of those that would be held out.
Under any rule one is lost whose genes have families of two sides. What is lost belongs to nobody and is counted;
``family`` loses least.
"""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from episome import split
from episome.annotation import Interval, Transcript
from episome.sources import SplitShares
from episome.types import Split

Rule = Literal["family", "contig", "locus"]
Loss = Literal["", "overlap", "homology"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Territory:
    """A stretch of a contig around one locus, 0-based half-open.

    Attributes:
        core: from the first to the last base of its genes.
        split: side of all its genes; None where it is lost.
        lost: why: genes of two families that belong to two sides ``overlap``, or its family belongs to another
            side than its place (``homology``); "" where it is not.
        group: family of its first gene that has one, else the first gene's name.
        genes: how many.
    """

    start: int
    end: int
    core: Interval
    split: Split | None
    lost: Loss
    group: str
    genes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Map:
    """All territories of a genome.

    Attributes:
        rule: what decided the sides.
        sides: contig → side, under the rule ``contig``; else empty.
        contigs: ascending territories of each contig; no gaps.
    """

    rule: Rule
    sides: Mapping[str, Split]
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

    def report(self) -> dict[str, Any]:
        """Rule, contigs of each side, genes and bases per side, and genes lost by what."""
        genes: Counter[str] = Counter()
        bases: Counter[str] = Counter()
        lost: Counter[str] = Counter({"overlap": 0, "homology": 0})
        for territory in (each for territories in self.contigs.values() for each in territories):
            genes[territory.split or "nobody"] += territory.genes
            bases[territory.split or "nobody"] += territory.end - territory.start
            if territory.lost:
                lost[territory.lost] += territory.genes
        return {
            "rule": self.rule,
            "contigs": {side: [c for c, own in self.sides.items() if own == side] for side in split.SPLITS},
            "genes": dict(sorted(genes.items())),
            "bases": dict(sorted(bases.items())),
            "genes_lost": dict(sorted(lost.items())),
        }


def divide(
    transcripts: Sequence[Transcript],
    lengths: Mapping[str, int],
    shares: SplitShares,
    seed: int,
    families: Mapping[str, str],
    split_by: Literal["auto", "family", "contig", "locus"],
) -> Map:
    """Give every base of the annotated contigs to a split.

    Args:
        transcripts: all transcripts of the genome.
        lengths: bases of each contig.
        shares: asked shares of the splits.
        seed: decides the sides.
        families: gene → homology family; a gene without is its own. What the annotation states counts as well.
        split_by: the rule; ``auto`` is ``family`` where the annotation states families, else ``contig`` where every
            side gets at least half of its share so, after what homology takes; else ``family``, or ``locus`` where
            no family is known.

    Raises:
        EpisomeError: ``contig`` is asked for and there are fewer contigs than splits.
    """
    loci = _loci(transcripts)
    if split_by != "auto":
        return _divided(loci, lengths, shares, seed, families, split_by)
    if any(t.family for t in transcripts):
        return _divided(loci, lengths, shares, seed, families, "family")
    if len(loci) >= sum(share > 0 for share in (shares.train, shares.val, shares.test)):
        whole = _divided(loci, lengths, shares, seed, families, "contig")
        if split.reached(whole.report()["genes"], shares):
            return whole
    return _divided(loci, lengths, shares, seed, families, "family" if any(families.values()) else "locus")


def _divided(
    loci: Mapping[str, list[list[Transcript]]],
    lengths: Mapping[str, int],
    shares: SplitShares,
    seed: int,
    families: Mapping[str, str],
    rule: Rule,
) -> Map:
    weights = {contig: sum(len({t.gene for t in locus}) for locus in members) for contig, members in loci.items()}
    sides = split.by_contig(weights, shares, seed) if rule == "contig" else {}
    own = _scattered(loci)
    contigs = {}
    for contig, members in loci.items():
        cores = [(min(t.span[0] for t in m), max(t.span[1] for t in m)) for m in members]
        cuts = [0, *((a[1] + b[0]) // 2 for a, b in pairwise(cores)), lengths[contig]]
        territories = []
        for i, locus in enumerate(members):
            known = [name for t in locus if (name := families.get(t.gene) or t.family or own.get(t.gene))]
            wanted = {split.by_group(name, shares, seed) for name in known}
            home = sides[contig] if rule == "contig" else split.by_group(locus[0].gene, shares, seed)
            side, lost = _side(wanted, home, bound=rule != "family")
            territories.append(
                Territory(
                    start=cuts[i],
                    end=cuts[i + 1],
                    core=cores[i],
                    split=side,
                    lost=lost,
                    group=known[0] if known else locus[0].gene,
                    genes=len({t.gene for t in locus}),
                )
            )
        contigs[contig] = tuple(territories)
    return Map(rule=rule, sides=sides, contigs=contigs)


def _scattered(loci: Mapping[str, list[list[Transcript]]]) -> dict[str, str]:
    """Genes of more than one locus: gene → the family that it is."""
    counts = Counter(gene for members in loci.values() for locus in members for gene in {t.gene for t in locus})
    stated = {t.gene: t.family for members in loci.values() for locus in members for t in locus if t.family}
    return {gene: stated.get(gene, gene) for gene, count in counts.items() if count > 1}


def _side(wanted: set[Split], home: Split, *, bound: bool) -> tuple[Split | None, Loss]:
    """Side of a locus whose families want the `wanted` sides, and why it is lost.

    Args:
        wanted: sides of the families of its genes; none where no family is known.
        home: where it is without a family.
        bound: whether it cannot leave home.
    """
    if len(wanted) > 1:
        return None, "overlap"
    side = next(iter(wanted), home)
    return (None, "homology") if bound and side != home else (side, "")


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
