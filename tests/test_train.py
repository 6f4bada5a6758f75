"""Training on toy sequences whose answer is known: what is learned, kept, held back and reproduced."""

import re
from collections.abc import Generator, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from episome import classifier, ewc, lora, model, pace, params, stacking, tokenizer, train
from episome.batches import Indices, mixed
from episome.classifier import Classifier, Composition
from episome.learning import Train
from episome.objective import Memory
from episome.pace import STEADY, Pace
from episome.types import EpisomeError, Task

SITE = Task(name="site", scope="site", window=40, motif="GT")
WHOLE = Task(name="whole", scope="sequence")
SHAPE = model.Config(
    vocab_size=64,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=32,
    hidden_dropout_prob=0.0,
)


def toy_rows(n: int = 160, seed: int = 0) -> pd.DataFrame:
    """Half the rows ask for GC-rich sequences (`whole`), half for GT followed by AAG at the centre (`site`)."""
    rng = np.random.default_rng(seed)
    rows = []
    for k in range(n):
        label, split = k // 2 % 2, ("train", "train", "val", "test")[k // 4 % 4]
        if k % 2:
            share = 0.62 if label else 0.38
            bases = rng.choice(list("ACGT"), 50, p=[(1 - share) / 2, share / 2, share / 2, (1 - share) / 2])
            rows.append(("".join(bases), label, -1, split))
        else:
            bases = rng.choice(list("ACGT"), 40)
            bases[20:25] = list("GTAAG" if label else "GTCTC")
            rows.append(("".join(bases), -1, label, split))
    frame = pd.DataFrame(rows, columns=["sequence", "label_whole", "label_site", "split"])
    frame["group"] = [f"g{k}" for k in range(n)]
    return frame.astype({"label_whole": "int8", "label_site": "int8"})


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random base model with a tokenizer of its own."""
    folder = tmp_path_factory.mktemp("base")
    bpe = tokenizer.train(toy_rows()["sequence"], 40)
    shape = model.Config(**{**{f: getattr(SHAPE, f) for f in SHAPE.__slots__}, "vocab_size": bpe.vocab_size})
    model.save(model.fresh(shape, 0), folder)
    bpe.save(folder / "tokenizer.json")
    return folder


def fresh(base: Path, k: int = 2) -> Classifier:
    """A classifier with an untrained adapter."""
    encoder = model.load(base)
    adapter = lora.attach(encoder, rank=2, alpha=4, targets="all", dropout=0.0, seed=1)
    tokens = tokenizer.Tokenizer.load(base / "tokenizer.json")
    return Classifier(
        adapter, encoder.config.hidden_size, tokens, [WHOLE, SITE], Composition(k=k, phased=False, site_reach=0)
    )


@cache
def defaults() -> Train:
    """Those of the project; read once, since that takes as long as a short training."""
    return params.read(Path(__file__).parent.parent / "params.yaml").train


def numbers(**changes: object) -> Train:
    """Training numbers for toys."""
    return defaults().model_copy(
        update={"epochs": 3, "tokens_per_step": 512, "learning_rate": 5e-3, "head_learning_rate": 1e-2, **changes}
    )


def split(subject: Classifier, rows: pd.DataFrame, name: str) -> classifier.Examples:
    """The rows of one split, made ready."""
    return subject.examples(rows[rows["split"] == name])


def trained(base: Path, rows: pd.DataFrame, seed: int = 0) -> Classifier:
    """Composition, adapter and head, as the stage does it."""
    subject = fresh(base)
    fitting, judging = split(subject, rows, "train"), split(subject, rows, "val")
    groups = rows[rows["split"] == "train"]["group"].to_numpy(str)
    correction = stacking.fit_composition(
        subject, fitting, judging, groups, stacking.Grid(penalties=(0.1, 1.0), kmer_weights=(1.0,))
    )
    fitting = replace(fitting, offset=correction)
    events = list(train.fit(subject, fitting, judging, numbers(), seed=seed))
    assert isinstance(events[-1], train.Epoch)
    stacking.stack(subject, judging)
    return subject


def state(subject: Classifier) -> dict[str, torch.Tensor]:
    """Adapter and folded head."""
    weight, bias = subject.head.folded()
    layers = {f"{x.name}.{k}": v for x in lora.layers(subject.encoder) for k, v in (("a", x.a), ("b", x.b))}
    return {key: value.detach().clone() for key, value in {**layers, "weight": weight, "bias": bias}.items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Bit equality of two states."""
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_both_tasks_are_learned_and_training_repeats_to_the_bit(base: Path) -> None:
    rows = toy_rows(320)
    subject = trained(base, rows)
    test = split(subject, rows, "test")
    logits = subject.logits(test)
    for k in range(2):
        there = test.labels[:, k] >= 0
        assert np.mean((logits[there, k] > 0) == (test.labels[there, k] == 1)) > 0.8
    assert same(state(subject), state(trained(base, rows)))
    assert not same(state(subject), state(trained(base, rows, seed=1)))


def test_the_base_is_never_changed(base: Path) -> None:
    before = {key: value.clone() for key, value in model.load(base).state_dict().items()}
    subject = trained(base, toy_rows())
    after = {
        key.replace(".base_layer", ""): value
        for key, value in subject.encoder.get_base_model().state_dict().items()
        if "lora_" not in key
    }
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_saved_and_loaded_answers_are_equal(base: Path, tmp_path: Path) -> None:
    rows = toy_rows()
    subject = trained(base, rows)
    classifier.save(subject, tmp_path, {"species": "toy"})
    loaded = train.load_classifier(base, tmp_path)
    assert loaded.tasks == (WHOLE, SITE)
    np.testing.assert_allclose(train.predict(loaded, rows), train.predict(subject, rows), atol=1e-6)
    with pytest.raises(EpisomeError, match=r"no training\.json"):
        train.load_classifier(base, tmp_path / "absent")


def test_batching_changes_no_answer(base: Path) -> None:
    rows = toy_rows(40)
    subject = trained(base, toy_rows())
    together = train.predict(subject, rows)
    alone = np.concatenate([train.predict(subject, rows.iloc[[k]]) for k in range(len(rows))])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_bases_around_a_site_are_seen_by_training_as_by_serving(base: Path) -> None:
    encoder = model.load(base)
    adapter = lora.attach(encoder, rank=2, alpha=4, targets="all", dropout=0.0, seed=1)
    spec = Composition(k=0, phased=False, site_reach=4)
    subject = Classifier(adapter, 16, tokenizer.Tokenizer.load(base / "tokenizer.json"), [WHOLE, SITE], spec)
    rows = toy_rows(8)
    examples = subject.examples(rows)
    for at, (sequence, site) in enumerate(zip(rows["sequence"], rows["label_site"] >= 0, strict=True)):
        np.testing.assert_array_equal(examples.composition[at], spec.of(sequence, 20 if site else None))
    assert examples.composition.any(axis=1).tolist() == (rows["label_site"] >= 0).tolist()


def test_a_window_task_learns_nothing_around_the_centre_of_a_row_it_shares(base: Path) -> None:
    rows = toy_rows(160)[["sequence", "label_site", "split", "group"]]
    rows = rows[rows["label_site"] >= 0].assign(label_whole=lambda frame: frame["label_site"])
    encoder = model.load(base)
    adapter = lora.attach(encoder, rank=2, alpha=4, targets="all", dropout=0.0, seed=1)
    spec = Composition(k=1, phased=False, site_reach=6)
    subject = Classifier(adapter, 16, tokenizer.Tokenizer.load(base / "tokenizer.json"), [WHOLE, SITE], spec)
    fitting, judging = split(subject, rows, "train"), split(subject, rows, "val")
    grid = stacking.Grid(penalties=(1.0,), kmer_weights=(1.0, 0.1))
    stacking.fit_composition(subject, fitting, judging, rows[rows["split"] == "train"]["group"].to_numpy(str), grid)
    weight, _ = subject.head.folded()
    assert not weight[0, -48:].any()
    assert weight[1, -48:].any()
    wider = Task(name="wider", scope="site", window=30, motif="GT")
    other = Classifier(subject.encoder, 16, subject.tokenizer, [SITE, wider], spec)
    with pytest.raises(EpisomeError, match="row 0 is labelled for site tasks of different windows, 'wider'"):
        other.examples(rows.assign(label_wider=rows["label_site"]))


def test_only_site_tasks_see_the_centre(base: Path) -> None:
    subject = fresh(base)
    with torch.no_grad():
        subject.head.state.fill_(1.0)
    weight = subject.head.folded()[0].detach()
    assert float(weight[0, 16:32].abs().max()) == 0.0
    assert float(weight[1, 16:32].min()) == 1.0


def retrained(base: Path, tmp_path: Path, ewc_lambda: float, *, anchored: bool) -> tuple[Classifier, Classifier]:
    """A champion, and its retrain on rows whose labels are turned round."""
    rows = toy_rows()
    champion = trained(base, rows)
    classifier.save(champion, tmp_path, {})
    subject = train.load_classifier(base, tmp_path)
    fitting = split(subject, rows, "train")
    before = train.predict(subject, rows)
    stacking.condition(subject, fitting)
    np.testing.assert_allclose(train.predict(subject, rows), before, atol=1e-4)
    held = train.anchor(subject, train.fisher(subject, fitting, 40, 0)) if anchored else None
    turned = rows.assign(
        label_whole=np.where(rows["label_whole"] < 0, -1, 1 - rows["label_whole"]).astype("int8"),
        label_site=np.where(rows["label_site"] < 0, -1, 1 - rows["label_site"]).astype("int8"),
    )
    new, judge = split(subject, turned, "train"), split(subject, turned, "val")
    chosen = numbers(ewc_lambda=ewc_lambda, epochs=6)
    assert list(train.fit(subject, new, judge, chosen, seed=0, memory=Memory(prior=held)))
    return champion, subject


def test_without_a_weight_the_penalty_is_bit_for_bit_naive_training(base: Path, tmp_path: Path) -> None:
    _, naive = retrained(base, tmp_path / "naive", 0.0, anchored=False)
    _, zero = retrained(base, tmp_path / "zero", 0.0, anchored=True)
    assert same(state(naive), state(zero))


def test_the_penalty_holds_a_retrain_to_what_the_champion_knew(base: Path, tmp_path: Path) -> None:
    rows = toy_rows(seed=0)
    champion, naive = retrained(base, tmp_path / "naive", 0.0, anchored=True)
    _, guarded = retrained(base, tmp_path / "guarded", 1e4, anchored=True)
    old = train.predict(champion, rows)
    moved_naive = np.abs(train.predict(naive, rows) - old).mean()
    moved_guarded = np.abs(train.predict(guarded, rows) - old).mean()
    assert moved_guarded < 0.25 * moved_naive


def test_a_donors_adapter_starts_a_species_and_a_wrong_one_is_refused(base: Path, tmp_path: Path) -> None:
    donor = trained(base, toy_rows())
    classifier.save(donor, tmp_path, {})
    heir = fresh(base)
    lora.load_factors(heir.encoder, tmp_path / lora.WEIGHTS, scale=2.0)
    got = {x.name: x.scale * x.b @ x.a for x in lora.layers(heir.encoder)}
    for layer in lora.layers(donor.encoder):
        torch.testing.assert_close(got[layer.name], layer.scale * layer.b @ layer.a)
    encoder = model.load(base)
    wider = lora.attach(encoder, rank=4, alpha=20, targets="all", dropout=0.0, seed=3)
    lora.load_factors(wider, tmp_path / lora.WEIGHTS, scale=2.0)
    for layer in lora.layers(wider):
        torch.testing.assert_close(layer.scale * layer.b @ layer.a, got[layer.name].detach(), atol=1e-6, rtol=1e-5)
    absent = str(tmp_path / "absent" / lora.WEIGHTS)
    with pytest.raises(EpisomeError, match=rf"{re.escape(absent)}: no such file"):
        lora.load_factors(heir.encoder, Path(absent), scale=2.0)
    with pytest.raises(EpisomeError, match=rf"{re.escape(absent)}: no such file"):
        lora.read(Path(absent).parent)
    encoder = model.load(base)
    attention = lora.attach(encoder, rank=2, alpha=4, targets="attention", dropout=0.0, seed=3)
    with pytest.raises(EpisomeError, match="adapts other layers"):
        lora.load_factors(attention, tmp_path / lora.WEIGHTS, scale=2.0)
    encoder = model.load(base)
    narrow = lora.attach(encoder, rank=1, alpha=2, targets="all", dropout=0.0, seed=3)
    with pytest.raises(EpisomeError, match=r"wanted at most .*lora\.rank"):
        lora.load_factors(narrow, tmp_path / lora.WEIGHTS, scale=2.0)


def test_saved_bytes_are_equal_from_run_to_run(base: Path, tmp_path: Path) -> None:
    rows = toy_rows()
    for name in ("one", "two"):
        subject = trained(base, rows)
        classifier.save(subject, tmp_path / name, {})
        ewc.save(train.fisher(subject, split(subject, rows, "train"), 20, 0), tmp_path / name / "fisher.safetensors")
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert "adapter_model.safetensors" in files
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file


def test_a_head_without_composition_trains_too(base: Path) -> None:
    rows = toy_rows()
    subject = fresh(base, k=0)
    fitting, judging = split(subject, rows, "train"), split(subject, rows, "val")
    groups = rows[rows["split"] == "train"]["group"].to_numpy(str)
    assert not stacking.fit_composition(
        subject, fitting, judging, groups, stacking.Grid(penalties=(1.0,), kmer_weights=(1.0,))
    ).any()
    before = train.predict(subject, rows)
    assert list(train.fit(subject, fitting, judging, numbers(epochs=1), seed=0))
    stacking.stack(subject, judging)
    assert not np.array_equal(before, train.predict(subject, rows))


def test_one_class_only_is_refused_before_anything_is_trained(base: Path) -> None:
    rows = toy_rows()
    rows["label_whole"] = np.minimum(rows["label_whole"], 0).astype("int8")
    rows["label_site"] = np.minimum(rows["label_site"], 0).astype("int8")
    subject = fresh(base)
    fitting, judging = split(subject, rows, "train"), split(subject, rows, "val")
    groups = rows[rows["split"] == "train"]["group"].to_numpy(str)
    with pytest.raises(EpisomeError, match="'whole': training and validation rows must hold both classes"):
        stacking.fit_composition(
            subject, fitting, judging, groups, stacking.Grid(penalties=(1.0,), kmer_weights=(1.0,))
        )
    with pytest.raises(EpisomeError, match="no task has validation rows of both classes"):
        next(train.fit(subject, fitting, judging, numbers(), seed=0))


def test_a_training_that_diverges_names_the_learning_rate(base: Path) -> None:
    rows = toy_rows()
    subject = fresh(base)
    fitting, judging = split(subject, rows, "train"), split(subject, rows, "val")
    with torch.no_grad():
        subject.head.bias[0] = float("nan")
    with pytest.raises(EpisomeError, match=r"diverged.*lower train\.learning_rate"):
        next(train.fit(subject, fitting, judging, numbers(), seed=0))


def run(
    base: Path, rows: pd.DataFrame, speed: Pace = STEADY, keep: train.Keep | None = None, **changes: object
) -> Generator[object, None, None]:
    """The events of one training; the classifier is the last one."""
    subject = fresh(base)
    fitting, judging = split(subject, rows, "train"), split(subject, rows, "val")
    yield from train.fit(subject, fitting, judging, numbers(**changes), seed=0, pace=speed, keep=keep)
    yield subject


def last(events: Iterator[object]) -> Classifier:
    *_, subject = events
    assert isinstance(subject, Classifier)
    return subject


@pytest.mark.parametrize("speed", [STEADY, Pace(group_rates=(0.5, 1.0, 1.5), frozen_share=0.5, swing=0.2)])
def test_a_training_killed_anywhere_resumes_to_the_same_bits(base: Path, tmp_path: Path, speed: Pace) -> None:
    rows = toy_rows(104)
    whole = state(last(run(base, rows, speed, tokens_per_step=256)))
    keep = train.Keep(path=tmp_path / "kept" / "toy.safetensors", fingerprint="these rows", seconds=0.0)
    seldom = replace(keep, seconds=1e9)
    total = len(list(run(base, rows, speed, tokens_per_step=256))) - 1
    assert total >= 20
    for killed_after in np.random.default_rng(1).permutation(total)[:20]:
        events = run(base, rows, speed, keep, tokens_per_step=256)
        for _ in range(int(killed_after) + 1):
            next(events)
        events.close()
        *rest, subject = run(base, rows, speed, seldom, tokens_per_step=256)
        assert len(rest) <= total - killed_after  # it goes on from there, and does not start over
        assert isinstance(subject, Classifier)
        assert same(state(subject), whole)
        keep.path.unlink()


def test_a_checkpoint_of_other_inputs_or_a_broken_one_is_not_resumed_from(base: Path, tmp_path: Path) -> None:
    rows = toy_rows()
    keep = train.Keep(path=tmp_path / "toy.safetensors", fingerprint="these rows", seconds=0.0)
    whole = list(run(base, rows, keep=keep))
    other = train.Keep(path=keep.path, fingerprint="other rows", seconds=1e9)
    assert len(list(run(base, rows, keep=other))) == len(whole)
    keep.path.write_bytes(keep.path.read_bytes()[:100])
    assert len(list(run(base, rows, keep=keep))) == len(whole)


def test_frozen_layers_do_not_move_until_they_thaw(base: Path) -> None:
    rows = toy_rows()
    subject = fresh(base)
    fitting, judging = split(subject, rows, "train"), split(subject, rows, "val")
    before = state(subject)
    frozen = []
    for event in train.fit(subject, fitting, judging, numbers(patience=9), seed=0, pace=Pace(frozen_share=0.5)):
        if isinstance(event, train.Epoch):
            frozen.append(event.frozen)
        elif not frozen:
            now = state(subject)
            low = [name for name in now if ".0." in name]
            assert low
            assert all(torch.equal(now[name], before[name]) for name in low)
            assert any(not torch.equal(now[name], before[name]) for name in now if ".1." in name)
    assert sorted(frozen, reverse=True) == frozen


def test_no_gradient_is_computed_below_the_lowest_layer_that_learns(base: Path) -> None:
    subject = fresh(base)
    fitting = split(subject, toy_rows(), "train")
    ids, mask, *_ = subject.batch(fitting, np.arange(4))
    depths = pace.by_depth(list(lora.layers(subject.encoder)))
    for frozen, wanted in ((0, [False, True, True]), (1, [False, False, True]), (2, [False, False, False])):
        pace.freeze(depths, frozen)
        states = subject.encoder(ids, mask, output_hidden_states=True).hidden_states
        assert [state.requires_grad for state in states] == wanted


def test_depth_groups_take_their_rates_and_the_rate_stays_in_its_band(base: Path) -> None:
    depths = pace.by_depth(list(lora.layers(fresh(base).encoder)))
    assert [len(group) for group in pace.thirds(depths)] == [8, 8, 0]  # two layers, four linears each, two factors
    assert pace.adapted_rate(1.0, 0.2, better=True) == pytest.approx(1.1)
    assert pace.adapted_rate(1.15, 0.2, better=True) == pytest.approx(1.2)
    assert pace.adapted_rate(1.0, 0.2, better=False) == pytest.approx(0.8)
    assert pace.adapted_rate(1.0, 0.0, better=False) == 1.0


def test_accumulated_batches_give_the_step_of_the_full_batch(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = toy_rows()
    together = train.predict(last(run(base, rows, learning_rate=1e-3, head_learning_rate=1e-3)), rows)

    def cut_up(lengths: list[int], tokens: int, parts: int, rng: np.random.Generator) -> Iterator[list[Indices]]:
        for step in mixed(lengths, tokens, parts, rng):
            yield [part for batch in step for part in np.array_split(batch, 2) if len(part)]

    monkeypatch.setattr(train, "mixed", cut_up)
    apart = train.predict(last(run(base, rows, learning_rate=1e-3, head_learning_rate=1e-3)), rows)
    np.testing.assert_allclose(apart, together, atol=1e-5)


def test_a_part_that_speaks_against_itself_is_left_out_and_the_rest_weighed_anew() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 400).astype(np.int8)
    good = (labels + rng.normal(0, 1, 400)).astype(np.float32)
    against = (3 - 2 * labels + rng.normal(0, 1, 400)).astype(np.float32)
    factor, intercept = stacking._weighed(np.stack([good, against], axis=1), labels)
    assert factor[0] > 0
    assert factor[1] == 0
    mean = (1 / (1 + np.exp(-(good * factor[0] + intercept)))).mean()
    assert mean == pytest.approx(labels.mean(), abs=0.02)


def test_levelling_brings_the_mean_probability_to_the_share_of_positives(base: Path) -> None:
    rows = toy_rows()
    subject = trained(base, rows)
    judging = split(subject, rows, "val")
    with torch.no_grad():
        subject.head.bias.add_(2.0)
    stacking.level(subject, judging)
    logits = subject.logits(judging)
    for k in range(2):
        there = judging.labels[:, k] >= 0
        assert (1 / (1 + np.exp(-logits[there, k]))).mean() == pytest.approx(judging.labels[there, k].mean(), abs=1e-5)
