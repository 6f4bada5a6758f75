"""Where champions are and what a retrain calls them; no MLflow here."""

import os
from pathlib import Path

from episome import shelf
from episome.params import Params
from episome.shelf import Entry
from episome.types import EpisomeError


def folder(settings: Params) -> Path:
    """The shelf: EPISOME_SHELF, as the service has it, or else the one in params.yaml."""
    return Path(os.environ.get("EPISOME_SHELF") or settings.registry.shelf)


def of(species: str, settings: Params) -> Entry:
    """The champion of a species.

    Raises:
        EpisomeError: it has none.
        BundleError: the shelf cannot be read.
    """
    place = folder(settings)
    champions = shelf.read(place).species
    if species not in champions:
        raise EpisomeError(
            f"{species} has no champion on {place}; there are: {', '.join(champions) or 'none'}. "
            f"Train and promote it first: `dvc repro`, `episome promote {species}`"
        )
    return champions[species]
