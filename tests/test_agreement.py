"""Calibration, divergence and flips against what algebra says of them."""

import numpy as np
import pytest

from episome import agreement
from episome.calibration import sigmoid
from episome.gate import Scored
from episome.types import EpisomeError


def scored(probabilities: list[float], threshold: float = 0.5) -> Scored:
    return Scored(probabilities=np.array(probabilities), threshold=threshold)


def test_kl_is_the_sum_over_both_answers() -> None:
    old, new = np.array([-3.0, 0.0, 2.0]), np.array([1.0, 0.5, 2.0])
    p, q = sigmoid(old), sigmoid(new)
    wanted = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    assert agreement.kl(old, new) == pytest.approx(wanted, abs=1e-12)
    assert agreement.kl(old, old) == pytest.approx(0.0, abs=1e-15)


def test_kl_stays_finite_where_probabilities_round_to_0_and_1() -> None:
    assert agreement.kl([800.0], [-800.0]) == pytest.approx([800.0])
    assert agreement.kl([40.0], [41.0])[0] >= 0


def test_kl_is_half_the_curvature_for_a_small_change() -> None:
    logits, step = np.linspace(-4, 4, 9), 1e-3
    p = sigmoid(logits)
    assert agreement.kl(logits, logits + step) == pytest.approx(p * (1 - p) * step**2 / 2, rel=2e-3)


def test_unequal_or_no_sequences_are_refused() -> None:
    with pytest.raises(EpisomeError, match="wanted as many of both"):
        agreement.kl([1.0], [1.0, 2.0])
    with pytest.raises(EpisomeError, match="one at least"):
        agreement.kl([], [])


@pytest.mark.parametrize(("step", "passed"), [(0.6, True), (0.7, False)])
def test_divergence_is_held_to_its_limit(step: float, passed: bool) -> None:
    check = agreement.divergence("donor", np.zeros(10), np.full(10, step), most=0.05)
    assert (check.name, check.suite, check.passed, check.n, check.limit) == ("kl", "donor", passed, 10, 0.05)
    assert check.value == pytest.approx(np.log(2 * np.cosh(step / 2)) - np.log(2), abs=1e-6)
    assert ("within 0.05" if passed else "more than 0.05") in check.message


def test_flips_count_calls_by_each_versions_own_threshold() -> None:
    old = scored([0.1, 0.4, 0.6, 0.9])
    same = agreement.flips("donor", old, scored([0.2, 0.3, 0.7, 0.9], threshold=0.65), most=0.0)
    assert same.passed
    assert same.value == 0
    turned = agreement.flips("donor", old, scored([0.1, 0.4, 0.6, 0.4]), most=0.2)
    assert not turned.passed
    assert turned.value == 0.25
    assert turned.message.startswith("donor: 1 of 4 golden sequences")
    assert agreement.flips("donor", old, scored([0.1, 0.4, 0.6, 0.4]), most=0.25).passed


def test_calibration_that_worsens_fails_and_that_improves_passes() -> None:
    labels = np.array([0, 1] * 50)
    right, boastful = scored([0.5] * 100), scored([0.9] * 100)
    worse = agreement.calibration("donor", labels, right, boastful, most=0.02)
    assert not worse.passed
    assert worse.value == pytest.approx(0.4)
    assert "ECE 0.000 -> 0.400 on 100 rows; 0.4000 is more than 0.02 (gate.max_ece_increase)" in worse.message
    assert agreement.calibration("donor", labels, boastful, right, most=0.02).passed


def test_calibration_without_a_row_fails() -> None:
    assert not agreement.calibration("donor", [], scored([]), scored([]), most=0.02).passed
