"""Temperature and threshold of one task, fitted on validation rows and on nothing else; probabilities elsewhere.

Prior correction (`at_prevalence`) takes probabilities to a place where positives are rarer or commoner than in the rows
they were calibrated on.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar

from episome.metrics import Floats, mcc_of_counts, precision_of_counts
from episome.params import BestCut, FloorCut
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
    cuts = _cuts(probabilities, labels)
    return cuts.best(mcc_of_counts(cuts.tp, cuts.fp, cuts.positives - cuts.tp, cuts.negatives - cuts.fp))


def threshold_by(rule: BestCut | FloorCut, probabilities: ArrayLike, labels: ArrayLike) -> float:
    """The cut that a rule asks for, between two neighbouring probabilities of the rows given.

    ``mcc``: see `threshold`. ``youden``: the largest TPR − FPR (Youden 1950), of equals the one nearest 0.5, and 0.5
    where no cut beats chance. ``precision``: of the cuts with at least that precision the one with the highest recall;
    ``recall``: of the cuts with at least that recall the one with the highest precision; of equals the highest cut.
    Both are point estimates on the rows given: the test rows say what held. A cut that calls every row is 0.

    Args:
        rule: of params.yaml, ``evaluate.threshold``.
        probabilities: calibrated, one per row.
        labels: 0 or 1, one per row.

    Raises:
        EpisomeError: a class has no row, or no cut has the precision asked for.
    """
    if rule.rule == "mcc":
        return threshold(probabilities, labels)
    cuts = _cuts(probabilities, labels)
    if isinstance(rule, BestCut):
        return cuts.best(cuts.tp / cuts.positives - cuts.fp / cuts.negatives)
    cuts = cuts.with_all_called()
    precise, recalled = precision_of_counts(cuts.tp, cuts.fp), cuts.tp / cuts.positives
    asked, other = (precise, recalled) if rule.rule == "precision" else (recalled, precise)
    enough = asked >= rule.at_least
    if not enough.any():
        raise EpisomeError(
            f"no cut of the {len(np.asarray(labels))} validation rows has {rule.rule} {rule.at_least}; the highest is "
            f"{asked.max():.4f}; lower evaluate.threshold.at_least in params.yaml, or train a better model"
        )
    best = enough & (other == other[enough].max())
    return float(cuts.at[best].max())


def at_prevalence(probabilities: ArrayLike, *, calibrated: float, wanted: float) -> Floats:
    """Probabilities where a share `wanted` of the rows is positive, from those calibrated where `calibrated` was.

    The odds grow by the ratio of the prior odds (Saerens, Latinne & Decaestecker 2002, Neural Computation 14:21), which
    holds as long as positives look alike in both places, and negatives too (label shift).

    Args:
        probabilities: of class 1.
        calibrated: share of positives in the rows the probabilities were calibrated on.
        wanted: share of positives in the rows they are wanted for.

    Raises:
        EpisomeError: a share is not strictly between 0 and 1.
    """
    for name, share in (("calibrated", calibrated), ("wanted", wanted)):
        if not 0 < share < 1:
            raise EpisomeError(f"{name}: a prevalence of {share}; wanted one strictly between 0 and 1")
    probabilities = np.asarray(probabilities, np.float64)
    positive, negative = probabilities * wanted / calibrated, (1 - probabilities) * (1 - wanted) / (1 - calibrated)
    return np.asarray(positive / (positive + negative))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cuts:
    """Every cut between two neighbouring probabilities, rising, and the rows at or above it.

    Midway, so that the last bits of another runtime's probabilities cannot flip a call.
    """

    at: Floats
    tp: Floats
    fp: Floats
    positives: float
    negatives: float

    def best(self, scores: Floats) -> float:
        """The cut with the highest score, of equals the one nearest 0.5; 0.5 where none is above 0."""
        if not len(scores) or scores.max() <= 0:
            return 0.5
        best = self.at[np.isclose(scores, scores.max(), rtol=0, atol=1e-12)]
        return float(best[np.argmin(np.abs(best - 0.5))])

    def with_all_called(self) -> "_Cuts":
        """The same cuts after the one at 0, where every row is called."""
        return _Cuts(
            at=np.r_[0.0, self.at],
            tp=np.r_[self.positives, self.tp],
            fp=np.r_[self.negatives, self.fp],
            positives=self.positives,
            negatives=self.negatives,
        )


def _cuts(probabilities: ArrayLike, labels: ArrayLike) -> _Cuts:
    labels = _both_classes(labels)
    values, codes = np.unique(np.asarray(probabilities, np.float64), return_inverse=True)
    positive = np.bincount(codes, weights=labels == 1, minlength=len(values))
    negative = np.bincount(codes, weights=labels != 1, minlength=len(values))
    return _Cuts(
        at=(values[:-1] + values[1:]) / 2,
        tp=positive.sum() - np.cumsum(positive)[:-1],
        fp=negative.sum() - np.cumsum(negative)[:-1],
        positives=float(positive.sum()),
        negatives=float(negative.sum()),
    )


def _both_classes(labels: ArrayLike) -> NDArray[Any]:
    labels = np.asarray(labels)
    positives = int((labels == 1).sum())
    if positives in {0, len(labels)}:
        raise EpisomeError(f"{positives} positive rows of {len(labels)}; calibration needs both classes on validation")
    return labels
