"""Scores of a transfer: algebra, identities, scikit-learn's isotonic fit, and what has no answer."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from episome import transferscores as ts
from episome.transferscores import Score
from episome.types import EpisomeError

SKILL = st.floats(0.5, 1)


@pytest.mark.parametrize(("adapted", "loss"), [(0.9, 0.0), (0.5, 1.0), (0.8, 0.25), (0.95, -0.125), (0.4, 1.25)])
def test_loss_and_efficiency_of_known_scores(adapted: float, loss: float) -> None:
    assert ts.performance_loss(adapted, ceiling=0.9, chance=0.5).value == pytest.approx(loss)
    assert ts.efficiency(adapted, ceiling=0.9, chance=0.5).value == pytest.approx(1 - loss)


@given(SKILL, st.floats(0.51, 1), st.floats(0.1, 5), st.floats(-2, 2))
def test_loss_and_efficiency_make_one_on_any_scale(adapted: float, top: float, stretch: float, shift: float) -> None:
    loss, gained = ts.performance_loss(adapted, top, 0.5), ts.efficiency(adapted, top, 0.5)
    assert loss.value is not None
    assert gained.value is not None
    assert loss.value + gained.value == pytest.approx(1)
    moved = ts.efficiency(*(stretch * score + shift for score in (adapted, top, 0.5)))
    assert moved.value == pytest.approx(gained.value, abs=1e-6)


@pytest.mark.parametrize("score", [ts.performance_loss, ts.efficiency])
@pytest.mark.parametrize(
    ("ceiling", "reason"),
    [(0.5, "the ceiling 0.5 is not above chance 0.5"), (0.45, "not above"), (float("nan"), "not finite")],
)
def test_without_skill_to_share_there_is_no_number(
    score: Callable[[float, float, float], Score], ceiling: float, reason: str
) -> None:
    found = score(0.5, ceiling, 0.5)
    assert found.value is None
    assert reason in found.reason


@pytest.mark.parametrize(("value", "reason"), [(None, ""), (0.5, "unknown")])
def test_a_score_is_a_number_or_a_reason(value: float | None, reason: str) -> None:
    with pytest.raises(EpisomeError, match="wanted one of the two"):
        Score(value=value, reason=reason)


def four_species(seed: int) -> tuple[dict[ts.Pair, Score], dict[ts.Pair, float]]:
    """Twelve pairs of four species on a tree, efficiency falling with distance, with noise."""
    apart = {frozenset("hm"): 0.22, frozenset("hz"): 1.07, frozenset("mz"): 1.07} | {
        frozenset(pair): 1.72 for pair in ("hf", "mf", "zf")
    }
    distances = {(s, t): apart[frozenset((s, t))] for s in "hmzf" for t in "hmzf" if s != t}
    random = np.random.default_rng(seed)
    return {pair: Score(value=1 - d / 3 + random.normal(0, 0.2)) for pair, d in distances.items()}, distances


@pytest.mark.parametrize("seed", range(5))
def test_the_adjustment_is_scikit_learns_isotonic_fit_without_the_pair(seed: int) -> None:
    efficiencies, distances = four_species(seed)
    found = ts.adjusted_efficiency(efficiencies, distances)
    for pair, own in efficiencies.items():
        others = [other for other in efficiencies if other != pair]
        fit = IsotonicRegression(increasing=False, out_of_bounds="clip").fit(
            [distances[other] for other in others], [efficiencies[other].value for other in others]
        )
        expected = fit.predict([distances[pair]])[0]
        assert own.value is not None
        assert found[pair].value == pytest.approx(own.value - expected)


def test_efficiencies_on_a_falling_line_leave_nothing_within_it() -> None:
    distances = {("a", str(i)): i / 10 for i in range(6)}
    found = ts.adjusted_efficiency({pair: Score(value=1 - d / 2) for pair, d in distances.items()}, distances)
    assert [found["a", str(i)].value for i in range(1, 5)] == pytest.approx([0, 0, 0, 0])
    assert found["a", "0"].value == pytest.approx(0.05)


def test_undefined_efficiencies_stay_so_and_teach_nothing() -> None:
    efficiencies, distances = four_species(1)
    gap = next(iter(efficiencies))
    with_gap = efficiencies | {gap: ts.undefined("no skill")}
    without = {pair: score for pair, score in efficiencies.items() if pair != gap}
    found = ts.adjusted_efficiency(with_gap, distances)
    assert found.pop(gap) == ts.undefined("no skill")
    assert found == ts.adjusted_efficiency(without, distances)


def test_pairs_at_one_distance_show_no_trend() -> None:
    efficiencies = {("a", "b"): Score(value=0.5), ("b", "a"): Score(value=0.7), ("a", "c"): Score(value=0.2)}
    distances = {("a", "b"): 0.3, ("b", "a"): 0.3, ("a", "c"): 0.9}
    found = ts.adjusted_efficiency(efficiencies, distances)
    assert found["a", "c"].reason == "2 other pairs lie at fewer than 2 distances; no trend to compare with"
    assert found["a", "b"].value == pytest.approx(0.5 - 0.7)
    with pytest.raises(EpisomeError, match=r"no distance of \[\('a', 'c'\)\]"):
        ts.adjusted_efficiency(efficiencies, {("a", "b"): 0.3, ("b", "a"): 0.3})


def test_retention_is_the_mean_share_kept() -> None:
    # Two earlier stages: one kept half of its skill, the other gained a quarter.
    scores = [[0.9, 0.0, 0.0], [0.8, 0.7, 0.0], [0.7, 0.75, 0.8]]
    assert ts.retention(scores, 0.5).value == pytest.approx((0.5 + 1.25) / 2)
    assert ts.retention(scores, [0.5, 0.6, 0.5]).value == pytest.approx((0.5 + 1.5) / 2)


@given(st.lists(st.floats(0.6, 1), min_size=2, max_size=5))
def test_what_is_not_forgotten_is_retained(learned: list[float]) -> None:
    scores = np.tile(learned, (len(learned), 1))
    assert ts.retention(scores, 0.5).value == pytest.approx(1)
    scores[-1] = 0.5
    assert ts.retention(scores, 0.5).value == 0


@pytest.mark.parametrize(
    ("scores", "reason"),
    [
        ([[0.9]], "1 training stage; retention needs a later one"),
        ([[0.5, 0.0], [0.6, 0.9]], "stage 0 was never better than chance"),
        ([[0.9, 0.0], [np.nan, 0.9]], "a score is missing"),
    ],
)
def test_retention_without_an_answer(scores: list[list[float]], reason: str) -> None:
    found = ts.retention(scores, 0.5)
    assert found.value is None
    assert reason in found.reason


@pytest.mark.parametrize(("scores", "chance"), [([[0.9, 0.8]], 0.5), ([[0.9, 0], [0.8, 0.9]], [0.5])])
def test_retention_refuses_other_shapes(scores: list[list[float]], chance: float | list[float]) -> None:
    with pytest.raises(EpisomeError, match=r"wanted \[T, T\]"):
        ts.retention(scores, chance)


def test_specificity_is_the_own_adapter_less_the_mean_of_the_others() -> None:
    zero = {("a", "a"): 0.99, ("b", "a"): 0.6, ("c", "a"): 0.7, ("a", "b"): 0.8}
    found = ts.specificity({"a": 0.9, "b": 0.75, "c": 0.8}, zero)
    assert found["a"].value == pytest.approx(0.25)
    assert found["b"].value == pytest.approx(-0.05)
    assert found["c"] == ts.undefined("no other species' adapter was tested on c")


def test_the_ceiling_is_the_best_and_has_to_exist() -> None:
    assert ts.ceiling([0.7, 0.9, 0.8]) == 0.9
    with pytest.raises(EpisomeError, match="no score"):
        ts.ceiling([])
