"""The permutation test over species against brute force."""

from itertools import permutations
from math import factorial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from episome.mantel import mantel
from episome.transferscores import Pair
from episome.types import EpisomeError

ANIMALS = ("fly", "human", "mouse", "zebrafish")
# Ultrametric, as times are: human and mouse are equally far from the other two.
TIMES = {("human", "mouse"): 0.22, ("human", "zebrafish"): 1.07, ("mouse", "zebrafish"): 1.07} | {
    (animal, "fly"): 1.72 for animal in ("human", "mouse", "zebrafish")
}
PAIRS = [(donor, target) for donor in ANIMALS for target in ANIMALS if donor != target]


def apart(distances: dict[Pair, float], one: str, other: str) -> float:
    return distances[one, other] if (one, other) in distances else distances[other, one]


def brute_force(distances: dict[Pair, float], performance: dict[Pair, float]) -> tuple[float, float, float]:
    """rho, two-sided p and falling p by renaming the species of the distances in every way."""
    names = sorted({name for pair in performance for name in pair})
    found = []
    for renamed in permutations(names):
        new = dict(zip(names, renamed, strict=True))
        moved = [apart(distances, new[s], new[t]) for s, t in performance]
        found.append(spearmanr(moved, list(performance.values())).statistic)
    rho = found[0]
    return rho, np.mean(np.abs(found) >= abs(rho) - 1e-9), np.mean(np.array(found) <= rho + 1e-9)


def uneven(seed: int, names: tuple[str, ...] = ANIMALS) -> dict[Pair, float]:
    """Distances that all differ, a pair named in one order only."""
    random = np.random.default_rng(seed)
    return {(one, other): random.random() for i, one in enumerate(names) for other in names[:i]}


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 20), min_size=12, max_size=12).filter(lambda x: len(set(x)) > 1), st.booleans())
def test_four_species_are_relabelled_in_all_24_ways(scores: list[int], ultrametric: bool) -> None:
    distances = TIMES if ultrametric else uneven(0)
    performance = dict(zip(PAIRS, [float(score) for score in scores], strict=True))
    found = mantel(distances, performance, permutations=24, seed=0)
    assert found.exact
    assert (found.relabellings, found.species, found.pairs) == (24, 4, 12)
    assert (found.rho, found.p, found.p_falling) == pytest.approx(brute_force(distances, performance))
    assert found.p is not None
    assert found.p_falling is not None
    assert min(found.p, found.p_falling) >= found.smallest


def test_the_smallest_p_counts_species_that_are_alike_in_distance() -> None:
    falling = {(s, t): -apart(TIMES, s, t) for s, t in PAIRS}
    found = mantel(TIMES, falling, permutations=1000, seed=0)
    # Swapping human and mouse changes no distance: 2 of 24, so four species of such a tree never reach 0.05.
    assert found.rho == pytest.approx(-1)
    assert found.p_falling == found.smallest == pytest.approx(2 / 24)
    other = uneven(3)
    steep = {(s, t): -apart(other, s, t) for s, t in PAIRS}
    sharp = mantel(other, steep, permutations=1000, seed=0)
    assert sharp.p_falling == sharp.smallest == pytest.approx(1 / 24)


def test_missing_pairs_are_left_out() -> None:
    random = np.random.default_rng(5)
    performance = {pair: random.random() for pair in PAIRS if pair not in {("human", "fly"), ("mouse", "human")}}
    found = mantel(uneven(1), performance, permutations=24, seed=0)
    assert found.pairs == 10
    assert (found.rho, found.p, found.p_falling) == pytest.approx(brute_force(uneven(1), performance))


def test_the_range_without_one_species_is_that_of_the_smaller_tables() -> None:
    random = np.random.default_rng(6)
    performance = {pair: random.random() for pair in PAIRS}
    found = mantel(uneven(2), performance, permutations=24, seed=0)
    smaller = [
        spearmanr(
            [apart(uneven(2), *pair) for pair in PAIRS if gone not in pair],
            [performance[pair] for pair in PAIRS if gone not in pair],
        ).statistic
        for gone in ANIMALS
    ]
    assert found.without_one == pytest.approx((min(smaller), max(smaller)))


def test_three_species_leave_one_pair_and_no_range() -> None:
    distances = {("a", "b"): 0.1, ("a", "c"): 0.2, ("b", "c"): 0.3}
    found = mantel(distances, {pair: -d for pair, d in distances.items()}, permutations=6, seed=0)
    assert found.without_one is None
    assert found.p_falling == pytest.approx(1 / 6)


def test_random_relabellings_of_many_species_agree_with_all_of_them() -> None:
    names = tuple("abcdef")
    random = np.random.default_rng(7)
    distances = uneven(4, names)
    performance = {(s, t): -apart(distances, s, t) + random.normal(0, 0.7) for s in names for t in names if s != t}
    whole = mantel(distances, performance, permutations=factorial(6), seed=0)
    drawn = mantel(distances, performance, permutations=500, seed=0)
    assert (whole.exact, whole.relabellings, drawn.exact, drawn.relabellings) == (True, 720, False, 501)
    assert drawn.rho == whole.rho
    assert drawn.p == pytest.approx(whole.p, abs=0.06)
    assert drawn.p is not None
    assert drawn.p >= drawn.smallest >= 1 / 501
    assert drawn == mantel(distances, performance, permutations=500, seed=0)


@pytest.mark.parametrize(
    ("performance", "reason"),
    [
        ({}, "0 species"),
        ({("human", "mouse"): 0.5, ("mouse", "human"): 0.6}, "2 species; relabelling tells something from 3 on"),
        (dict.fromkeys(PAIRS, 0.5), "all 12 pairs have one performance"),
    ],
)
def test_without_a_correlation_there_is_a_reason(performance: dict[Pair, float], reason: str) -> None:
    found = mantel(TIMES, performance, permutations=24, seed=0)
    assert (found.rho, found.p, found.p_falling, found.without_one) == (None, None, None, None)
    assert reason in found.reason


def test_equal_distances_have_no_correlation() -> None:
    found = mantel(dict.fromkeys(TIMES, 1.0), {pair: float(i) for i, pair in enumerate(PAIRS)}, permutations=24, seed=0)
    assert found.reason == "all 12 pairs have one distance; nothing varies"
    assert found.smallest == 1


@pytest.mark.parametrize(
    ("performance", "message"),
    [
        ({("human", "yeti"): 0.5}, "distance of yeti and human: None"),
        ({("human", "human"): 0.5, ("human", "mouse"): 0.5}, "performance of human on human"),
        ({("human", "mouse"): float("nan")}, "performance of human on mouse: nan"),
    ],
)
def test_pairs_that_cannot_be_placed_are_refused(performance: dict[Pair, float], message: str) -> None:
    with pytest.raises(EpisomeError, match=message):
        mantel(TIMES, performance, permutations=24, seed=0)
