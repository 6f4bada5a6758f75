"""Likeness of two models against invariances, brute force and scipy."""

from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import ortho_group, pearsonr

from episome import likeness
from episome.types import EpisomeError


def activations(inputs: int, features: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(inputs, features))


@pytest.mark.parametrize("inputs", [40, 5])
def test_cka_is_blind_to_rotation_scale_and_shift(inputs: int) -> None:
    x, y = activations(inputs, 8, 0), activations(inputs, 6, 1)
    turned = 3 * x @ ortho_group.rvs(8, random_state=2) + 5
    assert likeness.linear_cka(x, turned).value == pytest.approx(1)
    plain = likeness.linear_cka(x, y).value
    assert likeness.linear_cka(turned, y).value == pytest.approx(plain)
    assert likeness.linear_cka(y, x).value == pytest.approx(plain)


@pytest.mark.parametrize(("inputs", "features"), [(30, 4), (6, 9)])
def test_cka_is_the_correlation_of_centred_kernels(inputs: int, features: int) -> None:
    x, y = activations(inputs, features, 3), activations(inputs, features + 1, 4)
    centre = np.eye(inputs) - 1 / inputs
    k, m = (centre @ each @ each.T @ centre for each in (x, y))
    by_hand = np.trace(k @ m) / np.sqrt(np.trace(k @ k) * np.trace(m @ m))
    assert likeness.linear_cka(x, y).value == pytest.approx(by_hand)


def test_cka_of_single_features_is_their_squared_correlation() -> None:
    x, y = activations(50, 1, 5), activations(50, 1, 6)
    assert likeness.linear_cka(x, y).value == pytest.approx(pearsonr(x[:, 0], y[:, 0]).statistic ** 2)


def test_cka_of_unrelated_layers_is_low_with_many_inputs_and_high_with_few() -> None:
    many = likeness.linear_cka(activations(2000, 20, 7), activations(2000, 20, 8)).value
    few = likeness.linear_cka(activations(10, 20, 7), activations(10, 20, 8)).value
    assert many is not None
    assert few is not None
    assert many < 0.05 < 0.5 < few


def test_activations_that_do_not_vary_have_no_alignment() -> None:
    found = likeness.linear_cka(np.ones((4, 2)), activations(4, 2, 0))
    assert (found.value, found.reason) == (None, "activations of 4 inputs do not vary")


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (np.ones((4, 2)), np.ones((3, 2)), "a row per input"),
        (np.ones(4), np.ones((4, 2)), "a row per input"),
        (np.full((4, 2), np.nan), np.ones((4, 2)), "not finite"),
    ],
)
def test_activations_that_do_not_match_are_refused(first: np.ndarray, second: np.ndarray, message: str) -> None:
    with pytest.raises(EpisomeError, match=message):
        likeness.linear_cka(first, second)


def test_a_tokens_attention_is_spread_over_its_bases() -> None:
    # [CLS] AC GGT [SEP]
    found = likeness.to_nucleotides([[0.2, 0.4, 0.3, 0.1], [0.0, 1.0, 0.0, 0.0]], [0, 2, 3, 0])
    np.testing.assert_allclose(found, [[2 / 7, 2 / 7, 1 / 7, 1 / 7, 1 / 7], [0.5, 0.5, 0, 0, 0]])


@pytest.mark.parametrize(
    ("attention", "lengths", "message"),
    [([[0.5, 0.5]], [1], "one per token"), ([[1.0, 0.0]], [0, 3], "1 rows of attention lie on no base")],
)
def test_attention_that_cannot_be_projected_is_refused(
    attention: list[list[float]], lengths: list[int], message: str
) -> None:
    with pytest.raises(EpisomeError, match=message):
        likeness.to_nucleotides(attention, lengths)


def maps(seed: int, heads: int = 3) -> np.ndarray:
    """Sparse attention of 2 layers, 4 queries, 6 bases."""
    raw = np.random.default_rng(seed).dirichlet(np.full(6, 0.3), size=(2, heads, 4))
    raw[..., 0] = 0
    return np.asarray(raw / raw.sum(axis=-1, keepdims=True))


def test_attention_likeness_is_scipys_divergence_head_by_head() -> None:
    one, other = maps(0), maps(1)
    found = likeness.attention_likeness(one, other)

    def alike(layer: int, head: int, against: int) -> float:
        rows = zip(one[layer, head], other[layer, against], strict=True)
        return float(np.mean([1 - jensenshannon(p, q, base=2) ** 2 for p, q in rows]))

    assert found.same_head == pytest.approx(np.mean([alike(layer, h, h) for layer in range(2) for h in range(3)]))
    apart = [alike(layer, h, g) for layer in range(2) for h in range(3) for g in range(3) if h != g]
    assert found.other_head.value == pytest.approx(np.mean(apart))


def test_equal_maps_are_alike_disjoint_ones_are_not() -> None:
    one = maps(2)
    found = likeness.attention_likeness(one, one)
    assert found.same_head == pytest.approx(1)
    assert found.other_head.value is not None
    assert found.other_head.value < 0.9
    left, right = np.zeros((1, 1, 2, 4)), np.zeros((1, 1, 2, 4))
    left[..., :2] = right[..., 2:] = 0.5
    apart = likeness.attention_likeness(left, right)
    assert apart.same_head == 0
    assert apart.other_head.reason == "one head a layer: no other one to compare with"


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (maps(0), maps(0, heads=2), "layers, heads, queries, bases"),
        (maps(0)[0], maps(0)[0], "layers, heads, queries, bases"),
        (maps(0), 2 * maps(0), "1 in sum"),
        (maps(0), np.concatenate([-maps(0), 2 * maps(0)], axis=-1)[..., :6], "none below 0"),
    ],
)
def test_attention_that_does_not_match_is_refused(first: np.ndarray, second: np.ndarray, message: str) -> None:
    with pytest.raises(EpisomeError, match=message):
        likeness.attention_likeness(first, second)


def test_overlap_of_known_regions() -> None:
    first, second = np.zeros(100), np.zeros(100)
    first[10:15] = [1, 2, 3, 4, 5]
    second[12:17] = [5, 4, 3, 2, 1]
    found = likeness.key_overlap(first, second)
    assert (found.first, found.second, found.positions) == (5, 5, 100)
    assert found.iou == pytest.approx(3 / 7)
    assert likeness.key_overlap(first, first).iou == 1


def test_overlap_expected_of_shuffled_positions_is_about_a_fortieth() -> None:
    random = np.random.default_rng(0)
    values = random.random(1000)
    found = likeness.key_overlap(values, random.random(1000))
    assert found.expected == pytest.approx(0.026, abs=0.001)
    shuffled = [likeness.key_overlap(values, random.permutation(values)).iou for _ in range(2000)]
    assert np.mean(shuffled) == pytest.approx(found.expected, abs=4 * np.std(shuffled) / 2000**0.5)


@given(st.lists(st.integers(0, 4), min_size=2, max_size=8), st.lists(st.integers(0, 4), min_size=8, max_size=8))
def test_the_expectation_is_the_mean_over_all_placements(one: list[int], other: list[int]) -> None:
    other = other[: len(one)]
    found = likeness.key_overlap(one, other, share=0.3)
    ours = set(range(found.first))
    placed = [set(each) for each in combinations(range(len(one)), found.second)]
    assert len(placed) == comb(len(one), found.second)
    assert found.expected == pytest.approx(np.mean([len(ours & each) / len(ours | each) for each in placed]))
    assert 0 <= found.iou <= 1


def test_tied_borders_take_all_the_tied_positions() -> None:
    found = likeness.key_overlap(np.ones(40), np.arange(40))
    assert (found.first, found.second) == (40, 2)
    assert found.iou == found.expected == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("first", "second", "share", "message"),
    [
        ([1.0], [1.0, 2.0], 0.05, "one number per position"),
        ([], [], 0.05, "one number per position"),
        ([1.0, 2.0], [1.0, 2.0], 0.0, "a share of 0.0"),
        ([1.0, 2.0], [1.0, 2.0], 1.5, "a share of 1.5"),
    ],
)
def test_attributions_that_cannot_be_compared_are_refused(
    first: list[float], second: list[float], share: float, message: str
) -> None:
    with pytest.raises(EpisomeError, match=message):
        likeness.key_overlap(first, second, share)
