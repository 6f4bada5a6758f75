"""Attention and attributions of a small trained classifier, against what must hold of any."""

from pathlib import Path

import numpy as np
import pytest
import torch

from episome import insight
from episome.classifier import Classifier, Examples
from tests.test_train import base, split, toy_rows, trained

__all__ = ["base"]  # a fixture, used by its name


@pytest.fixture(scope="module")
def subject(base: Path) -> Classifier:
    return trained(base, toy_rows())


@pytest.fixture(scope="module")
def examples(subject: Classifier) -> Examples:
    return split(subject, toy_rows(), "test")


def test_attention_is_shares_of_bases(subject: Classifier, examples: Examples) -> None:
    for row in range(6):
        maps = insight.attention(subject, examples, row)
        bases, tokens = examples.encodings[row].offsets[-1, 0], len(examples.encodings[row].ids) - 2
        assert maps.shape == (2, 4, tokens, bases)
        np.testing.assert_allclose(maps.sum(-1), 1)


def masked(subject: Classifier, examples: Examples, row: int, task: int) -> float:
    """Logit of the row with every token masked, its composition as it is."""
    ids, mask, centre, composition = subject.batch(examples, np.array([row]))
    ids[:, 1:-1] = subject.tokenizer.mask_id
    with torch.no_grad():
        return float(subject.head(subject.features(ids, mask, centre, composition))[0, task])


@pytest.mark.parametrize("task", [0, 1])
def test_an_attribution_sums_up_to_what_the_tokens_changed(subject: Classifier, examples: Examples, task: int) -> None:
    rows = [row for row in range(len(examples.encodings)) if examples.labels[row, task] >= 0][:8]
    full = subject.logits(examples)
    for row in rows:
        found = insight.attribution(subject, examples, row, task, steps=64)
        assert found.shape == (examples.encodings[row].offsets[-1, 0],)
        assert found.sum() == pytest.approx(full[row, task] - masked(subject, examples, row, task), abs=5e-3)


def test_an_attribution_follows_the_task_and_leaves_the_classifier_alone(
    subject: Classifier, examples: Examples
) -> None:
    before, slopes = subject.logits(examples), [p.grad is None or p.grad.clone() for p in subject.parameters()]
    first, second = (insight.attribution(subject, examples, 1, task, steps=8) for task in (0, 1))
    assert not np.allclose(first, second)
    np.testing.assert_array_equal(subject.logits(examples), before)
    for old, parameter in zip(slopes, subject.parameters(), strict=True):
        now = parameter.grad
        assert now is None if old is True else now is not None and torch.equal(old, now)
