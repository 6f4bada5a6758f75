"""What happens to a copy that nothing holds: repeats and pseudogenes, changed by their age."""

import numpy as np

from episome.simulate.facts import Facts, Floats
from episome.simulate.sites import Bytes, C, G
from episome.simulate.traits import Traits

TRANSITION = np.array([2, 3, 0, 1], dtype=np.int8)  # A↔G, C↔T


def decayed(base: Bytes, age: float, traits: Traits, rng: np.random.Generator) -> Bytes:
    """A copy after ``age`` neutral substitutions per site: same length, CpG changed faster as in the lineage."""
    pair = (base[:-1] == C) & (base[1:] == G)
    cpg = np.append(pair, False) | np.append(False, pair)
    rate = np.where(cpg, traits.cpg_factor, 1.0)
    changed = rng.random(len(base)) < 1 - np.exp(-age * rate)
    transition = rng.random(len(base)) < np.where(cpg, 1.0, traits.kappa / (traits.kappa + 2))
    other = (base + np.where(base % 2 == 0, 1, -1)) % 4  # A↔C, G↔T; the rest of the transversions after a transition
    other = np.where(rng.random(len(base)) < 0.5, other, TRANSITION[other])
    return np.where(changed, np.where(transition, TRANSITION[base], other), base).astype(np.int8)


def frayed(base: Bytes, age: float, facts: Facts, gc: float, rng: np.random.Generator) -> Bytes:
    """A copy with the insertions and deletions that ``age`` brings, of any length, frames lost."""
    rate, stop = facts.mutation["indels_per_substitution"], facts.mutation["indel_stop"]
    keep = np.ones(len(base), dtype=bool)
    lost, gained = rng.poisson(len(base) * age * rate / 2, size=2)
    for start in rng.integers(0, len(base), size=lost):
        keep[start : start + rng.geometric(stop)] = False
    where = np.repeat(rng.integers(0, len(base), size=gained), rng.geometric(stop, size=gained))
    share: Floats = np.array([(1 - gc) / 2, gc / 2, gc / 2, (1 - gc) / 2])
    new = rng.choice(4, size=len(where), p=share).astype(np.int8)
    order = np.argsort(np.concatenate([np.flatnonzero(keep), where]), kind="stable")
    return np.concatenate([base[keep], new])[order]
