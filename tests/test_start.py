"""The check for negative transfer: the better of two starts goes on, and nothing else of the short trainings stays."""

from collections.abc import Iterator
from pathlib import Path

import torch

from episome import lora, start, train
from episome.classifier import Classifier
from episome.pace import STEADY, Pace
from episome.start import Start
from tests.test_train import base, fresh, numbers, split, toy_rows

__all__ = ["base"]


def spoiled(subject: Classifier) -> dict[str, torch.Tensor]:
    """Weights of an adapter that drowns every state in noise."""
    torch.manual_seed(3)
    own = start.weights(subject)
    return {name: value + 30 * torch.randn_like(value) if "lora_" in name else value for name, value in own.items()}


def watched(name: str, events: Iterator[train.Step | train.Epoch]) -> float:
    best = [sum(e.auroc.values()) / len(e.auroc) for e in events if isinstance(e, train.Epoch)]
    return max(best)


def test_a_harmful_donor_is_left_and_a_good_one_is_taken(base: Path) -> None:
    rows = toy_rows(320)
    subject = fresh(base)
    fitting, judging = split(subject, rows, "train"), split(subject, rows, "val")
    nothing = Start(name="nothing", weights=start.weights(subject), numbers=numbers(), pace=STEADY)
    harmful = Start(name="donor", weights=spoiled(subject), numbers=numbers(), pace=Pace(frozen_share=0.5))
    chosen, scores = start.better(subject, (harmful, nothing), fitting, judging, 2, watched, seed=0)
    assert scores["donor"] < scores["nothing"]
    assert chosen is nothing
    assert all(torch.equal(value, nothing.weights[name]) for name, value in start.weights(subject).items())
    list(train.fit(subject, fitting, judging, numbers(), seed=0))
    good = Start(name="donor", weights=start.weights(subject), numbers=numbers(), pace=STEADY)
    chosen, scores = start.better(subject, (good, nothing), fitting, judging, 1, watched, seed=0)
    assert chosen is good
    assert all(p.requires_grad for layer in lora.layers(subject.encoder) for p in (layer.a, layer.b))


def test_on_a_tie_the_donor_goes_on(base: Path) -> None:
    rows = toy_rows()
    subject = fresh(base)
    fitting, judging = split(subject, rows, "train"), split(subject, rows, "val")
    same = [Start(name=n, weights=start.weights(subject), numbers=numbers(), pace=STEADY) for n in ("donor", "nothing")]
    chosen, scores = start.better(subject, (same[0], same[1]), fitting, judging, 1, watched, seed=0)
    assert scores["donor"] == scores["nothing"]
    assert chosen.name == "donor"
