"""Labels that a lab brings, whichever of the known layouts they have."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from episome import intervals, labelled, multilabel
from episome.sources import IntervalSource, LabelledSource, MultilabelSource, Windows
from episome.types import Task


def load(
    source: LabelledSource | IntervalSource | MultilabelSource,
    tasks: Sequence[Task],
    *,
    species: str,
    windows: Windows,
    seed: int,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Rows of a species, and what was found in the files; the module of each layout says more.

    Args:
        source: folder and layout.
        tasks: the species' tasks, in the order of its head's columns.
        species: key of the species.
        windows: what a sequence may be.
        seed: decides the sides that the source leaves open.

    Raises:
        EpisomeError: a file is missing or wrong.
    """
    if isinstance(source, LabelledSource):
        return labelled.load(source, tasks, species=species, windows=windows)
    if isinstance(source, MultilabelSource):
        return multilabel.load(source, tasks, species=species, windows=windows)
    return intervals.load(source, tasks, species=species, windows=windows, seed=seed)
