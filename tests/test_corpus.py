import numpy as np
import pandas as pd

from episome import corpus
from episome.sequence import reverse_complement

RNG = np.random.default_rng(4)
TEXTS = ["".join(RNG.choice(list("ACGT"), 30)) for _ in range(400)]


def rows(train: list[str], held_out: list[str]) -> pd.DataFrame:
    sides = ["train"] * len(train) + ["test"] * len(held_out)
    return pd.DataFrame({"sequence": train + held_out, "split": sides})


def test_training_sequences_come_once_and_held_out_ones_never() -> None:
    train = [TEXTS[0], TEXTS[1], reverse_complement(TEXTS[1]), TEXTS[2], TEXTS[0]]
    texts = corpus.from_rows(rows(train, [reverse_complement(TEXTS[2]), TEXTS[3]]), 1.0, 7)
    assert len(texts) == 2
    assert {TEXTS[0], reverse_complement(TEXTS[0])} & set(texts)
    assert {TEXTS[1], reverse_complement(TEXTS[1])} & set(texts)


def test_the_share_is_taken_by_a_hash_that_more_rows_do_not_move() -> None:
    some = corpus.from_rows(rows(TEXTS[:200], []), 0.5, 7)
    more = corpus.from_rows(rows(TEXTS, []), 0.5, 7)
    assert 80 < len(some) < 120
    assert set(some) < set(more)
    assert corpus.from_rows(rows(TEXTS, []), 0.0, 7) == []


def test_species_are_merged_shuffled_and_cut_the_same_way_again() -> None:
    merged = corpus.merge([TEXTS[:200], TEXTS[100:]], 7, 1000)
    assert sorted(merged) == sorted(TEXTS)
    assert merged != TEXTS
    assert corpus.merge([TEXTS[:200], TEXTS[100:]], 7, 50) == merged[:50]
    assert corpus.merge([TEXTS], 8, 1000) != corpus.merge([TEXTS], 7, 1000)
