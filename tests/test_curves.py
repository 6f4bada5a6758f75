"""Training and learning curves with known answers."""

from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from episome import curves
from episome.curves import Learning
from episome.types import EpisomeError

SIZES = (100, 200, 400, 800, 1600)


def line(gain: float, lift: float = 0.0) -> Learning:
    """A score that grows by `gain` with each doubling of the rows."""
    return Learning(rows=SIZES, scores=[0.6 + lift + gain * i for i in range(len(SIZES))])


@pytest.mark.parametrize(
    ("scores", "epoch"),
    [
        ([0.6, 0.8, 0.9, 0.9, 0.9], 3),
        ([0.9, 0.9, 0.9], 1),
        ([0.9, 0.7, 0.9, 0.899], 3),  # leaving again does not count
        ([0.6, 0.896, 0.9], 2),  # exactly one hundredth of 0.9 - 0.5 away
        ([0.6, 0.89, 0.9], 3),
        ([0.6, 0.9, 0.904, 0.902], 2),
    ],
)
def test_the_first_epoch_after_which_nothing_leaves_the_band(scores: list[float], epoch: int) -> None:
    assert curves.convergence_epoch(scores, ceiling=0.9, chance=0.5).value == epoch


@given(st.lists(st.integers(500, 1000), min_size=2, max_size=8))
def test_convergence_is_the_definition_word_for_word(thousandths: list[int]) -> None:
    scores = np.array(thousandths) / 1000
    found = curves.convergence_epoch(scores, ceiling=1.0, chance=0.5)
    inside = [abs(each - max(thousandths)) <= 5 for each in thousandths]
    by_hand = [e for e in range(1, len(inside) + 1) if all(inside[e - 1 :])]
    assert found.value == (by_hand[0] if by_hand else None)


@pytest.mark.parametrize(
    ("scores", "ceiling", "reason"),
    [
        ([0.9], 0.9, "1 epochs say nothing"),
        ([0.6, 0.9, 0.8], 0.9, "not converged: the last of 3 epochs"),
        ([0.6, np.nan], 0.9, "not finite"),
        ([0.5, 0.5], 0.5, "no scale"),
    ],
)
def test_convergence_without_an_answer(scores: list[float], ceiling: float, reason: str) -> None:
    found = curves.convergence_epoch(scores, ceiling, chance=0.5)
    assert found.value is None
    assert reason in found.reason


def test_stability_of_a_straight_end_is_one_and_noise_takes_its_share() -> None:
    assert curves.stability([0.1, 0.2, 0.7, 0.75, 0.8]).value == pytest.approx(1)
    end = [0.8, 0.7, 0.9, 0.7]
    time = np.arange(4)
    left = end - np.polyval(np.polyfit(time, end, 1), time)
    spread = np.sqrt((left**2).sum() / 2)
    assert curves.stability([0.1, 0.2, 0.3, *end]).value == pytest.approx(1 - spread / np.mean(end))


@given(st.lists(st.floats(0.5, 1), min_size=5, max_size=9), st.floats(0.1, 9), st.floats(-0.01, 0.01))
def test_stability_does_not_change_with_the_scale(scores: list[float], scale: float, slope: float) -> None:
    found = curves.stability(scores).value
    assert found is not None
    assert curves.stability(scale * np.array(scores)).value == pytest.approx(found)
    trend = slope * (np.arange(len(scores)) - (len(scores) // 2 + len(scores) - 1) / 2)
    assert curves.stability(np.array(scores) + trend).value == pytest.approx(found)


@pytest.mark.parametrize(
    ("scores", "reason"),
    [
        ([0.7, 0.8, 0.8, 0.8], "4 epochs are too few"),
        ([0.7, 0.8, 0.8, np.inf, 0.8], "not finite"),
        ([0.7, 0.8, 0.0, 0.0, 0.0], "mean score is 0"),
    ],
)
def test_stability_without_an_answer(scores: list[float], reason: str) -> None:
    found = curves.stability(scores)
    assert found.value is None
    assert reason in found.reason


def test_rows_between_two_sizes_are_found_on_the_log_scale() -> None:
    assert curves.rows_needed(line(0.05), 0.65).value == pytest.approx(200)
    assert curves.rows_needed(line(0.05), 0.675).value == pytest.approx(200 * 2**0.5)
    assert curves.rows_needed(line(0.05), 0.6).value == pytest.approx(100)


def test_beyond_the_curve_there_is_a_bound_and_no_number() -> None:
    before, after = curves.rows_needed(line(0.05), 0.5), curves.rows_needed(line(0.05), 0.9)
    assert before.value is before.at_least is None
    assert before.at_most == pytest.approx(100)
    assert after.value is after.at_most is None
    assert after.at_least == pytest.approx(1600)
    assert before.reason == "beyond the curve: reached before its first size"
    assert after.reason == "beyond the curve: not reached at its last size"


@given(st.lists(st.tuples(st.sampled_from(SIZES), st.integers(50, 100)), min_size=1, max_size=15))
def test_the_rising_fit_is_scikit_learns(points: list[tuple[int, int]]) -> None:
    curve = Learning(rows=[rows for rows, _ in points], scores=[score / 100 for _, score in points])
    sizes, fitted = curve.rising()
    judge = IsotonicRegression().fit(np.log(curve.rows), curve.scores)
    np.testing.assert_allclose(fitted, judge.predict(sizes), atol=1e-9)
    assert curve.top() == pytest.approx(fitted.max())


@given(st.lists(st.integers(50, 100), min_size=5, max_size=5), st.floats(0.5, 1))
def test_the_rows_needed_reach_the_score_and_fewer_do_not(percent: list[int], score: float) -> None:
    curve = Learning(rows=SIZES, scores=[each / 100 for each in percent])
    found = curves.rows_needed(curve, score)
    if found.value is not None:
        assert np.interp(log(found.value), *curve.rising()) == pytest.approx(score)
        if found.value > 101:
            assert np.interp(log(found.value) - 0.05, *curve.rising()) < score


def test_a_curve_shifted_by_one_doubling_saves_half_the_data() -> None:
    scratch, transfer = line(0.05), line(0.05, lift=0.05)
    for score in (0.66, 0.7, 0.75, scratch.top()):
        assert curves.data_efficiency(scratch, transfer, score).value == pytest.approx(2)
        assert curves.data_efficiency(transfer, scratch, score).value == pytest.approx(0.5)
    assert curves.data_efficiency(scratch, scratch, 0.7).value == pytest.approx(1)


@pytest.mark.parametrize(
    ("lift", "score", "least", "most", "reason"),
    [
        # The donor's curve starts above the top of the other: at least all of one against the first size of the other.
        (0.3, 0.8, 16, None, "transfer beyond the curve: reached before"),
        # Only the donor's curve comes so high: from nothing it would take more than all.
        (0.1, 0.85, 1600 / 800, None, "scratch beyond the curve: not reached"),
        (-0.1, 0.75, None, 800 / 1600, "transfer beyond the curve: not reached"),
        (-0.05, 0.58, None, 100 / (100 * 2**0.6), "scratch beyond the curve: reached before"),
        (
            0.3,
            0.85,
            16,
            None,
            "scratch beyond the curve: not reached at its last size; transfer beyond the curve: reach",
        ),
        (
            -0.3,
            0.58,
            None,
            1 / 16,
            "scratch beyond the curve: reached before its first size; transfer beyond the curve: n",
        ),
        (
            0.1,
            0.95,
            None,
            None,
            "scratch beyond the curve: not reached at its last size; transfer beyond the curve: not",
        ),
    ],
)
def test_data_efficiency_beyond_a_curve_is_a_bound(
    lift: float, score: float, least: float | None, most: float | None, reason: str
) -> None:
    found = curves.data_efficiency(line(0.05), line(0.05, lift=lift), score)
    assert found.value is None
    assert found.reason.startswith(reason)
    assert found.at_least == (least if least is None else pytest.approx(least))
    assert found.at_most == (most if most is None else pytest.approx(most))


@pytest.mark.parametrize(
    ("rows", "scores", "message"),
    [
        ([], [], "0 sizes and 0 scores"),
        ([100], [0.5, 0.6], "1 sizes and 2 scores"),
        ([0], [0.5], "sizes above 0"),
        ([100], [float("nan")], "finite scores"),
    ],
)
def test_what_is_no_curve_is_refused(rows: list[int], scores: list[float], message: str) -> None:
    with pytest.raises(EpisomeError, match=message):
        Learning(rows=rows, scores=scores)
