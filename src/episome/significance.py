"""Is one model better than another? Paired tests on rows, on calls and on seeds; knows no files and no models.

The paired cluster bootstrap is the test to report: rows of one homology group are not independent. DeLong and McNemar
take rows as independent, so on clustered rows they are too sure; they are cross-checks. The sign-flip test asks about
training runs rather than rows: would another seed say the same?
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest, norm, rankdata

from episome import metrics
from episome.gate import Scored
from episome.metrics import Draws, Floats
from episome.types import EpisomeError

MOST_SEEDS = 20
"""Two to this power are the sign patterns that are all looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """First model minus second, in one metric.

    Attributes:
        value: on the rows as they are.
        low: lower end of the percentile interval.
        high: upper end.
        p: two-sided; twice the smaller share of draws on the other side of 0, never below 2 / (draws + 1).
        draws: how many gave a difference; a draw that missed a class gives none.
    """

    value: float
    low: float
    high: float
    p: float
    draws: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeLong:
    """Two AUROCs on the same rows.

    Attributes:
        first: AUROC of the first model.
        second: of the second.
        covariance: float64[2, 2] of the two.
        z: difference over its standard error; None where the two differ without any variance.
        p: two-sided; None where z is.
    """

    first: float
    second: float
    covariance: Floats
    z: float | None
    p: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class McNemar:
    """Rows that only one of two models gets right.

    Attributes:
        first_only: rows right by the first model alone.
        second_only: by the second alone.
        p: two-sided, exact binomial.
    """

    first_only: int
    second_only: int
    p: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SignFlip:
    """Mean difference over seeds against all flips of its signs.

    Attributes:
        mean: of the differences.
        p: two-sided share of sign patterns whose mean is at least as far from 0.
        smallest: p that these seeds could give at best, 2 / 2^n: 0.25 of three, 0.0625 of five, 0.03125 of six.
    """

    mean: float
    p: float
    smallest: float


def differences(
    labels: ArrayLike,
    groups: Sequence[str] | ArrayLike,
    first: Scored,
    second: Scored,
    *,
    bootstrap: int,
    confidence: float,
    seed: int,
) -> dict[str, Difference]:
    """First minus second in ``mcc``, ``balanced_accuracy``, ``auroc`` and ``auprc``, on the same draws of groups.

    Args:
        labels: 0 or 1, one per row.
        groups: homology cluster of each row; whole clusters are drawn (Field & Welsh 2007).
        first: probabilities and threshold of one model on these rows.
        second: of the other, in the same order of rows.
        bootstrap: number of draws.
        confidence: two-sided coverage of the intervals.
        seed: of the draws.

    Raises:
        EpisomeError: lengths differ, a class has no row, or no draw has both classes.
    """
    labels = np.asarray(labels)
    lengths = [len(labels), len(np.asarray(groups)), len(first.probabilities), len(second.probabilities)]
    if len(set(lengths)) > 1:
        raise EpisomeError(f"labels, groups and two models of {lengths} rows; wanted the same rows of all")
    drawn = metrics.draws(groups, bootstrap, seed)
    (ours, ours_drawn), (theirs, theirs_drawn) = (_scores(labels, model, drawn) for model in (first, second))
    return {
        name: from_draws(name, ours[name] - theirs[name], ours_drawn[name] - theirs_drawn[name], confidence)
        for name in ours
    }


def _scores(labels: NDArray[np.int_], model: Scored, drawn: Draws) -> tuple[dict[str, float], dict[str, Floats]]:
    """Metric → value on the rows, and metric → float64[draws]."""
    named: dict[str, Callable[[ArrayLike, ArrayLike, float], float]] = {
        "mcc": metrics.mcc,
        "balanced_accuracy": metrics.balanced_accuracy,
    }
    values = {name: score(labels, model.probabilities, model.threshold) for name, score in named.items()}
    values |= {name: score(labels, model.probabilities) for name, score in _AREAS.items()}
    tp, fp, fn, tn = counts = metrics.count_draws(labels, model.calls(), drawn)
    balanced = (metrics.recall_of_counts(tp, fn) + metrics.recall_of_counts(tn, fp)) / 2
    areas = dict(zip(_AREAS, metrics.area_draws(labels, model.probabilities, drawn), strict=True))
    return values, {"mcc": metrics.mcc_of_counts(*counts), "balanced_accuracy": balanced} | areas


_AREAS: dict[str, Callable[[ArrayLike, ArrayLike], float]] = {"auroc": metrics.auroc, "auprc": metrics.auprc}


def from_draws(name: str, value: float, resampled: Floats, confidence: float) -> Difference:
    """A difference with its interval and p from draws of groups.

    Args:
        name: of the metric, for the message.
        value: on the rows as they are.
        resampled: on each draw; NaN where a draw missed a class.
        confidence: two-sided coverage of the interval.

    Raises:
        EpisomeError: no draw gave a difference.
    """
    usable = resampled[np.isfinite(resampled)]
    if not len(usable):
        raise EpisomeError(f"{name}: none of {len(resampled)} draws of groups has both classes; too few groups to tell")
    low, high = np.quantile(usable, [(1 - confidence) / 2, (1 + confidence) / 2])
    tail = min((usable <= 0).sum(), (usable >= 0).sum())
    p = min(1.0, 2 * (int(tail) + 1) / (len(usable) + 1))
    return Difference(value=value, low=float(low), high=float(high), p=p, draws=len(usable))


def delong(labels: ArrayLike, first: ArrayLike, second: ArrayLike) -> DeLong:
    """Test of two correlated AUROCs (DeLong, DeLong & Clarke-Pearson 1988; by midranks, Sun & Xu 2014).

    Args:
        labels: 0 or 1, one per row; rows count as independent.
        first: scores of one model, higher means more like a positive.
        second: of the other, on the same rows.

    Raises:
        EpisomeError: lengths differ, or a class has fewer than two rows, which leaves no variance to estimate.
    """
    positive = np.asarray(labels) == 1
    scores = [np.asarray(first, np.float64), np.asarray(second, np.float64)]
    if any(len(each) != len(positive) for each in scores):
        raise EpisomeError(f"{len(positive)} labels and scores of {[len(each) for each in scores]} rows; wanted equal")
    m, n = int(positive.sum()), int((~positive).sum())
    if min(m, n) < 2:
        raise EpisomeError(f"{m} positive and {n} negative rows; DeLong's variance needs two of each")
    # Midranks among all less those within the class: how many of the other class each row outranks.
    above = [(rankdata(each[positive]), rankdata(each[~positive]), rankdata(each)) for each in scores]
    won = np.stack([(ranks[positive] - own) / n for own, _, ranks in above])
    lost = np.stack([1 - (ranks[~positive] - own) / m for _, own, ranks in above])
    covariance = np.cov(won) / m + np.cov(lost) / n
    areas = won.mean(axis=1)
    difference = float(areas[0] - areas[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    z, p = _normal_test(difference, variance)
    return DeLong(first=float(areas[0]), second=float(areas[1]), covariance=covariance, z=z, p=p)


def _normal_test(difference: float, variance: float) -> tuple[float | None, float | None]:
    """Standard score and two-sided p; rounding leaves a variance of some 1e-17 where there is none."""
    if variance > 1e-14:
        z = difference / sqrt(variance)
        return z, float(2 * norm.sf(abs(z)))
    return (0.0, 1.0) if abs(difference) < 1e-12 else (None, None)


def mcnemar(labels: ArrayLike, first: ArrayLike, second: ArrayLike) -> McNemar:
    """Exact test of two models' calls (McNemar 1947): of the rows that one alone gets right, half would be each one's.

    Args:
        labels: 0 or 1, one per row; rows count as independent.
        first: boolean calls of one model.
        second: of the other, on the same rows.

    Raises:
        EpisomeError: lengths differ.
    """
    truth, ours, theirs = np.asarray(labels) == 1, np.asarray(first, bool), np.asarray(second, bool)
    if len({len(truth), len(ours), len(theirs)}) > 1:
        raise EpisomeError(f"{len(truth)} labels and calls of {[len(ours), len(theirs)]} rows; wanted equal")
    b, c = int(((ours == truth) & (theirs != truth)).sum()), int(((ours != truth) & (theirs == truth)).sum())
    p = float(binomtest(b, b + c, 0.5).pvalue) if b + c else 1.0
    return McNemar(first_only=b, second_only=c, p=p)


def holm(p_values: ArrayLike) -> Floats:
    """P-values of a family of tests, adjusted so that none is wrong with the chance taken for one (Holm 1979).

    Raises:
        EpisomeError: a value is not between 0 and 1.
    """
    values = np.asarray(p_values, np.float64)
    if wrong := [value for value in values.tolist() if not 0 <= value <= 1]:
        raise EpisomeError(f"p-values of {wrong}; wanted numbers between 0 and 1")
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted


def sign_flip(differences_by_seed: ArrayLike) -> SignFlip:
    """Exact test of a mean difference over seeds: if neither model is better, each sign is as likely as its opposite.

    Args:
        differences_by_seed: first minus second, one per seed trained alike (Fisher 1935's test).

    Raises:
        EpisomeError: no seed, or more than 20, whose sign patterns are not all looked at.
    """
    values = np.asarray(differences_by_seed, np.float64)
    if not 1 <= len(values) <= MOST_SEEDS:
        raise EpisomeError(f"{len(values)} seeds; the exact test wants 1 to {MOST_SEEDS}")
    sums = np.zeros(1)
    for value in values:
        sums = np.r_[sums + value, sums - value]
    # Sums in another order differ in their last bits; equal means must count as equal.
    slack = 1e-12 * np.abs(values).sum()
    p = float((np.abs(sums) >= abs(values.sum()) - slack).mean())
    return SignFlip(mean=float(values.mean()), p=p, smallest=2.0 ** (1 - len(values)))
