"""Stage `world`: simulated genomes of one world in params.yaml; `python -m pipelines.world <name>`."""

import sys

from rich.console import Console
from rich.progress import Progress

from episome import params, simulate
from episome.types import EpisomeError
from pipelines import paths


def run(name: str) -> None:
    """Simulate the world of that name and write a folder per species, with a bar where a person is waiting.

    Raises:
        EpisomeError: params.yaml has no such world, or names a species without facts.
    """
    known = params.read()
    if name not in known.world:
        raise EpisomeError(f"no world {name!r} in params.yaml; known: {', '.join(known.world) or 'none'}")
    chosen = known.world[name]
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(f"world {name}", total=simulate.steps(chosen.species))
        for genome in simulate.world(
            genes=chosen.genes,
            seed=known.seed,
            species=chosen.species,
            motif_divergence=chosen.motif_divergence,
            advance=lambda: progress.advance(bar),
        ):
            simulate.write(genome, paths.world(name) / genome.species)
            bases = sum(map(len, genome.contigs.values()))
            print(
                f"{genome.species}: {len(genome.genes)} genes, {len(genome.contigs)} contigs, {bases / 1e6:.2f} Mb "
                f"(simulated, motif_divergence {chosen.motif_divergence:g})",
                flush=True,
            )


def main(arguments: list[str]) -> int:
    """Run the stage from the command line; 2 where it was called wrongly, 1 where the params are at fault."""
    if len(arguments) != 1:
        print("usage: python -m pipelines.world <name of a world in params.yaml>", file=sys.stderr)
        return 2
    try:
        run(arguments[0])
    except EpisomeError as error:
        print(f"world: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
