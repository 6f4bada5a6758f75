"""What a stream of retrains keeps and what it learns, from its scores alone; knows no models and no files.

A stream is T tasks (or releases of one) learned one after the other, and R[..., i, j] the score on task j after step i.
Axes before the last two are seeds, or draws of rows. Only the lower triangle is looked at, and for `forward_transfer`
the entries just above the diagonal. Sources: backward and forward transfer, Lopez-Paz & Ranzato 2017 (GEM); forgetting
and intransigence, Chaudhry et al. 2018.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from episome.types import EpisomeError

Floats = NDArray[np.float64]


class StreamError(EpisomeError):
    """Scores that are no stream's."""


def average(scores: ArrayLike) -> Floats:
    """Mean score over all tasks after the last step, float64[...]."""
    return _matrix(scores)[..., -1, :].mean(-1)


def learning(scores: ArrayLike) -> Floats:
    """Mean score on each task just after it was learned, float64[...]: who learns nothing forgets nothing either."""
    return _diagonal(_matrix(scores)).mean(-1)


def backward_transfer(scores: ArrayLike) -> Floats:
    """Mean over earlier tasks of R[T−1, j] − R[j, j], float64[...]; below 0 is a loss."""
    matrix = _matrix(scores)
    return (matrix[..., -1, :-1] - _diagonal(matrix)[..., :-1]).mean(-1)


def forward_transfer(scores: ArrayLike, untrained: ArrayLike) -> Floats:
    """Mean over later tasks of R[j−1, j] − b[j], float64[...]: what a task has of those before it, unlearned.

    Args:
        scores: R.
        untrained: b, float [..., T], scores of a model that has learned nothing; the first is not looked at.
    """
    matrix = _matrix(scores)
    before = np.diagonal(matrix, offset=1, axis1=-2, axis2=-1)
    return (before - _of_tasks(untrained, matrix)[..., 1:]).mean(-1)


def losses(scores: ArrayLike) -> Floats:
    """What each earlier task lost against its best: max over j ≤ l ≤ T−2 of R[l, j], less R[T−1, j]; float64[..., T−1].

    The last step is not among those that the best is of, so that a task which gained in it has a loss below 0.
    """
    matrix = _matrix(scores)
    tasks = matrix.shape[-1]
    best = [matrix[..., j:-1, j].max(-1) for j in range(tasks - 1)]
    return np.stack(best, axis=-1) - matrix[..., -1, :-1]


def forgetting(scores: ArrayLike) -> Floats:
    """Mean of `losses`, float64[...]."""
    return losses(scores).mean(-1)


def worst(scores: ArrayLike) -> Floats:
    """Largest of `losses`, float64[...]."""
    return losses(scores).max(-1)


def intransigence(scores: ArrayLike, joint: ArrayLike) -> Floats:
    """Mean over tasks of joint[j] − R[j, j], float64[...]: what was not learned that all data at once would have given.

    Args:
        scores: R.
        joint: float [..., T], scores of one training on the data of all tasks.
    """
    matrix = _matrix(scores)
    return (_of_tasks(joint, matrix) - _diagonal(matrix)).mean(-1)


def gain(scores: ArrayLike, before: ArrayLike) -> Floats:
    """Mean over later tasks of R[j, j] − before[j], float64[...].

    Args:
        scores: R.
        before: float [..., T], what the task is counted from, alike for all methods that are compared; the first is not
            looked at.
    """
    matrix = _matrix(scores)
    return (_diagonal(matrix) - _of_tasks(before, matrix))[..., 1:].mean(-1)


def _matrix(scores: ArrayLike) -> Floats:
    matrix = np.asarray(scores, np.float64)
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2] or matrix.shape[-1] < 2:
        raise StreamError(f"scores of shape {list(matrix.shape)}; wanted [..., T, T] with two tasks or more")
    return matrix


def _of_tasks(scores: ArrayLike, matrix: Floats) -> Floats:
    each = np.asarray(scores, np.float64)
    if each.ndim < 1 or each.shape[-1] != matrix.shape[-1]:
        raise StreamError(f"scores of shape {list(each.shape)} for {matrix.shape[-1]} tasks; wanted one a task")
    return each


def _diagonal(matrix: Floats) -> NDArray[Any]:
    return np.diagonal(matrix, axis1=-2, axis2=-1)
