"""What else can be made of a base: every weight trained, none, a linear probe; and how far a training moved it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from episome import alternatives, layerchange, lora, stacking, train
from episome.classifier import Classifier, Examples
from episome.types import EpisomeError
from tests.test_train import base, fresh, numbers, split, toy_rows

__all__ = ["base"]  # a fixture, used by its name
GRID = stacking.Grid(penalties=(0.1, 1.0), kmer_weights=(1.0,))


def prepared(folder: Path) -> tuple[Classifier, Examples, Examples]:
    """A fresh classifier with its composition fitted, and its rows."""
    rows, subject = toy_rows(), fresh(folder)
    fitting, judging = split(subject, rows, "train"), split(subject, rows, "val")
    groups = rows[rows["split"] == "train"]["group"].to_numpy(str)
    offset = stacking.fit_composition(subject, fitting, judging, groups, GRID)
    return subject, replace(fitting, offset=offset), judging


def weights(subject: Classifier) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in subject.encoder.named_parameters()}


def test_full_fine_tuning_moves_the_base_and_leaves_the_adapter_at_zero(base: Path) -> None:
    subject, fitting, judging = prepared(base)
    before, looked = weights(subject), layerchange.look(subject, judging)
    events = list(alternatives.fit_all(subject, fitting, judging, numbers(), 1e-3, seed=0))
    losses = [event.loss for event in events if isinstance(event, train.Epoch)]
    assert losses[-1] < losses[0]
    moved = {name for name, value in weights(subject).items() if not torch.equal(value, before[name])}
    assert moved
    assert not any("lora_" in name for name in moved)
    found = layerchange.changes(looked, layerchange.look(subject, judging))
    assert set(found) == {f"{what}_{third}" for what in ("weight_change", "cka") for third in ("shallow", "middle")}
    assert all(0 < found[f"weight_change_{third}"] < 1 for third in ("shallow", "middle"))
    assert all(0 < found[f"cka_{third}"] < 1 for third in ("shallow", "middle"))


def test_full_fine_tuning_is_the_same_twice_and_stops_when_it_no_longer_helps(base: Path) -> None:
    answers = []
    for _ in range(2):
        subject, fitting, judging = prepared(base)
        list(alternatives.fit_all(subject, fitting, judging, numbers(), 1e-3, seed=3))
        answers.append(subject.logits(judging))
    assert np.array_equal(answers[0], answers[1])
    subject, fitting, judging = prepared(base)
    still = numbers(epochs=9, patience=2, head_learning_rate=1e-12)
    epochs = [
        e for e in alternatives.fit_all(subject, fitting, judging, still, 1e-12, seed=0) if isinstance(e, train.Epoch)
    ]
    assert len(epochs) < 9


def test_full_fine_tuning_refuses_an_adapter_that_is_not_zero(base: Path) -> None:
    subject, fitting, judging = prepared(base)
    with torch.no_grad():
        next(lora.layers(subject.encoder)).b.fill_(0.1)
    with pytest.raises(EpisomeError, match="its adapter is not zero"):
        list(alternatives.fit_all(subject, fitting, judging, numbers(), 1e-3, seed=0))


def test_a_head_alone_learns_while_no_layer_moves(base: Path) -> None:
    subject, fitting, judging = prepared(base)
    before, looked, head = weights(subject), layerchange.look(subject, judging), subject.head.state.detach().clone()
    list(train.fit(subject, fitting, judging, numbers(epochs=4), seed=0, pace=alternatives.HEAD_ONLY))
    assert all(torch.equal(value, before[name]) for name, value in weights(subject).items())
    assert not torch.equal(subject.head.state, head)
    found = layerchange.changes(looked, layerchange.look(subject, judging))
    assert found["weight_change_shallow"] == 0
    assert found["cka_shallow"] == pytest.approx(1)


def test_a_probe_reads_what_the_pooled_state_tells(base: Path) -> None:
    rows, subject = toy_rows(400), fresh(base)
    asked = rows[rows["label_whole"] >= 0]
    learn, val, test = (split(subject, asked, name) for name in ("train", "val", "test"))
    on_val, on_test = alternatives.probe(subject, (learn, val, test), 0)
    assert (len(on_val), len(on_test)) == (len(val.labels), len(test.labels))
    assert roc_auc_score(test.labels[:, 0], on_test) > 0.8
