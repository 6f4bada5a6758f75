"""Scores of yes/no predictions with cluster-bootstrap intervals; numpy only.

Rows of one homology group are not independent, so whole groups are drawn with replacement (Field & Welsh 2007) and
every metric is recomputed on each draw from row weights: no Python loop over draws. Percentile intervals.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import erf, exp, pi, sqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from episome.types import EpisomeError

Floats = NDArray[np.float64]
Weights = NDArray[np.float32]

_CELLS = 4_000_000
"""Draws × rows held in memory at once (16 MB a matrix)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """Bootstrap draws over groups; the same draws serve two models, which makes their difference paired.

    Attributes:
        counts: float32[draws, groups], how often each group was drawn.
        codes: int64[rows], the group of each row.
    """

    counts: Weights
    codes: NDArray[np.int64]

    def weights(self) -> Iterator[Weights]:
        """Row weights float32[part, rows] of consecutive parts of the draws, of bounded size."""
        step = max(1, _CELLS // max(1, len(self.codes)))
        for start in range(0, len(self.counts), step):
            yield self.counts[start : start + step][:, self.codes]


def draws(groups: Sequence[str] | ArrayLike, bootstrap: int, seed: int) -> Draws:
    """Draw `bootstrap` times as many groups as there are, with replacement."""
    names, codes = np.unique(np.asarray(groups), return_inverse=True)
    size = len(names)
    picked = np.random.default_rng(seed).integers(size, size=(bootstrap, size))
    flat = (picked + size * np.arange(bootstrap)[:, None]).ravel()
    counts = np.bincount(flat, minlength=bootstrap * size).reshape(bootstrap, size)
    return Draws(counts=counts.astype(np.float32), codes=codes.astype(np.int64).ravel())


def mcc_of_counts(tp: ArrayLike, fp: ArrayLike, fn: ArrayLike, tn: ArrayLike) -> Floats:
    """Matthews correlation of confusion counts, elementwise; 0 where a margin is empty (as scikit-learn has it)."""
    tp, fp, fn, tn = (np.asarray(count, np.float64) for count in (tp, fp, fn, tn))
    margins = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return np.divide(tp * tn - fp * fn, np.sqrt(margins), out=np.zeros_like(margins), where=margins > 0)


def precision_of_counts(tp: ArrayLike, fp: ArrayLike) -> Floats:
    """Share of the calls that are right, elementwise; 0 where nothing is called."""
    tp = np.asarray(tp, np.float64)
    called = tp + np.asarray(fp, np.float64)
    return np.divide(tp, called, out=np.zeros_like(called), where=called > 0)


def recall_of_counts(tp: ArrayLike, fn: ArrayLike) -> Floats:
    """Share of the positives that are called, elementwise; NaN where there is no positive."""
    tp = np.asarray(tp, np.float64)
    positives = tp + np.asarray(fn, np.float64)
    return np.divide(tp, positives, out=np.full_like(positives, np.nan), where=positives > 0)


def precision_at(positives: float, negatives: float, tpr: float, fpr: float) -> float:
    """Precision of a test with the given true and false positive rates where that many of each class are scanned."""
    return positives * tpr / (positives * tpr + negatives * fpr)


def mcc(labels: ArrayLike, probabilities: ArrayLike, threshold: float) -> float:
    """Matthews correlation when a row is called at ``probability >= threshold``."""
    return float(mcc_of_counts(*_confusion(np.asarray(labels), np.asarray(probabilities) >= threshold)))


def auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC curve; ties count one half.

    Raises:
        EpisomeError: a class has no row.
    """
    return float(_areas(_Ranked(np.asarray(labels), np.asarray(scores)))[0][0])


def auprc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Average precision: precision weighted by recall steps, no interpolation.

    Raises:
        EpisomeError: a class has no row.
    """
    return float(_areas(_Ranked(np.asarray(labels), np.asarray(scores)))[1][0])


def f1(labels: ArrayLike, probabilities: ArrayLike, threshold: float) -> float:
    """Harmonic mean of precision and recall; 0 where nothing is called."""
    tp, fp, fn, _ = _confusion(np.asarray(labels), np.asarray(probabilities) >= threshold)
    return float(2 * tp / (2 * tp + fp + fn)) if tp else 0.0


def precision(labels: ArrayLike, probabilities: ArrayLike, threshold: float) -> float:
    """Share of the rows called at ``probability >= threshold`` that are positive; 0 where nothing is called."""
    tp, fp, _, _ = _confusion(np.asarray(labels), np.asarray(probabilities) >= threshold)
    return float(precision_of_counts(tp, fp))


def recall(labels: ArrayLike, probabilities: ArrayLike, threshold: float) -> float:
    """Share of the positive rows called at ``probability >= threshold``.

    Raises:
        EpisomeError: there is no positive row.
    """
    tp, _, fn, _ = _confusion(np.asarray(labels), np.asarray(probabilities) >= threshold)
    if not tp + fn:
        raise EpisomeError(f"0 positive rows of {len(np.asarray(labels))}; recall needs one at least")
    return float(recall_of_counts(tp, fn))


def balanced_accuracy(labels: ArrayLike, probabilities: ArrayLike, threshold: float) -> float:
    """Mean of the recall of both classes (Brodersen et al. 2010): 0.5 for an answer that ignores the sequence.

    Raises:
        EpisomeError: a class has no row.
    """
    tp, fp, fn, tn = _confusion(np.asarray(labels), np.asarray(probabilities) >= threshold)
    if not (tp + fn and tn + fp):
        raise EpisomeError(f"{tp + fn} positive rows of {tp + fp + fn + tn}; balanced accuracy needs both classes")
    return float((recall_of_counts(tp, fn) + recall_of_counts(tn, fp)) / 2)


def brier(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean squared difference between probability and label."""
    return float(np.mean((np.asarray(probabilities, np.float64) - np.asarray(labels)) ** 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """What was said against what was so, by bins of rising probability; bins are of equal numbers of rows.

    Rows of equal probability share a bin, so the order of the rows decides nothing; many ties give fewer bins.

    Attributes:
        rows: int64[bins], rows of each bin, all above 0.
        predicted: float64[bins], mean probability.
        observed: float64[bins], share of positives.
    """

    rows: NDArray[np.int64]
    predicted: Floats
    observed: Floats

    def ece(self) -> float:
        """Expected calibration error (Nixon et al. 2019): mean distance of observed from predicted, by rows."""
        return float(self.rows @ np.abs(self.observed - self.predicted) / self.rows.sum())

    def ece_debiased(self) -> float | None:
        """The error less what bins of that size show of a perfect model; None where a bin has a single row.

        `2 ece - E[ece of redrawn bins]`, a bin's observed share being redrawn from the normal law around itself with
        variance `observed (1 - observed) / rows` (Kumar, Liang & Ma 2019, Verified Uncertainty Calibration, appendix
        on the L1 error); the expectation is the folded normal's mean, so nothing is sampled. May be below 0.
        """
        if self.rows.min() < 2:
            return None
        spread = np.sqrt(self.observed * (1 - self.observed) / self.rows)
        gaps = np.abs(self.observed - self.predicted)
        redrawn = [_folded(float(gap), float(sd)) for gap, sd in zip(gaps, spread, strict=True)]
        return 2 * self.ece() - float(self.rows @ np.array(redrawn) / self.rows.sum())

    def table(self) -> list[dict[str, float]]:
        """One record a bin, six digits: ``n``, ``predicted``, ``observed``."""
        columns = zip(self.rows.tolist(), self.predicted.tolist(), self.observed.tolist(), strict=True)
        return [{"n": n, "predicted": _round(said), "observed": _round(was)} for n, said, was in columns]


def reliability(labels: ArrayLike, probabilities: ArrayLike, bins: int = 15) -> Reliability:
    """Predicted and observed shares of at most `bins` bins of equal numbers of rows, ties kept together.

    Raises:
        EpisomeError: there is no row.
    """
    values, codes, counts = np.unique(np.asarray(probabilities, np.float64), return_inverse=True, return_counts=True)
    if not len(codes):
        raise EpisomeError("no row; reliability needs one at least")
    # A block of ties goes where its middle row falls. In halves of a row, to stay in whole numbers.
    doubled = 2 * np.cumsum(counts) - counts
    bin_of = (doubled * bins // (2 * len(codes)))[codes]
    _, bin_of = np.unique(bin_of, return_inverse=True)
    rows = np.bincount(bin_of)
    return Reliability(
        rows=rows.astype(np.int64),
        predicted=np.bincount(bin_of, weights=values[codes]) / rows,
        observed=np.bincount(bin_of, weights=np.asarray(labels) == 1) / rows,
    )


def ece(labels: ArrayLike, probabilities: ArrayLike, bins: int = 15) -> float:
    """Expected calibration error over bins of equal numbers of rows (Nixon et al. 2019); biased upwards."""
    return reliability(labels, probabilities, bins).ece()


def count_draws(labels: ArrayLike, called: ArrayLike, drawn: Draws) -> Floats:
    """True positives, false positives, false negatives and true negatives, float64[4, draws], of calls on each draw."""
    positive, calls = np.asarray(labels) == 1, np.asarray(called, bool)
    cells = np.stack([positive & calls, ~positive & calls, positive & ~calls, ~positive & ~calls], axis=1)
    per_group = np.zeros((drawn.counts.shape[1], 4))
    np.add.at(per_group, drawn.codes, cells)
    return (drawn.counts.astype(np.float64) @ per_group).T


def mcc_draws(labels: ArrayLike, called: ArrayLike, drawn: Draws) -> Floats:
    """Matthews correlation float64[draws] of boolean calls on each draw."""
    return mcc_of_counts(*count_draws(labels, called, drawn))


def area_draws(labels: ArrayLike, scores: ArrayLike, drawn: Draws) -> tuple[Floats, Floats]:
    """AUROC and AUPRC float64[draws]; NaN on a draw that missed a class."""
    ranked = _Ranked(np.asarray(labels), np.asarray(scores))
    parts = [_areas(ranked, weights) for weights in drawn.weights()]
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def evaluate(
    labels: ArrayLike,
    probabilities: ArrayLike,
    groups: Sequence[str] | ArrayLike,
    *,
    threshold: float,
    bootstrap: int,
    confidence: float,
    seed: int,
) -> dict[str, Any]:
    """All scores of one task on one split.

    Args:
        labels: 0 or 1, one per row.
        probabilities: calibrated probability of 1, one per row.
        groups: homology cluster of each row.
        threshold: a row is called at ``probability >= threshold``.
        bootstrap: number of draws.
        confidence: two-sided coverage of the intervals.
        seed: of the draws.

    Returns:
        ``n``, ``groups``, ``prevalence``; ``mcc``, ``balanced_accuracy``, ``precision``, ``recall``, ``auroc`` and
        ``auprc`` as ``{value, low, high}``; ``auprc_lift`` (AUPRC over prevalence, 1 for chance), ``f1``, ``brier``,
        ``ece``, ``ece_debiased`` (None where a bin has one row).

    Raises:
        EpisomeError: lengths differ, a class has no row, or a probability is not finite.
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, np.float64)
    counts = {len(labels), len(probabilities), len(np.asarray(groups))}
    if len(counts) > 1:
        raise EpisomeError(f"labels, probabilities and groups of {sorted(counts)} rows; wanted one of each per row")
    if wrong := int((~np.isfinite(probabilities)).sum()):
        raise EpisomeError(f"{wrong} of {len(probabilities)} probabilities are not finite; the model diverged")
    drawn = draws(groups, bootstrap, seed)
    tp, fp, fn, tn = counts_drawn = count_draws(labels, probabilities >= threshold, drawn)
    areas, area = area_draws(labels, probabilities, drawn), auprc(labels, probabilities)
    balanced = (recall_of_counts(tp, fn) + recall_of_counts(tn, fp)) / 2
    bins, prevalence = reliability(labels, probabilities), float(np.mean(labels == 1))
    debiased = bins.ece_debiased()
    return {
        "n": len(labels),
        "groups": int(drawn.counts.shape[1]),
        "prevalence": _round(prevalence),
        "mcc": _interval(mcc(labels, probabilities, threshold), mcc_of_counts(*counts_drawn), confidence),
        "balanced_accuracy": _interval(balanced_accuracy(labels, probabilities, threshold), balanced, confidence),
        "precision": _interval(precision(labels, probabilities, threshold), precision_of_counts(tp, fp), confidence),
        "recall": _interval(recall(labels, probabilities, threshold), recall_of_counts(tp, fn), confidence),
        "auroc": _interval(auroc(labels, probabilities), areas[0], confidence),
        "auprc": _interval(area, areas[1], confidence),
        "auprc_lift": _round(area / prevalence),
        "f1": _round(f1(labels, probabilities, threshold)),
        "brier": _round(brier(labels, probabilities)),
        "ece": _round(bins.ece()),
        "ece_debiased": None if debiased is None else _round(debiased),
    }


class _Ranked:
    """Rows in falling order of score, cut into blocks of equal score."""

    __slots__ = ("order", "positive", "starts")

    def __init__(self, labels: NDArray[Any], scores: NDArray[Any]) -> None:
        positives = int((labels == 1).sum())
        if positives in {0, len(labels)}:
            raise EpisomeError(f"{positives} positive rows of {len(labels)}; ranking needs both classes")
        self.order = np.argsort(-scores, kind="stable")
        ranked = scores[self.order]
        self.starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
        self.positive = labels[self.order] == 1


def _areas(ranked: _Ranked, weights: Weights | None = None) -> tuple[Floats, Floats]:
    """AUROC and AUPRC, one per row of `weights` (float32[draws, rows]; None = every row once)."""
    sorted_weights = np.ones((1, len(ranked.order))) if weights is None else weights[:, ranked.order].astype(np.float64)
    positive = np.add.reduceat(sorted_weights * ranked.positive, ranked.starts, axis=1)
    negative = np.add.reduceat(sorted_weights * ~ranked.positive, ranked.starts, axis=1)
    tp, fp = np.cumsum(positive, axis=1), np.cumsum(negative, axis=1)
    pairs = tp[:, -1] * fp[:, -1]
    # A negative is outranked by every positive in a higher block, and by half of those in its own.
    won = (negative * (tp - positive / 2)).sum(axis=1)
    called = tp + fp
    steps = positive * np.divide(tp, called, out=np.zeros_like(tp), where=called > 0)
    usable = pairs > 0
    empty = np.full(len(pairs), np.nan)
    return (
        np.divide(won, pairs, out=empty.copy(), where=usable),
        np.divide(steps.sum(axis=1), tp[:, -1], out=empty, where=usable),
    )


def _confusion(labels: NDArray[Any], called: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """True positives, false positives, false negatives, true negatives."""
    positive = labels == 1
    return (
        int((positive & called).sum()),
        int((~positive & called).sum()),
        int((positive & ~called).sum()),
        int((~positive & ~called).sum()),
    )


def _folded(mean: float, sd: float) -> float:
    """Mean of ``|x|`` for x of the normal law (Leone, Nelson & Nottingham 1961)."""
    if sd == 0:
        return abs(mean)
    return sd * sqrt(2 / pi) * exp(-(mean**2) / (2 * sd**2)) + mean * erf(mean / (sd * sqrt(2)))


def _interval(value: float, resampled: Floats, confidence: float) -> dict[str, float]:
    low, high = np.nanquantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2])
    return {"value": _round(value), "low": _round(float(low)), "high": _round(float(high))}


def _round(value: float) -> float:
    """Six digits: beyond that a report shows noise."""
    return round(value, 6)
