"""k-mer composition of a sequence: cheap features that a small model's head sees beside its hidden states."""

import numpy as np
from numpy.typing import NDArray

_PHASES = 3
_CODONS = 64
# A window with an N must come out negative: 4-adic numbers of up to ten digits cannot make up for this.
_NOT_A_BASE = -(4**10)
_CODE = np.full(256, _NOT_A_BASE, dtype=np.int64)
_CODE[list(b"ACGT")] = range(4)


def size(k: int, phased: bool) -> int:
    """Number of features: 4 + 16 + … + 4^k, and three times 64 where codons are counted by phase."""
    return sum(1 << 2 * n for n in range(1, k + 1)) + (_PHASES * _CODONS if phased else 0)


def features(sequence: str, k: int, phased: bool) -> NDArray[np.float32]:
    """Frequencies of all 1- to k-mers, then of codons in the three phases counted from the first base.

    Words are in the order of the alphabet A C G T; words with an N are skipped. Each word length and each
    phase sums to one, or to zero where the sequence has no such word.

    Args:
        sequence: upper-case A C G T N.
        k: longest word, 0 to 6.
        phased: add the 3 x 64 codon frequencies.

    Returns:
        float32[size(k, phased)].
    """
    codes = _CODE[np.frombuffer(sequence.encode("ascii"), dtype=np.uint8)]
    with_n = "N" in sequence
    parts: list[NDArray[np.float32]] = []
    words = codes
    for n in range(1, k + 1):
        words = codes if n == 1 else words[:-1] * 4 + codes[n - 1 :]
        parts.append(_frequencies(words, 4**n, with_n=with_n))
    if phased:
        codons = codes[:-2] * 16 + codes[1:-1] * 4 + codes[2:]
        parts.extend(_frequencies(codons[phase::_PHASES], _CODONS, with_n=with_n) for phase in range(_PHASES))
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)


def _frequencies(words: NDArray[np.int64], count: int, *, with_n: bool) -> NDArray[np.float32]:
    kept = words[words >= 0] if with_n else words
    counts = np.bincount(kept, minlength=count)
    return (counts / max(len(kept), 1)).astype(np.float32)
