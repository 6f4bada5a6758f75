"""What a training step adds up, piece by piece against autograd by hand; and that a piece switched off is not there."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from scipy.special import expit
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from episome import ewc, guard, lora, model, objective, pace, stacking, strands, tokenizer, train
from episome.batches import mixed
from episome.classifier import Classifier, Composition, Examples, save
from episome.learning import Auxiliary
from episome.objective import Draw, Memory
from episome.pretrain import cosine
from episome.types import EpisomeError, Task
from tests.test_train import base, fresh, numbers, same, split, state, toy_rows

__all__ = ["base"]

Gradients = dict[str, Tensor]


def gradients(subject: Classifier) -> Gradients:
    return {name: p.grad.clone() for name, p in subject.named_parameters() if p.grad is not None}


def batches_of(examples: Examples) -> list[Draw]:
    return [Draw(rows=np.asarray(at)) for at in np.array_split(np.arange(len(examples.encodings)), 3)]


def moved(base: Path, seed: int = 5) -> Classifier:
    """A classifier whose adapter and head do something."""
    subject = fresh(base)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in lora.layers(subject.encoder):
            layer.b.copy_(0.1 * torch.randn(layer.b.shape, generator=generator))
        subject.head.state.copy_(torch.randn(subject.head.state.shape, generator=generator))
    return subject


def everything(subject: Classifier, fitting: Examples) -> Memory:
    """A memory of which every part is there."""
    state = train.fisher(subject, fitting, 20, 0)
    donor = train.anchor(subject, ewc.importance(state))
    return Memory(prior=train.anchor(subject, state), donor=donor, states=subject.pooled(fitting), rows=fitting)


def by_hand(subject: Classifier, fitting: Examples, prior: ewc.Anchor | None = None) -> Iterator[None]:
    """The training of one epoch before any of the pieces existed, a step at a time; EWC as it first was."""
    chosen = numbers()
    order = [
        list(mixed(fitting.lengths, chosen.tokens_per_step, 4, np.random.default_rng([0, epoch])))
        for epoch in range(chosen.epochs)
    ]
    schedule = cosine(sum(map(len, order)), chosen.warmup_share)
    head, layers = subject.head, list(lora.layers(subject.encoder))
    groups = [
        {"params": [p for depth in pace.by_depth(layers) for p in depth], "lr": chosen.learning_rate},
        {"params": [head.state, head.composition], "lr": chosen.head_learning_rate},
        {"params": [head.bias], "lr": chosen.head_learning_rate, "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, weight_decay=chosen.weight_decay)
    torch.manual_seed(0)
    rates = [group["lr"] for group in optimiser.param_groups]
    for number, step in enumerate(order[0]):
        subject.train()
        for group, rate in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = rate * schedule(number)
        optimiser.zero_grad()
        if prior is not None:
            held = chosen.ewc_lambda * ewc.penalty(lora.layers(subject.encoder), *head.folded(), prior)
            held.backward()
        labels = sum(int((fitting.labels[at] >= 0).sum()) for at in step)
        for at in step:
            logits = subject.head(subject.features(*subject.batch(fitting, at)))
            wanted = torch.from_numpy(fitting.labels[at]).float()
            there = wanted >= 0
            loss = nn.functional.binary_cross_entropy_with_logits(logits[there], wanted[there], reduction="sum")
            (loss / labels).backward()
        nn.utils.clip_grad_norm_([p for p in subject.parameters() if p.requires_grad], chosen.clip_norm)
        optimiser.step()
        yield


@pytest.mark.parametrize("with_memory", [False, True])
def test_with_all_weights_at_zero_a_training_is_bit_for_bit_the_plain_one(base: Path, with_memory: bool) -> None:
    rows = toy_rows()
    subject, plain = moved(base), moved(base)
    fitting, judging = split(subject, rows, "train"), split(subject, rows, "val")
    memory = everything(subject, fitting) if with_memory else objective.EMPTY
    steps = by_hand(plain, fitting)
    seen = 0
    for event in train.fit(subject, fitting, judging, numbers(ewc_lambda=0.0), seed=0, memory=memory):
        if isinstance(event, train.Epoch):
            break
        next(steps)
        seen += 1
        assert same(state(subject), state(plain))
    assert seen > 3


def test_the_guard_by_default_is_bit_for_bit_the_penalty_once_a_step(base: Path) -> None:
    subject, plain = moved(base), moved(base)
    fitting, judging = split(subject, toy_rows(), "train"), split(subject, toy_rows(), "val")
    prior = train.anchor(plain, train.fisher(plain, fitting, 20, 0))
    chosen = numbers()
    assert chosen.ewc_lambda == 30
    memory = guard.memory(subject, guard.fisher(subject, fitting, numbers(fisher_rows=20), 0), fitting, chosen)
    steps, seen = by_hand(plain, fitting, prior), 0
    for event in train.fit(subject, fitting, judging, chosen, seed=0, memory=memory):
        if isinstance(event, train.Epoch):
            break
        next(steps)
        seen += event.penalty > 0
        assert same(state(subject), state(plain))
    assert seen > 3


def test_the_distance_to_the_donors_states_is_added_with_its_gradient(base: Path) -> None:
    subject = moved(base)
    fitting = split(subject, toy_rows(), "train")
    states = fresh(base).pooled(fitting)
    chosen = numbers(distil_lambda=0.7)
    step = batches_of(fitting)
    subject.zero_grad()
    strayed = objective.accumulate(subject, objective.lesson(fitting, chosen, states=states), step, chosen).strayed
    whole = gradients(subject)
    subject.zero_grad()
    plain = objective.accumulate(subject, objective.lesson(fitting, chosen), step, chosen)
    assert plain.strayed == 0.0
    assert plain.missed is None
    assert plain.loss > 0.0
    alone = gradients(subject)
    subject.zero_grad()
    features = [subject.features(*subject.batch(fitting, at.rows))[:, : states.shape[1]] for at in step]
    wanted = 0.7 * (torch.cat(features) - torch.from_numpy(states)).square().mean()
    wanted.backward()
    assert strayed == pytest.approx(wanted.item(), rel=1e-4)
    assert strayed > 1e-5
    for name, gradient in gradients(subject).items():
        torch.testing.assert_close(whole[name] - alone[name], gradient, atol=1e-5, rtol=1e-3)


def test_joint_training_adds_up_two_losses_each_with_its_weight(base: Path) -> None:
    rows, subject = toy_rows(), moved(base)
    target, donor = split(subject, rows, "train"), split(subject, toy_rows(seed=9), "train")
    chosen = numbers(joint_lambda=3.0)
    got: list[Gradients] = []
    for examples, factor in ((target, 1.0), (donor, 1.0), (target, 3.0)):
        subject.zero_grad()
        objective.accumulate(subject, objective.lesson(examples, chosen, factor=factor), batches_of(examples), chosen)
        got.append(gradients(subject))
    objective.accumulate(subject, objective.lesson(donor, chosen), batches_of(donor), chosen)
    for name, gradient in gradients(subject).items():
        torch.testing.assert_close(got[2][name], 3 * got[0][name], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(gradient, 3 * got[0][name] + got[1][name], atol=1e-5, rtol=1e-4)


def part(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    return rows[rows["split"] == name]


def asked_only(rows: pd.DataFrame, task: str) -> pd.DataFrame:
    return rows[rows[f"label_{task}"] >= 0]


def test_a_task_that_only_the_donor_has_rows_of_is_learned_jointly_and_not_otherwise(base: Path) -> None:
    rows = toy_rows(320)
    right = []
    for weight in (0.0, 1.0):
        subject = fresh(base, k=0)
        donor = stacking.beside(subject, rows.assign(label_site=-1), numbers())
        assert len(donor.encodings) == len(asked_only(rows[rows["split"] == "train"], "whole"))
        fitting, judging = (split(subject, asked_only(rows, "site"), name) for name in ("train", "val"))
        chosen = numbers(joint_lambda=weight, epochs=8, patience=9)
        test = split(subject, asked_only(rows, "whole"), "test")
        for event in train.fit(subject, fitting, judging, chosen, seed=0, memory=Memory(rows=donor)):
            if isinstance(event, train.Epoch):  # at the end the best epoch for the target's own task comes back
                score = roc_auc_score(test.labels[:, 0], subject.logits(test)[:, 0])
        right.append(score)
    assert right[0] < 0.7
    assert right[1] > 0.8


def test_the_donors_rows_see_their_own_composition_and_the_targets_head_stays(base: Path) -> None:
    rows, theirs = toy_rows(), toy_rows(seed=3)
    subject, own = fresh(base), fresh(base)
    stacking.prepare(subject, part(rows, "train"), part(rows, "val"), numbers())
    before = [part.detach().clone() for part in subject.head.folded()]
    donor = stacking.beside(subject, theirs, numbers())
    assert all(torch.equal(a, b) for a, b in zip(before, subject.head.folded(), strict=True))
    assert not subject.head.composition.requires_grad
    alone, _ = stacking.prepare(own, part(theirs, "train"), part(theirs, "val"), numbers())
    assert donor.offset is not None
    assert alone.offset is not None
    np.testing.assert_allclose(
        subject.logits(donor) + donor.offset, own.logits(alone) + alone.offset, atol=1e-3, rtol=1e-3
    )
    with pytest.raises(EpisomeError, match=r"0 training and 0 validation rows of the target's tasks \(whole, site\)"):
        stacking.beside(subject, theirs.assign(label_whole=-1, label_site=-1), numbers())


def test_balanced_positives_weigh_as_much_as_the_negatives(base: Path) -> None:
    labels = np.array([[1, -1], [0, 1], [0, 1], [0, -1]], dtype=np.int8)
    assert objective.positive_weights(labels).tolist() == [3.0, 1.0]
    subject, chosen = fresh(base), numbers(balance="weights")
    fitting = split(subject, toy_rows(), "train")
    few = fitting.labels.copy()
    few[np.flatnonzero(few[:, 0] == 1)[5:], 0] = 0
    fitting = replace(fitting, labels=few)
    weights = objective.positive_weights(few)
    assert weights[0] > 3
    subject.zero_grad()
    objective.accumulate(subject, objective.lesson(fitting, chosen), batches_of(fitting), chosen)
    # at logit 0 a positive pulls the bias by w/2 and a negative pushes it by 1/2: balanced, they cancel
    assert subject.head.bias.grad is not None
    torch.testing.assert_close(subject.head.bias.grad, torch.zeros(2), atol=1e-6, rtol=0)
    subject.zero_grad()
    objective.accumulate(subject, objective.lesson(fitting, numbers()), batches_of(fitting), numbers())
    assert float(subject.head.bias.grad[0]) > 0.05


def saved_bytes(subject: Classifier, fitting: Examples, *, on: bool) -> tuple[int, Gradients]:
    """Bytes that one step's forward pass keeps for its backward pass, and the gradients."""
    kept = 0

    def keep(tensor: Tensor) -> Tensor:
        nonlocal kept
        kept += tensor.numel() * tensor.element_size()
        return tensor

    subject.train()
    subject.recompute(on=on)
    subject.zero_grad()
    torch.manual_seed(1)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        subject.head(subject.features(*subject.batch(fitting, np.arange(40)))).sum().backward()
    subject.recompute(on=False)
    return kept, gradients(subject)


def test_recomputed_layers_keep_less_and_give_the_same_gradient_to_the_bit(base: Path, tmp_path: Path) -> None:
    shape = model.Config(
        vocab_size=64, hidden_size=16, num_hidden_layers=6, num_attention_heads=4, intermediate_size=32,
        hidden_dropout_prob=0.3,
    )  # fmt: skip
    encoder = model.fresh(shape, 0).bert
    adapter = lora.attach(encoder, rank=2, alpha=4, targets="all", dropout=0.2, seed=1)
    task = Task(name="whole", scope="sequence")
    words = tokenizer.Tokenizer.load(base / "tokenizer.json")
    subject = Classifier(adapter, 16, words, [task], Composition(k=0, phased=False, site_reach=0))
    with torch.no_grad():
        subject.head.state.fill_(1.0)
    fitting = subject.examples(toy_rows())
    plain, wanted = saved_bytes(subject, fitting, on=False)
    less, got = saved_bytes(subject, fitting, on=True)
    assert same(got, wanted)
    assert float(sum(gradient.abs().sum() for gradient in got.values())) > 0
    assert less < 0.3 * plain


@pytest.mark.parametrize("change", [{"gradient_checkpointing": True}, {"precision": "bf16"}])
def test_how_the_gradient_is_computed_changes_memory_or_rounding_and_little_else(
    base: Path, change: dict[str, object]
) -> None:
    rows = toy_rows()
    states = []
    for changes in ({}, change):
        subject = fresh(base)
        fitting, judging = split(subject, rows, "train"), split(subject, rows, "val")
        assert list(train.fit(subject, fitting, judging, numbers(epochs=1, **changes), seed=0))
        assert all(p.dtype == torch.float32 for p in subject.parameters())
        states.append(state(subject))
    rounded = "precision" in change
    assert same(*states) is not rounded
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value, atol=5e-2, rtol=5e-2)


def both_strands(subject: Classifier, rows: pd.DataFrame) -> Examples:
    learn, turned = strands.both(rows[rows["split"] == "train"], {"whole"})
    return replace(subject.examples(learn), turned=turned)


def test_each_epoch_draws_its_share_of_reverse_complements(base: Path) -> None:
    fitting = both_strands(fresh(base), toy_rows(320))
    assert fitting.turned is not None
    n = len(fitting.turned)
    free = np.flatnonzero(fitting.turned >= n)
    assert len(free) == n // 2
    drawn = [fitting.drawn(0.5, np.random.default_rng(k)) for k in range(40)]
    assert np.mean([np.mean(rows[free] >= n) for rows in drawn]) == pytest.approx(0.5, abs=0.05)
    assert all((rows % n)[rows < n].size + np.isin(rows, fitting.turned[free]).sum() == n for rows in drawn)
    assert fitting.drawn(0.0, np.random.default_rng(0)).tolist() == list(range(n))
    assert fitting.drawn(1.0, np.random.default_rng(0)).tolist() == fitting.turned.tolist()


def test_a_training_on_both_strands_resumes_to_the_same_bits(base: Path, tmp_path: Path) -> None:
    rows = toy_rows()
    chosen = numbers(reverse_complement_share=0.5, strand_free=("whole",), joint_lambda=0.5, distil_lambda=0.1)
    keep = train.Keep(path=tmp_path / "toy.safetensors", fingerprint="these", seconds=0.0)

    def events(keep: train.Keep | None) -> tuple[Classifier, Iterator[train.Step | train.Epoch]]:
        subject = fresh(base)
        fitting, judging = both_strands(subject, rows), split(subject, rows, "val")
        memory = Memory(states=subject.pooled(fitting), rows=split(subject, toy_rows(seed=2), "train"))
        return subject, train.fit(subject, fitting, judging, chosen, seed=0, memory=memory, keep=keep)

    whole, steps = events(None)
    assert len(list(steps)) > 9
    _, killed = events(keep)
    for _ in range(7):
        next(killed)
    resumed, rest = events(keep)
    assert list(rest)
    assert same(state(resumed), state(whole))


def test_retention_keeps_a_target_near_its_donor(base: Path) -> None:
    rows = toy_rows()
    moves = []
    for weight in (0.0, 1e3):
        subject = moved(base)
        fitting, judging = split(subject, rows, "train"), split(subject, rows, "val")
        before = {layer.name: (layer.b @ layer.a).detach() for layer in lora.layers(subject.encoder)}
        donor = everything(subject, fitting).donor
        chosen = numbers(retain_lambda=weight, patience=9)
        penalties = []
        for event in train.fit(subject, fitting, judging, chosen, seed=0, memory=Memory(donor=donor)):
            if isinstance(event, train.Step):
                penalties.append(event.penalty)
                layers = list(lora.layers(subject.encoder))
                move = sum(float((layer.b @ layer.a - before[layer.name]).detach().norm()) for layer in layers)
        assert (max(penalties) > 0) is (weight > 0)
        moves.append(move)
    assert moves[1] < 0.5 * moves[0]


ASIDE = Auxiliary(targets=("gc", "cpg", "orf"), weight=0.5)


def with_targets(subject: Classifier, rows: pd.DataFrame, asked: Auxiliary = ASIDE) -> Examples:
    return stacking.examples(subject, part(rows, "train"), numbers(auxiliary=asked))


def test_auxiliary_targets_are_those_of_the_rows_as_they_stand_and_in_units_of_their_spread(base: Path) -> None:
    rows = toy_rows()
    chosen = numbers(auxiliary=ASIDE, strand_free=("whole",), reverse_complement_share=0.5)
    fitting = stacking.examples(fresh(base), part(rows, "train"), chosen)
    assert fitting.targets is not None
    own, targets = fitting.own, fitting.targets
    assert targets.shape == (len(fitting.encodings), 3)
    np.testing.assert_allclose(np.nanmean(targets[:own], axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(np.nanstd(targets[:own], axis=0), 1, atol=1e-5)
    assert fitting.turned is not None
    turned = fitting.turned[fitting.turned >= own]
    np.testing.assert_allclose(targets[turned, :2], targets[np.flatnonzero(fitting.turned >= own), :2], atol=1e-5)
    for off in (Auxiliary(targets=(), weight=0.5), Auxiliary(targets=("gc",), weight=0.0)):
        assert with_targets(fresh(base), rows, off).targets is None


def test_auxiliary_errors_are_added_with_their_weight_and_what_is_unknown_does_not_count(base: Path) -> None:
    subject, chosen = moved(base), numbers(auxiliary=ASIDE)
    fitting = with_targets(subject, toy_rows())
    assert fitting.targets is not None
    targets = fitting.targets.copy()
    targets[5:, 2] = np.nan
    targets[:9, 0] = np.nan
    fitting, step = replace(fitting, targets=targets), batches_of(fitting)
    aside = objective.set_aside(subject, fitting, chosen)
    assert aside is not None
    nn.init.normal_(aside.layer.weight, generator=torch.Generator().manual_seed(2))
    subject.zero_grad()
    got = objective.accumulate(subject, objective.lesson(fitting, chosen, aside=aside), step, chosen)
    whole, of_layer = gradients(subject), aside.layer.weight.grad
    subject.zero_grad()
    objective.accumulate(subject, objective.lesson(fitting, chosen), step, chosen)
    alone = gradients(subject)
    subject.zero_grad()
    aside.layer.weight.grad = None
    guessed = torch.cat([aside.layer(subject.features(*subject.batch(fitting, at.rows))[:, :16]) for at in step])
    wanted = torch.from_numpy(targets)
    means = [(guessed[:, t] - wanted[:, t])[~wanted[:, t].isnan()].square().mean() for t in range(3)]
    missed = torch.stack(means).mean()
    (0.5 * missed).backward()
    assert got.missed == pytest.approx(missed.item(), rel=1e-4)
    assert of_layer is not None
    torch.testing.assert_close(of_layer, aside.layer.weight.grad, atol=1e-5, rtol=1e-3)
    for name, gradient in gradients(subject).items():
        torch.testing.assert_close(whole[name] - alone[name], gradient, atol=1e-5, rtol=1e-3)


def test_an_auxiliary_target_is_learned_and_nothing_of_it_is_kept(base: Path, tmp_path: Path) -> None:
    rows, errors = toy_rows(320), []
    subject = fresh(base)
    gc = Auxiliary(targets=("gc",), weight=1.0)
    fitting, judging = with_targets(subject, rows, gc), split(subject, rows, "val")
    chosen = numbers(auxiliary=gc, epochs=6, patience=9, learning_rate=1e-2, head_learning_rate=1e-1)
    for event in train.fit(subject, fitting, judging, chosen, seed=0):
        if isinstance(event, train.Step):
            assert event.auxiliary is not None
            errors.append(event.auxiliary)
    each = len(errors) // 6
    assert np.mean(errors[:each]) == pytest.approx(1, abs=0.2)  # a layer at zero says the mean
    assert np.mean(errors[-each:]) < 0.75
    plain, own = fresh(base), split(subject, rows, "train")
    events = list(train.fit(plain, own, judging, numbers(epochs=1), seed=0))
    assert all(event.auxiliary is None for event in events if isinstance(event, train.Step))
    kept = []
    for name, one in (("with", subject), ("without", plain)):
        save(one, tmp_path / name, {})
        kept.append({path.name: list(load_file(path)) for path in (tmp_path / name).glob("*.safetensors")})
    assert kept[0] == kept[1]
    assert not any("auxiliary" in key for key in subject.state_dict())
    with pytest.raises(EpisomeError, match=r"train\.auxiliary asks for gc; wanted: training rows with them"):
        next(train.fit(plain, own, judging, numbers(auxiliary=gc), seed=0))


def few_positives(rows: pd.DataFrame) -> pd.DataFrame:
    """Nine tenths of the training rows with a positive `whole` left out."""
    positive = np.flatnonzero((rows["split"] == "train") & (rows["label_whole"] == 1))
    return rows.drop(index=rows.index[positive[len(positive) // 10 :]])


def test_drawn_epochs_hold_both_classes_equally_often_and_are_as_long_as_any(base: Path) -> None:
    rows = few_positives(toy_rows(320))
    fitting = both_strands(fresh(base), rows)
    plain, sampled = (
        [train._order(fitting, numbers(balance=how, reverse_complement_share=0.5), 0, epoch) for epoch in range(3)]
        for how in ("none", "sampling")
    )
    for before, epoch in zip(plain, sampled, strict=True):
        draws = [draw for step in epoch for draw in step]
        assert sum(len(draw.rows) for draw in draws) == sum(len(draw.rows) for step in before for draw in step)
        labels = np.concatenate([draw.labels(fitting) for draw in draws])
        assert ((labels >= 0).sum(axis=1) == 1).all()
        for task in range(2):
            positives, negatives = ((labels[:, task] == value).sum() for value in (1, 0))
            assert abs(positives - negatives) <= 1
        assert any((draw.rows >= fitting.own).any() for draw in draws)
    assert [d.rows.tolist() for s in sampled[0] for d in s] != [d.rows.tolist() for s in sampled[1] for d in s]
    imbalance = np.concatenate([draw.labels(fitting) for step in plain[0] for draw in step])[:, 0]
    assert (imbalance == 1).sum() < 0.2 * (imbalance == 0).sum()


def test_a_row_that_is_drawn_speaks_for_one_task() -> None:
    labels = np.array([[1, 0], [0, 1]], dtype=np.int8)
    fitting = Examples(encodings=[], centres=np.zeros(2, int), composition=np.zeros((2, 0), np.float32), labels=labels)
    rows = np.array([0, 1, 1])
    assert Draw(rows=rows).labels(fitting).tolist() == [[1, 0], [0, 1], [0, 1]]
    assert Draw(rows=rows, tasks=np.array([0, 0, 1])).labels(fitting).tolist() == [[1, -1], [0, -1], [-1, 1]]


def test_drawing_shifts_the_answers_and_levelling_puts_them_back(base: Path) -> None:
    rows = few_positives(toy_rows(320))
    shares = []
    for how in ("none", "sampling"):
        subject = fresh(base, k=0)
        fitting, judging = split(subject, rows, "train"), split(subject, rows, "val")
        assert list(train.fit(subject, fitting, judging, numbers(balance=how, epochs=2), seed=0))
        shares.append(float(expit(subject.logits(fitting)[fitting.labels[:, 0] >= 0, 0]).mean()))
    assert shares[1] > shares[0] + 0.1
    stacking.level(subject, judging)
    asked = judging.labels[:, 0] >= 0
    assert expit(subject.logits(judging)[asked, 0]).mean() == pytest.approx(judging.labels[asked, 0].mean(), abs=1e-5)


@pytest.mark.parametrize("option", [{"auxiliary": ASIDE}, {"balance": "sampling"}])
def test_each_option_resumes_to_the_same_bits(base: Path, tmp_path: Path, option: dict[str, object]) -> None:
    rows = few_positives(toy_rows())
    chosen = numbers(**option, strand_free=("whole",), reverse_complement_share=0.5)
    keep = train.Keep(path=tmp_path / "toy.safetensors", fingerprint="these", seconds=0.0)

    def events(keep: train.Keep | None) -> tuple[Classifier, Iterator[train.Step | train.Epoch]]:
        subject = fresh(base)
        fitting = stacking.examples(subject, part(rows, "train"), chosen)
        return subject, train.fit(subject, fitting, split(subject, rows, "val"), chosen, seed=0, keep=keep)

    whole, steps = events(None)
    undisturbed = list(steps)
    for killed_after in (2, len(undisturbed) // 2, len(undisturbed) - 2):
        _, killed = events(keep)
        for _ in range(killed_after):
            next(killed)
        resumed, rest = events(keep)
        after = list(rest)
        assert 0 < len(after) <= len(undisturbed) - killed_after + 1
        assert after == undisturbed[-len(after) :]
        assert same(state(resumed), state(whole))
        keep.path.unlink()


def test_an_option_switched_off_is_not_there(base: Path) -> None:
    rows, states = toy_rows(), []
    for asked in (numbers().auxiliary, Auxiliary(targets=(), weight=9.0), Auxiliary(targets=("gc",), weight=0.0)):
        subject = fresh(base)
        fitting = replace(split(subject, rows, "train"), targets=with_targets(subject, rows).targets)
        assert list(
            train.fit(subject, fitting, split(subject, rows, "val"), numbers(epochs=1, auxiliary=asked), seed=0)
        )
        states.append(state(subject))
    assert all(same(states[0], each) for each in states[1:])
