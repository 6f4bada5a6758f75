"""How far two species are apart: from a pinned tree, a tree of the user's, or a value of the user's.

The distance is a prior for how to train, not a prediction of the score. Time over 400 million years is the default
(TimeTree 5): symmetric, defined for every pair of the tree, and stable in its bands over all published snapshots. It
under-states fast lineages, as flies are among themselves. Half the neutral substitutions per site is the alternative;
it is published for few pairs and saturates beyond vertebrates.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import dendropy
import numpy as np
from dendropy.utility.error import DataParseError
from numpy.typing import NDArray

from episome.composition import features
from episome.policy import Band
from episome.types import EpisomeError

Measure = Literal["time", "neutral_half", "newick", "given"]

NEAR, FAR = 0.5, 1.0  # below the first near, above the second far, either border is mid
_SPECTRUM_K = 6


class SpeciesError(EpisomeError):
    """A species or a pair without a distance, or a tree that cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distance:
    """How far two species are apart.

    Attributes:
        value: without unit; 1.0 is 400 million years since the common ancestor, or a substitution per site and branch.
        measure: what it was taken from.
        source: whom to cite for it.
    """

    value: float
    measure: Measure
    source: str

    @property
    def band(self) -> Band:
        """Near below 0.5 (mammals among themselves), far above 1.0 (fish and beyond), else mid."""
        if self.value < NEAR:
            return "near"
        return "far" if self.value > FAR else "mid"


@cache
def _pinned() -> Mapping[str, Any]:
    raw: Mapping[str, Any] = json.loads(files("episome").joinpath("phylogeny.json").read_text(encoding="utf-8"))
    return raw


def known() -> tuple[str, ...]:
    """Scientific names of the species in the pinned tree, in the order of the tree."""
    return tuple(_Paths(_pinned()["times"]["newick"], "phylogeny.json").names)


def by_time(a: str, b: str, million_years: float) -> Distance:
    """Time since the common ancestor over `million_years`, from the pinned tree.

    Raises:
        SpeciesError: a species is not in the tree.
    """
    times = _pinned()["times"]
    # Two tips are twice the age of their ancestor apart.
    age = _Paths(times["newick"], "the pinned tree").between(a, b) / 2
    return Distance(value=age / million_years, measure="time", source=times["source"])


def by_neutral_half(a: str, b: str) -> Distance:
    """Half the neutral substitutions per site between two species, where they are published.

    Raises:
        SpeciesError: the pair is not in the pinned table.
    """
    neutral = _pinned()["neutral"]
    for first, second, substitutions in neutral["substitutions_per_site"]:
        if {first, second} == {a, b}:
            return Distance(value=substitutions / 2, measure="neutral_half", source=neutral["source"])
    if a == b:
        return Distance(value=0.0, measure="neutral_half", source=neutral["source"])
    raise SpeciesError(
        f"no neutral distance between {a!r} and {b!r} is known here; "
        "take transfer.distance.measure: time, or give one under transfer.distance.given"
    )


def by_newick(a: str, b: str, path: Path) -> Distance:
    """Half the path between two tips of a Newick tree; its branch lengths must already be in units of the policy.

    Raises:
        SpeciesError: the file is missing or no Newick tree with lengths, or a species is no tip of it.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpeciesError(f"{path}: cannot be read: {error}; wanted: a tree in Newick notation") from error
    return Distance(value=_Paths(text, str(path)).between(a, b) / 2, measure="newick", source=str(path))


class _Paths:
    """Path lengths between the tips of one tree."""

    def __init__(self, newick: str, where: str) -> None:
        try:
            tree = dendropy.Tree.get(data=newick, schema="newick")
        except (DataParseError, ValueError) as error:
            raise SpeciesError(f"{where}: not a Newick tree: {error}") from error
        if any(edge.length is None for edge in tree.preorder_edge_iter() if edge.tail_node is not None):
            raise SpeciesError(f"{where}: a branch without length; wanted: name:length on every branch")
        self.where = where
        self.taxa = {leaf.taxon.label.replace("_", " "): leaf.taxon for leaf in tree.leaf_node_iter()}
        self.names = list(self.taxa)
        self.matrix = tree.phylogenetic_distance_matrix()

    def between(self, a: str, b: str) -> float:
        for name in (a, b):
            if name not in self.taxa:
                raise SpeciesError(
                    f"{name!r} is not in {self.where}; there: {', '.join(self.names)}; "
                    "give a tree (transfer.distance.newick) or a value (transfer.distance.given)"
                )
        return float(self.matrix.distance(self.taxa[a], self.taxa[b]))


def spectrum(sequences: Sequence[str]) -> NDArray[np.float64]:
    """Mean 6-mer frequencies over sequences and both of their strands; float64[4096], adds up to one."""
    if not sequences:
        raise SpeciesError("no sequence to take a 6-mer spectrum from")
    width = 4**_SPECTRUM_K
    forward = np.zeros(width)
    for sequence in sequences:
        forward += features(sequence, _SPECTRUM_K, phased=False)[-width:]
    total = forward.sum()
    if total == 0:
        raise SpeciesError(f"no sequence holds {_SPECTRUM_K} bases without N in a row")
    return (forward + forward[_opposite()]) / (2 * total)


@cache
def _opposite() -> NDArray[np.int64]:
    """Index of each 6-mer's reverse complement."""
    powers = 4 ** np.arange(_SPECTRUM_K, dtype=np.int64)
    digits = np.arange(4**_SPECTRUM_K)[:, None] // powers % 4  # the last base first, so that it reads backwards
    index: NDArray[np.int64] = ((3 - digits) * powers[::-1]).sum(axis=1)
    return index


def divergence(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Jensen-Shannon divergence of two spectra in bits (Lin 1991), 0 to 1.

    Orders genomes where a phylogeny has no answer (human-mouse 0.0005, human-fly 0.04 on whole genomes); it is no time.
    """
    mean = (a + b) / 2
    parts = [np.sum(p[p > 0] * np.log2(p[p > 0] / mean[p > 0])) for p in (a, b)]
    return max(float(sum(parts)) / 2, 0.0)
