"""Training on toy sequences whose answer is known: what is learned, kept, held back and reproduced."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from episome import classifier, ewc, lora, model, params, tokenizer, train
from episome.classifier import Classifier, Composition
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
    return Classifier(adapter, encoder.config.hidden_size, tokens, [WHOLE, SITE], Composition(k=k, phased=False))


def numbers(**changes: object) -> params.Train:
    """Training numbers for toys."""
    return params.read(Path(__file__).parent.parent / "params.yaml").train.model_copy(
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
    correction = train.fit_composition(subject, fitting, judging, groups, (0.1, 1.0))
    events = list(train.fit(subject, fitting, judging, numbers(), seed=seed, correction=correction))
    assert isinstance(events[-1], train.Epoch)
    train.stack(subject, judging)
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
    train.condition(subject, fitting)
    np.testing.assert_allclose(train.predict(subject, rows), before, atol=1e-4)
    held = train.anchor(subject, train.fisher(subject, fitting, 40, 0)) if anchored else None
    turned = rows.assign(
        label_whole=np.where(rows["label_whole"] < 0, -1, 1 - rows["label_whole"]).astype("int8"),
        label_site=np.where(rows["label_site"] < 0, -1, 1 - rows["label_site"]).astype("int8"),
    )
    new, judge = split(subject, turned, "train"), split(subject, turned, "val")
    chosen = numbers(ewc_lambda=ewc_lambda, epochs=6)
    assert list(train.fit(subject, new, judge, chosen, seed=0, anchor=held))
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
    assert not train.fit_composition(subject, fitting, judging, groups, (1.0,)).any()
    before = train.predict(subject, rows)
    assert list(train.fit(subject, fitting, judging, numbers(epochs=1), seed=0))
    train.stack(subject, judging)
    assert not np.array_equal(before, train.predict(subject, rows))


def test_one_class_only_is_refused_before_anything_is_trained(base: Path) -> None:
    rows = toy_rows()
    rows["label_whole"] = np.minimum(rows["label_whole"], 0).astype("int8")
    rows["label_site"] = np.minimum(rows["label_site"], 0).astype("int8")
    subject = fresh(base)
    fitting, judging = split(subject, rows, "train"), split(subject, rows, "val")
    groups = rows[rows["split"] == "train"]["group"].to_numpy(str)
    with pytest.raises(EpisomeError, match="'whole': training and validation rows must hold both classes"):
        train.fit_composition(subject, fitting, judging, groups, (1.0,))
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
