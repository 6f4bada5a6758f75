"""Temperature and threshold of one task, fitted on validation rows and on nothing else."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar

from episome.metrics import mcc_of_counts
from episome.types import EpisomeError

_COLDEST, _HOTTEST = 0.05, 20.0
"""Bounds of the temperature: perfectly separated validation rows would ask for 0, chance for infinity."""


def sigmoid(logits: ArrayLike, temperature: float = 1.0) -> NDArray[np.float64]:
    """Probability of class 1 of logits at a temperature; never overflows."""
    scaled = np.asarray(logits, np.float64) / temperature
    return 0.5 * (1 + np.tanh(scaled / 2))


def temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    """The divisor of the logits that minimises the log loss (Guo et al. 2017), between 0.05 and 20.

    Raises:
        EpisomeError: a class has no row.
    """
    logits, labels = np.asarray(logits, np.float64), _both_classes(labels)
    signed = np.where(labels == 1, logits, -logits)

    def log_loss(log_temperature: float) -> float:
        return float(np.logaddexp(0, -signed / np.exp(log_temperature)).mean())

    return float(np.exp(minimize_scalar(log_loss, bounds=np.log([_COLDEST, _HOTTEST]), method="bounded").x))


def threshold(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """The cut with the best MCC, midway between two neighbouring probabilities; of equals the one nearest 0.5.

    Midway, so that the last bits of another runtime's probabilities cannot flip a call. Where no cut beats chance: 0.5.

    Raises:
        EpisomeError: a class has no row.
    """
    labels = _both_classes(labels)
    values, codes = np.unique(np.asarray(probabilities, np.float64), return_inverse=True)
    positive = np.bincount(codes, weights=labels == 1, minlength=len(values))
    negative = np.bincount(codes, weights=labels != 1, minlength=len(values))
    tp, fp = positive.sum() - np.cumsum(positive)[:-1], negative.sum() - np.cumsum(negative)[:-1]
    scores = mcc_of_counts(tp, fp, positive.sum() - tp, negative.sum() - fp)
    if not len(scores) or scores.max() <= 0:
        return 0.5
    cuts = ((values[:-1] + values[1:]) / 2)[np.isclose(scores, scores.max(), rtol=0, atol=1e-12)]
    return float(cuts[np.argmin(np.abs(cuts - 0.5))])


def _both_classes(labels: ArrayLike) -> NDArray[Any]:
    labels = np.asarray(labels)
    positives = int((labels == 1).sum())
    if positives in {0, len(labels)}:
        raise EpisomeError(f"{positives} positive rows of {len(labels)}; calibration needs both classes on validation")
    return labels
