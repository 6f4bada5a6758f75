"""Which side of train, val and test a piece of DNA is on: whole homology groups, whole contigs, never rows.

A row's side must not depend on which other rows there are, so that a new release moves nothing, nor on the
species, so that an orthologous family is held out in every species or in none.
"""

import hashlib
from collections.abc import Mapping

import numpy as np

from episome.sequence import canonical
from episome.sources import SplitShares
from episome.types import EpisomeError, Split

SPLITS: tuple[Split, Split, Split] = ("train", "val", "test")


def fraction(group: str, seed: int) -> float:
    """A number in [0, 1) that depends on the group's name and the seed alone, on every machine."""
    digest = hashlib.sha256(f"{seed}:{group}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def by_group(group: str, shares: SplitShares, seed: int) -> Split:
    """The side of a homology group, the same in every species and every release."""
    u = fraction(group, seed)
    if u < shares.train:
        return "train"
    return "val" if u < shares.train + shares.val else "test"


def by_contig(sizes: Mapping[str, int], shares: SplitShares, seed: int) -> dict[str, Split]:
    """Whole contigs to sides, the largest first, each to the side that lacks most of its asked share.

    Args:
        sizes: how much each contig weighs, e.g. its genes.
        shares: asked shares; a share of 0 gets no contig.
        seed: orders contigs of equal size.

    Raises:
        EpisomeError: fewer contigs than sides that ask for a share.
    """
    asked = {side: getattr(shares, side) for side in SPLITS if getattr(shares, side) > 0}
    if len(sizes) < len(asked):
        raise EpisomeError(
            f"{len(sizes)} contig(s) cannot fill {len(asked)} splits; set windows.split_by in params.yaml to family or "
            "locus, which need no contig of their own for each split"
        )
    total = sum(sizes.values())
    lacking = {side: share * total for side, share in asked.items()}
    sides: dict[str, Split] = {}
    for name in sorted(sizes, key=lambda c: (-sizes[c], fraction(c, seed))):
        # The last contigs go to sides that are still empty, so that none stays so.
        empty = [side for side in asked if side not in sides.values()]
        open_sides = empty if len(sizes) - len(sides) <= len(empty) else list(asked)
        side = max(open_sides, key=lambda s: lacking[s])
        sides[name] = side
        lacking[side] -= sizes[name]
    return sides


def reached(counts: Mapping[str, int], shares: SplitShares) -> bool:
    """Whether every side has at least half of the share it asks for, of all that was counted.

    Args:
        counts: side → how many; what is on no side counts as well, under any other name.
        shares: asked shares.
    """
    total = sum(counts.values())
    return all(counts.get(side, 0) >= getattr(shares, side) * total / 2 for side in SPLITS)


def canonical_group(sequence: str) -> str:
    """Homology group of a sequence without genome or family: a hash that both strands share."""
    return hashlib.sha256(canonical(sequence).encode("ascii")).hexdigest()[:16]


def generator(seed: int, purpose: str) -> np.random.Generator:
    """A random generator of its own for each purpose, so that one draw more here changes nothing there."""
    digest = hashlib.sha256(f"{seed}:{purpose}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))
