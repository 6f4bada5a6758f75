"""Families of genes and sequences over all species at once, so that relatives of any species are on one side.

A member is what is compared: a gene's protein or spliced transcript (`episome.products`), or a labelled sequence.
Members are one family where the annotation says so, where their sequences are equal on either strand, or where a
search finds them alike; families join wherever one member belongs to two (single linkage). What the annotation states
is trusted: two stated families are never joined by likeness alone, only by a member of unknown family alike to both.

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
    """Union-find whose roots are the least of their set."""

    def __init__(self, count: int) -> None:
        self.parents = list(range(count))

    def root(self, item: int) -> int:
        while self.parents[item] != item:
            self.parents[item] = self.parents[self.parents[item]]
            item = self.parents[item]
        return item

    def join(self, a: int, b: int) -> None:
        a, b = self.root(a), self.root(b)
        self.parents[max(a, b)] = min(a, b)


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
    texts = [sequences[name] for name in names]
    if settings.method == "mmseqs" or (settings.method == "auto" and mmseqs.installed()):
        method = f"mmseqs {mmseqs.version()}"
        pairs: Iterable[tuple[int, int]] = mmseqs.pairs(texts, settings, threads, protein=protein)
    else:
        method = "numpy k-mers; far relatives may be missed, install mmseqs2 for them"
        pairs = kmers.pairs(texts, settings, protein=protein)
    ranked = sorted(names)
    place = {name: i for i, name in enumerate(ranked)}
    links = _Links(len(names))
    for a, b in pairs:
        links.join(place[names[a]], place[names[b]])
    return Clusters(of={name: ranked[links.root(place[name])] for name in ranked}, method=method)


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
    ranked = sorted(members, key=lambda m: (depths[m.species], m.species, m.name))
    links = _Links(len(ranked))
    stated: dict[str, int] = {}
    for i, member in enumerate(ranked):
        if member.family:
            links.join(stated.setdefault(member.family, i), i)
    methods = {
        kind: _join_alike(ranked, links, settings, threads, protein=kind == "protein")
        for kind in ("protein", "nucleotide")
    }
    together: dict[int, list[Member]] = defaultdict(list)
    for i, member in enumerate(ranked):
        together[links.root(i)].append(member)
    of: dict[str, dict[str, str]] = {species: {} for species in depths}
    for group in together.values():
        names = sorted({member.family for member in group} - {""})
        if names or len(group) > 1:
            for member in group:
                of[member.species][member.name] = names[0] if names else group[0].name
    return Families(of=of, methods=methods)


def _join_alike(ranked: Sequence[Member], links: _Links, settings: Homology, threads: int, *, protein: bool) -> str:
    """Join members with equal or alike sequences, and say what searched."""
    by_text: dict[str, list[int]] = defaultdict(list)
    for i, member in enumerate(ranked):
        if (member.kind == "protein") == protein and member.sequence:
            by_text[member.sequence if protein else canonical(member.sequence)].append(i)
    # Members of unknown family come first: they stand for their sequence, since stated ones are not joined.
    for same in by_text.values():
        same.sort(key=lambda i: bool(ranked[i].family))
    edges = [(same[0], other) for same in by_text.values() for other in same[1:]]
    if not by_text:
        method = "not needed: there are none"
    elif all(ranked[same[0]].family for same in by_text.values()):
        method = "not needed: the annotation states every family"
    else:
        found = cluster({text: text for text in by_text}, settings, threads, protein=protein)
        edges += [(by_text[least][0], by_text[text][0]) for text, least in found.of.items()]
        method = found.method
    for a, b in edges:
        if not (ranked[a].family and ranked[b].family):
            links.join(a, b)
    return method


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
