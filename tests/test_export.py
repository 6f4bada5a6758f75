"""What training leaves becomes bundles that answer as torch does."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file, save_file

from episome import bundle, classifier, drift, export, lora, model, provenance
from episome.bundle import BundleError, Composition, Lineage
from episome.model import Config
from episome.runtime import Engine, Row
from episome.tokenizer import Tokenizer, train
from episome.types import EpisomeError, Task
from tests import table_rows
from tests import toy_bundles as toy

TASKS = (
    Task(name="donor", scope="site", window=40, motif="GT"),
    Task(name="orf", scope="sequence", strands="forward"),
    Task(name="promoter", scope="window", window=60),
)
HEADS = Composition(k=2, phased=False, site_reach=3)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the stages `base` and `train` write, with random numbers instead of training."""
    home = tmp_path_factory.mktemp("trained")
    words = train((toy.dna(seed, 500) for seed in range(20)), 64)
    shape = Config(
        vocab_size=64, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=32,
        initializer_range=0.2,
    )  # fmt: skip
    model.save(model.fresh(shape, 1), home / "base")
    words.save(home / "base" / "tokenizer.json")
    encoder = model.load(home / "base")
    assert isinstance(encoder, model.Encoder)
    adapted = lora.attach(encoder, rank=4, alpha=8, targets="attention", dropout=0.0, seed=2)
    words = Tokenizer.load(home / "base" / "tokenizer.json")
    heads = classifier.Composition(k=2, phased=False, site_reach=3)
    subject = classifier.Classifier(adapted, 24, words, TASKS, heads)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in subject.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    classifier.save(subject, home / "human_sim", {"releases": ["none"]})
    save_file({"fisher": np.ones(3, np.float32)}, home / "human_sim" / "fisher.safetensors")
    return home


def rows() -> pd.DataFrame:
    """Ten validation and ten training rows of each task."""
    tables = []
    for task in TASKS:
        bases = [task.window or 30 + seed for seed in range(20)]
        sequences = [toy.dna(seed, length) for seed, length in enumerate(bases)]
        columns = {
            "sequence": sequences, "label": [seed % 2 for seed in range(20)], "species": "human_sim", "contig": "",
            "start": [0] * 20, "end": bases, "strand": "+", "split": ["train", "val"] * 10, "group": sequences,
            "origin": "simulated:demo", "negative_kind": "", "release": "none",
        }  # fmt: skip
        tables.append(table_rows.build(columns, task.name, [each.name for each in TASKS]))
    return pd.concat(tables, ignore_index=True)


def subject(home: Path) -> export.Subject:
    report = {"threshold": 0.4, "temperature": 1.2, "test": {"mcc": {"value": 0.5}}}
    return export.Subject(
        species="human_sim",
        scientific_name="Homo sapiens",
        taxon_id=9606,
        simulated=True,
        adapter=home / "human_sim",
        rows=rows(),
        corpus=[row[::-1] * 2 for row in rows()["sequence"].head(5)],
        evaluation={"tasks": {task.name: report for task in TASKS}},
        lineage=Lineage(
            donor="base", prior="none", release="none", releases=("none",), data="d" * 64,
            params=export.params_digest({"seed": 7}), seed=7, transfer={"plan": None, "start": {"from": "nothing"}},
        ),
        made=toy.MADE,
    )  # fmt: skip


def write(home: Path, out: Path, who: export.Subject, tolerance: float = 1e-4) -> str:
    if not (out / "base").exists():
        export.write_base(home / "base", out / "base", targets="all", rank=8, heads=HEADS, max_tokens=200)
    return export.write_species(
        who, model_folder=home / "base", base=out / "base", folder=out / "human_sim", golden=6, tolerance=tolerance
    )


def test_a_bundle_says_and_answers_what_training_left(trained: Path, tmp_path: Path) -> None:
    digest = write(trained, tmp_path, subject(trained))
    contents = bundle.read_contents(tmp_path / "human_sim")
    assert contents.digest == digest
    assert provenance.read(tmp_path / "human_sim") == toy.MADE
    assert contents.card.lora == bundle.Lora(
        rank=4, alpha=8.0, targets=("attention.self.Wqkv", "attention.output.dense")
    )
    assert [(task.name, task.threshold, task.temperature) for task in contents.card.tasks] == [
        (task.name, 0.4, 1.2) for task in TASKS
    ]
    assert [(len(golden.sequence), golden.centre) for golden in contents.golden[:3]] == [
        (40, 20),
        (40, None),
        (60, None),
    ]
    sequences = set(rows()["sequence"])
    assert not any(golden.sequence in sequences for golden in contents.golden)
    assert bundle.read_base_card(tmp_path / "base").max_tokens == 200


def test_the_runtime_scores_as_torch_at_every_length(trained: Path, tmp_path: Path) -> None:
    write(trained, tmp_path, subject(trained))
    engine = Engine(tmp_path / "base", threads=1)
    slot = engine.add(tmp_path / "human_sim").slot
    table = pd.DataFrame({"sequence": [toy.dna(length, length) for length in (1, 2, 5, 41, 300)]})
    wanted = classifier.predict(classifier.load_classifier(trained / "base", trained / "human_sim"), table)
    found = engine.score([Row(sequence=sequence, slot=slot, centre=None) for sequence in table["sequence"]])[0]
    engine.close()
    assert np.abs(found - wanted).max() < 1e-4


def test_exporting_twice_gives_the_same_bundle(trained: Path, tmp_path: Path) -> None:
    first = write(trained, tmp_path / "one", subject(trained))
    assert write(trained, tmp_path / "two", subject(trained)) == first
    (tmp_path / "one" / "human_sim" / "left-over").write_text("from an earlier run")
    assert write(trained, tmp_path / "one", subject(trained)) == first


def test_a_runtime_that_differs_from_torch_stops_the_export(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="golden answer"):
        write(trained, tmp_path, subject(trained), tolerance=1e-12)


def test_validation_rows_are_compared_too(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault that the golden sequences do not show: the runtime is asked about other sequences than torch."""
    score = Engine.score

    def shifted(engine: Engine, asked: list[Row]) -> tuple[np.ndarray, np.ndarray]:
        return score(engine, [replace(row, sequence=row.sequence[::-1]) for row in asked])

    monkeypatch.setattr(Engine, "score", shifted)
    with pytest.raises(BundleError, match="the runtime's logits for 'donor' are off torch's by"):
        write(trained, tmp_path, subject(trained))


def test_a_task_that_was_not_evaluated_is_named(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(EpisomeError, match=r"the evaluation has no task 'donor'.*dvc repro evaluate@human_sim"):
        write(trained, tmp_path, replace(subject(trained), evaluation={"tasks": {}}))


def test_only_plain_lora_is_exported(trained: Path, tmp_path: Path) -> None:
    config = json.loads((trained / "human_sim" / "adapter_config.json").read_text())
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    for path in (trained / "human_sim").iterdir():
        (adapter / path.name).write_bytes(path.read_bytes())
    (adapter / "adapter_config.json").write_text(json.dumps(config | {"use_rslora": True}))
    with pytest.raises(EpisomeError, match="use_rslora is True; the bundle holds plain LoRA only"):
        write(trained, tmp_path, replace(subject(trained), adapter=adapter))


def test_the_factors_are_pefts_own(trained: Path, tmp_path: Path) -> None:
    write(trained, tmp_path, subject(trained))
    saved = load_file(tmp_path / "human_sim" / "adapter.safetensors")
    assert saved["base_model.model.encoder.layer.0.attention.self.Wqkv.lora_A.weight"].shape == (4, 24)


def test_drift_profile_knows_the_training_rows_and_the_corpus(trained: Path, tmp_path: Path) -> None:
    who = subject(trained)
    write(trained, tmp_path, who)
    profile = drift.load(tmp_path / "human_sim" / "drift.npz")
    assert profile.records == int((who.rows["split"] == "train").sum()) + len(who.corpus)
    assert profile.length_quantiles[-1] == max(map(len, who.corpus))
