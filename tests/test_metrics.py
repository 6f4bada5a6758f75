"""Scores against closed forms and scikit-learn; intervals against what they promise."""

import time
from collections.abc import Callable
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    f1_score,
    matthews_corrcoef,
    precision_score,
    recall_score,
    roc_auc_score,
)

from episome import metrics
from episome.types import EpisomeError

SCORED = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 8)), min_size=2, max_size=40).filter(
    lambda rows: len({label for label, _ in rows}) == 2
)


def scored_rows(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, tied probabilities and groups of about three rows."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, n)
    probabilities = np.round(0.2 * labels + 0.8 * random.random(n), 2)
    return labels, probabilities, random.integers(0, n // 3, n).astype(str)


@settings(max_examples=60, deadline=None)
@given(SCORED)
def test_areas_and_counts_are_those_of_scikit_learn(rows: list[tuple[int, int]]) -> None:
    labels, scores = np.array([row[0] for row in rows]), np.array([row[1] / 8 for row in rows])
    called = scores >= 0.5
    assert metrics.auroc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert metrics.auprc(labels, scores) == pytest.approx(average_precision_score(labels, scores), abs=1e-12)
    assert metrics.mcc(labels, scores, 0.5) == pytest.approx(matthews_corrcoef(labels, called), abs=1e-12)
    assert metrics.f1(labels, scores, 0.5) == pytest.approx(f1_score(labels, called, zero_division=0), abs=1e-12)
    assert metrics.brier(labels, scores) == pytest.approx(brier_score_loss(labels, scores), abs=1e-12)
    balanced = balanced_accuracy_score(labels, called)
    assert metrics.balanced_accuracy(labels, scores, 0.5) == pytest.approx(balanced, abs=1e-12)
    precise = precision_score(labels, called, zero_division=0)
    assert metrics.precision(labels, scores, 0.5) == pytest.approx(precise, abs=1e-12)
    assert metrics.recall(labels, scores, 0.5) == pytest.approx(recall_score(labels, called), abs=1e-12)


def test_each_draw_scores_as_scikit_learn_scores_the_drawn_rows() -> None:
    labels, probabilities, groups = scored_rows(60)
    drawn = metrics.draws(groups, 20, seed=1)
    auroc, auprc = metrics.area_draws(labels, probabilities, drawn)
    mcc = metrics.mcc_draws(labels, probabilities >= 0.5, drawn)
    weights = np.concatenate(list(drawn.weights())).astype(int)
    for draw, weight in enumerate(weights):
        rows = np.repeat(np.arange(60), weight)
        assert auroc[draw] == pytest.approx(roc_auc_score(labels[rows], probabilities[rows]), abs=1e-9)
        assert auprc[draw] == pytest.approx(average_precision_score(labels[rows], probabilities[rows]), abs=1e-9)
        assert mcc[draw] == pytest.approx(matthews_corrcoef(labels[rows], probabilities[rows] >= 0.5), abs=1e-9)


def test_counts_of_each_draw_are_those_of_the_drawn_rows() -> None:
    labels, probabilities, groups = scored_rows(60)
    drawn = metrics.draws(groups, 20, seed=1)
    tp, fp, fn, _ = metrics.count_draws(labels, probabilities >= 0.5, drawn)
    for draw, weight in enumerate(np.concatenate(list(drawn.weights())).astype(int)):
        rows = np.repeat(np.arange(60), weight)
        called = probabilities[rows] >= 0.5
        assert metrics.precision_of_counts(tp, fp)[draw] == pytest.approx(precision_score(labels[rows], called))
        assert metrics.recall_of_counts(tp, fn)[draw] == pytest.approx(recall_score(labels[rows], called))


def test_draws_come_in_parts_that_do_not_change_them(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, probabilities, groups = scored_rows(60)
    drawn = metrics.draws(groups, 20, seed=1)
    whole = metrics.area_draws(labels, probabilities, drawn)
    monkeypatch.setattr(metrics, "_CELLS", 60 * 3)
    assert [len(part) for part in drawn.weights()] == [3, 3, 3, 3, 3, 3, 2]
    np.testing.assert_array_equal(metrics.area_draws(labels, probabilities, drawn), whole)


def test_whole_groups_are_drawn_as_many_as_there_are() -> None:
    drawn = metrics.draws(["a", "b", "b", "c"], 50, seed=3)
    weights = np.concatenate(list(drawn.weights()))
    assert drawn.counts.sum(axis=1).tolist() == [3.0] * 50
    np.testing.assert_array_equal(weights[:, 1], weights[:, 2])
    assert len(np.unique(weights, axis=0)) > 5


def test_scanning_a_genome_ruins_precision() -> None:
    # 1,000 sites among a million windows: 950 true calls beside 9,990 false ones.
    assert metrics.precision_at(1_000, 999_000, tpr=0.95, fpr=0.01) == pytest.approx(950 / (950 + 9_990))
    assert round(metrics.precision_at(1_000, 999_000, tpr=0.95, fpr=0.01), 4) == 0.0868


def test_average_precision_at_that_prevalence_is_the_precision_of_the_one_cut() -> None:
    labels = np.repeat([1, 1, 0, 0], [950, 50, 9_990, 989_010])
    scores = np.repeat([1.0, 0.0, 1.0, 0.0], [950, 50, 9_990, 989_010])
    assert metrics.auprc(labels, scores) == pytest.approx(0.95 * 950 / 10_940 + 0.05 * 1_000 / 1_000_000)
    assert metrics.auroc(labels, scores) == pytest.approx((0.95 + 0.99) / 2)


def test_precision_of_the_calls_at_that_prevalence() -> None:
    labels = np.repeat([1, 1, 0, 0], [950, 50, 9_990, 989_010])
    scores = np.repeat([1.0, 0.0, 1.0, 0.0], [950, 50, 9_990, 989_010])
    assert metrics.precision(labels, scores, 0.5) == pytest.approx(950 / 10_940)
    assert round(metrics.precision(labels, scores, 0.5), 4) == 0.0868
    assert metrics.recall(labels, scores, 0.5) == pytest.approx(0.95)
    assert metrics.balanced_accuracy(labels, scores, 0.5) == pytest.approx((0.95 + 0.99) / 2)


def test_perfect_and_inverted_scores() -> None:
    labels = np.array([0, 0, 1, 1])
    assert metrics.mcc(labels, labels, 0.5) == metrics.auroc(labels, labels) == metrics.auprc(labels, labels) == 1
    assert metrics.mcc(labels, 1 - labels, 0.5) == -1
    assert metrics.auroc(labels, 1 - labels) == 0


def test_a_constant_answer_has_no_correlation_and_half_an_area() -> None:
    labels, flat = np.array([0, 1, 1]), np.full(3, 0.7)
    assert metrics.mcc(labels, flat, 0.5) == 0
    assert metrics.f1(labels, flat, 0.9) == 0
    assert metrics.auroc(labels, flat) == 0.5
    assert metrics.auprc(labels, flat) == pytest.approx(2 / 3)


def test_calibration_error_of_closed_forms() -> None:
    labels = np.array([0, 1] * 150)
    assert metrics.ece(labels, np.full(300, 0.5)) == pytest.approx(0)
    assert metrics.ece(labels, np.full(300, 0.8)) == pytest.approx(0.3)
    assert metrics.ece(labels, labels) == 0


def test_reliability_bins_are_of_equal_numbers_of_rows() -> None:
    probabilities = np.linspace(0.01, 0.99, 300)
    labels = (np.arange(300) % 3 == 0).astype(int)
    found = metrics.reliability(labels, probabilities)
    np.testing.assert_array_equal(found.rows, np.full(15, 20))
    np.testing.assert_allclose(found.predicted, probabilities.reshape(15, 20).mean(axis=1))
    np.testing.assert_allclose(found.observed, labels.reshape(15, 20).mean(axis=1))
    by_hand = np.abs(labels.reshape(15, 20).mean(axis=1) - probabilities.reshape(15, 20).mean(axis=1)).mean()
    assert found.ece() == pytest.approx(by_hand)
    first = found.table()[0]
    assert first == {"n": 20, "predicted": round(found.predicted[0], 6), "observed": round(found.observed[0], 6)}


@settings(max_examples=60, deadline=None)
@given(SCORED, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_and_ties_do_not_change_the_bins(rows: list[tuple[int, int]], random: Random) -> None:
    shuffled = random.sample(rows, len(rows))
    one, other = (
        metrics.reliability([label for label, _ in each], [score / 8 for _, score in each]) for each in (rows, shuffled)
    )
    np.testing.assert_array_equal(one.rows, other.rows)
    np.testing.assert_allclose(one.observed, other.observed)
    assert one.rows.sum() == len(rows)
    assert len(one.rows) <= min(15, len({score for _, score in rows}))
    assert one.rows @ one.predicted == pytest.approx(sum(score / 8 for _, score in rows))
    assert one.rows @ one.observed == pytest.approx(sum(label for label, _ in rows))


def test_ties_in_front_of_each_other_are_one_bin() -> None:
    assert metrics.ece([0] * 150 + [1] * 150, np.full(300, 0.5)) == pytest.approx(0)


def test_the_debiased_error_is_what_sampling_the_bins_gives() -> None:
    labels, probabilities, _ = scored_rows(600)
    found = metrics.reliability(labels, probabilities)
    spread = np.sqrt(found.observed * (1 - found.observed) / found.rows)
    redrawn = np.random.default_rng(0).normal(found.observed, spread, (200_000, len(found.rows)))
    sampled = np.average(np.abs(redrawn - found.predicted), axis=1, weights=found.rows)
    assert found.ece_debiased() == pytest.approx(2 * found.ece() - sampled.mean(), abs=3e-4)


def test_debiasing_brings_a_perfect_model_nearer_to_nothing() -> None:
    random = np.random.default_rng(5)
    plain, debiased = [], []
    for _ in range(60):
        probabilities = random.random(300)
        found = metrics.reliability((random.random(300) < probabilities).astype(int), probabilities)
        plain.append(found.ece())
        debiased.append(found.ece_debiased() or 0.0)
    assert np.mean(plain) > 0.05
    assert abs(np.mean(debiased)) < 0.7 * np.mean(plain)


def test_a_bin_without_spread_has_nothing_to_debias_and_a_bin_of_one_row_cannot_be() -> None:
    labels = np.repeat([0, 1], 60)
    found = metrics.reliability(labels, np.repeat([0.1, 0.7], 60))
    assert found.ece_debiased() == pytest.approx(found.ece()) == pytest.approx(0.2)
    assert metrics.reliability([0, 1], [0.1, 0.9]).ece_debiased() is None


@pytest.mark.parametrize(
    ("score", "labels", "message"),
    [
        (metrics.recall, [0, 0], "0 positive rows of 2"),
        (metrics.balanced_accuracy, [1, 1], "2 positive rows of 2"),
        (metrics.balanced_accuracy, [0, 0], "0 positive rows of 2"),
    ],
)
def test_a_recall_without_a_class_is_refused(
    score: Callable[[list[int], list[float], float], float], labels: list[int], message: str
) -> None:
    with pytest.raises(EpisomeError, match=message):
        score(labels, [0.2, 0.8], 0.5)


def test_no_row_has_no_reliability() -> None:
    with pytest.raises(EpisomeError, match="no row"):
        metrics.reliability([], [])


def test_evaluate_reports_everything_within_its_interval() -> None:
    labels, probabilities, groups = scored_rows(300)
    report = metrics.evaluate(labels, probabilities, groups, threshold=0.5, bootstrap=300, confidence=0.95, seed=7)
    assert report["n"] == 300
    assert report["groups"] == len(set(groups))
    assert report["prevalence"] == pytest.approx(labels.mean(), abs=1e-6)
    assert report["auprc_lift"] == pytest.approx(report["auprc"]["value"] / labels.mean(), rel=1e-5)
    assert report["ece_debiased"] < report["ece"]
    for name in ("mcc", "balanced_accuracy", "precision", "recall", "auroc", "auprc"):
        assert report[name]["low"] < report[name]["value"] < report[name]["high"]
    assert report == metrics.evaluate(
        labels, probabilities, groups, threshold=0.5, bootstrap=300, confidence=0.95, seed=7
    )


def test_repeated_rows_of_a_group_do_not_narrow_the_interval() -> None:
    labels, probabilities, _ = scored_rows(100)
    groups = np.arange(100).astype(str)

    def width(times: int, names: np.ndarray) -> float:
        report = metrics.evaluate(
            np.repeat(labels, times),
            np.repeat(probabilities, times),
            names,
            threshold=0.5,
            bootstrap=400,
            confidence=0.95,
            seed=7,
        )
        return float(report["mcc"]["high"] - report["mcc"]["low"])

    assert width(4, np.repeat(groups, 4)) == pytest.approx(width(1, groups))
    assert width(4, np.arange(400).astype(str)) < 0.7 * width(1, groups)


def test_a_draw_without_a_class_has_no_area() -> None:
    drawn = metrics.draws(["a", "b"], 60, seed=0)
    auroc, auprc = metrics.area_draws([0, 1], [0.1, 0.9], drawn)
    missed = (drawn.counts == 0).any(axis=1)
    assert missed.any()
    assert (~missed).any()
    np.testing.assert_array_equal(np.isnan(auroc), missed)
    assert (auprc[~missed] == 1).all()


@pytest.mark.parametrize(
    ("labels", "probabilities", "groups", "message"),
    [
        ([0, 1], [0.1], ["a", "b"], "one of each per row"),
        ([0, 1], [0.1, float("nan")], ["a", "b"], "1 of 2 probabilities are not finite"),
        ([1, 1], [0.1, 0.2], ["a", "b"], "2 positive rows of 2"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    labels: list[int], probabilities: list[float], groups: list[str], message: str
) -> None:
    with pytest.raises(EpisomeError, match=message):
        metrics.evaluate(labels, probabilities, groups, threshold=0.5, bootstrap=10, confidence=0.95, seed=0)


def test_a_thousand_draws_of_two_thousand_rows_take_less_than_two_seconds() -> None:
    labels, probabilities, groups = scored_rows(2000)
    start = time.process_time()
    metrics.evaluate(labels, probabilities, groups, threshold=0.5, bootstrap=1000, confidence=0.95, seed=7)
    assert time.process_time() - start < 2


def test_few_rows_have_no_debiased_error() -> None:
    report = metrics.evaluate([0, 1], [0.1, 0.9], ["a", "a"], threshold=0.5, bootstrap=10, confidence=0.95, seed=0)
    assert report["ece_debiased"] is None
