"""The scores a model has to beat: logistic regression on k-mer frequencies, and a position-weight matrix."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from episome import composition, metrics, pwm
from episome.dataset import label_column
from episome.params import Evaluate
from episome.types import Task

INVERSE_PENALTIES = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)
"""Grid of C (inverse L2 penalty on standardised features); the best on validation wins, of equals the smallest."""


class Scorer(Protocol):
    """A fitted baseline: a row is called at ``score >= threshold``."""

    @property
    def threshold(self) -> float: ...

    def score(self, sequences: Sequence[str]) -> NDArray[np.float64]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Kmer:
    """Logistic regression on the standardised frequencies of all 1- to k-mers."""

    k: int
    scaler: StandardScaler
    model: LogisticRegression
    threshold: float = 0.5

    def score(self, sequences: Sequence[str]) -> NDArray[np.float64]:
        """Probabilities of class 1, float64[sequences]."""
        features = self.scaler.transform(_features(sequences, self.k))
        return np.asarray(self.model.predict_proba(features)[:, 1], np.float64)


def kmer(train: pd.DataFrame, val: pd.DataFrame, *, task: str, k: int) -> Kmer:
    """The regression whose penalty does best on validation rows, by MCC at 0.5.

    Args:
        train: rows to fit on; columns ``sequence`` and ``label_<task>`` with labels 0 and 1.
        val: rows that choose the penalty.
        task: whose labels.
        k: longest k-mer.
    """
    scaler = StandardScaler().fit(features := _features(train["sequence"], k))
    fitting, choosing = scaler.transform(features), scaler.transform(_features(val["sequence"], k))
    labels, answers = (rows[label_column(task)].to_numpy() for rows in (train, val))
    # One thread: on matrices this small a second one only waits (measured: eight times slower with two).
    with threadpool_limits(1):
        models = [_fit(fitting, labels, penalty) for penalty in INVERSE_PENALTIES]
    best = max(models, key=lambda model: metrics.mcc(answers, model.predict_proba(choosing)[:, 1], 0.5))
    return Kmer(k=k, scaler=scaler, model=best)


def fit(train: pd.DataFrame, val: pd.DataFrame, task: Task, k: int) -> dict[str, Scorer]:
    """``kmer``, and ``pwm`` where the task has a fixed length."""
    fitted: dict[str, Scorer] = {"kmer": kmer(train, val, task=task.name, k=k)}
    if task.window is not None:
        fitted["pwm"] = pwm.fit(train, val, task)
    return fitted


def against_kinds(
    rows: pd.DataFrame,
    labels: NDArray[np.int8],
    scores: NDArray[np.float64],
    threshold: float,
    numbers: Evaluate,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """AUROC and MCC of all positives against each kind of negative alone: which decoys still fool who scored.

    Args:
        rows: columns ``negative_kind`` and ``group``.
        labels: int8[rows], 0 or 1.
        scores: float64[rows], higher means more like a positive; need not be probabilities.
        threshold: a row is called at ``score >= threshold``.
        numbers: bootstrap and confidence of the intervals.
        seed: of the bootstrap, which draws whole groups.

    Returns:
        kind → ``positives``, ``negatives``, ``groups``, ``auroc``, ``mcc``; the last two as ``{value, low, high}``.
    """
    kinds, groups, positive = rows["negative_kind"].to_numpy(), rows["group"].to_numpy(), labels == 1
    answer = {}
    for kind in sorted(set(kinds[~positive])):
        among = positive | (kinds == kind)
        found = metrics.evaluate(
            labels[among],
            scores[among],
            groups[among],
            threshold=threshold,
            bootstrap=numbers.bootstrap,
            confidence=numbers.confidence,
            seed=seed,
        )
        counts = {"positives": int(positive.sum()), "negatives": int(among.sum() - positive.sum())}
        answer[kind] = counts | {name: found[name] for name in ("groups", "auroc", "mcc")}
    return answer


def _features(sequences: Sequence[str] | pd.Series, k: int) -> NDArray[np.float32]:
    return np.stack([composition.features(sequence, k, phased=False) for sequence in sequences])


def _fit(features: NDArray[np.float32], labels: NDArray[np.int8], penalty: float) -> LogisticRegression:
    # A loose tolerance: validation chooses among penalties, the fourth digit of a weight decides nothing.
    return LogisticRegression(C=penalty, max_iter=2000, tol=1e-3).fit(features, labels)
