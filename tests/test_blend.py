"""Several donors in one start: the mixture is of products, and the cut is the best there is."""

import math
from pathlib import Path

import pytest
import torch

from episome import blend, lora
from episome.blend import Source
from episome.types import EpisomeError
from tests.test_train import base, fresh

__all__ = ["base"]

B, A = "layer.lora_B.weight", "layer.lora_A.weight"


def source(seed: int, distance: float, rank: int = 2, scale: float = 2.0) -> Source:
    """A donor with one random layer."""
    torch.manual_seed(seed)
    return Source(factors={B: torch.randn(7, rank), A: torch.randn(rank, 5)}, scale=scale, distance=distance)


def product(factors: dict[str, torch.Tensor]) -> torch.Tensor:
    return factors[B] @ factors[A]


def test_weights_fall_with_distance_and_add_up_to_one() -> None:
    got = blend.weights([0.2, 1.2])
    assert got == pytest.approx((1 / (1 + math.exp(-1)), math.exp(-1) / (1 + math.exp(-1))))
    assert blend.weights([1e4, 1e4]) == pytest.approx((0.5, 0.5))


def test_with_room_enough_the_mixture_is_exact() -> None:
    one, other = source(0, 0.2), source(1, 0.9, rank=1, scale=0.5)
    got = blend.blend([one, other], rank=3)
    p, q = got.weights
    wanted = p * 2.0 * one.factors[B] @ one.factors[A] + q * 0.5 * other.factors[B] @ other.factors[A]
    torch.testing.assert_close(product(got.factors), wanted, atol=1e-5, rtol=1e-5)
    assert got.factors[B].shape == (7, 3)
    assert got.lost == pytest.approx(0.0, abs=1e-12)


def test_the_cut_is_the_best_of_its_rank_and_not_the_sum_of_factors() -> None:
    one, other = source(0, 0.5), source(1, 0.5)
    whole = product(blend.blend([one, other], rank=4).factors)
    got = blend.blend([one, other], rank=2)
    u, s, vh = torch.linalg.svd(whole)
    torch.testing.assert_close(product(got.factors), (u[:, :2] * s[:2]) @ vh[:2], atol=1e-5, rtol=1e-4)
    assert got.lost == pytest.approx(float((s[2:] ** 2).sum() / (s**2).sum()), rel=1e-4)
    summed = (one.factors[B] + other.factors[B]) @ (one.factors[A] + other.factors[A])
    assert not torch.allclose(product(got.factors), summed, atol=0.1)


def test_one_donor_comes_back_as_it_was_and_an_empty_one_leaves_its_directions_free() -> None:
    one = source(0, 3.0)
    got = blend.blend([one], rank=8)
    torch.testing.assert_close(product(got.factors), 2.0 * one.factors[B] @ one.factors[A], atol=1e-5, rtol=1e-5)
    assert got.factors[A].shape == (2, 5)  # what is missing to the rank, `lora.fill` takes from the fresh adapter
    zero = Source(factors={B: torch.zeros(7, 2), A: torch.randn(2, 5)}, scale=1.0, distance=0.0)
    assert blend.blend([zero], rank=2).factors[A].shape == (0, 5)


def test_an_adapter_filled_with_a_blend_can_learn_in_every_direction(base: Path) -> None:
    donor, heir = fresh(base), fresh(base)
    with torch.no_grad():
        for layer in lora.layers(donor.encoder):
            layer.b[:, :1] = 0.1  # one direction of two is in use
    lora.save(donor.encoder, base.parent / "donor")
    sources = [Source(factors=lora.read(base.parent / "donor"), scale=2.0, distance=d) for d in (0.1, 0.4)]
    lora.fill(heir.encoder, blend.blend(sources, rank=2).factors, scale=1.0, said="blend")
    before = {layer.name: layer.scale * layer.b @ layer.a for layer in lora.layers(donor.encoder)}
    for layer in lora.layers(heir.encoder):
        torch.testing.assert_close(layer.scale * layer.b @ layer.a, before[layer.name], atol=1e-6, rtol=1e-4)
        assert bool((layer.a.abs().sum(1) > 0).all())


def test_donors_that_do_not_fit_each_other_are_refused() -> None:
    with pytest.raises(EpisomeError, match="no donor"):
        blend.blend([], rank=2)
    odd = Source(factors={"other.lora_B.weight": torch.ones(1, 1)}, scale=1.0, distance=0.0)
    with pytest.raises(EpisomeError, match=r"different layers, e\.g\. \['layer\.lora_A\.weight'"):
        blend.blend([source(0, 0.1), odd], rank=2)
