"""Where labelled intervals lie: on contigs that the reference has, apart from the test side, and what becomes val."""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from episome import split
from episome.entry import Entry
from episome.sources import SplitShares, Windows
from episome.types import EpisomeError, Split

EXAMPLES = 5


class LocusError(EpisomeError):
    """An interval that is not in the reference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Locus:
    """One labelled interval of a reference, 0-based half-open on the plus strand.

    Attributes:
        split: the side the file puts it on, or has been given since.
        place: side, file and line.
        contig: as the file names it, or as the reference does, once that is known.
        start: first base.
        end: behind the last base.
        strand: ``+`` or ``-``.
        label: 0 or 1.
    """

    split: Split
    place: str
    contig: str
    start: int
    end: int
    strand: Literal["+", "-"]
    label: int


class _Stretch(Protocol):
    @property
    def contig(self) -> str: ...
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...


Merged = Mapping[str, Sequence[tuple[int, int]]]


def locate(
    loci: Sequence[Locus], lengths: Mapping[str, int], others: Mapping[str, Sequence[str]], least: float, where: str
) -> tuple[list[Locus], dict[str, Any]]:
    """The loci under the reference's names of their contigs, without those on contigs that it has not.

    Args:
        loci: as the files have them.
        lengths: bases of the reference's contigs.
        others: contig name → its other names; empty where no table was given.
        least: share of the bases of the loci that must be on contigs of the reference.
        where: the set, for messages.

    Returns:
        The loci, and how many were renamed and dropped.

    Raises:
        LocusError: too few are on contigs of the reference, naming the first names of both; or one leaves its contig.
    """
    names = {name: _known(name, lengths, others, where) for name in dict.fromkeys(locus.contig for locus in loci)}
    found, bases = [], Counter[bool]()
    for locus in loci:
        name = names[locus.contig]
        bases[name is not None] += locus.end - locus.start
        if name is None:
            continue
        if locus.end > lengths[name]:
            raise LocusError(
                f"{where}: {locus.place}: {locus.contig}:{locus.start}-{locus.end} leaves the contig, which has "
                f"{lengths[name]} bases in the reference; another assembly?"
            )
        found.append(replace(locus, contig=name))
    unknown = [name for name, known in names.items() if known is None]
    if bases[True] < least * bases.total():
        raise LocusError(
            f"{where}: {bases[True]} of {bases.total()} bases lie on contigs of the reference; wanted: {least:.0%}. "
            f"Unknown here: {', '.join(unknown[:EXAMPLES])}; the reference has: {', '.join([*lengths][:EXAMPLES])}. "
            "Where both mean the same, name a table of contig names under `aliases` of the source"
        )
    renamed = sum(names[locus.contig] not in (None, locus.contig) for locus in loci)
    return found, {"renamed": renamed, "dropped": len(loci) - len(found), "unknown": unknown[:EXAMPLES]}


def with_val(loci: Sequence[Locus], windows: Windows, seed: int) -> tuple[list[Locus], dict[str, Any]]:
    """The loci with some of train turned into val, in the proportion of the asked shares, and how it was done.

    Whole contigs, so that neighbours stay on one side. Where they do not reach (all of train is on one, say), or
    `windows.split_by` is ``locus``: stretches that overlap, by a hash of their place.

    Raises:
        EpisomeError: `windows.split_by` is ``contig`` and there is one alone.
    """
    train = [locus for locus in loci if locus.split == "train"]
    sizes = Counter(locus.contig for locus in train)
    shares = _train_and_val(windows.split)
    by_locus = windows.split_by == "locus" or (windows.split_by != "contig" and not _contigs_reach(sizes, shares, seed))
    if by_locus:
        merged = _merged(train)
        groups = {locus: _name(locus.contig, _around(merged, locus)) for locus in train}
        sides = {group: split.by_group(group, shares, seed) for group in groups.values()}
    else:
        groups = {locus: locus.contig for locus in train}
        sides = split.by_contig(sizes, shares, seed)
    given = [replace(x, split=sides[groups[x]]) if x.split == "train" else x for x in loci]
    parts = sorted(group for group, side in sides.items() if side == "val")
    report: dict[str, Any] = {"by": "locus" if by_locus else "contig", "parts": len(parts), "of": len(sides)}
    return given, report if by_locus else {**report, "contigs": parts}


def apart(entries: Sequence[Entry]) -> tuple[list[Entry], dict[str, int]]:
    """The entries without those of train and val that share bases with one of test; how many each side lost."""
    tested = _merged([entry for entry in entries if entry.split == "test"])
    kept = []
    lost: dict[str, int] = dict.fromkeys(split.SPLITS, 0)
    for entry in entries:
        if entry.split != "test" and _around(tested, entry):
            lost[entry.split] += 1
        else:
            kept.append(entry)
    return kept, lost


def _known(contig: str, lengths: Mapping[str, int], others: Mapping[str, Sequence[str]], where: str) -> str | None:
    """The reference's name of a contig; None where it has none."""
    found = [contig] if contig in lengths else [name for name in others.get(contig, ()) if name in lengths]
    if len(found) > 1:
        raise LocusError(f"{where}: contig {contig!r} is {' and '.join(found)} in the reference; wanted: one of them")
    return found[0] if found else None


def _train_and_val(shares: SplitShares) -> SplitShares:
    """The same proportion of train to val, with no test."""
    val = shares.val / (shares.train + shares.val)
    return SplitShares(train=1 - val, val=val, test=0.0)


def _merged(stretches: Sequence[_Stretch]) -> Merged:
    """Contig → the spans that its stretches cover, in order and without a base in two of them."""
    merged: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for stretch in sorted(stretches, key=lambda s: (s.contig, s.start)):
        spans = merged[stretch.contig]
        if spans and stretch.start < spans[-1][1]:
            start, end = spans.pop()
            spans.append((start, max(end, stretch.end)))
        else:
            spans.append((stretch.start, stretch.end))
    return merged


def _around(merged: Merged, stretch: _Stretch) -> tuple[int, int] | None:
    """The last span that shares bases with a stretch."""
    spans = merged.get(stretch.contig, ())
    at = bisect_left(spans, (stretch.end, 0)) - 1
    return spans[at] if at >= 0 and spans[at][1] > stretch.start else None


def _name(contig: str, span: tuple[int, int] | None) -> str:
    return f"{contig}:{span}"


def _contigs_reach(sizes: Counter[str], shares: SplitShares, seed: int) -> bool:
    """Whether whole contigs can give train and val at least half of what they ask for."""
    if len(sizes) < sum(share > 0 for share in (shares.train, shares.val, shares.test)):
        return False
    got: Counter[str] = Counter()
    for contig, side in split.by_contig(sizes, shares, seed).items():
        got[side] += sizes[contig]
    return split.reached(got, shares)
