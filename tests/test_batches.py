"""Batches of token ids: every row once, within the budget, and mixed where mixing is asked for."""

import numpy as np
import pytest

from episome.batches import batches, mixed

LENGTHS = np.random.default_rng(0).integers(3, 90, 200)


@pytest.mark.parametrize("seed", [None, 1])
def test_every_row_is_in_one_batch_within_the_budget(seed: int | None) -> None:
    rng = None if seed is None else np.random.default_rng(seed)
    made = list(batches(LENGTHS, 256, rng))
    assert sorted(np.concatenate(made)) == list(range(200))
    assert all(len(batch) * LENGTHS[batch].max() <= 256 for batch in made)


def test_without_a_generator_lengths_rise_and_little_is_padding() -> None:
    made = list(batches(LENGTHS, 256))
    order = np.concatenate(made)
    assert (np.diff(LENGTHS[order]) >= 0).all()
    padded = sum(len(batch) * LENGTHS[batch].max() for batch in made)
    assert padded < 1.1 * LENGTHS.sum()


def test_a_row_beyond_the_budget_is_alone() -> None:
    made = [batch.tolist() for batch in batches([5, 500, 5], 20)]
    assert made == [[0, 2], [1]]


def test_no_rows_make_no_batch() -> None:
    assert list(batches([], 20)) == []


def test_a_step_holds_short_and_long_batches_and_repeats_by_seed() -> None:
    lengths = [10] * 80 + [60] * 80
    steps = list(mixed(lengths, 480, 4, np.random.default_rng(2)))
    again = list(mixed(lengths, 480, 4, np.random.default_rng(2)))
    assert [[b.tolist() for b in step] for step in steps] == [[b.tolist() for b in step] for step in again]
    assert sorted(np.concatenate([b for step in steps for b in step])) == list(range(160))
    assert all(len(step) <= 4 for step in steps)
    assert sum(len({int(b[0]) < 80 for b in step}) == 2 for step in steps) > len(steps) / 3
