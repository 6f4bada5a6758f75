"""Word2Vec and Gaussian naive Bayes: k-mers as words, a sequence as the mean of its windows' mean vectors.

The baseline of the transfer study: vectors of 100 numbers for all 3-mers, windows of two words on either side.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from gensim.models import Word2Vec
from numpy.typing import NDArray
from sklearn.naive_bayes import GaussianNB
from threadpoolctl import threadpool_limits

from episome.dataset import label_column
from episome.rivalry import WordVectors
from episome.rivals.words import words
from episome.types import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """Vectors and classifier.

    Attributes:
        index: word → row of `vectors`.
        vectors: float32[words, size].
    """

    numbers: WordVectors
    index: dict[str, int]
    vectors: NDArray[np.float32]
    bayes: GaussianNB

    def score(self, sequences: Sequence[str]) -> NDArray[np.float64]:
        """Log odds of class 1 in nats, float64[sequences]; features that are not independent make them too large."""
        joint = self.bayes.predict_joint_log_proba(_features(sequences, self.numbers, self.index, self.vectors))
        return np.asarray(joint[:, 1] - joint[:, 0], np.float64)


def fit(train: pd.DataFrame, task: Task, numbers: WordVectors, *, seed: int) -> Fitted:
    """Vectors from the training sequences, naive Bayes from their labels (0 and 1).

    Bit-equal for equal inputs: one thread, and vectors that start from `seed` alone. gensim learns from the first
    10,000 words of a sequence; features are made of all.
    """
    sequences = list(train["sequence"])
    # A thread more would train on words in the order in which the threads happen to come by them.
    model = Word2Vec(
        _Sentences(sequences, numbers.k),
        vector_size=numbers.size,
        window=numbers.window,
        epochs=numbers.epochs,
        min_count=1,
        workers=1,
        seed=seed,
    )
    index, vectors = dict(model.wv.key_to_index), np.array(model.wv.vectors, np.float32)
    features = _features(sequences, numbers, index, vectors)
    with threadpool_limits(1):
        bayes = GaussianNB().fit(features, train[label_column(task.name)].to_numpy())
    return Fitted(numbers=numbers, index=index, vectors=vectors, bayes=bayes)


class _Sentences:
    """The words of each sequence, made anew each time they are gone through: all of them at once are many."""

    def __init__(self, sequences: Sequence[str], k: int) -> None:
        self.sequences, self.k = sequences, k

    def __iter__(self) -> Iterator[list[str]]:
        return (words(sequence, self.k) for sequence in self.sequences)


def _features(
    sequences: Sequence[str], numbers: WordVectors, index: dict[str, int], vectors: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Mean over windows of the mean vector of a window, float64[sequences, size]; zero where no word is known."""
    features = np.zeros((len(sequences), numbers.size))
    for row, sequence in enumerate(sequences):
        known = [index[word] for word in words(sequence, numbers.k) if word in index]
        if known:
            weights = np.bincount(known, weights=window_weights(len(known), numbers.window), minlength=len(index))
            features[row] = weights @ vectors / len(known)
    return features


def window_weights(count: int, reach: int) -> NDArray[np.float64]:
    """How much each word says in the sum over all windows of the window's mean.

    Args:
        count: words in a row; each is the middle of one window.
        reach: words on either side that are in the window; fewer at the ends.

    Returns:
        float64[count], with the sum `count`.
    """
    at = np.arange(count)
    first, last = np.maximum(at - reach, 0), np.minimum(at + reach, count - 1)
    shares = np.concatenate([[0.0], np.cumsum(1 / (last - first + 1))])
    # A word at j is in the windows around j - reach to j + reach.
    answer: NDArray[np.float64] = shares[last + 1] - shares[first]
    return answer
