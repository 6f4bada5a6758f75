"""The k-mer baseline on rows whose answer is a k-mer."""

import numpy as np
import pandas as pd

from episome import baseline, metrics


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
    probabilities = baseline.kmer(rows(300, 0), rows(100, 1), test, task="motif", k=3)
    assert probabilities.shape == (100,)
    assert metrics.mcc(test["label_motif"], probabilities, 0.5) > 0.8


def test_it_finds_nothing_where_nothing_is() -> None:
    test = rows(100, 2, skilled=False)
    probabilities = baseline.kmer(rows(300, 0, skilled=False), rows(100, 1, skilled=False), test, task="motif", k=2)
    assert abs(metrics.mcc(test["label_motif"], probabilities, 0.5)) < 0.25


def test_test_labels_change_nothing_and_a_second_run_is_the_same() -> None:
    train, val, test = rows(100, 0), rows(60, 1), rows(60, 2)
    first = baseline.kmer(train, val, test, task="motif", k=2)
    hidden = test.assign(label_motif=-1)
    np.testing.assert_array_equal(baseline.kmer(train, val, hidden, task="motif", k=2), first)
