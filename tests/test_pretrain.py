"""Masked-language-model pre-training on toy sequences: it learns, repeats to the bit and masks what it says."""

import numpy as np
import pytest
import torch

from episome import model, params, pretrain, tokenizer
from tests.conftest import ROOT

TEXTS = ["ACGTTGCA" * 6, "GATTACAN" * 5, "CCGGTTAA" * 7] * 12


@pytest.fixture(scope="module")
def bpe() -> tokenizer.Tokenizer:
    """A tokenizer of the toy text."""
    return tokenizer.train(TEXTS, 24)


def fitted(bpe: tokenizer.Tokenizer, seed: int) -> tuple[list[float], dict[str, torch.Tensor]]:
    """Losses and weights of a short run."""
    shape = model.Config(
        vocab_size=bpe.vocab_size,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        hidden_dropout_prob=0.0,
    )
    base = model.fresh(shape, 0)
    numbers = params.read(ROOT / "params.yaml").base.pretrain.model_copy(
        update={"epochs": 8, "tokens_per_step": 256, "learning_rate": 1e-2}
    )
    steps = list(pretrain.fit(base, bpe, TEXTS, numbers, seed=seed))
    assert [step.number for step in steps] == list(range(steps[0].total))
    assert not base.training
    return [step.loss for step in steps], base.state_dict()


def test_it_learns_and_repeats_to_the_bit(bpe: tokenizer.Tokenizer) -> None:
    losses, weights = fitted(bpe, 0)
    assert np.mean(losses[-5:]) < 0.85 * losses[0]
    again, same = fitted(bpe, 0)
    assert losses == again
    assert all(torch.equal(weights[key], same[key]) for key in weights)
    assert fitted(bpe, 1)[0] != losses


def test_specials_padding_and_unknown_tokens_are_never_chosen(bpe: tokenizer.Tokenizer) -> None:
    ids, mask = bpe.pad(bpe.encode_many(TEXTS))
    corrupted, chosen = pretrain._corrupt(ids, mask, bpe, 1.0, np.random.default_rng(0))
    special = np.isin(ids, [bpe.pad_id, bpe.unk_id, bpe.cls_id, bpe.sep_id])
    assert (ids[mask == 1] == bpe.unk_id).any()
    assert (chosen == ~special).all()
    assert (corrupted[special] == ids[special]).all()
    masked, kept = (corrupted == bpe.mask_id)[chosen].mean(), (corrupted == ids)[chosen].mean()
    assert masked == pytest.approx(0.8, abs=0.05)
    assert kept == pytest.approx(0.1, abs=0.06)
    assert not np.isin(corrupted[chosen], [bpe.pad_id, bpe.unk_id, bpe.cls_id, bpe.sep_id]).any()


def test_the_rate_warms_up_and_ends_at_zero() -> None:
    factor = pretrain.cosine(100, 0.1)
    assert [factor(0), factor(9)] == pytest.approx([0.1, 1.0])
    assert factor(100) == pytest.approx(0.0)
    falling = [factor(step) for step in range(9, 101)]
    assert falling == sorted(falling, reverse=True)
