"""Temperature and threshold against known answers."""

from collections.abc import Callable

import numpy as np
import pytest

from episome import calibration, metrics
from episome.types import EpisomeError


def test_the_sigmoid_is_exact_and_never_overflows() -> None:
    np.testing.assert_allclose(calibration.sigmoid([0.0, np.log(3.0)]), [0.5, 0.75])
    np.testing.assert_allclose(calibration.sigmoid([2 * np.log(3.0)], temperature=2.0), [0.75])
    np.testing.assert_array_equal(calibration.sigmoid([-1e4, 1e4]), [0.0, 1.0])


@pytest.mark.parametrize("true", [0.5, 1.0, 3.0])
def test_the_temperature_that_made_the_labels_is_found(true: float) -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 3, 20_000)
    labels = (random.random(20_000) < calibration.sigmoid(logits, true)).astype(int)
    assert calibration.temperature(logits, labels) == pytest.approx(true, rel=0.06)


def test_scaled_logits_scale_the_temperature() -> None:
    random = np.random.default_rng(1)
    logits = random.normal(0, 2, 500)
    labels = (random.random(500) < calibration.sigmoid(logits)).astype(int)
    once = calibration.temperature(logits, labels)
    assert calibration.temperature(3 * logits, labels) == pytest.approx(3 * once, rel=1e-3)


def test_separated_and_meaningless_logits_stay_within_bounds() -> None:
    assert calibration.temperature([-1.0, 1.0], [0, 1]) == pytest.approx(0.05, rel=0.01)
    assert calibration.temperature([1.0, -1.0], [0, 1]) == pytest.approx(20, rel=0.01)


def test_the_threshold_is_midway_between_neighbours() -> None:
    assert calibration.threshold([0.1, 0.2, 0.6, 0.7], [0, 0, 1, 1]) == pytest.approx(0.4)


def test_no_cut_scores_better_on_validation() -> None:
    random = np.random.default_rng(2)
    labels = random.integers(0, 2, 200)
    probabilities = np.round(0.1 * labels + 0.4 * random.random(200), 2)
    chosen = metrics.mcc(labels, probabilities, calibration.threshold(probabilities, labels))
    assert chosen == pytest.approx(max(metrics.mcc(labels, probabilities, cut) for cut in np.arange(0, 1, 0.005)))
    assert chosen > metrics.mcc(labels, probabilities, 0.5)


def test_of_equal_cuts_the_one_nearest_a_half_wins() -> None:
    # Cutting above either pair gives the same MCC by symmetry.
    assert calibration.threshold([0.1, 0.45, 0.55, 0.95], [0, 1, 0, 1]) == pytest.approx(0.275)
    assert calibration.threshold([0.05, 0.45, 0.55, 0.9], [0, 1, 0, 1]) == pytest.approx(0.725)


@pytest.mark.parametrize("probabilities", [[0.3, 0.3], [0.9, 0.1]])
def test_a_half_where_no_cut_beats_chance(probabilities: list[float]) -> None:
    assert calibration.threshold(probabilities, [0, 1]) == 0.5


@pytest.mark.parametrize("fit", [calibration.temperature, calibration.threshold])
def test_one_class_cannot_calibrate(fit: Callable[[list[float], list[int]], float]) -> None:
    with pytest.raises(EpisomeError, match="both classes"):
        fit([0.1, 0.2], [1, 1])
