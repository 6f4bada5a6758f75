"""Temperature and threshold against known answers."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import norm
from sklearn.metrics import roc_curve

from episome import calibration, metrics
from episome.params import BestCut, Evaluate, FloorCut
from episome.types import EpisomeError

GRADED = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 20)), min_size=2, max_size=40).filter(
    lambda rows: len({label for label, _ in rows}) == 2
)


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


def graded(rows: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, probabilities, and cuts between all of them, that which calls everything among them."""
    labels, probabilities = np.array([label for label, _ in rows]), np.array([grade / 20 for _, grade in rows])
    values = np.unique(probabilities)
    return labels, probabilities, np.r_[0.0, (values[:-1] + values[1:]) / 2]


@settings(max_examples=80, deadline=None)
@given(GRADED, st.sampled_from([0.2, 0.5, 0.75, 0.9, 1.0]))
def test_of_the_cuts_precise_enough_the_most_sensitive_is_taken(rows: list[tuple[int, int]], wanted: float) -> None:
    labels, probabilities, cuts = graded(rows)
    rule = FloorCut(rule="precision", at_least=wanted)
    enough = [cut for cut in cuts if metrics.precision(labels, probabilities, cut) >= wanted]
    if not enough:
        with pytest.raises(EpisomeError, match=r"no cut of the \d+ validation rows has precision"):
            calibration.threshold_by(rule, probabilities, labels)
        return
    found = calibration.threshold_by(rule, probabilities, labels)
    best = max(enough, key=lambda cut: (metrics.recall(labels, probabilities, cut), cut))
    assert found == best


@settings(max_examples=80, deadline=None)
@given(GRADED, st.sampled_from([0.2, 0.5, 0.75, 0.9, 1.0]))
def test_of_the_cuts_sensitive_enough_the_most_precise_is_taken(rows: list[tuple[int, int]], wanted: float) -> None:
    labels, probabilities, cuts = graded(rows)
    found = calibration.threshold_by(FloorCut(rule="recall", at_least=wanted), probabilities, labels)
    enough = [cut for cut in cuts if metrics.recall(labels, probabilities, cut) >= wanted]
    assert found == max(enough, key=lambda cut: (metrics.precision(labels, probabilities, cut), cut))


@settings(max_examples=80, deadline=None)
@given(GRADED)
def test_youden_is_the_highest_point_of_the_roc_curve_above_the_diagonal(rows: list[tuple[int, int]]) -> None:
    labels, probabilities, _ = graded(rows)
    found = calibration.threshold_by(BestCut(rule="youden"), probabilities, labels)
    fpr, tpr, _ = roc_curve(labels, probabilities)
    best = (tpr - fpr).max()
    if best <= 0:
        assert found == 0.5
    else:
        assert 2 * metrics.balanced_accuracy(labels, probabilities, found) - 1 == pytest.approx(best)


def test_the_mcc_rule_is_the_threshold_without_a_rule() -> None:
    random = np.random.default_rng(2)
    labels = random.integers(0, 2, 200)
    probabilities = np.round(0.1 * labels + 0.4 * random.random(200), 2)
    by_rule = calibration.threshold_by(BestCut(rule="mcc"), probabilities, labels)
    assert by_rule == calibration.threshold(probabilities, labels)


def test_rules_choose_different_cuts_where_classes_overlap() -> None:
    probabilities, labels = [0.1, 0.2, 0.4, 0.6, 0.8, 0.9], [0, 1, 0, 1, 0, 1]
    assert calibration.threshold_by(FloorCut(rule="precision", at_least=1), probabilities, labels) == pytest.approx(
        0.85
    )
    assert calibration.threshold_by(FloorCut(rule="recall", at_least=1), probabilities, labels) == pytest.approx(0.15)
    assert calibration.threshold_by(FloorCut(rule="recall", at_least=1), [0.4, 0.6], [1, 0]) == 0


def test_an_unreachable_precision_names_the_highest_and_the_key() -> None:
    with pytest.raises(
        EpisomeError, match=r"precision 0\.9; the highest is 0\.5000; lower evaluate\.threshold\.at_least"
    ):
        calibration.threshold_by(FloorCut(rule="precision", at_least=0.9), [0.1, 0.9], [1, 0])


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"rule": "precision"}, r"precision.at_least\n  Field required"),
        ({"rule": "recall"}, r"recall.at_least\n  Field required"),
        ({"rule": "mcc", "at_least": 0.9}, r"mcc.at_least\n  Extra inputs"),
        ({"rule": "youden", "at_least": 0.9}, r"youden.at_least\n  Extra inputs"),
        ({"rule": "precision", "at_least": 0.0}, "greater than 0"),
        ({"rule": "recall", "at_least": 1.1}, "less than or equal to 1"),
        ({"rule": "f1"}, "'mcc', 'youden', 'precision', 'recall'"),
        ({"rule": "mcc", "floor": 1}, "Extra inputs"),
    ],
)
def test_a_rule_that_says_too_little_or_too_much_is_refused(rule: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Evaluate.model_validate({"bootstrap": 1, "confidence": 0.9, "baseline_k": 1, "threshold": rule})


def test_probabilities_at_another_prevalence_are_the_posterior_there() -> None:
    # Two normals one apart: the posterior is known at any prevalence.
    x = np.linspace(-3, 4, 50)

    def posterior(share: float) -> np.ndarray:
        positive, negative = share * norm.pdf(x, 1), (1 - share) * norm.pdf(x, 0)
        return np.asarray(positive / (positive + negative))

    found = calibration.at_prevalence(posterior(0.5), calibrated=0.5, wanted=0.001)
    np.testing.assert_allclose(found, posterior(0.001), rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 1), st.floats(0.01, 0.99), st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_going_by_way_of_a_third_prevalence_or_back_changes_nothing(p: float, a: float, b: float, c: float) -> None:
    there = calibration.at_prevalence([p], calibrated=a, wanted=b)
    np.testing.assert_allclose(calibration.at_prevalence(there, calibrated=b, wanted=a), [p], atol=1e-12)
    straight = calibration.at_prevalence([p], calibrated=a, wanted=c)
    np.testing.assert_allclose(calibration.at_prevalence(there, calibrated=b, wanted=c), straight, atol=1e-12)
    np.testing.assert_allclose(calibration.at_prevalence([p], calibrated=a, wanted=a), [p], atol=1e-12)


def test_at_the_worked_prevalence_a_call_is_worth_what_its_precision_says() -> None:
    # Called rows at a balanced prevalence: 0.95 / 0.96 are positive. One in a thousand: 950 of 10,940.
    found = calibration.at_prevalence([0.95 / 0.96], calibrated=0.5, wanted=0.001)
    assert found[0] == pytest.approx(metrics.precision_at(1_000, 999_000, tpr=0.95, fpr=0.01))


@pytest.mark.parametrize(("calibrated", "wanted", "name"), [(0.0, 0.5, "calibrated"), (0.5, 1.0, "wanted")])
def test_a_prevalence_without_a_class_is_refused(calibrated: float, wanted: float, name: str) -> None:
    with pytest.raises(EpisomeError, match=f"{name}: a prevalence of"):
        calibration.at_prevalence([0.5], calibrated=calibrated, wanted=wanted)
