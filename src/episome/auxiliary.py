"""What can be computed of a sequence and a pooled state may learn to say: GC, CpG, the longest open reading frame.

A base that is N counts nowhere: not in a number, not in the length it is divided by.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from episome.learning import Target
from episome.sequence import gc

_START, _STOPS = "ATG", frozenset(("TAA", "TAG", "TGA"))
_CODON = 3
_NO_SPREAD = 1e-9  # of shares that differ by rounding only


def of(sequences: Iterable[str], targets: Sequence[Target]) -> NDArray[np.float64]:
    """Targets float64 [n, T] of upper-case sequences of A C G T N; NaN where one is not defined."""
    return np.array([[_COMPUTED[target](sequence) for target in targets] for sequence in sequences], dtype=np.float64)


def standardised(values: NDArray[np.float64], rows: int) -> NDArray[np.float32]:
    """Mean 0 and standard deviation 1 of each target over the first `rows` that have it; NaN stays."""
    seen = values[:rows]
    known = ~np.isnan(seen)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, seen, 0.0).sum(axis=0) / count
    spread = np.sqrt((np.where(known, seen - mean, 0.0) ** 2).sum(axis=0) / count)
    scaled: NDArray[np.float64] = (values - mean) / np.where(spread > _NO_SPREAD, spread, 1.0)
    return scaled.astype(np.float32)


def gc_share(sequence: str) -> float:
    """Share of G and C among the bases that are not N; NaN where every base is N."""
    return gc(sequence) if _known(sequence) else float("nan")


def cpg(sequence: str) -> float:
    """CpG observed over expected, CG · n / (C · G) (Gardiner-Garden & Frommer 1987); NaN without a C or without a G.

    n counts the bases that are not N.
    """
    expected = sequence.count("C") * sequence.count("G")
    return sequence.count("CG") * _known(sequence) / expected if expected else float("nan")


def open_frame(sequence: str) -> float:
    """Longest stretch from ATG to the first stop in its frame (TAA, TAG, TGA), as a share of the bases.

    Both codons count. Searched in the three frames of this strand; a codon with an N is no codon, so no frame goes on
    through it. 0 where no ATG comes to a stop, NaN where every base is N.
    """
    if not _known(sequence):
        return float("nan")
    return max(_longest(sequence, frame) for frame in range(_CODON)) / _known(sequence)


def _longest(sequence: str, frame: int) -> int:
    """Bases of the longest open frame that starts in one of the three frames."""
    longest, start = 0, -1
    for at in range(frame, len(sequence) - _CODON + 1, _CODON):
        codon = sequence[at : at + _CODON]
        if start < 0:
            start = at if codon == _START else -1
        elif codon in _STOPS:
            longest, start = max(longest, at + _CODON - start), -1
        elif "N" in codon:
            start = -1
    return longest


def _known(sequence: str) -> int:
    return len(sequence) - sequence.count("N")


_COMPUTED: dict[Target, Callable[[str], float]] = {"gc": gc_share, "cpg": cpg, "orf": open_frame}
