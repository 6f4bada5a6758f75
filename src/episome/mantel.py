"""Does performance follow distance? Spearman's correlation over species pairs, tested by relabelling the species.

Pairs that share a species are not independent, so the usual p-value of a correlation is far too small; permuting whole
species keeps that dependence (Mantel 1967, Cancer Research 27:209).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import permutations as orders
from math import factorial

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from episome.metrics import Floats
from episome.transferscores import Pair
from episome.types import EpisomeError

_SLACK = 1e-12
"""Equal correlations differ in their last bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mantel:
    """Distance against performance over ordered pairs of species.

    Attributes:
        rho: Spearman's correlation; None where there is none.
        reason: why there is none.
        p: two-sided, share of relabellings with a correlation at least as strong.
        p_falling: one-sided, share with one at least as low: performance falls with distance.
        smallest: no p from these distances can be below it: relabellings that change no distance (two species equally
            far from all others) always count, and so does the one that changes nothing.
        exact: every relabelling was looked at.
        relabellings: how many were looked at, that which changes nothing among them.
        species: how many.
        pairs: how many have a performance.
        without_one: lowest and highest rho when one species is left out; None where that leaves none.
    """

    rho: float | None
    reason: str
    p: float | None
    p_falling: float | None
    smallest: float
    exact: bool
    relabellings: int
    species: int
    pairs: int
    without_one: tuple[float, float] | None


def mantel(
    distances: Mapping[Pair, float], performance: Mapping[Pair, float], *, permutations: int, seed: int
) -> Mantel:
    """Spearman's correlation of distance and performance, with a permutation test over species.

    Args:
        distances: of every two species that occur, in either order.
        performance: (donor, target) → score; pairs may be missing, and (a, b) may differ from (b, a).
        permutations: all relabellings are looked at where there are no more than these, else so many at random.
        seed: of the random ones.

    Raises:
        EpisomeError: two species have no distance, a number is not finite, or a pair is a species with itself.
    """
    names = sorted({name for pair in performance for name in pair})
    apart, done = _square(names, distances), _scores(names, performance)
    looked_at = list(_relabellings(len(names), permutations, seed))
    where = np.nonzero(np.isfinite(done))
    scores = done[where]
    shuffled = [apart[np.ix_(order, order)][where] for order in looked_at]
    smallest = float(np.mean([np.array_equal(each, shuffled[0]) for each in shuffled])) if len(scores) else 1.0
    outcome = partial(
        Mantel,
        smallest=smallest,
        exact=factorial(len(names)) <= permutations,
        relabellings=len(looked_at),
        species=len(names),
        pairs=len(scores),
    )
    if reason := _why_not(names, shuffled[0], scores):
        return outcome(rho=None, reason=reason, p=None, p_falling=None, without_one=None)
    found = np.array([_spearman(each, scores) or 0.0 for each in shuffled])
    rho = float(found[0])
    left_out = [_spearman(apart[kept], done[kept]) for kept in _without_each(done)]
    range_of = [each for each in left_out if each is not None]
    return outcome(
        rho=rho,
        reason="",
        p=float(np.mean(np.abs(found) >= abs(rho) - _SLACK)),
        p_falling=float(np.mean(found <= rho + _SLACK)),
        without_one=(min(range_of), max(range_of)) if range_of else None,
    )


def _relabellings(species: int, permutations: int, seed: int) -> Iterable[tuple[int, ...]]:
    """Orders of the species, the first as they are: it counts among the random ones too (Phipson & Smyth 2010)."""
    if factorial(species) <= permutations:
        yield from orders(range(species))
        return
    yield tuple(range(species))
    random = np.random.default_rng(seed)
    for _ in range(permutations):
        yield tuple(random.permutation(species).tolist())


def _square(names: list[str], distances: Mapping[Pair, float]) -> Floats:
    apart = np.zeros((len(names), len(names)))
    for i, one in enumerate(names):
        for j, other in enumerate(names[:i]):
            value = distances.get((one, other), distances.get((other, one)))
            if value is None or not np.isfinite(value):
                raise EpisomeError(f"distance of {one} and {other}: {value}; wanted a finite one of every two species")
            apart[i, j] = apart[j, i] = value
    return apart


def _scores(names: list[str], performance: Mapping[Pair, float]) -> Floats:
    """float64[species, species], donor by target; NaN where nothing was measured."""
    done = np.full((len(names), len(names)), np.nan)
    for (donor, target), score in performance.items():
        if donor == target or not np.isfinite(score):
            raise EpisomeError(f"performance of {donor} on {target}: {score}; wanted two species and a finite score")
        done[names.index(donor), names.index(target)] = score
    return done


def _why_not(names: list[str], apart: Floats, scores: Floats) -> str:
    if len(names) < 3:
        return f"{len(names)} species; relabelling tells something from 3 on"
    if np.ptp(apart) == 0 or np.ptp(scores) == 0:
        return f"all {len(scores)} pairs have one {'distance' if np.ptp(apart) == 0 else 'performance'}; nothing varies"
    return ""


def _without_each(done: Floats) -> Iterable[NDArray[np.bool_]]:
    """Pairs that are measured and do not touch one species, for each species in turn."""
    for species in range(len(done)):
        kept = np.isfinite(done)
        kept[species, :] = kept[:, species] = False
        yield kept


def _spearman(x: Floats, y: Floats) -> float | None:
    """Spearman's correlation, ties at their mean rank; None where a side does not vary."""
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    return float(np.corrcoef(rankdata(x), rankdata(y))[0, 1])
