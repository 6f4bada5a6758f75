"""Position-weight matrix: how much of a task is one base at a time, at fixed places.

Weights are log-odds of the training positives against the base composition of the training negatives (Staden 1984,
Nucleic Acids Res. 12:505; Stormo 2000, Bioinformatics 16:16), with a pseudo-count of one row spread as that
background (Hertz & Stormo 1999, Bioinformatics 15:563). Bases are taken as independent of each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from episome import calibration
from episome.dataset import label_column
from episome.metrics import auroc
from episome.types import EpisomeError, Task

PSEUDO_COUNT = 1.0
CUTS = 40
"""The stretch that is scored begins and ends at multiples of the window's fortieth part."""

ABSENT = "no position-weight matrix: the task has no fixed length, hence no positions"

_N = 4
_CODE = np.full(256, _N, np.int64)
_CODE[list(b"ACGT")] = range(4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """A fitted matrix.

    Attributes:
        weights: float64[width, 5], bits for A C G T at each position of the stretch; N weighs 0.
        start: of the stretch within a row's sequence, 0-based.
        threshold: a row is called at ``score >= threshold``; chosen on validation rows by MCC.
    """

    weights: NDArray[np.float64]
    start: int
    threshold: float

    @property
    def stretch(self) -> tuple[int, int]:
        """The bases that are scored, 0-based half-open within a row's sequence."""
        return self.start, self.start + len(self.weights)

    def score(self, sequences: Sequence[str]) -> NDArray[np.float64]:
        """Sum of weights in bits, float64[sequences]."""
        start, end = self.stretch
        return _bits([sequence[start:end] for sequence in sequences], self.weights).sum(axis=1)


def fit(train: pd.DataFrame, val: pd.DataFrame, task: Task) -> Matrix:
    """The matrix of a task on the stretch that ranks the validation rows best; of equals the shortest.

    Args:
        train: rows with columns ``sequence`` and ``label_<task>`` of 0 and 1; sequences as long as the task's window.
        val: rows that choose stretch and threshold.
        task: whose labels.

    Raises:
        EpisomeError: the task has no window, a sequence has another length, or a class has no row.
    """
    if task.window is None:
        raise EpisomeError(f"task {task.name!r} of scope {task.scope!r}: {ABSENT}")
    for rows in (train, val):
        _check_lengths(rows, task.name, task.window)
    labels = train[label_column(task.name)].to_numpy()
    if not 0 < (positives := int((labels == 1).sum())) < len(labels):
        raise EpisomeError(f"task {task.name!r}: {positives} positive train rows of {len(labels)}; wanted both classes")
    weights = _log_odds(list(train["sequence"][labels == 1]), list(train["sequence"][labels == 0]), task.window)
    answers = val[label_column(task.name)].to_numpy()
    sums = np.pad(np.cumsum(_bits(list(val["sequence"]), weights), axis=1), ((0, 0), (1, 0)))
    start, end = max(_stretches(task.window), key=lambda s: round(auroc(answers, sums[:, s[1]] - sums[:, s[0]]), 9))
    threshold = calibration.threshold(sums[:, end] - sums[:, start], answers)
    return Matrix(weights=weights[start:end], start=start, threshold=threshold)


def _stretches(window: int) -> list[tuple[int, int]]:
    """Shortest first, since `max` keeps the first of equals."""
    cuts = sorted({round(window * i / CUTS) for i in range(CUTS + 1)})
    return sorted(combinations(cuts, 2), key=lambda s: s[1] - s[0])


def _check_lengths(rows: pd.DataFrame, task: str, window: int) -> None:
    lengths = rows["sequence"].str.len()
    if len(wrong := rows.index[lengths != window]):
        raise EpisomeError(
            f"task {task!r}: {len(wrong)} of {len(rows)} rows are not {window} bases long, the first is row {wrong[0]} "
            f"with {lengths[wrong[0]]}; a position-weight matrix wants tasks.{task}.window bases in every row"
        )


def _codes(sequences: Sequence[str]) -> NDArray[np.int64]:
    """int64[sequences, length]: A C G T as 0 to 3, all else as 4."""
    return _CODE[np.frombuffer("".join(sequences).encode("ascii"), np.uint8)].reshape(len(sequences), -1)


def _bits(sequences: Sequence[str], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    codes = _codes(sequences)
    return weights[np.arange(codes.shape[1]), codes]


def _log_odds(positives: Sequence[str], negatives: Sequence[str], window: int) -> NDArray[np.float64]:
    seen = np.bincount(_codes(negatives).ravel(), minlength=_N + 1)[:_N] + 1
    background = seen / seen.sum()
    codes = _codes(positives)
    counts = np.stack([(codes == base).sum(axis=0) for base in range(_N)], axis=1)
    shares = (counts + PSEUDO_COUNT * background) / (counts.sum(axis=1, keepdims=True) + PSEUDO_COUNT)
    return np.c_[np.log2(shares / background), np.zeros(window)]
