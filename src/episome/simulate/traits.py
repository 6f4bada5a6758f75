"""What one lineage prefers: the facts of the species below a node of the tree, blended."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from episome.simulate.facts import SPECIES, Facts, Floats, Motif, Node

FLOOR = 0.004  # least frequency of a base in a column that is not invariant
SURE = 0.999  # a column at least this sure is invariant: it never mutates


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """Where each motif's columns lie in the one table of all motif columns."""

    motifs: tuple[Motif, ...]
    starts: tuple[int, ...]

    def columns(self, motif: int) -> slice:
        """Rows of the table that belong to the motif of that index."""
        return slice(self.starts[motif], self.starts[motif] + self.motifs[motif].width)


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """Targets and rates of one node.

    Attributes:
        length: neutral substitutions per site on the branch that leads to the node.
        slots: where each motif lies in ``table``.
        table: float64[columns, 4], target frequencies of all motif columns.
        fixed: bool[columns], columns that never change.
        use: float64[motifs], share of anchors that carry each motif.
        gc: float64[isochores + 1], target GC of each isochore; the last is that of CpG islands.
        island_share: share of genes with a CpG island.
        kappa: transition/transversion rate ratio.
        cpg_factor: how much faster C mutates to T in CpG than elsewhere.
        codons, stops: float64[64] target usage.
        intron: float64[2, n], shares and the base-pair quantiles at them.
    """

    length: float
    slots: Slots
    table: Floats
    fixed: np.ndarray[tuple[int], np.dtype[np.bool_]]
    use: Floats
    gc: Floats
    island_share: float
    kappa: float
    cpg_factor: float
    codons: Floats
    stops: Floats
    intron: Floats


def slots(motifs: tuple[Motif, ...]) -> Slots:
    """Lay the motifs' columns one after the other."""
    ends = np.cumsum([motif.width for motif in motifs])
    return Slots(motifs=motifs, starts=(0, *(int(end) for end in ends[:-1])))


def _mean(values: Mapping[str, Floats], blend: Mapping[str, float]) -> Floats:
    return np.sum([blend[species] * np.asarray(values[species], dtype=np.float64) for species in SPECIES], axis=0)


def _diverged(values: Mapping[str, Floats], blend: Mapping[str, float], divergence: float) -> Floats:
    """Blend of the species' frequencies, its log-ratio to the mean of all species multiplied by ``divergence``."""
    own = np.clip(_mean(values, blend), 1e-9, None)
    common = np.clip(_mean(values, dict.fromkeys(SPECIES, 1 / len(SPECIES))), 1e-9, None)
    drifted = common * (own / common) ** divergence
    return drifted / drifted.sum(axis=-1, keepdims=True)


def _use(motif: Motif, blend: Mapping[str, float], divergence: float) -> float:
    both = {species: np.array([share, 1 - share]) for species, share in motif.use.items()}
    return float(_diverged(both, blend, divergence)[0])


def of(facts: Facts, node: Node, divergence: float) -> Traits:
    """Blend the facts of the species below a node.

    Args:
        facts: published frequencies.
        node: node of the tree.
        divergence: 1.0 keeps the published differences between species' motifs, 0 removes them, more exaggerates.
    """
    blend = node.blend
    table = np.concatenate([_diverged(motif.columns, blend, divergence) for motif in facts.motifs])
    fixed = table.max(axis=1) >= SURE
    table[~fixed] = np.clip(table[~fixed], FLOOR, None)
    table /= table.sum(axis=1, keepdims=True)
    composition, mutation = facts.composition, facts.mutation
    quantiles = {species: np.log(np.array(facts.lengths["intron"][species])[:, 1]) for species in SPECIES}
    shares = np.array(facts.lengths["intron"][SPECIES[0]])[:, 0]
    return Traits(
        length=node.length,
        slots=slots(facts.motifs),
        table=table,
        fixed=fixed,
        use=np.array([_use(motif, blend, divergence) for motif in facts.motifs]),
        gc=np.append(_mean(composition["isochore_gc"], blend), _mean(composition["island_gc"], blend)),
        island_share=float(_mean(composition["island_share"], blend)),
        kappa=float(_mean(mutation["kappa"], blend)),
        cpg_factor=float(_mean(mutation["cpg_factor"], blend)),
        codons=_mean(facts.codons, blend),
        stops=_mean(facts.stops, blend),
        intron=np.stack([shares, np.exp(_mean(quantiles, blend))]),
    )


def intron_lengths(traits: Traits, ranks: Floats) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Intron lengths in bases at the given ranks (0..1) of the lineage's length distribution."""
    return np.exp(np.interp(ranks, traits.intron[0], np.log(traits.intron[1]))).astype(np.int64)


def draw(
    table: Floats, rows: np.ndarray[tuple[int, ...], np.dtype[np.int64]], rng: np.random.Generator
) -> np.ndarray[tuple[int, ...], np.dtype[np.int8]]:
    """Draw one category per entry of ``rows`` from that row of a frequency table; same shape as ``rows``."""
    cumulative = np.cumsum(table, axis=1)[:, :-1]
    return (rng.random(rows.shape)[..., None] > cumulative[rows]).sum(axis=-1).astype(np.int8)
