"""The score a model has to beat: logistic regression on k-mer frequencies."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from episome import composition
from episome.metrics import mcc

INVERSE_PENALTIES = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)
"""Grid of C (inverse L2 penalty on standardised features); the best on validation wins, of equals the smallest."""


def kmer(train: pd.DataFrame, val: pd.DataFrame, test: pd.DataFrame, *, task: str, k: int) -> NDArray[np.float64]:
    """Probabilities float64[test rows] of a logistic regression on frequencies of all 1..k-mers.

    Args:
        train: rows to fit on; columns ``sequence`` and ``label_<task>`` with labels 0 and 1.
        val: rows that choose the penalty, by MCC at 0.5.
        test: rows to score; labels are not looked at.
        task: whose labels.
        k: longest k-mer.
    """
    scaler = StandardScaler().fit(features := _features(train, k))
    fitting, choosing, scoring = (scaler.transform(part) for part in (features, _features(val, k), _features(test, k)))
    column = f"label_{task}"
    models = [_fit(fitting, train[column].to_numpy(), penalty) for penalty in INVERSE_PENALTIES]
    best = max(models, key=lambda model: mcc(val[column].to_numpy(), model.predict_proba(choosing)[:, 1], 0.5))
    return np.asarray(best.predict_proba(scoring)[:, 1], np.float64)


def _features(rows: pd.DataFrame, k: int) -> NDArray[np.float32]:
    return np.stack([composition.features(sequence, k, phased=False) for sequence in rows["sequence"]])


def _fit(features: NDArray[np.float32], labels: NDArray[np.int8], penalty: float) -> LogisticRegression:
    # A loose tolerance: validation chooses among penalties, the fourth digit of a weight decides nothing.
    return LogisticRegression(C=penalty, max_iter=2000, tol=1e-3).fit(features, labels)
