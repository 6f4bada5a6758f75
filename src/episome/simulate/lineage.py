"""One species as it is written down: its facts, its names and its random numbers."""

import zlib
from dataclasses import dataclass

import numpy as np

from episome.simulate.facts import Facts
from episome.simulate.traits import Traits


def stream(seed: int, purpose: str) -> np.random.Generator:
    """Random numbers of a purpose (a node of the tree, or a step at its tip): what one uses up changes no other."""
    return np.random.default_rng([seed, zlib.crc32(purpose.encode())])


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """A leaf of the tree.

    Attributes:
        key: species in facts.json.
        name: species as it is written, ending in ``_sim``; prefix of its gene ids.
        facts: published frequencies.
        traits: what of them holds for this species.
        seed: of the world.
    """

    key: str
    name: str
    facts: Facts
    traits: Traits
    seed: int

    def stream(self, purpose: str) -> np.random.Generator:
        """Random numbers of one step in this species."""
        return stream(self.seed, f"{self.key}/{purpose}")
