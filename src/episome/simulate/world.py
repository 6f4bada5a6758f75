"""A world: one ancestor, evolved to the species asked for, each annotated as a real genome is."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from episome.simulate import facts, traits
from episome.simulate.ancestor import ancestor
from episome.simulate.assembly import Assembly, assemble
from episome.simulate.evolve import branch
from episome.simulate.evolve import steps as branch_steps
from episome.simulate.gene import Gene
from episome.simulate.lineage import Lineage, stream
from episome.simulate.repeats import Family, sown
from episome.simulate.sites import Genes, Sites
from episome.simulate.tip import coding, uncoding
from episome.types import EpisomeError

SUFFIX = "_sim"
FEWEST = 4  # genes: two for each of two contigs
Grown = tuple[Sites, Genes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Genome:
    """One species' simulated genome.

    Attributes:
        species: name ending in ``_sim``.
        assembly: contigs and genes.
        repeats: families by kind, ``sine`` and ``line``.
        parameters: what `world` was asked for, and the tree it evolved on.
    """

    species: str
    assembly: Assembly
    repeats: Mapping[str, Family]
    parameters: dict[str, object]

    @property
    def contigs(self) -> Mapping[str, str]:
        """Name → sequence over A C G T N, repeats in lower case, in the order of the file."""
        return self.assembly.contigs

    @property
    def genes(self) -> tuple[Gene, ...]:
        """All genes, in the order of the contigs, each contig's by position."""
        return self.assembly.genes


def _leaf(species: str) -> str:
    name = species.removesuffix(SUFFIX)
    if species == name or name not in facts.SPECIES:
        known = ", ".join(known + SUFFIX for known in facts.SPECIES)
        raise EpisomeError(f"no facts to simulate {species!r}; known: {known} (world.<name>.species in params.yaml)")
    return name


def _paths(species: Sequence[str]) -> list[tuple[str, ...]]:
    return [facts.path_to(facts.load().nodes, _leaf(name)) for name in species]


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
        genes: protein-coding genes per genome, one of every orthologue family.
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
                wanted, rng = traits.of(known, known.nodes[node], motif_divergence), stream(seed, node)
                parent = known.nodes[node].parent
                grown[node] = (
                    ancestor(known, wanted, genes, rng)
                    if parent is None
                    else branch(*grown[parent], known, wanted, rng, advance)
                )
        parameters = {
            "genes": genes,
            "seed": seed,
            "species": list(species),
            "motif_divergence": motif_divergence,
            "tree": facts.newick(known.nodes, path[0]) + ";",
        }
        leaf = path[-1]
        wanted = traits.of(known, known.nodes[leaf], motif_divergence)
        yield _annotated(*grown[leaf], Lineage(key=leaf, name=name, facts=known, traits=wanted, seed=seed), parameters)
        later = {node for rest in paths[done + 1 :] for node in rest}
        grown = {node: state for node, state in grown.items() if node in later}


def _annotated(sites: Sites, known: Genes, lineage: Lineage, parameters: dict[str, object]) -> Genome:
    """The genome of a species from what evolved: repeats, other transcripts, genes that make no protein, contigs."""
    sites, masked, families = sown(sites, lineage)
    blocks = coding(sites, masked, known, lineage)
    return Genome(
        species=lineage.name,
        assembly=assemble(blocks, uncoding(blocks, lineage), known, lineage),
        repeats=families,
        parameters=parameters,
    )
