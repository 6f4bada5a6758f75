"""Labels drawn so that both classes of a task come equally often, whatever the table looks like."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from episome import balance
from episome.types import EpisomeError

TABLES = arrays(np.int8, array_shapes(min_dims=2, max_dims=2, max_side=30), elements=st.integers(-1, 1))


@given(TABLES, st.integers(0, 99))
def test_both_classes_come_equally_often_and_every_task_keeps_its_share(labels: np.ndarray, seed: int) -> None:
    there = labels >= 0
    if not there.any():
        with pytest.raises(EpisomeError, match=rf"none of {len(labels)} rows has a label"):
            balance.draw(labels, np.random.default_rng(seed))
        return
    rows, tasks = balance.draw(labels, np.random.default_rng(seed))
    assert len(rows) == len(tasks) == len(labels)
    drawn = labels[rows, tasks]
    assert (drawn >= 0).all()
    for task in range(labels.shape[1]):
        share = len(labels) * there[:, task].sum() / there.sum()
        assert abs((tasks == task).sum() - share) < 1 + 1e-6
        counts = [(drawn[tasks == task] == value).sum() for value in (0, 1)]
        if all((labels[:, task] == value).any() for value in (0, 1)):
            assert abs(counts[0] - counts[1]) <= 1
        for value in (0, 1):
            of_class = np.flatnonzero(labels[:, task] == value)
            times = [((rows == row) & (tasks == task)).sum() for row in of_class]
            assert not times or max(times) - min(times) <= 1


def test_a_table_without_any_label_is_refused() -> None:
    with pytest.raises(EpisomeError, match="none of 3 rows has a label"):
        balance.draw(np.full((3, 2), -1, dtype=np.int8), np.random.default_rng(0))


def test_labels_that_exclude_each_other_are_drawn_equally_often_too() -> None:
    labels = np.eye(3, dtype=np.int8)[np.arange(300) % 3]
    rows, tasks = balance.draw(labels, np.random.default_rng(0))
    for task in range(3):
        drawn = labels[rows[tasks == task], task]
        assert len(drawn) == 100
        assert drawn.mean() == 0.5


def test_epochs_draw_other_rows_of_the_larger_class_and_seeds_repeat() -> None:
    labels = np.array([[1]] * 10 + [[0]] * 90, dtype=np.int8)
    drawn = [np.sort(balance.draw(labels, np.random.default_rng([0, epoch, 2]))[0]) for epoch in range(30)]
    again = np.sort(balance.draw(labels, np.random.default_rng([0, 3, 2]))[0])
    assert np.array_equal(drawn[3], again)
    assert not np.array_equal(drawn[3], drawn[4])
    times = np.array([np.bincount(rows, minlength=100) for rows in drawn])
    assert (times[:, :10] == 5).all()
    assert times[:, 10:].max() == 1
    assert times[:, 10:].sum(axis=0).min() > 5  # of 30 epochs, 16.7 are expected
