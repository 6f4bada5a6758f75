"""Simulated genomes: genes and genomes evolved along the tree of four species, marked simulated wherever they go."""

from episome.simulate.world import steps, world
from episome.simulate.writing import truth, write

__all__ = ["steps", "truth", "world", "write"]
