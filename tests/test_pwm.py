"""Position-weight matrices on rows whose answer is a word at a known place."""

import numpy as np
import pandas as pd
import pytest

from episome import metrics, pwm
from episome.types import EpisomeError, Task

TASK = Task(name="motif", scope="window", window=80)


def rows(n: int, seed: int, at: int = 50, length: int = 80) -> pd.DataFrame:
    """Random sequences; positives have TATAAA at base `at`, one base of it at random, and differ in nothing else."""
    random = np.random.default_rng(seed)
    sequences = random.choice(list("ACGT"), (n, length))
    for row in range(1, n, 2):
        sequences[row, at : at + 6] = list("TATAAA")
        sequences[row, at + random.integers(6)] = random.choice(list("ACGT"))
    return pd.DataFrame({"sequence": ["".join(s) for s in sequences], "label_motif": np.arange(n, dtype=np.int8) % 2})


def test_it_finds_the_word_and_its_place() -> None:
    fitted, test = pwm.fit(rows(400, 0), rows(200, 1), TASK), rows(200, 2)
    start, end = fitted.stretch
    assert start <= 50 < 56 <= end
    assert end - start <= 20
    scores = fitted.score(list(test["sequence"]))
    assert metrics.auroc(test["label_motif"], scores) > 0.97
    assert metrics.mcc(test["label_motif"], scores, fitted.threshold) > 0.8


def test_the_word_at_another_place_says_nothing() -> None:
    moved = rows(200, 2, at=20)
    scores = pwm.fit(rows(400, 0), rows(200, 1), TASK).score(list(moved["sequence"]))
    assert abs(metrics.auroc(moved["label_motif"], scores) - 0.5) < 0.1


def test_weights_are_log_odds_with_one_row_of_background() -> None:
    task = Task(name="motif", scope="window", window=2)
    train = pd.DataFrame({"sequence": ["AC", "AG", "AC", "GT"], "label_motif": [1, 1, 1, 0]})
    weights = pwm.fit(train, train, task).weights
    background = np.array([1, 1, 2, 2]) / 6  # the negative's bases, and one of each
    first = (np.array([3, 0, 0, 0]) + background) / 4
    np.testing.assert_allclose(weights[0], [*np.log2(first / background), 0])


def test_an_n_weighs_nothing() -> None:
    fitted = pwm.fit(rows(400, 0), rows(200, 1), TASK)
    assert fitted.score(["N" * 80]).tolist() == [0.0]


def test_a_second_fit_is_the_same() -> None:
    first, second = (pwm.fit(rows(100, 0), rows(60, 1), TASK) for _ in range(2))
    np.testing.assert_array_equal(first.weights, second.weights)
    assert (first.stretch, first.threshold) == (second.stretch, second.threshold)


def test_a_task_without_a_fixed_length_has_no_matrix() -> None:
    with pytest.raises(EpisomeError, match="no fixed length"):
        pwm.fit(rows(20, 0), rows(20, 1), Task(name="motif", scope="sequence"))


def test_rows_of_another_length_are_named() -> None:
    with pytest.raises(EpisomeError, match="20 of 20 rows are not 80 bases long, the first is row 0 with 79"):
        pwm.fit(rows(20, 0), rows(20, 1, length=79), TASK)


def test_one_class_alone_is_refused() -> None:
    train = rows(20, 0).assign(label_motif=1)
    with pytest.raises(EpisomeError, match="20 positive train rows of 20"):
        pwm.fit(train, rows(20, 1), TASK)
