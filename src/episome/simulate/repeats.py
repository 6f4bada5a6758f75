"""Interspersed repeats: copies of one short and one long family per lineage, which a FASTA shows in lower case.

A copy takes the place of free sequence instead of being inserted, so that introns keep the lengths asked for.
"""

from dataclasses import dataclass, replace

import numpy as np

from episome.simulate.decay import decayed
from episome.simulate.evolve import free
from episome.simulate.facts import Facts
from episome.simulate.lineage import Lineage
from episome.simulate.sites import A, Bytes, Mask, Part, Sites
from episome.simulate.traits import Traits, background

TRIES = 40  # places tried per copy before the genome counts as full


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A family of repeats in one lineage.

    Attributes:
        consensus: what its copies were when they were new, the tail of A included.
        copies: how many were placed.
        bases: how many bases they cover.
    """

    consensus: Bytes
    copies: int
    bases: int


def _consensus(facts: Facts, kind: str, rng: np.random.Generator) -> Bytes:
    body = background(np.full(facts.repeats["length"][kind], facts.repeats["gc"][kind]), 1.0, rng)
    return np.append(body, np.full(facts.repeats["tail"], A, dtype=np.int8))


def _copy(consensus: Bytes, kind: str, facts: Facts, traits: Traits, rng: np.random.Generator) -> Bytes:
    """One aged copy on a random strand; long copies lack a part of their 5' end, as those of LINEs do."""
    least = facts.repeats["shortest_copy"] if kind == "line" else len(consensus)
    length = int(rng.integers(least, len(consensus) + 1))
    copy = decayed(consensus[-length:], float(rng.uniform(*facts.repeats["age"])), traits, rng)
    return copy if rng.random() < 0.5 else (3 - copy[::-1]).astype(np.int8)


def sown(sites: Sites, lineage: Lineage) -> tuple[Sites, Mask, dict[str, Family]]:
    """Sow the species' repeats over free intergenic and intronic sequence outside CpG islands.

    Returns:
        The genome, which bases are repeats, and the families by kind.
    """
    rng, known = lineage.stream("repeats"), lineage.facts.repeats
    room = free(sites) & ~sites.island & ((sites.part == Part.INTERGENIC) | (sites.part == Part.INTRON))
    places = np.flatnonzero(room)
    base, masked = sites.base.copy(), np.zeros(len(sites), dtype=bool)
    families = {}
    for kind, share in known["share"][lineage.key].items():
        consensus = _consensus(lineage.facts, kind, rng)
        wanted, copies, covered, tries = share * known["scale"] * len(sites), 0, 0, 0
        while covered < wanted and tries < TRIES * (copies + 1):
            copy, start = _copy(consensus, kind, lineage.facts, lineage.traits, rng), int(rng.choice(places))
            here = slice(start, start + len(copy))
            tries += 1
            if start + len(copy) <= len(sites) and room[here].all():
                base[here], masked[here], room[here] = copy, True, False
                copies, covered = copies + 1, covered + len(copy)
        families[kind] = Family(consensus=consensus, copies=copies, bases=covered)
    return replace(sites, base=base), masked, families
