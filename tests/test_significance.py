"""Paired tests against brute force, closed forms and scipy."""

from fractions import Fraction
from itertools import combinations, product
from math import comb, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike
from scipy.stats import norm, permutation_test
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from episome import metrics, significance
from episome.gate import Scored
from episome.types import EpisomeError

TWO_SCORED = st.lists(st.tuples(st.booleans(), st.integers(0, 6), st.integers(0, 6)), min_size=4, max_size=24).filter(
    lambda rows: 2 <= sum(label for label, _, _ in rows) <= len(rows) - 2
)


def two_models(n: int, gap: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, Scored, Scored]:
    """Labels, groups and two models, the first better by `gap`."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, n)
    shared = random.normal(0, 1, n)
    good, plain = (
        Scored(probabilities=norm.cdf(labels * lift - lift / 2 + shared + random.normal(0, 0.3, n)), threshold=0.5)
        for lift in (1 + gap, 1)
    )
    return labels, random.integers(0, n // 3, n).astype(str), good, plain


def compared(
    labels: ArrayLike, groups: ArrayLike, first: Scored, second: Scored, bootstrap: int = 400, seed: int = 3
) -> dict[str, significance.Difference]:
    return significance.differences(labels, groups, first, second, bootstrap=bootstrap, confidence=0.95, seed=seed)


def test_the_difference_is_that_of_the_drawn_rows() -> None:
    labels, groups, first, second = two_models(60, 0.5)
    found = compared(labels, groups, first, second, bootstrap=100)
    weights = np.concatenate(list(metrics.draws(groups, 100, 3).weights())).astype(int)
    by_hand: dict[str, list[float]] = {"auroc": [], "balanced_accuracy": []}
    for weight in weights:
        rows = np.repeat(np.arange(60), weight)
        areas = [roc_auc_score(labels[rows], model.probabilities[rows]) for model in (first, second)]
        by_hand["auroc"].append(areas[0] - areas[1])
        accuracies = [balanced_accuracy_score(labels[rows], model.calls()[rows]) for model in (first, second)]
        by_hand["balanced_accuracy"].append(accuracies[0] - accuracies[1])
    for name, values in by_hand.items():
        assert [found[name].low, found[name].high] == pytest.approx(np.quantile(values, [0.025, 0.975]).tolist())
        tail = min(sum(value <= 0 for value in values), sum(value >= 0 for value in values))
        assert found[name].p == pytest.approx(min(1, 2 * (tail + 1) / 101), abs=2 / 101)
        assert found[name].draws == 100


def test_pairing_makes_the_interval_narrow_and_the_sides_change_sign() -> None:
    labels, groups, first, second = two_models(600, 0.6)
    found = compared(labels, groups, first, second)
    turned = compared(labels, groups, second, first)
    drawn = metrics.draws(groups, 400, 3)
    alone = np.quantile(metrics.area_draws(labels, first.probabilities, drawn)[0], [0.025, 0.975])
    assert found["auroc"].high - found["auroc"].low < 0.9 * (alone[1] - alone[0])
    for name in ("mcc", "balanced_accuracy", "auroc", "auprc"):
        assert found[name].low < found[name].value < found[name].high
        assert found[name].value == -turned[name].value
        assert found[name].low == pytest.approx(-turned[name].high)
        assert found[name].p == turned[name].p
    assert found["auroc"].p < 0.05


def test_the_same_model_twice_differs_by_nothing() -> None:
    labels, groups, first, _ = two_models(90, 0)
    for found in compared(labels, groups, first, first).values():
        assert (found.value, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_repeating_rows_within_their_group_does_not_make_the_difference_surer() -> None:
    labels, _, first, second = two_models(60, 0.4)
    groups, five = np.arange(60), np.repeat(np.arange(60), 5)

    def repeated(model: Scored) -> Scored:
        return Scored(probabilities=model.probabilities[five], threshold=model.threshold)

    once = compared(labels, groups, first, second)
    again = compared(labels[five], groups[five], repeated(first), repeated(second))
    for name, found in once.items():
        assert again[name].low == pytest.approx(found.low)
        assert again[name].p == found.p


def test_draws_without_a_class_are_left_out_and_counted() -> None:
    model = Scored(probabilities=np.array([0.2, 0.3, 0.9, 0.8]), threshold=0.5)
    found = compared([0, 0, 1, 1], ["a", "a", "b", "b"], model, model)
    assert found["mcc"].draws == 400
    assert 100 < found["auroc"].draws < 300
    missed = next(seed for seed in range(20) if (metrics.draws(["a", "b"], 1, seed).counts == 0).any())
    with pytest.raises(EpisomeError, match="none of 1 draws of groups has both classes"):
        compared([0, 0, 1, 1], ["a", "a", "b", "b"], model, model, bootstrap=1, seed=missed)


def test_models_of_other_rows_are_refused() -> None:
    model = Scored(probabilities=np.array([0.2, 0.9]), threshold=0.5)
    with pytest.raises(EpisomeError, match=r"\[2, 2, 2, 1\] rows"):
        compared([0, 1], ["a", "b"], model, model.where(np.array([True, False])))


@settings(max_examples=80, deadline=None)
@given(TWO_SCORED)
def test_delong_is_the_covariance_of_the_structural_components(rows: list[tuple[bool, int, int]]) -> None:
    labels = np.array([row[0] for row in rows])
    scores = np.array([row[1:] for row in rows], float).T
    found = significance.delong(labels, *scores)
    wins = [np.array([[(x > y) + (x == y) / 2 for y in each[~labels]] for x in each[labels]], float) for each in scores]
    by_positive = np.cov([each.mean(axis=1) for each in wins]) / labels.sum()
    by_negative = np.cov([each.mean(axis=0) for each in wins]) / (~labels).sum()
    np.testing.assert_allclose(found.covariance, by_positive + by_negative, atol=1e-12)
    assert found.first == pytest.approx(roc_auc_score(labels, scores[0]))
    assert found.second == pytest.approx(roc_auc_score(labels, scores[1]))
    variance = np.array([1, -1]) @ found.covariance @ np.array([1, -1])
    if found.z is not None and variance > 1e-12:
        assert found.z == pytest.approx((found.first - found.second) / sqrt(variance), rel=1e-6, abs=1e-6)
        assert found.p == pytest.approx(2 * norm.cdf(-abs(found.z)))


def test_delong_agrees_with_the_bootstrap_where_rows_are_independent() -> None:
    labels, _, first, second = two_models(800, 0.3)
    drawn = compared(labels, np.arange(800), first, second, bootstrap=2000)["auroc"]
    found = significance.delong(labels, first.probabilities, second.probabilities)
    error = sqrt(np.array([1, -1]) @ found.covariance @ np.array([1, -1]))
    assert drawn.value == pytest.approx(found.first - found.second)
    assert (drawn.high - drawn.low) / (2 * 1.96) == pytest.approx(error, rel=0.08)


def test_delong_has_its_size_where_neither_model_is_better() -> None:
    found = []
    for seed in range(200):
        labels, _, first, second = two_models(120, 0, seed=seed)
        found.append(significance.delong(labels, first.probabilities, second.probabilities).p)
    assert 0.01 < np.mean([p is not None and p < 0.05 for p in found]) < 0.1


def test_delong_without_variance() -> None:
    labels, scores = [0, 0, 1, 1], np.array([0.1, 0.2, 0.8, 0.9])
    same = significance.delong(labels, scores, scores)
    assert (same.first, same.z, same.p) == (1, 0, 1)
    turned = significance.delong(labels, scores, -scores)
    assert (turned.first, turned.second, turned.z, turned.p) == (1, 0, None, None)


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [([0, 1, 1], [1.0, 2.0, 3.0], "2 positive and 1 negative"), ([0, 0, 1, 1], [1.0], r"4 labels.*\[1, 1\] rows")],
)
def test_delong_refuses(labels: list[int], scores: list[float], message: str) -> None:
    with pytest.raises(EpisomeError, match=message):
        significance.delong(labels, scores, scores)


def calls_apart(first_only: int, second_only: int, both: int) -> tuple[list[int], list[bool], list[bool]]:
    """Labels and two models' calls with those numbers of rows right."""
    right = [(True, False)] * first_only + [(False, True)] * second_only + [(True, True)] * both
    labels = [i % 2 for i in range(len(right))]
    calls = [[bool(label) == ok[side] for label, ok in zip(labels, right, strict=True)] for side in (0, 1)]
    return labels, calls[0], calls[1]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 5))
def test_mcnemar_is_twice_the_binomial_tail(first: int, second: int, both: int) -> None:
    found = significance.mcnemar(*calls_apart(first, second, both))
    assert (found.first_only, found.second_only) == (first, second)
    n = first + second
    tail = sum(Fraction(comb(n, k), 2**n) for k in range(min(first, second) + 1))
    assert found.p == pytest.approx(float(min(Fraction(1), 2 * tail)), rel=1e-9)


def test_mcnemar_of_the_worked_example() -> None:
    # Approval of the prime minister, 1,600 voters asked twice (Agresti 1990, p. 350): 150 and 86 changed their minds.
    found = significance.mcnemar(*calls_apart(150, 86, 794 + 570))
    assert found.p == pytest.approx(3.716e-5, rel=1e-3)


def test_mcnemar_of_other_rows_is_refused() -> None:
    with pytest.raises(EpisomeError, match=r"2 labels and calls of \[2, 1\] rows"):
        significance.mcnemar([0, 1], [True, False], [True])


def test_holm_of_the_worked_example() -> None:
    np.testing.assert_allclose(significance.holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    assert significance.holm([]).shape == (0,)
    assert significance.holm([0.7, 0.9]).tolist() == [1, 1]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_bonferroni_over_every_family_that_holds_the_test(p_values: list[float]) -> None:
    # Closed testing (Marcus, Peritz & Gabriel 1976): a test is rejected when every intersection with it is.
    tests = range(len(p_values))
    families = [each for size in range(1, len(p_values) + 1) for each in combinations(tests, size)]
    for test, adjusted in enumerate(significance.holm(p_values)):
        worst = max(min(1, len(each) * min(p_values[i] for i in each)) for each in families if test in each)
        assert adjusted == pytest.approx(worst)


@pytest.mark.parametrize("wrong", [-0.1, 1.1, float("nan")])
def test_holm_refuses_what_is_no_p_value(wrong: float) -> None:
    with pytest.raises(EpisomeError, match=f"p-values of \\[{wrong}\\]"):
        significance.holm([0.5, wrong])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-9, 9), min_size=1, max_size=8))
def test_sign_flips_are_all_looked_at(tenths: list[int]) -> None:
    found = significance.sign_flip(np.array(tenths) / 10)
    flipped = [
        abs(sum(s * t for s, t in zip(signs, tenths, strict=True))) for signs in product((1, -1), repeat=len(tenths))
    ]
    assert found.p == np.mean([each >= abs(sum(tenths)) for each in flipped])
    assert found.mean == pytest.approx(np.mean(tenths) / 10)
    assert found.p >= found.smallest == 2 / 2 ** len(tenths)


def test_sign_flips_are_scipys_and_seeds_that_agree_give_the_smallest_p() -> None:
    values = np.random.default_rng(1).normal(0.3, 1, 7)
    judged = permutation_test((values,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert significance.sign_flip(values).p == pytest.approx(judged.pvalue)
    assert significance.sign_flip([0.1, 0.2, 0.3, 0.1, 0.2, 0.4]).p == 0.03125
    assert significance.sign_flip([0.1, 0.2, 0.3]).p == significance.sign_flip([-0.1, -0.2, -0.3]).smallest == 0.25


@pytest.mark.parametrize("seeds", [0, 21])
def test_no_seed_and_too_many_seeds_are_refused(seeds: int) -> None:
    with pytest.raises(EpisomeError, match=f"{seeds} seeds; the exact test wants 1 to 20"):
        significance.sign_flip(np.ones(seeds))
