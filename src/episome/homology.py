"""Families of genes and sequences over all species at once, so that relatives of any species are on one side.

A member is what is compared: a gene's protein, its spliced transcript (`episome.products`), or a labelled sequence. A
gene's protein and transcript are compared apart and are one: so a family holds its copies that code for nothing.
Things are one family where the annotation says so, where their sequences are equal on either strand, or where a
search finds them alike; families join wherever one thing belongs to two (single linkage). What the annotation states
is trusted: two stated families are never joined, neither by likeness nor by a gene of unknown family that is alike to
both. Such a gene goes to the one that it is most alike to, as far as the search tells, else to the least by name.

A family is named by what the annotation states, else by its senior member: the first by the species' distance from
the base along the donors, then by the species' and the member's name. So neither the order of files nor a species
added at the end of the donors renames what the others have.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from episome import kmers, mmseqs
from episome.kin import Member
from episome.sequence import canonical
from episome.sources import Homology
from episome.types import Split


@dataclass(frozen=True, slots=True, kw_only=True)
class Clusters:
    """What a search found.

    Attributes:
        of: sequence's name → name of its cluster, which is the least name in it.
        method: what searched, with its version.
    """

    of: Mapping[str, str]
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Families:
    """Families of two members or more, and all that the annotation states.

    Attributes:
        of: species → member → family; a member without relatives is not in it.
        methods: ``protein`` and ``nucleotide`` → what compared them.
    """

    of: Mapping[str, Mapping[str, str]]
    methods: Mapping[str, str]


class _Links:
    """Union-find whose roots are the least of their set; two stated families are never joined."""

    def __init__(self, stated: Sequence[str]) -> None:
        self.parents = list(range(len(stated)))
        self.stated = list(stated)

    def root(self, item: int) -> int:
        while self.parents[item] != item:
            self.parents[item] = self.parents[self.parents[item]]
            item = self.parents[item]
        return item

    def family(self, item: int) -> str:
        """What is stated of its set, "" for nothing."""
        return self.stated[self.root(item)]

    def join(self, a: int, b: int) -> None:
        a, b = self.root(a), self.root(b)
        one, other = self.stated[a], self.stated[b]
        if not one or not other or one == other:
            self.parents[max(a, b)] = min(a, b)
            self.stated[min(a, b)] = one or other


def cluster(sequences: Mapping[str, str], settings: Homology, threads: int, *, protein: bool) -> Clusters:
    """Single-linkage clusters of alike sequences; neither their order nor their names decide what is found.

    Args:
        sequences: name → amino acids, or upper-case A C G T N, which are compared on both strands.
        settings: method, least identity and coverage.
        threads: of mmseqs.
        protein: what the sequences are.

    Raises:
        EpisomeError: mmseqs is asked for and missing, or failed.
    """
    names = sorted(sequences, key=lambda name: (sequences[name], name))
    pairs, method = _pairs([sequences[name] for name in names], settings, threads, protein=protein)
    ranked = sorted(names)
    place = {name: i for i, name in enumerate(ranked)}
    links = _Links([""] * len(names))
    for a, b in pairs:
        links.join(place[names[a]], place[names[b]])
    return Clusters(of={name: ranked[links.root(place[name])] for name in ranked}, method=method)


def _pairs(
    texts: Sequence[str], settings: Homology, threads: int, *, protein: bool
) -> tuple[Iterable[tuple[int, int]], str]:
    """Pairs that link all that is alike, and what found them; by mmseqs each with one of its cluster."""
    if settings.method == "mmseqs" or (settings.method == "auto" and mmseqs.installed()):
        return mmseqs.pairs(texts, settings, threads, protein=protein), f"mmseqs {mmseqs.version()}"
    method = "numpy k-mers; far relatives may be missed, install mmseqs2 for them"
    return kmers.pairs(texts, settings, protein=protein), method


def families(members: Iterable[Member], depths: Mapping[str, int], settings: Homology, threads: int) -> Families:
    """Families over all species.

    Args:
        members: of all species, in any order.
        depths: species → donors between it and the base; the senior species has fewest.
        settings: what counts as alike.
        threads: of mmseqs.

    Raises:
        EpisomeError: as for `cluster`.
    """
    things: dict[tuple[str, str], list[Member]] = defaultdict(list)
    for member in sorted(members, key=lambda m: (depths[m.species], m.species, m.name, m.kind)):
        things[member.species, member.name].append(member)
    links = _Links([max(member.family for member in own) for own in things.values()])
    first: dict[str, int] = {}
    for i, family in enumerate(tuple(links.stated)):
        if family:
            links.join(first.setdefault(family, i), i)
    proteins, bases = (_by_text(things.values(), protein=protein) for protein in (True, False))
    for same in (*proteins.values(), *bases.values()):
        _join_equal(links, same)
    # What is alike in its bases is nearer than what is alike in its protein alone.
    nucleotide = _join_alike(links, bases, settings, threads, protein=False)
    methods = {"protein": _join_alike(links, proteins, settings, threads, protein=True), "nucleotide": nucleotide}
    together: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for i, thing in enumerate(things):
        together[links.root(i)].append(thing)
    of: dict[str, dict[str, str]] = {species: {} for species in depths}
    for root, group in together.items():
        stated = links.family(root)
        if stated or len(group) > 1:
            for species, name in group:
                of[species][name] = stated or group[0][1]
    return Families(of=of, methods=methods)


def _by_text(things: Iterable[Sequence[Member]], *, protein: bool) -> dict[str, list[int]]:
    """Sequence → the things that have it, by position; a nucleotide sequence on the lesser of its strands."""
    by_text: dict[str, list[int]] = defaultdict(list)
    for i, own in enumerate(things):
        for member in own:
            if (member.kind == "protein") == protein and member.sequence:
                by_text[member.sequence if protein else canonical(member.sequence)].append(i)
    return by_text


def _join_equal(links: _Links, same: list[int]) -> None:
    """Join the things of one sequence and leave the one that stands for it first: of the least stated family."""
    same.sort(key=lambda i: (not links.family(i), links.family(i), i))
    for other in same[1:]:
        links.join(same[0], other)


def _join_alike(
    links: _Links, by_text: Mapping[str, Sequence[int]], settings: Homology, threads: int, *, protein: bool
) -> str:
    """Join things with alike sequences, and say what searched."""
    if not by_text:
        return "not needed: there are none"
    if all(links.family(i) for same in by_text.values() for i in same):
        return "not needed: the annotation states every family"
    texts = sorted(by_text)
    first = [by_text[text][0] for text in texts]
    found, method = _pairs(texts, settings, threads, protein=protein)
    found = list(found)
    if method.startswith("mmseqs"):
        found = [*_nearest(links, texts, first, found, settings, protein=protein), *found]
    for a, b in found:
        links.join(first[a], first[b])
    return method


def _nearest(
    links: _Links,
    texts: Sequence[str],
    first: Sequence[int],
    found: Iterable[tuple[int, int]],
    settings: Homology,
    *,
    protein: bool,
) -> list[tuple[int, int]]:
    """Pairs, the most alike first, within clusters of which two stated families claim things of none.

    mmseqs pairs a sequence with the one that stands for its cluster, which says nothing of whom it is alike to.
    """
    clusters = _Links([""] * len(texts))
    for a, b in found:
        clusters.join(a, b)
    groups: dict[int, list[int]] = defaultdict(list)
    for i in range(len(texts)):
        groups[clusters.root(i)].append(i)
    nearest = []
    for group in groups.values():
        stated = {links.family(first[i]) for i in group}
        if "" in stated and len(stated) > 2:
            pairs = kmers.pairs([texts[i] for i in group], settings, protein=protein)
            nearest += [(group[a], group[b]) for a, b in pairs]
    return nearest


def leaks(
    members: Iterable[Member], found: Families, side: Mapping[str, Split]
) -> dict[str, dict[str, tuple[str, ...]]]:
    """Families that a species holds out and another species trains on: species → family → those other species.

    Args:
        members: of all species.
        found: their families.
        side: the side that `territory` gives to a family, for members whose source gives none.
    """
    training, held_out = defaultdict(set), defaultdict(set)
    for member in members:
        family = found.of[member.species].get(member.name)
        if family is not None:
            sides = set(member.sides or (side[family],))
            if "train" in sides:
                training[family].add(member.species)
            if sides != {"train"}:
                held_out[member.species].add(family)
    return {
        species: {
            family: others
            for family in sorted(held_out[species])
            if (others := tuple(sorted(training[family] - {species})))
        }
        for species in found.of
    }


def copies(members: Iterable[Member]) -> int:
    """Labelled sequences, on either strand, that one species trains on and another holds out."""
    training, held_out = defaultdict(set), defaultdict(set)
    for member in members:
        if "train" in member.sides:
            training[canonical(member.sequence)].add(member.species)
        if set(member.sides) - {"train"}:
            held_out[canonical(member.sequence)].add(member.species)
    return sum(len(training[text] | species) > 1 for text, species in held_out.items() if text in training)
