"""How near test sequences are to what was trained on, so that a score can be told apart from remembering."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from episome.kmers import Letters
from episome.sequence import reverse_complement

WORDS = Letters(known="ACGT", k=8)
"""Two unrelated sequences of some hundred bases share next to none of these, relatives of 80 % identity some."""

_AT_ONCE = 256


def nearest(tested: Sequence[str], trained: Sequence[str]) -> NDArray[np.float64]:
    """Largest share of a sequence's distinct 8-mers that any one trained sequence has, on either strand.

    Args:
        tested: upper-case A C G T N.
        trained: the same; at least one.

    Returns:
        float64 [tested], 0 (nothing in common) to 1; 0 where a sequence has no 8-mer of known bases.
    """
    known = _table([*trained, *map(reverse_complement, trained)]).T.tocsr()
    found = np.zeros(len(tested))
    for begin in range(0, len(tested), _AT_ONCE):
        asked = _table(tested[begin : begin + _AT_ONCE])
        shared = (asked @ known).max(axis=1).toarray().ravel()
        found[begin : begin + len(shared)] = shared / np.maximum(asked.sum(axis=1), 1)
    return found


def quarters(shares: NDArray[np.float64]) -> list[tuple[float, float, NDArray[np.bool_]]]:
    """Lowest and highest share of each quarter of the rows and which rows those are, the farthest quarter first.

    Rows of one share stay together, so that there may be fewer than four parts.
    """
    edges = np.unique(np.quantile(shares, [0.25, 0.5, 0.75]))
    part = np.searchsorted(edges, shares, side="right")
    return [(float(shares[part == k].min()), float(shares[part == k].max()), part == k) for k in np.unique(part)]


def _table(sequences: Iterable[str]) -> csr_array:
    """Which 8-mer each sequence has: int32 [sequences, 4^8], 0 or 1."""
    words = [np.unique(WORDS.words(WORDS.codes(sequence))) for sequence in sequences]
    words = [each[each >= 0] for each in words]
    ends = np.cumsum([0, *map(len, words)])
    ones = np.ones(ends[-1], np.int32)
    return csr_array((ones, np.concatenate(words) if words else ones, ends), shape=(len(words), 4**WORDS.k))
