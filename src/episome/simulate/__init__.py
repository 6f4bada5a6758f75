"""Simulated genomes: genes and genomes evolved along the tree of four species, marked simulated wherever they go."""

from episome.simulate.truth import truth
from episome.simulate.world import Genome, steps, world
from episome.simulate.writing import write

__all__ = ["Genome", "steps", "truth", "world", "write"]
