"""Rivals by name, with one way to fit and ask them."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from episome import baseline, calibration
from episome.dataset import label_column
from episome.params import Params
from episome.rivals import cnn, lstm, wordvectors
from episome.study import Epoch
from episome.types import EpisomeError, Task

Name = Literal["kmer", "word2vec_nb", "cnn", "lstm"]
NAMES: tuple[Name, ...] = get_args(Name)

Score = Callable[[Sequence[str]], NDArray[np.float64]]
_SURE = 1e-12  # log odds of a probability nearer to 0 or 1 than this are those of this


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """A fitted rival.

    Attributes:
        score: log odds of class 1 in nats, float64[sequences], as the rival gives them: no temperature is fitted.
        threshold: the score with the best MCC on validation rows; a row is called at ``score >= threshold``.
        seconds: wall clock of the fit, threshold included.
        curve: by epoch; empty where nothing was trained by gradient.
    """

    name: Name
    score: Score
    threshold: float
    seconds: float
    curve: tuple[Epoch, ...]


def fit(name: Name, train: pd.DataFrame, val: pd.DataFrame, task: Task, *, seed: int, numbers: Params) -> Rival:
    """Fit one rival. Bit-equal on one machine for equal inputs and thread count.

    Args:
        name: which.
        train: rows as `episome.dataset` has them; those without a label of the task are left out.
        val: rows that stop the training and choose penalty and threshold.
        task: what is asked.
        seed: of everything that is drawn.
        numbers: its ``rivals``, ``train`` and ``evaluate.baseline_k`` are read.

    Raises:
        EpisomeError: no such rival, rows of one class alone, or a training that diverged.
    """
    if name not in NAMES:
        raise EpisomeError(f"no rival {name!r}; known: {', '.join(NAMES)}")
    learn, judge = _labelled(train, task, "training"), _labelled(val, task, "validation")
    began = time.perf_counter()
    answer, curve = _fitted(name, learn, judge, task, seed, numbers)

    def score(sequences: Sequence[str]) -> NDArray[np.float64]:
        return answer(sequences) if len(sequences) else np.zeros(0)

    threshold = _threshold(score(list(judge["sequence"])), judge[label_column(task.name)].to_numpy())
    return Rival(name=name, score=score, threshold=threshold, seconds=time.perf_counter() - began, curve=curve)


def _fitted(
    name: Name, learn: pd.DataFrame, judge: pd.DataFrame, task: Task, seed: int, numbers: Params
) -> tuple[Score, tuple[Epoch, ...]]:
    """What gives log odds, and its curve."""
    own = numbers.rivals
    if name == "kmer":
        fitted = baseline.kmer(learn, judge, task=task.name, k=numbers.evaluate.baseline_k)
        return lambda sequences: _log_odds(fitted.score(sequences)), ()
    if name == "word2vec_nb":
        return wordvectors.fit(learn, task, own.word2vec_nb, seed=seed).score, ()
    if name == "cnn":
        return cnn.fit(learn, judge, task, own.cnn, numbers.train, seed=seed)
    return lstm.fit(learn, judge, task, own.lstm, numbers.train, seed=seed)


def _threshold(scores: NDArray[np.float64], labels: NDArray[np.int8]) -> float:
    """Cut of the best MCC. Looked for at a fitted temperature: naive Bayes is sure of all its answers at 1."""
    temperature = calibration.temperature(scores, labels)
    cut = calibration.threshold(calibration.sigmoid(scores, temperature), labels)
    return float(_log_odds(np.array(cut)) * temperature)


def _log_odds(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    inside = np.clip(probabilities, _SURE, 1 - _SURE)
    answer: NDArray[np.float64] = np.log(inside) - np.log1p(-inside)
    return answer


def _labelled(rows: pd.DataFrame, task: Task, what: str) -> pd.DataFrame:
    """The rows that carry a label of the task, other tasks' columns left out."""
    column = label_column(task.name)
    if column not in rows:
        raise EpisomeError(f"task {task.name!r}: the {what} rows have no column {column}")
    kept = rows[rows[column] >= 0]
    if kept[column].nunique() < 2:
        raise EpisomeError(
            f"task {task.name!r}: {len(kept)} {what} rows, {int((kept[column] == 1).sum())} of class 1; wanted both "
            "classes: more rows, or another windows.split"
        )
    return kept
