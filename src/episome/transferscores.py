"""What a transfer was worth: loss, efficiency, retention, specificity of a species pair; knows no files and no models.

Letters, for one target species t and one donor s, all in one metric where more is better: c the score of chance (AUROC
0.5, MCC 0), Z[s, t] the donor's adapter as it is, M[s, t] adapted, U[t] the ceiling, best of training from nothing and
of all M of that target. A score that the numbers do not define says why instead of being a number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import isotonic_regression

from episome.types import EpisomeError

Pair = tuple[str, str]
"""Donor and target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A number, or why there is none.

    Attributes:
        value: None where the inputs do not define it.
        reason: why there is no value; empty where there is one.
        at_least: where the data end before the answer: it is this or more.
        at_most: likewise: it is this or less.
    """

    value: float | None
    reason: str = ""
    at_least: float | None = None
    at_most: float | None = None

    def __post_init__(self) -> None:
        """Refuse a score that is both a number and a reason why there is none, or neither."""
        if (self.value is None) != bool(self.reason):
            raise EpisomeError(f"a score of {self.value} with the reason {self.reason!r}; wanted one of the two")


def undefined(reason: str, *, at_least: float | None = None, at_most: float | None = None) -> Score:
    """No number, for that reason."""
    return Score(value=None, reason=reason, at_least=at_least, at_most=at_most)


def performance_loss(adapted: float, ceiling: float, chance: float) -> Score:
    """``(U − M) / (U − c)``: 0 nothing lost, 1 all skill lost, below 0 better than the ceiling."""
    return _shares(ceiling - adapted, ceiling, chance)


def efficiency(adapted: float, ceiling: float, chance: float) -> Score:
    """Transfer efficiency ``(M − c) / (U − c)``: 1 at the ceiling, 0 at chance; 1 less the performance loss."""
    return _shares(adapted - chance, ceiling, chance)


def adjusted_efficiency(efficiencies: Mapping[Pair, Score], distances: Mapping[Pair, float]) -> dict[Pair, Score]:
    """Each pair's efficiency less what the other pairs lead one to expect at its distance.

    The expectation is a falling isotonic fit over distance of all pairs but this one (Barlow et al. 1972), drawn
    straight between its points and flat outside them; pairs of one distance count as their mean.

    Args:
        efficiencies: of every pair; undefined ones teach nothing and stay undefined.
        distances: of every pair.

    Raises:
        EpisomeError: a pair has no distance.
    """
    if missing := [pair for pair in efficiencies if pair not in distances]:
        raise EpisomeError(f"no distance of {missing}; wanted one of every pair with an efficiency")
    answer = {}
    for pair, own in efficiencies.items():
        others = [(distances[p], s.value) for p, s in efficiencies.items() if p != pair and s.value is not None]
        if own.value is None:
            answer[pair] = own
        elif len({distance for distance, _ in others}) < 2:
            answer[pair] = undefined(
                f"{len(others)} other pairs lie at fewer than 2 distances; no trend to compare with"
            )
        else:
            fitted = isotonic([d for d, _ in others], [te for _, te in others], increasing=False)
            answer[pair] = Score(value=own.value - float(np.interp(distances[pair], *fitted)))
    return answer


def isotonic(x: ArrayLike, y: ArrayLike, *, increasing: bool) -> tuple[np.ndarray, np.ndarray]:
    """Least-squares monotone fit: distinct x in rising order and the fitted y, rows of one x as their mean."""
    places, codes, counts = np.unique(np.asarray(x, np.float64), return_inverse=True, return_counts=True)
    means = np.bincount(codes, weights=np.asarray(y, np.float64)) / counts
    return places, np.asarray(isotonic_regression(means, weights=counts, increasing=increasing).x)


def retention(scores: ArrayLike, chance: float | Sequence[float]) -> Score:
    """Knowledge retention: mean over the earlier stages j of ``(R[T−1, j] − c) / (R[j, j] − c)``, not clipped.

    Above 1 where later training helped the earlier stages. The last stage had no time to be forgotten and is left out.

    Args:
        scores: float[T, T], R[i, j] the test score on task j after training stage i; upper triangle not looked at.
        chance: of all tasks, or one per task.

    Raises:
        EpisomeError: the scores are not square, or chance is neither one number nor one per task.
    """
    table, c = np.asarray(scores, np.float64), np.asarray(chance, np.float64)
    if table.ndim != 2 or table.shape[0] != table.shape[1] or c.shape not in {(), (len(table),)}:
        raise EpisomeError(f"scores {table.shape} with chance {c.shape}; wanted [T, T] with one number or T of them")
    if len(table) < 2:
        return undefined(f"{len(table)} training stage; retention needs a later one")
    learned, kept = (np.diagonal(table) - c)[:-1], (table[-1] - c)[:-1]
    if not np.isfinite(np.r_[learned, kept]).all():
        return undefined("a score is missing of a stage when trained or of a stage at the end")
    if len(unlearned := np.flatnonzero(learned <= 0)):
        return undefined(f"stage {', '.join(map(str, unlearned))} was never better than chance; nothing to retain")
    return Score(value=float(np.mean(kept / learned)))


def specificity(adapted: Mapping[str, float], zero_shot: Mapping[Pair, float]) -> dict[str, Score]:
    """Species specificity of each target: ``M[t, t] − mean over s ≠ t of Z[s, t]``, above 0 where its own adapter pays.

    Args:
        adapted: target → score of the adapter trained on it.
        zero_shot: (donor, target) → score of the donor's adapter as it is.
    """
    answer = {}
    for target, own in adapted.items():
        foreign = [score for (donor, tested), score in zero_shot.items() if tested == target and donor != target]
        if foreign:
            answer[target] = Score(value=own - float(np.mean(foreign)))
        else:
            answer[target] = undefined(f"no other species' adapter was tested on {target}")
    return answer


def ceiling(scores: Sequence[float]) -> float:
    """U of one target: the best of training from nothing and of all adapted donors.

    Raises:
        EpisomeError: no score.
    """
    if not scores:
        raise EpisomeError("no score; a ceiling is the best of one at least")
    return max(scores)


def _shares(part: float, ceiling: float, chance: float) -> Score:
    if not np.isfinite([part, ceiling, chance]).all():
        return undefined(f"a score is not finite: ceiling {ceiling}, chance {chance}, part {part}")
    if ceiling <= chance:
        return undefined(f"the ceiling {ceiling:g} is not above chance {chance:g}: no model has any skill to share")
    return Score(value=part / (ceiling - chance))
