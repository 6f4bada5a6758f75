"""Rows drawn so that a task's positives and negatives come equally often, in an epoch as long as any other.

What is drawn are labels: each epoch draws as many as there are rows, of each task its share of all labels, half of them
positive and half negative. A row that is drawn for one of its tasks speaks for that task alone: rows that bring the
labels of several tasks along could not make all of them equal (of three labels that exclude each other, none is ever
positive half of the time).
"""

import numpy as np
from numpy.typing import NDArray

from episome.batches import Indices
from episome.types import EpisomeError


def draw(labels: NDArray[np.int8], rng: np.random.Generator) -> tuple[Indices, Indices]:
    """Draw n rows and the task that each speaks for.

    Systematic sampling (Madow & Madow 1944): positives and negatives of a task differ by one at most, and so do the
    times that two labels of the same task and class are drawn. A task of one class keeps its share; a row without any
    label is not drawn.

    Args:
        labels: int8 [n, L]; -1 = not labelled for this task.
        rng: draws; which labels of a class come once more than others is equally likely for all.

    Returns:
        int64 [n] rows and int64 [n] tasks.

    Raises:
        EpisomeError: there is no label at all.
    """
    rows, tasks = np.nonzero(labels >= 0)
    if not len(rows):
        raise EpisomeError(f"none of {len(labels)} rows has a label; nothing to draw (train.balance: sampling)")
    order = rng.permutation(len(rows))
    order = order[np.lexsort((labels[rows, tasks][order], tasks[order]))]
    rows, tasks = rows[order], tasks[order]
    edges = np.cumsum(_shares(tasks, labels[rows, tasks])) * len(labels)
    drawn = np.searchsorted(edges, rng.random() + np.arange(len(labels)), side="right")
    drawn = np.minimum(drawn, len(rows) - 1)  # the last edge may round to less than n
    return rows[drawn], tasks[drawn]


def _shares(tasks: Indices, classes: NDArray[np.int8]) -> NDArray[np.float64]:
    """Share of each label among all that are drawn; they sum to one."""
    shares = np.zeros(len(tasks))
    for task in np.unique(tasks):
        asked = tasks == task
        present = np.unique(classes[asked])
        for value in present:
            those = asked & (classes == value)
            shares[those] = asked.mean() / len(present) / those.sum()
    return shares
