"""What one lineage prefers: the facts of the species below a node of the tree, blended."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from episome.simulate.facts import SPECIES, Facts, Floats, Motif, Node, intron_quantiles

RANKS = np.linspace(0, 1, 501)  # of the intron lengths that are kept
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
        cpg: observed-to-expected CpG of new free sequence.
        intron: float64[501], log of the intron lengths at evenly spaced ranks.
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
    cpg: float
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
    introns = {species: np.log(intron_quantiles(facts, species, RANKS)) for species in SPECIES}
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
        cpg=float(_mean(composition["cpg_oe"], blend)),
        intron=_mean(introns, blend),
    )


def intron_lengths(traits: Traits, ranks: Floats) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Intron lengths in bases at the given ranks (0..1) of the lineage's length distribution."""
    return np.exp(np.interp(ranks, RANKS, traits.intron)).astype(np.int64)


def draw(
    table: Floats, rows: np.ndarray[tuple[int, ...], np.dtype[np.int64]], rng: np.random.Generator
) -> np.ndarray[tuple[int, ...], np.dtype[np.int8]]:
    """Draw one category per entry of ``rows`` from that row of a frequency table; same shape as ``rows``."""
    cumulative = np.cumsum(table, axis=1)[:, :-1]
    return (rng.random(rows.shape)[..., None] > cumulative[rows]).sum(axis=-1).astype(np.int8)


def background(gc: Floats, cpg: float, rng: np.random.Generator) -> np.ndarray[tuple[int], np.dtype[np.int8]]:
    """Free sequence: bases of the GC content asked for at each place, CpG as rare as ``cpg`` times its expectation.

    Bases are independent; then most CpG become TpG or CpA, as deamination leaves them.
    """
    left = cpg * gc**2 / 4  # share of places at which a CpG is to stay
    drawn = 2 * (1 - np.sqrt(1 - gc + left))  # the GC content that loses drawn**2 / 4 - left and so comes to gc
    strong = rng.random(len(gc)) < drawn
    base = np.where(strong, rng.integers(1, 3, size=len(gc)), rng.integers(0, 2, size=len(gc)) * 3)
    pairs = np.flatnonzero((base[:-1] == 1) & (base[1:] == 2))
    lost = pairs[rng.random(len(pairs)) < 1 - left[pairs] * 4 / drawn[pairs] ** 2]
    to_t = rng.random(len(lost)) < 0.5
    base[lost[to_t]] = 3
    base[lost[~to_t] + 1] = 0
    return base.astype(np.int8)
