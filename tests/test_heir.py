"""Back towards the champion: what is mixed are products and the head's weights, and the cut is the best there is."""

from pathlib import Path

import pytest
import torch

from episome import heir, lora, start
from episome.classifier import Classifier
from tests.test_train import base, fresh

__all__ = ["base"]


def moved(subject: Classifier, seed: int) -> dict[str, torch.Tensor]:
    """Move all that is trained; a copy of what it was."""
    before = start.weights(subject)
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in subject.parameters():
            if parameter.requires_grad:
                parameter.add_(0.3 * torch.randn_like(parameter))
    return before


def products(subject: Classifier) -> dict[str, torch.Tensor]:
    return {layer.name: (layer.scale * layer.b @ layer.a).detach().clone() for layer in lora.layers(subject.encoder)}


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_the_adapter_is_the_best_of_its_rank_between_the_two(base: Path, share: float) -> None:
    subject = fresh(base)
    moved(subject, 1)
    old = products(subject)
    champion = moved(subject, 2)
    new, trained = products(subject), start.weights(subject)
    lost = heir.retreat(subject, champion, share)
    rank = next(lora.layers(subject.encoder)).a.shape[0]
    cut = whole = 0.0
    for name, found in products(subject).items():
        u, values, vh = torch.linalg.svd((1 - share) * old[name] + share * new[name])
        torch.testing.assert_close(found, (u[:, :rank] * values[:rank]) @ vh[:rank], atol=1e-5, rtol=1e-4)
        cut, whole = cut + float((values[rank:] ** 2).sum()), whole + float((values**2).sum())
    assert lost == pytest.approx(cut / whole, rel=1e-3)
    heads = [name for name in trained if "lora_" not in name]
    assert heads
    for name in heads:
        wanted = (1 - share) * champion[name] + share * trained[name]
        torch.testing.assert_close(start.weights(subject)[name], wanted)


def test_all_of_the_way_changes_no_bit(base: Path) -> None:
    subject = fresh(base)
    champion = moved(subject, 1)
    trained = start.weights(subject)
    assert heir.retreat(subject, champion, 1.0) == 0
    assert all(torch.equal(value, trained[name]) for name, value in start.weights(subject).items())


def test_directions_that_the_mixture_lacks_can_still_be_learned(base: Path) -> None:
    subject = fresh(base)
    champion = start.weights(subject)
    with torch.no_grad():
        for layer in lora.layers(subject.encoder):
            layer.b[:, :1] = 0.1  # one direction of two is in use
    new = products(subject)
    assert heir.retreat(subject, champion, 0.5) == pytest.approx(0, abs=1e-9)
    for layer in lora.layers(subject.encoder):
        torch.testing.assert_close(layer.scale * layer.b @ layer.a, 0.5 * new[layer.name], atol=1e-6, rtol=1e-4)
        assert bool((layer.a.abs().sum(1) > 0).all())
