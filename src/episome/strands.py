"""Rows beside their reverse complements, for tasks that do not ask which strand they lie on."""

from collections.abc import Collection

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from episome.sequence import reverse_complement
from episome.types import LABEL


def both(rows: pd.DataFrame, strand_free: Collection[str]) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """The rows and, behind them, the reverse complement of each that is asked strand-free tasks only.

    Args:
        rows: with columns ``sequence`` and labels (-1: not asked); a copy keeps all else, its homology group too.
        strand_free: names of tasks whose answer is the same for the reverse complement.

    Returns:
        n + m rows, and int64 [n]: where each row's reverse complement stands; its own place where there is none.
    """
    columns = [name for name in rows if str(name).startswith(LABEL)]
    free = [name for name in columns if str(name).removeprefix(LABEL) in strand_free]
    bound = [name for name in columns if name not in free]
    asked = (rows[free] >= 0).any(axis=1) & ~(rows[bound] >= 0).any(axis=1)
    which = np.flatnonzero(asked.to_numpy(bool))
    turned = rows.iloc[which].copy()
    turned["sequence"] = turned["sequence"].map(reverse_complement).astype(rows["sequence"].dtype)
    places = np.arange(len(rows), dtype=np.int64)
    places[which] = len(rows) + np.arange(len(which))
    return pd.concat([rows, turned], ignore_index=True), places
