"""Overlapping k-mers of a sequence, as text and as numbers."""

import numpy as np
from numpy.typing import NDArray

_NONE = -(4**10)  # a word with an N comes out negative whatever its other bases are
_CODE = np.full(256, _NONE, dtype=np.int64)
_CODE[list(b"ACGT")] = range(4)


def words(sequence: str, k: int) -> list[str]:
    """All overlapping k-mers without an N, in order; none where the sequence is shorter than k."""
    found = (sequence[start : start + k] for start in range(len(sequence) - k + 1))
    return [word for word in found if "N" not in word]


def codes(sequence: str, k: int, stride: int = 1) -> NDArray[np.int64]:
    """Number of the k-mer at every `stride`-th base, in the order of the alphabet A C G T; -1 where it has an N.

    Returns:
        int64[words], 0 to 4^k - 1 or -1; empty where the sequence is shorter than k.
    """
    letters = _CODE[np.frombuffer(sequence.encode("ascii"), dtype=np.uint8)]
    count = max(len(letters) - k + 1, 0)
    numbers = np.zeros(count, dtype=np.int64)
    for at in range(k):
        numbers = numbers * 4 + letters[at : at + count]
    return np.maximum(numbers, -1)[::stride]
