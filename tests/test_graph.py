"""The hand-built graph against the published golden vectors and against torch."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from peft import PeftModel
from safetensors.numpy import load_file

from episome import bank, export, graph, lora
from episome.bundle import Bank, Lora, ModelShape
from episome.model import Config, Encoder
from episome.types import EpisomeError
from tests import toy_bundles as toy

K = toy.COMPOSITION.size
FEATURES = 2 * toy.SHAPE.hidden_size + K


def session(model: onnx.ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def feeds(ids: np.ndarray, mask: np.ndarray, factors: np.ndarray, *, size: int = K) -> dict[str, np.ndarray]:
    """Every row answered by row 0 of the bank, with random heads of three labels."""
    rng = np.random.default_rng(5)
    width = toy.SHAPE.hidden_size if size == K else 0
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "centre": np.zeros(len(ids), np.int64),
        "composition": rng.random((len(ids), size), np.float32),
        "adapter": np.zeros(len(ids), np.int64),
        "bank": factors,
        "head_weight": rng.standard_normal((1, 3, 2 * width + size)).astype(np.float32),
        "head_bias": rng.standard_normal((1, 3)).astype(np.float32),
    }


@pytest.mark.parametrize("name", ["tiny12", "tiny8"])
def test_mean_state_is_that_of_the_published_model(shared: Path, name: str) -> None:
    weights = load_file(shared / "reference/dnabert2" / f"{name}.weights.safetensors")
    known = load_file(shared / "reference/dnabert2" / f"{name}.io.safetensors")
    heads = int(name.removeprefix("tiny"))
    state = {key.removeprefix("bert."): value for key, value in weights.items()}
    layers = len([key for key in state if key.endswith("mlp.wo.weight")])
    vocabulary, width = state["embeddings.word_embeddings.weight"].shape
    shape = ModelShape(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=state["encoder.layer.0.mlp.wo.weight"].shape[1],
    )
    room = Bank(targets=bank.targets("all"), bank_rank=2)
    run = session(graph.build(state, shape, room.targets, room.bank_rank, 0))
    mask = known["attention_mask"]
    asked = feeds(known["input_ids"], mask, np.zeros((1, bank.width(shape, room)), np.float32), size=0)
    asked["head_weight"] = np.zeros((1, 3, 2 * width), np.float32)
    (pooled,) = run.run(["pooled"], asked)
    wanted = (known["last_hidden_state"] * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
    assert np.abs(pooled - wanted).max() < 1e-5


@pytest.fixture(scope="module")
def adapted() -> tuple[PeftModel, np.ndarray]:
    """A torch encoder with a random rank-4 adapter, and that adapter as a row of the bank."""
    encoder = Encoder(Config(**asdict(toy.SHAPE)))
    encoder.load_state_dict({key: torch.from_numpy(value) for key, value in toy.encoder_state().items()})
    model = lora.attach(encoder, rank=4, alpha=16, targets="all", dropout=0.0, seed=1)
    model.eval()
    factors = toy.factors(3, 4)
    target = {key.replace(".weight", ".default.weight"): torch.from_numpy(v) for key, v in factors.items()}
    assert model.load_state_dict(target, strict=False).unexpected_keys == []
    announced = Lora(rank=4, alpha=16.0, targets=toy.BANK.targets)
    return model, bank.row(factors, announced, toy.SHAPE, toy.BANK)


def test_logits_are_torchs_from_one_token_to_1200(adapted: tuple[PeftModel, np.ndarray]) -> None:
    model, row = adapted
    run = session(graph.build(toy.encoder_state(), toy.SHAPE, toy.BANK.targets, toy.BANK.bank_rank, K))
    rng = np.random.default_rng(2)
    for length in (1, 2, 3, 17, 64, 511, 512, 513, 1200):
        ids = rng.integers(0, toy.SHAPE.vocab_size, (2, length))
        asked = feeds(ids, np.ones_like(ids), row[None])
        asked["centre"] = np.array([0, length - 1])
        logits, pooled = run.run(["logits", "pooled"], asked)
        with torch.inference_mode():
            states = model(torch.from_numpy(ids), torch.ones(2, length, dtype=torch.long)).last_hidden_state.numpy()
        seen = np.concatenate([states.mean(1), states[[0, 1], asked["centre"]], asked["composition"]], axis=1)
        wanted = seen @ asked["head_weight"][0].T + asked["head_bias"][0]
        assert np.abs(pooled - states.mean(1)).max() < 1e-5, length
        assert np.abs(logits - wanted).max() < 1e-4, length


def test_padding_changes_nothing(adapted: tuple[PeftModel, np.ndarray]) -> None:
    run = session(graph.build(toy.encoder_state(), toy.SHAPE, toy.BANK.targets, toy.BANK.bank_rank, K))
    ids = np.random.default_rng(3).integers(5, toy.SHAPE.vocab_size, (1, 20))
    padded = np.pad(ids, ((0, 0), (0, 12)), constant_values=3)
    mask = np.pad(np.ones_like(ids), ((0, 0), (0, 12)))
    bare = run.run(["logits"], feeds(ids, np.ones_like(ids), adapted[1][None]))[0]
    assert np.abs(run.run(["logits"], feeds(padded, mask, adapted[1][None]))[0] - bare).max() < 1e-5


def test_attention_alone_takes_a_narrower_bank() -> None:
    room = Bank(targets=bank.targets("attention"), bank_rank=8)
    assert bank.width(toy.SHAPE, room) == 8 * 2 * ((24 + 72) + (24 + 24))
    run = session(graph.build(toy.encoder_state(), toy.SHAPE, room.targets, room.bank_rank, K))
    announced = Lora(rank=8, alpha=8.0, targets=room.targets)
    factors = toy.factors(4, 8, room.targets)
    wide = session(graph.build(toy.encoder_state(), toy.SHAPE, toy.BANK.targets, toy.BANK.bank_rank, K))
    ids = np.arange(5, 25)[None]
    narrow = feeds(ids, np.ones_like(ids), bank.row(factors, announced, toy.SHAPE, room)[None])
    zero_padded = feeds(ids, np.ones_like(ids), bank.row(factors, announced, toy.SHAPE, toy.BANK)[None])
    assert np.abs(run.run(["logits"], narrow)[0] - wide.run(["logits"], zero_padded)[0]).max() < 1e-6


def test_same_weights_same_bytes_and_only_standard_operators() -> None:
    first, second = (
        graph.build(toy.encoder_state(), toy.SHAPE, toy.BANK.targets, toy.BANK.bank_rank, K) for _ in range(2)
    )
    assert first.SerializeToString(deterministic=True) == second.SerializeToString(deterministic=True)
    assert {node.domain for node in first.graph.node} == {""}
    onnx.checker.check_model(first, full_check=True)


def test_large_weights_lie_beside_the_graph(tmp_path: Path) -> None:
    model = graph.build(toy.encoder_state(), toy.SHAPE, toy.BANK.targets, toy.BANK.bank_rank, K)
    whole, apart = tmp_path / "whole.onnx", tmp_path / "base.onnx"
    export.write_graph(model, whole)
    export.write_graph(model, apart, large=1000)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base.onnx", "base.onnx.data", "whole.onnx"]
    ids = np.arange(5, 25)[None]
    asked = feeds(ids, np.ones_like(ids), np.zeros((1, bank.width(toy.SHAPE, toy.BANK)), np.float32))
    answers = [ort.InferenceSession(str(path)).run(["logits"], asked)[0] for path in (whole, apart)]
    assert np.array_equal(*answers)


def test_a_missing_weight_is_named() -> None:
    state = dict(toy.encoder_state())
    del state["encoder.layer.1.mlp.wo.bias"]
    with pytest.raises(EpisomeError, match=r"lacks encoder\.layer\.1\.mlp\.wo\.bias"):
        graph.build(state, toy.SHAPE, toy.BANK.targets, 8, K)


def test_an_unknown_target_is_named() -> None:
    with pytest.raises(EpisomeError, match=r"no linear of a layer is named query; there are: attention\.self\.Wqkv"):
        bank.parts(replace(toy.SHAPE, num_hidden_layers=1), ("query",))
