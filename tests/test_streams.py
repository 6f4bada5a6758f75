"""Metrics of a stream, on matrices whose answers can be worked out by hand."""

import numpy as np
import pytest

from episome import streams
from episome.streams import StreamError

# Task 0 rises and then falls, task 1 falls; above the diagonal is what was there before learning.
SCORES = np.array([[0.8, 0.6, 0.5], [0.9, 0.7, 0.6], [0.5, 0.65, 0.9]])
BLIND = np.array([0.1, 0.5, 0.5])


def test_of_three_tasks_by_hand() -> None:
    assert streams.average(SCORES) == pytest.approx((0.5 + 0.65 + 0.9) / 3)
    assert streams.learning(SCORES) == pytest.approx((0.8 + 0.7 + 0.9) / 3)
    assert streams.backward_transfer(SCORES) == pytest.approx(((0.5 - 0.8) + (0.65 - 0.7)) / 2)
    assert streams.forward_transfer(SCORES, BLIND) == pytest.approx(((0.6 - 0.5) + (0.6 - 0.5)) / 2)
    assert streams.losses(SCORES) == pytest.approx([0.9 - 0.5, 0.7 - 0.65])
    assert streams.forgetting(SCORES) == pytest.approx((0.4 + 0.05) / 2)
    assert streams.worst(SCORES) == pytest.approx(0.4)
    assert streams.intransigence(SCORES, [0.9, 0.9, 0.9]) == pytest.approx((0.1 + 0.2 + 0.0) / 3)
    assert streams.gain(SCORES, BLIND) == pytest.approx((0.2 + 0.4) / 2)


def test_of_two_tasks_forgetting_is_backward_transfer_turned_round() -> None:
    two = SCORES[:2, :2]
    assert streams.forgetting(two) == pytest.approx(-streams.backward_transfer(two))
    assert streams.worst(two) == pytest.approx(streams.forgetting(two))


def test_what_the_last_step_gained_is_a_loss_below_zero() -> None:
    better = np.array([[0.6, 0.5], [0.8, 0.7]])
    assert streams.forgetting(better) == pytest.approx(-0.2)
    assert streams.worst(better) == pytest.approx(-0.2)


def test_a_model_that_learns_nothing_forgets_nothing_and_is_intransigent() -> None:
    still = np.tile([0.7, 0.5, 0.5], (3, 1))
    assert streams.forgetting(still) == pytest.approx(0.0)
    assert streams.gain(still, [0.5, 0.5, 0.5]) == pytest.approx(0.0)
    assert streams.intransigence(still, [0.7, 0.9, 0.9]) == pytest.approx(0.8 / 3)


def test_seeds_and_draws_are_taken_each_by_itself() -> None:
    many = np.random.default_rng(0).random((2, 5, 4, 4))
    joint = np.random.default_rng(1).random((2, 5, 4))
    for metric in (streams.average, streams.learning, streams.backward_transfer, streams.forgetting, streams.worst):
        assert metric(many)[1, 3] == pytest.approx(metric(many[1, 3]))
    for with_other in (streams.forward_transfer, streams.intransigence, streams.gain):
        assert with_other(many, joint)[1, 3] == pytest.approx(with_other(many[1, 3], joint[1, 3]))


def test_neither_metric_changes_what_it_is_given() -> None:
    given = SCORES.copy()
    streams.losses(given)
    streams.intransigence(given, BLIND)
    assert (given == SCORES).all()


@pytest.mark.parametrize("shape", [(3,), (2, 3), (1, 1), (4, 3, 2)])
def test_what_is_no_matrix_of_tasks_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(StreamError, match=r"wanted \[\.\.\., T, T\]"):
        streams.forgetting(np.zeros(shape))


@pytest.mark.parametrize("wrong", [0.5, [0.5, 0.5]])
def test_other_scores_are_wanted_of_every_task(wrong: float | list[float]) -> None:
    with pytest.raises(StreamError, match="wanted one a task"):
        streams.gain(SCORES, wrong)
