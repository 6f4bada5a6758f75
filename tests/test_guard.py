"""What holds a retrain to its champion, on a small encoder: Fisher against single examples, and each guard's memory."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from episome import ewc, guard, lora, objective, sensitivity, train
from episome.classifier import Classifier, Examples
from episome.learning import Train
from episome.objective import Memory
from tests.test_objective import gradients, moved
from tests.test_train import base, numbers, same, split, state, toy_rows

__all__ = ["base"]

ROWS = 12
GUARDS = ("ewc", "ewc_factors", "mas", "l2sp", "lwf", "none")


def relative(got: Tensor, wanted: Tensor) -> float:
    return float((got.double() - wanted.double()).norm() / wanted.double().norm())


def few(subject: Classifier, n: int = ROWS) -> Examples:
    """Sequences of both lengths, half labelled for one task and half for the other."""
    return subject.examples(toy_rows(n))


def scored(
    subject: Classifier, rows: Examples, size: int, padding: int = 0, tasks: int = 2
) -> Iterator[sensitivity.Scored]:
    """Batches of a size, with tokens of padding behind the longest."""
    subject.eval()
    for at in range(0, len(rows.encodings), size):
        ids, mask, centre, composition = subject.batch(rows, np.arange(at, min(at + size, len(rows.encodings))))
        ids, mask = nn.functional.pad(ids, (0, padding)), nn.functional.pad(mask, (0, padding))
        features = subject.features(ids, mask, centre, composition)
        labelled = torch.from_numpy(rows.labels[at : at + size] >= 0)
        yield sensitivity.Scored(
            logits=subject.head(features)[:, :tasks], features=features, labelled=labelled[:, :tasks]
        )


def fisher_of(subject: Classifier, rows: Examples, size: int, padding: int = 0, tasks: int = 2) -> ewc.Fisher:
    return sensitivity.fisher(
        list(lora.layers(subject.encoder)), scored(subject, rows, size, padding, tasks), full=True
    )


def one_by_one(subject: Classifier, rows: Examples, tasks: int) -> dict[str, Tensor]:
    """E over examples and both labels of the squared gradient of each base weight: that of ΔW, by autograd alone."""
    layers = list(lora.layers(subject.encoder))
    weights = [layer.module.get_parameter("base_layer.weight").requires_grad_(True) for layer in layers]
    total = [torch.zeros(weight.shape, dtype=torch.float64) for weight in weights]
    for one in scored(subject, rows, 1, tasks=tasks):
        for task in torch.nonzero(one.labelled[0]).flatten().tolist():
            logit = one.logits[0, task]
            p = float(logit.detach().double().sigmoid())
            for label, likely in ((1.0, p), (0.0, 1 - p)):
                loss = nn.functional.binary_cross_entropy_with_logits(logit, torch.tensor(label))
                for added, grad in zip(total, torch.autograd.grad(loss, weights, retain_graph=True), strict=True):
                    added += likely * grad.double() ** 2 / len(rows.encodings)
    for weight in weights:
        weight.requires_grad_(False)
    return {layer.name: added for layer, added in zip(layers, total, strict=True)}


@pytest.mark.parametrize("tasks", [1, 2])
def test_of_an_encoder_it_is_that_of_every_example_by_itself(base: Path, tasks: int) -> None:
    subject = moved(base)
    rows = few(subject)
    assert (rows.labels == -1).any(axis=0).all()
    got, wanted = fisher_of(subject, rows, 5, tasks=tasks), one_by_one(subject, rows, tasks)
    for name, exact in wanted.items():
        assert relative(got.full[name], exact) < 1e-5
        assert relative(got.rows[name], exact.sum(1)) < 1e-5
        assert relative(got.columns[name], exact.sum(0)) < 1e-5


def test_of_an_encoder_it_knows_neither_batches_nor_padding_nor_copies(base: Path) -> None:
    subject = moved(base)
    rows = few(subject, 40)
    one = fisher_of(subject, rows, 1)
    twice = subject.examples(toy_rows(40).loc[np.repeat(np.arange(40), 2)])
    for other in (fisher_of(subject, rows, 37), fisher_of(subject, rows, 37, padding=9), fisher_of(subject, twice, 37)):
        for name in one.rows:
            for kind in ("rows", "columns", "full"):
                assert relative(getattr(other, kind)[name], getattr(one, kind)[name]) < 1e-6, (name, kind)
        assert relative(other.head_weight, one.head_weight) < 1e-6
        assert relative(other.head_bias, one.head_bias) < 1e-6


def mas_of(subject: Classifier, rows: Examples, size: int) -> ewc.Fisher:
    return sensitivity.mas(list(lora.layers(subject.encoder)), scored(subject, rows, size))


def test_mas_is_the_gradient_of_the_squared_logits_of_every_example_by_itself(base: Path) -> None:
    subject = moved(base)
    rows = few(subject)
    layers = list(lora.layers(subject.encoder))
    weights = [layer.module.get_parameter("base_layer.weight").requires_grad_(True) for layer in layers]
    total = [torch.zeros(weight.shape) for weight in weights]
    head, bias = torch.zeros(subject.head.folded()[0].shape), torch.zeros(2)
    for one in scored(subject, rows, 1):
        norm = (one.logits[one.labelled] ** 2).sum()
        for added, grad in zip(total, torch.autograd.grad(norm, weights, retain_graph=True), strict=True):
            added += grad.abs() / ROWS
        slope = 2 * one.logits.detach()[0] * one.labelled[0]
        head += torch.outer(slope, one.features.detach()[0]).abs() / ROWS
        bias += slope.abs() / ROWS
    for weight in weights:
        weight.requires_grad_(False)
    for size in (1, 5, 37):
        got = mas_of(subject, rows, size)
        for layer, wanted in zip(layers, total, strict=True):
            assert relative(got.rows[layer.name], wanted.sum(1)) < 1e-5
            assert relative(got.columns[layer.name], wanted.sum(0)) < 1e-5
        assert relative(got.head_weight, head) < 1e-5
        assert relative(got.head_bias, bias) < 1e-5


def test_mas_is_kept_beside_the_fisher_and_gathers_as_it_does(base: Path, tmp_path: Path) -> None:
    subject, chosen = moved(base), numbers(guard="mas", fisher_rows=20)
    rows = few(subject, 64)
    one = guard.fisher(subject, rows, chosen, 0)
    plain = guard.fisher(subject, rows, numbers(fisher_rows=20), 0)
    assert plain.mas is None
    assert one.mas is not None
    ewc.save(one, tmp_path / ewc.FILE)
    back = ewc.load(tmp_path / ewc.FILE)
    assert back.mas is not None
    both = ewc.accumulate(one, back, 0.5)
    assert both.mas is not None
    assert ewc.accumulate(plain, one).mas is one.mas
    assert ewc.accumulate(one, plain).mas is None
    for name, row in one.rows.items():
        torch.testing.assert_close(back.rows[name], row)
        torch.testing.assert_close(plain.rows[name], row)
        torch.testing.assert_close(both.mas.rows[name], 1.5 * one.mas.rows[name])
    torch.testing.assert_close(both.mas.head_bias, 1.5 * one.mas.head_bias)


def remembered(subject: Classifier, chosen: Train) -> tuple[Examples, Memory]:
    fitting = few(subject, 64)
    return fitting, guard.memory(subject, guard.fisher(subject, fitting, chosen, 0), fitting, chosen)


@pytest.mark.parametrize("name", GUARDS)
def test_every_guard_costs_nothing_at_the_champion_and_something_elsewhere(base: Path, name: str) -> None:
    subject, chosen = moved(base), numbers(guard=name, ewc_lambda=2.0, fisher_rows=20)
    fitting, memory = remembered(subject, chosen)

    def cost() -> float:
        lesson = objective.lesson(fitting, chosen, answers=memory.answers)
        step = [objective.Draw(rows=np.arange(64))]
        strayed = objective.accumulate(subject, lesson, step, chosen).strayed
        return objective.held_back(subject, memory, chosen).item() + strayed

    assert cost() == pytest.approx(0.0, abs=1e-5)
    with torch.no_grad():
        subject.head.state.mul_(2.0)
        for layer in lora.layers(subject.encoder):
            layer.b.add_(0.05)
    assert (cost() > 1e-3) is (name != "none")
    assert cost() == pytest.approx(0.0) or name != "none"


def test_the_champions_answers_are_kept_by_their_divergence(base: Path) -> None:
    subject, chosen = moved(base), numbers(guard="lwf", ewc_lambda=0.7)
    fitting, memory = remembered(subject, chosen)
    assert memory.answers is not None
    old = torch.from_numpy(memory.answers).double()
    assert bool(old[:, 0].isfinite().all())  # a task of whole sequences is asked of every row
    assert (old[:, 1].isnan().numpy() == (fitting.centres == 0)).all()
    with torch.no_grad():
        subject.head.state.mul_(1.5)
    step, got = [objective.Draw(rows=at) for at in np.array_split(np.arange(64), 3)], []
    for answers in (memory.answers, None):
        subject.zero_grad()
        sums = objective.accumulate(subject, objective.lesson(fitting, chosen, answers=answers), step, chosen)
        got.append((gradients(subject), sums.strayed))
    subject.zero_grad()
    new = subject.head(subject.features(*subject.batch(fitting, np.arange(64)))).double()
    p, q, there = old.sigmoid(), new.sigmoid(), ~old.isnan()
    whole = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
    wanted = 0.7 * whole[there].sum() / 64
    assert wanted.item() > 1e-3
    assert got[0][1] == pytest.approx(wanted.item(), rel=1e-3)
    assert got[1][1] == 0.0
    p, there = p[there], there
    expected = {}
    (0.7 * nn.functional.binary_cross_entropy_with_logits(new[there], p, reduction="sum") / 64).backward()
    expected = gradients(subject)
    for key, gradient in expected.items():
        torch.testing.assert_close(got[0][0][key] - got[1][0][key], gradient, atol=1e-5, rtol=1e-3)


def test_a_task_the_champion_does_not_know_is_free_of_its_answers(base: Path) -> None:
    subject = moved(base)
    fitting, chosen = few(subject), numbers(guard="lwf")
    known = replace(guard.fisher(subject, fitting, chosen, 0), head_bias=torch.zeros(1))
    answers = guard.memory(subject, known, fitting, chosen).answers
    assert answers is not None
    assert np.isnan(answers[:, 1]).all()
    assert np.isfinite(answers[:, 0]).all()


def test_l2_charges_the_heads_composition_in_the_units_it_is_trained_in(base: Path) -> None:
    subject, chosen = moved(base), numbers(guard="l2sp", ewc_lambda=1.0)
    subject.head.scale.fill_(0.1)
    _, memory = remembered(subject, chosen)
    with torch.no_grad():
        subject.head.composition.add_(0.5)
        subject.head.bias.add_(0.25)
    seen = int(subject.head.seen.sum())
    wanted = 0.5 * (seen * 0.5**2 + 2 * 0.25**2)
    assert objective.held_back(subject, memory, chosen).item() == pytest.approx(wanted, rel=1e-4)


def retrained(base: Path, chosen: Train, *, remember: bool = True) -> dict[str, Tensor]:
    """What an epoch on labels turned round makes of a champion; the best epoch, which may be none, comes back later."""
    subject = moved(base)
    rows = toy_rows(96)
    kept = guard.fisher(subject, split(subject, rows, "train"), chosen, 0)
    labels = ("label_whole", "label_site")
    turned = rows.assign(**{name: np.where(rows[name] < 0, -1, 1 - rows[name]).astype("int8") for name in labels})
    fitting, judging = split(subject, turned, "train"), split(subject, turned, "val")
    memory = guard.memory(subject, kept, fitting, chosen) if remember else objective.EMPTY
    for event in train.fit(subject, fitting, judging, chosen, seed=0, memory=memory):
        if isinstance(event, train.Epoch):
            return state(subject)
        assert np.isfinite(event.loss)
        assert np.isfinite(event.penalty)
    raise AssertionError("no epoch came to its end")


def furthest(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    return max(float((one[key] - other[key]).abs().max()) for key in one)


@pytest.fixture(scope="module")
def naive(base: Path) -> dict[str, Tensor]:
    """An epoch that nothing holds back."""
    return retrained(base, numbers(ewc_lambda=0.0), remember=False)


@pytest.mark.parametrize("name", GUARDS)
def test_without_a_weight_every_guard_is_bit_for_bit_naive_training(
    base: Path, naive: dict[str, Tensor], name: str
) -> None:
    assert same(retrained(base, numbers(ewc_lambda=0.0, guard=name, fisher_rows=20)), naive)
    with_one = retrained(base, numbers(ewc_lambda=100.0, guard=name, fisher_rows=20))
    assert same(with_one, naive) is (name == "none")


@pytest.mark.parametrize("name", ["ewc", "ewc_factors", "mas", "l2sp"])
def test_under_an_endless_weight_nothing_moves(base: Path, naive: dict[str, Tensor], name: str) -> None:
    start = state(moved(base))
    assert furthest(naive, start) > 1e-2
    for weight in (1e12, 1e30, 1e300):
        held = retrained(base, numbers(ewc_lambda=weight, guard=name, fisher_rows=20))
        assert furthest(held, start) < 1e-6, weight


def test_the_weight_is_cut_only_where_it_is_too_steep_and_the_rates_with_it(base: Path) -> None:
    subject, chosen = moved(base), numbers(ewc_lambda=1.0)
    _, memory = remembered(subject, chosen)
    assert memory.prior is not None
    assert objective.eased(chosen, memory) == (chosen, 1.0)
    assert objective.eased(numbers(ewc_lambda=1e9), Memory()) == (numbers(ewc_lambda=1e9), 1.0)
    steep = numbers(ewc_lambda=1e9, learning_rate=0.5, head_learning_rate=1e-9)
    eased, share = objective.eased(steep, memory)
    adapter, _ = ewc.steepest(memory.prior.fisher)
    assert eased.ewc_lambda * adapter * 0.5 == pytest.approx(objective.STIFFEST)
    assert eased.ewc_lambda == pytest.approx(1e9 * share)
