"""What a head sees beside hidden states: a sequence's k-mer composition, and the bases around a site.

A BPE token hides which base is where, and a small model never learns to spell it; the bases around a candidate site,
one by one, are what a position-weight matrix lives on.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from episome.headparams import Head

_PHASES = 3
_CODONS = 64
# A window with an N must come out negative: 4-adic numbers of up to ten digits cannot make up for this.
_NOT_A_BASE = -(4**10)
_CODE = np.full(256, _NOT_A_BASE, dtype=np.int64)
_BASES = b"ACGT"
_CODE[list(_BASES)] = range(4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Composition:
    """Which features the heads see; the same for all species of a base.

    Attributes:
        k: longest word that is counted.
        phased: codons are counted by phase.
        site_reach: bases on either side of a site's first base that are seen one by one.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    k: Annotated[int, Field(ge=0, le=6)]
    phased: bool
    site_reach: Annotated[int, Field(ge=0)]

    @property
    def size(self) -> int:
        """Number of features."""
        return size(self.k, self.phased) + site_features(self.site_reach)

    def of(self, sequence: str, centre: int | None) -> NDArray[np.float32]:
        """Features of a sequence, float32[size]: k-mers, codons, then the bases around `centre`.

        Args:
            sequence: upper-case A C G T N.
            centre: 0-based position of a site's first base; None where the sequence is no site's window.
        """
        return np.concatenate([features(sequence, self.k, self.phased), around(sequence, centre, self.site_reach)])


def site_features(reach: int) -> int:
    """Number of features that `around` gives: four for each base in reach."""
    return len(_BASES) * 2 * reach


def asked(head: Head) -> Composition:
    """The features that params.yaml asks for."""
    return Composition(k=head.composition_k, phased=head.phased_codons, site_reach=head.site_reach)


def around(sequence: str, centre: int | None, reach: int) -> NDArray[np.float32]:
    """The bases ``centre - reach`` to ``centre + reach - 1``, one-hot in the order A C G T; float32[8 * reach].

    Zero where there is an N or no base, and everywhere without a centre.
    """
    seen = np.zeros((2 * reach, len(_BASES)), dtype=np.float32)
    if centre is not None and reach:
        start = max(centre - reach, 0)
        codes = _CODE[np.frombuffer(sequence[start : centre + reach].encode("ascii"), dtype=np.uint8)]
        at = np.flatnonzero(codes >= 0)
        seen[at + start - (centre - reach), codes[at]] = 1
    return seen.ravel()


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
