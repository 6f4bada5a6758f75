"""The baselines on rows whose answer is a k-mer."""

import numpy as np
import pandas as pd
import pytest

from episome import baseline, metrics
from episome.params import BestCut, Evaluate
from episome.types import Task

NUMBERS = Evaluate(bootstrap=60, confidence=0.95, baseline_k=2, threshold=BestCut(rule="mcc"))


def rows(n: int, seed: int, skilled: bool = True) -> pd.DataFrame:
    """Random 60-mers; positives have three GATTACA where `skilled`, and differ in nothing else."""
    random = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    sequences = []
    for label in labels:
        bases = random.choice(list("ACGT"), 60)
        if label and skilled:
            for start in (3, 20, 41):
                bases[start : start + 7] = list("GATTACA")
        sequences.append("".join(bases))
    return pd.DataFrame({"sequence": sequences, "label_motif": labels.astype(np.int8)})


def test_it_finds_a_planted_word() -> None:
    test = rows(100, 2)
    fitted = baseline.kmer(rows(300, 0), rows(100, 1), task="motif", k=3)
    probabilities = fitted.score(list(test["sequence"]))
    assert probabilities.shape == (100,)
    assert metrics.mcc(test["label_motif"], probabilities, fitted.threshold) > 0.8


def test_it_finds_nothing_where_nothing_is() -> None:
    test = rows(100, 2, skilled=False)
    fitted = baseline.kmer(rows(300, 0, skilled=False), rows(100, 1, skilled=False), task="motif", k=2)
    assert abs(metrics.mcc(test["label_motif"], fitted.score(list(test["sequence"])), 0.5)) < 0.25


def test_a_second_fit_is_the_same() -> None:
    train, val, test = rows(100, 0), rows(60, 1), list(rows(60, 2)["sequence"])
    first, second = (baseline.kmer(train, val, task="motif", k=2).score(test) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(("task", "wanted"), [
    (Task(name="motif", scope="window", window=60), ["kmer", "pwm"]),
    (Task(name="motif", scope="sequence"), ["kmer"]),
])  # fmt: skip
def test_a_matrix_is_fitted_where_the_length_is_fixed(task: Task, wanted: list[str]) -> None:
    assert list(baseline.fit(rows(40, 0), rows(20, 1), task, 2)) == wanted


def test_positives_meet_one_kind_of_negative_at_a_time() -> None:
    labels = np.arange(80, dtype=np.int8) % 2
    kinds = np.where(labels == 1, "", np.where(np.arange(80) % 4 == 0, "near", "far"))
    scores = np.select([kinds == "far", kinds == "near"], [-1.0, 2.0], 1.0)
    judged = pd.DataFrame({"negative_kind": kinds, "group": [f"g{i}" for i in range(80)]})
    found = baseline.against_kinds(judged, labels, scores, 0.0, NUMBERS, 7)
    assert list(found) == ["far", "near"]
    assert {(kind["positives"], kind["negatives"], kind["groups"]) for kind in found.values()} == {(40, 20, 60)}
    assert found["far"]["auroc"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert found["near"]["auroc"]["value"] == 0.0
    assert found["far"]["mcc"]["value"] == 1.0
    assert found["near"]["mcc"]["value"] == 0.0
