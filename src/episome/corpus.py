"""Unlabelled training-side text for the masked-language model: upper-case A C G T N, one sequence a line."""

from collections.abc import Iterable, Sequence

import pandas as pd

from episome import split
from episome.sequence import canonical


def from_rows(rows: pd.DataFrame, share: float, seed: int) -> list[str]:
    """Training sequences, each once for both strands, none that is also held out for any task.

    Args:
        rows: rows of one species, without releases: what a retrain adds must not change the base model.
        share: share of the sequences that is taken, by a stable hash.
        seed: decides which.
    """
    held_out = {canonical(s) for s in rows.loc[rows["split"] != "train", "sequence"]}
    texts = {canonical(s): s for s in rows.loc[rows["split"] == "train", "sequence"]}
    return [
        text
        for key, text in texts.items()
        if key not in held_out and split.fraction(f"corpus:{split.canonical_group(key)}", seed) < share
    ]


def merge(parts: Sequence[Iterable[str]], seed: int, most: int) -> list[str]:
    """The texts of several species, each once, in a shuffled order that the seed decides; at most `most` of them."""
    texts = list(dict.fromkeys(text for part in parts for text in part))
    order = split.generator(seed, "corpus").permutation(len(texts))
    return [texts[i] for i in order[:most]]
