"""Which of many sequences are alike to one of a few, in numpy alone: what a release has near a row of its source.

The time grows with the bases of both and the memory with neither, since they are compared a part at a time.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from episome import kmers
from episome.kmers import BASES
from episome.sequence import reverse_complement
from episome.sources import Homology

_AT_ONCE = 1_000_000  # bases of either side
_SHARED = 3  # k-mers that a sequence must share with the few, on any strand, to be compared at all


def pairs(few: Sequence[str], many: Sequence[str], settings: Homology) -> Iterator[tuple[int, int]]:
    """Alike pairs on either strand, one of `few` with one of `many`, by position in each.

    Args:
        few: upper-case A C G T N.
        many: the same.
        settings: least identity and coverage.
    """
    for part in _parts(few):
        words = _words([few[i] for i in part])
        close = [i for i, text in enumerate(many) if int(words[_known(text)].sum()) >= _SHARED]
        for other in _parts([many[i] for i in close]):
            texts = [*(few[i] for i in part), *(many[close[i]] for i in other)]
            for a, b in kmers.pairs(texts, settings, protein=False, first=len(part)):
                yield part[a], close[other[b - len(part)]]


def _parts(texts: Sequence[str]) -> Iterator[list[int]]:
    """Positions of sequences that together have so many bases, but for the last of them."""
    part: list[int] = []
    bases = 0
    for i, text in enumerate(texts):
        part.append(i)
        bases += len(text)
        if bases >= _AT_ONCE or i == len(texts) - 1:
            yield part
            part, bases = [], 0


def _words(texts: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Of every k-mer whether one of the sequences has it on either strand."""
    held = np.zeros(len(BASES.known) ** BASES.k, bool)
    for text in texts:
        held[_known(text)] = held[_known(reverse_complement(text))] = True
    return held


def _known(text: str) -> kmers.Ints:
    words = BASES.words(BASES.codes(text))
    return words[words >= 0]
