"""What a curve says: epochs until nothing changes, how steady the end is, how much data a start from a donor saves.

Training curves are scores by epoch; learning curves are scores by number of training rows. Where a curve is too short
for the question, the answer says so instead of being a number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp

import numpy as np
from numpy.typing import ArrayLike

from episome.transferscores import Score, isotonic, undefined
from episome.types import EpisomeError

BAND = 0.01
"""A score counts as the best one within this share of what there is to learn, ceiling less chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """A learning curve: test score by training rows, several seeds as several points of one size.

    Attributes:
        rows: of each point, above 0.
        scores: of each point.
    """

    rows: Sequence[int]
    scores: Sequence[float]

    def __post_init__(self) -> None:
        """Refuse points that are no curve."""
        if len(self.rows) != len(self.scores) or not self.rows:
            raise EpisomeError(f"{len(self.rows)} sizes and {len(self.scores)} scores; wanted one score per size")
        if min(self.rows) < 1 or not np.isfinite(self.scores).all():
            raise EpisomeError(
                f"sizes {list(self.rows)}, scores {list(self.scores)}; wanted sizes above 0, finite scores"
            )

    def rising(self) -> tuple[np.ndarray, np.ndarray]:
        """Log of the distinct sizes, and the rising isotonic fit of the scores: more data do not harm."""
        return isotonic(np.log(self.rows), self.scores, increasing=True)

    def top(self) -> float:
        """The fitted score at the most rows."""
        return float(self.rising()[1][-1])


def convergence_epoch(scores: ArrayLike, ceiling: float, chance: float) -> Score:
    """First epoch, counted from 1, from which on the score stays within 1 % of (U − c) of the best one.

    Args:
        scores: float[epochs], validation score after each epoch.
        ceiling: U of the target.
        chance: c of the metric.
    """
    values = np.asarray(scores, np.float64)
    if len(values) < 2:
        return undefined(f"{len(values)} epochs say nothing of convergence; at least 2 are needed")
    if not np.isfinite(values).all():
        return undefined("the score of an epoch is not finite")
    if ceiling <= chance:
        return undefined(f"the ceiling {ceiling:g} is not above chance {chance:g}: there is no scale to converge on")
    # Scores of six digits: what is meant to lie on the border must not fall outside it by a last bit.
    away = np.abs(values - values.max()) > BAND * (ceiling - chance) + 1e-12
    if away[-1]:
        return undefined(f"not converged: the last of {len(values)} epochs is still away from the best")
    last_away = int(np.flatnonzero(away)[-1]) + 1 if away.any() else 0
    return Score(value=float(last_away + 1))


def stability(scores: ArrayLike) -> Score:
    """``1 − sd / |mean|`` of the last half of the epochs, the sd being around a straight line: 1 is perfectly steady.

    The line takes two degrees of freedom, so the half (rounded up) needs three epochs, hence the curve five.

    Args:
        scores: float[epochs], validation score after each epoch.
    """
    values = np.asarray(scores, np.float64)
    half = values[len(values) // 2 :]
    if len(half) < 3:
        return undefined(
            f"{len(values)} epochs are too few: a line through the last half leaves nothing to vary; 5 needed"
        )
    if not np.isfinite(half).all():
        return undefined("the score of an epoch is not finite")
    if (mean := float(half.mean())) == 0:
        return undefined("the mean score is 0; a share of it is nothing")
    time = np.arange(len(half)) - (len(half) - 1) / 2
    left = half - mean - time * (time @ half) / (time @ time)
    return Score(value=1 - float(np.sqrt(left @ left / (len(half) - 2))) / abs(mean))


def rows_needed(curve: Learning, score: float) -> Score:
    """Fewest training rows with which the curve reaches a score: isotonic, straight between sizes in log rows.

    Where the first size already reaches it, the answer is that many rows or fewer; where none does, more than the last.
    """
    sizes, fitted = curve.rising()
    if score <= fitted[0]:
        if score == fitted[0]:
            return Score(value=exp(sizes[0]))
        return undefined("beyond the curve: reached before its first size", at_most=exp(sizes[0]))
    if score > fitted[-1]:
        return undefined("beyond the curve: not reached at its last size", at_least=exp(sizes[-1]))
    right = int(np.searchsorted(fitted, score))
    share = (score - fitted[right - 1]) / (fitted[right] - fitted[right - 1])
    return Score(value=exp(sizes[right - 1] + share * (sizes[right] - sizes[right - 1])))


def data_efficiency(scratch: Learning, transfer: Learning, score: float) -> Score:
    """Training rows from nothing over training rows from the donor for the same score: 2 where half the data do.

    At `scratch.top()`: how many rows, with the donor's help, replace all of the target's? Where a curve ends before the
    score, the answer is a bound; where both do on the same side, not even that.

    Args:
        scratch: curve from nothing.
        transfer: curve from the donor.
        score: at which both are compared.
    """
    alone, helped = rows_needed(scratch, score), rows_needed(transfer, score)
    if alone.value is not None and helped.value is not None:
        return Score(value=alone.value / helped.value)
    named = (("scratch", alone), ("transfer", helped))
    return undefined(
        "; ".join(f"{name} {each.reason}" for name, each in named if each.reason),
        at_least=_over(alone.value or alone.at_least, helped.value or helped.at_most),
        at_most=_over(alone.value or alone.at_most, helped.value or helped.at_least),
    )


def _over(part: float | None, whole: float | None) -> float | None:
    return None if part is None or whole is None else part / whole
