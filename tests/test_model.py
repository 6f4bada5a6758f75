"""The encoder against the published one's golden vectors, layout and limits."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from episome import model
from episome.types import EpisomeError

SMALL = model.Config(
    vocab_size=32,
    hidden_size=24,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=40,
    hidden_dropout_prob=0.0,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small random checkpoint as `save` writes it."""
    model.save(model.fresh(SMALL, 3), tmp_path / "saved")
    return tmp_path / "saved"


@pytest.mark.parametrize("name", ["tiny12", "tiny8"])
def test_the_published_code_and_ours_agree_on_real_tokens(name: str, shared: Path, tmp_path: Path) -> None:
    reference = shared / "reference" / "dnabert2"
    shutil.copyfile(reference / f"{name}.config.json", tmp_path / "config.json")
    shutil.copyfile(reference / f"{name}.weights.safetensors", tmp_path / "model.safetensors")
    golden = load_file(reference / f"{name}.io.safetensors")
    ids, mask = golden["input_ids"], golden["attention_mask"]
    real = mask.bool()
    with torch.inference_mode():
        masked_lm = model.load(tmp_path, masked_lm=True)(ids, mask)
        encoder = model.load(tmp_path)(ids, mask)
    assert not bool(real.all())  # the vectors do hold padding
    torch.testing.assert_close(encoder.last_hidden_state, golden["last_hidden_state"], atol=1e-5, rtol=0)
    torch.testing.assert_close(masked_lm.logits[real], golden["mlm_logits"][real], atol=1e-5, rtol=0)


def test_the_full_size_has_the_142_published_keys_and_shapes(shared: Path) -> None:
    published = json.loads((shared / "reference" / "dnabert2" / "state_dict_shapes.json").read_text())
    with torch.device("meta"):
        ours = model.MaskedLM(model.Config())
    shapes = {key: list(value.shape) for key, value in ours.state_dict().items()}
    assert len(shapes) == 142
    assert shapes == published
    assert sum(p.numel() for p in ours.parameters()) == 117_074_176


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_a_checkpoint_in_the_published_layout_loads_from_either_format(file: str, tmp_path: Path) -> None:
    wanted = model.fresh(SMALL, 5)
    (tmp_path / "config.json").write_text(json.dumps({**asdict(SMALL), "auto_map": {}, "torch_dtype": "float32"}))
    state = {key: value.clone() for key, value in wanted.state_dict().items()}
    if file.endswith(".bin"):
        torch.save(state, tmp_path / file)
    else:
        save_file(state, tmp_path / file)
    loaded = model.load(tmp_path, masked_lm=True)
    assert loaded.state_dict().keys() == wanted.state_dict().keys()
    assert all(torch.equal(loaded.state_dict()[key], value) for key, value in wanted.state_dict().items())


def test_every_wrong_key_and_shape_is_named(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    del state["bert.encoder.layer.1.mlp.wo.bias"]
    state["bert.pooler.dense.weight"] = torch.zeros(2, 2)
    state["bert.embeddings.LayerNorm.bias"] = torch.zeros(7)
    save_file(state, folder / "model.safetensors")
    with pytest.raises(EpisomeError) as caught:
        model.load(folder)
    for named in (
        "missing bert.encoder.layer.1.mlp.wo.bias",
        "unexpected bert.pooler.dense.weight",
        "shape of bert.embeddings.LayerNorm.bias is (7,), wanted (24,)",
    ):
        assert named in str(caught.value)


def test_an_untied_decoder_is_refused(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    state["cls.predictions.decoder.weight"] = state["bert.embeddings.word_embeddings.weight"] + 1
    save_file(state, folder / "model.safetensors")
    with pytest.raises(EpisomeError, match="ties them"):
        model.load(folder)


def test_missing_files_and_config_keys_are_named(tmp_path: Path) -> None:
    with pytest.raises(EpisomeError, match=r"config\.json: no such file"):
        model.load(tmp_path)
    (tmp_path / "config.json").write_text('{"vocab_size": 8}')
    with pytest.raises(EpisomeError, match="missing hidden_size"):
        model.load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(asdict(SMALL)))
    with pytest.raises(EpisomeError, match=r"neither model\.safetensors nor pytorch_model\.bin"):
        model.load(tmp_path)


def test_padding_changes_no_real_token_and_answers_zero(folder: Path) -> None:
    encoder = model.load(folder)
    ids = torch.randint(5, 32, (1, 11), generator=torch.Generator().manual_seed(0))
    padded = torch.cat([ids, torch.full((1, 6), 3)], dim=1)
    mask = torch.tensor([[1] * 11 + [0] * 6])
    with torch.inference_mode():
        alone = encoder(ids, torch.ones_like(ids)).last_hidden_state
        among = encoder(padded, mask).last_hidden_state
    torch.testing.assert_close(among[:, :11], alone, atol=1e-6, rtol=0)
    assert bool((among[:, 11:] == 0).all())


def test_more_than_512_tokens_work_and_distant_tokens_are_damped_by_distance_alone(folder: Path) -> None:
    encoder = model.load(folder)
    ids = torch.full((1, 1200), 7)
    with torch.inference_mode():
        answer = encoder(ids, torch.ones_like(ids))
        bias = encoder.bias(torch.ones_like(ids))
    assert bool(answer.last_hidden_state.isfinite().all())
    slopes = torch.tensor(model.alibi_slopes(3))
    torch.testing.assert_close(bias[0, :, 0, 1199], -slopes * 1199)
    torch.testing.assert_close(bias, bias.transpose(-1, -2))


def test_all_states_and_attention_maps_come_on_request_and_agree_with_the_fast_path(folder: Path) -> None:
    encoder = model.load(folder)
    ids = torch.randint(5, 32, (2, 9), generator=torch.Generator().manual_seed(1))
    mask = torch.tensor([[1] * 9, [1] * 5 + [0] * 4])
    with torch.inference_mode():
        fast = encoder(ids, mask)
        slow = encoder(ids, mask, output_hidden_states=True, output_attentions=True)
    assert fast.hidden_states is None
    assert fast.attentions is None
    assert [tuple(s.shape) for s in slow.hidden_states] == [(2, 9, 24)] * 3
    assert [tuple(a.shape) for a in slow.attentions] == [(2, 3, 9, 9)] * 2
    torch.testing.assert_close(slow.last_hidden_state, fast.last_hidden_state, atol=1e-6, rtol=0)
    torch.testing.assert_close(slow.attentions[1].sum(-1), torch.ones(2, 3, 9), atol=1e-5, rtol=0)
    assert float(slow.attentions[0][1, :, :, 5:].max()) == 0.0


def test_slopes_of_twelve_heads_interleave_two_series() -> None:
    assert model.alibi_slopes(8) == pytest.approx([2.0**-k for k in range(1, 9)])
    assert model.alibi_slopes(12)[8:] == pytest.approx([2.0 ** -(k + 0.5) for k in range(4)])


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(EpisomeError, match="no multiple of num_attention_heads 5"):
        model.Config(hidden_size=24, num_attention_heads=5)
