"""A world: one ancestor, evolved to the species asked for."""

import zlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from episome.simulate import facts, traits
from episome.simulate.ancestor import ancestor
from episome.simulate.assembly import Genome, assemble
from episome.simulate.evolve import branch
from episome.simulate.evolve import steps as branch_steps
from episome.simulate.sites import Genes, Sites
from episome.types import EpisomeError

SUFFIX = "_sim"
FEWEST = 4  # genes: two for each of two contigs
Grown = tuple[Sites, Genes]


def _leaf(species: str) -> str:
    name = species.removesuffix(SUFFIX)
    if species == name or name not in facts.SPECIES:
        known = ", ".join(known + SUFFIX for known in facts.SPECIES)
        raise EpisomeError(f"no facts to simulate {species!r}; known: {known} (world.<name>.species in params.yaml)")
    return name


def _paths(species: Sequence[str]) -> list[tuple[str, ...]]:
    return [facts.path_to(facts.load().nodes, _leaf(name)) for name in species]


def _rng(seed: int, node: str) -> np.random.Generator:
    """A stream of its own for each node: leaving a species out changes no other."""
    return np.random.default_rng([seed, zlib.crc32(node.encode())])


def steps(species: Sequence[str]) -> int:
    """How often `world` will call ``advance`` for these species.

    Raises:
        EpisomeError: a species without facts.
    """
    known = facts.load()
    branches = sorted({node for path in _paths(species) for node in path[1:]})
    return sum(branch_steps(traits.of(known, known.nodes[node], 1.0)) for node in branches)


def world(
    *,
    genes: int,
    seed: int,
    species: Sequence[str],
    motif_divergence: float = 1.0,
    advance: Callable[[], None] = lambda: None,
) -> Iterator[Genome]:
    """Evolve genomes of the named species from one ancestor in the order named.

    Args:
        genes: genes per genome, one of every orthologue family.
        seed: the same seed gives the same bytes.
        species: names ending in ``_sim``.
        motif_divergence: multiplies the published differences between the species' motifs (1.0 = as published).
        advance: called after each of `steps` steps.

    Returns:
        One `Genome` per species, made when it is asked for.

    Raises:
        EpisomeError: a species without facts, one named twice, or fewer than four genes.
    """
    if genes < FEWEST:
        raise EpisomeError(
            f"a world of {genes} genes; at least {FEWEST} are wanted (world.<name>.genes in params.yaml)"
        )
    if len(set(species)) < len(species):
        raise EpisomeError(f"a species is named twice: {', '.join(species)} (world.<name>.species in params.yaml)")
    return _evolve(_paths(species), genes, seed, species, motif_divergence, advance)


def _evolve(
    paths: list[tuple[str, ...]],
    genes: int,
    seed: int,
    species: Sequence[str],
    motif_divergence: float,
    advance: Callable[[], None],
) -> Iterator[Genome]:
    """Grow each node once, yield each species, forget the nodes that no later species needs."""
    grown: dict[str, Grown] = {}
    known = facts.load()
    for done, (name, path) in enumerate(zip(species, paths, strict=True)):
        for node in path:
            if node not in grown:
                wanted, rng = traits.of(known, known.nodes[node], motif_divergence), _rng(seed, node)
                parent = known.nodes[node].parent
                grown[node] = (
                    ancestor(known, wanted, genes, rng)
                    if parent is None
                    else branch(*grown[parent], known, wanted, rng, advance)
                )
        leaf = path[-1]
        contigs, models = assemble(*grown[leaf], known, name, known.contigs[leaf], _rng(seed, f"{leaf}/assembly"))
        later = {node for rest in paths[done + 1 :] for node in rest}
        grown = {node: state for node, state in grown.items() if node in later}
        yield Genome(
            species=name,
            contigs=contigs,
            genes=models,
            parameters={
                "genes": genes,
                "seed": seed,
                "species": list(species),
                "motif_divergence": motif_divergence,
                "tree": facts.newick(known.nodes, path[0]) + ";",
            },
        )
