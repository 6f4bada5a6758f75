"""Pairs of alike sequences from shared k-mers in numpy: what stands in where MMseqs2 is not installed.

Sequences that share k-mers are aligned along the diagonals of those k-mers, without gaps between, and judged by
identity and coverage. It finds what differs by substitutions and some indels; far relatives it finds less often than
MMseqs2 does, and a k-mer is paired with its nearest neighbours only, so that repeats cost linear time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from episome.sequence import reverse_complement
from episome.sources import Homology

Ints = NDArray[np.int64]

_NEIGHBOURS = 8  # of a k-mer's occurrences, each is paired with so many that follow, and with the first
_SHARED = 3  # k-mers that two sequences must share to be looked at, or more, where their length promises more
_WIDTH = 32  # k-mers count together whose diagonals differ by less than about this
_BANDS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Letters:
    """An alphabet and the length of the k-mers over it.

    Attributes:
        known: letters that k-mers are made of; others match nothing.
        k: chosen so that alike sequences share some and unlike ones hardly any.
    """

    known: str
    k: int

    def codes(self, text: str) -> Ints:
        """Each letter's place in `known`, -1 for others."""
        table = np.full(256, -1, np.int64)
        table[np.frombuffer(self.known.encode("ascii"), np.uint8)] = np.arange(len(self.known))
        return table[np.frombuffer(text.encode("ascii"), np.uint8)]

    def words(self, codes: Ints) -> Ints:
        """The k-mer that begins at each position, -1 where it holds an unknown letter; empty for a short text."""
        count = max(len(codes) - self.k + 1, 0)
        words, known = np.zeros(count, np.int64), np.ones(count, bool)
        for offset in range(self.k):
            part = codes[offset : offset + count]
            words = words * len(self.known) + part
            known &= part >= 0
        return np.where(known, words, -1)


BASES = Letters(known="ACGT", k=12)
RESIDUES = Letters(known="ACDEFGHIKLMNPQRSTVWY", k=4)


def pairs(
    sequences: Sequence[str], settings: Homology, *, protein: bool, first: int | None = None
) -> Iterator[tuple[int, int]]:
    """Pairs of sequences alike on either strand, most shared k-mers first, by position in `sequences`.

    Args:
        sequences: proteins, or upper-case A C G T N.
        settings: least identity and coverage.
        protein: what the sequences are; proteins have one strand.
        first: only one of so many at the beginning is compared with one of the others; None for all with all.
    """
    letters = RESIDUES if protein else BASES
    least = settings.protein_identity if protein else settings.identity
    both = [*sequences, *([] if protein else map(reverse_complement, sequences))]
    codes = [letters.codes(text) for text in both]
    words = [letters.words(each) for each in codes]
    # k-mers that the least allowed alignment would share, were its differences spread evenly; a quarter will do.
    promised = np.array([settings.coverage * len(text) * least**letters.k / 4 for text in sequences])
    for a, b in _candidates(words, len(sequences), np.maximum(promised, _SHARED).astype(np.int64)):
        if first is not None and not a < first <= b % len(sequences):
            continue
        shared = _shared(words[a], words[b])
        if _alike(codes[a], codes[b], shared, least, settings.coverage):
            yield a, b % len(sequences)


def _candidates(words: Sequence[Ints], count: int, least: Ints) -> list[tuple[int, int]]:
    """Pairs that share enough k-mers about one diagonal: a forward sequence and a later one on either strand.

    Args:
        words: k-mers of the forward sequences, then those of their other strands.
        count: forward sequences.
        least: k-mers that each must share with another.
    """
    owner = np.repeat(np.arange(len(words)), [len(each) for each in words])
    place = np.concatenate([np.empty(0, np.int64), *(np.arange(len(each)) for each in words)])
    word = np.concatenate([np.empty(0, np.int64), *words])
    order = np.argsort(word, kind="stable")
    order = order[word[order] >= 0]
    word, owner, place = word[order], owner[order], place[order]
    first = np.searchsorted(word, word)
    found = [_banded(owner[first], owner, place[first], place, count)]
    for step in range(1, _NEIGHBOURS + 1):
        same = word[:-step] == word[step:]
        one, two = slice(None, -step), slice(step, None)
        found.append(_banded(owner[one][same], owner[two][same], place[one][same], place[two][same], count))
    bands, shared = np.unique(np.concatenate(found), return_counts=True)
    a, b = bands // _BANDS // (2 * count), bands // _BANDS % (2 * count)
    enough = shared >= np.maximum(least[a], least[b % count])
    order = np.argsort(-shared[enough], kind="stable")
    pairs = zip(a[enough][order].tolist(), b[enough][order].tolist(), strict=True)
    return list(dict.fromkeys(pairs))


def _banded(a: Ints, b: Ints, at: Ints, there: Ints, count: int) -> Ints:
    """One number for a pair and the band of its diagonal; a pair turned over, or of one sequence, is left out."""
    flip = a % count > b % count
    diagonal = np.where(flip, at - there, there - at)
    a, b = np.where(flip, b, a), np.where(flip, a, b)
    keys: Ints = (a * 2 * count + b) * _BANDS + (diagonal // _WIDTH) % _BANDS
    return keys[(a < count) & (a != b % count)]


def _shared(a: Ints, b: Ints) -> tuple[Ints, Ints]:
    """Where the k-mers that both have begin first, ascending in `a`."""
    common, in_a, in_b = np.intersect1d(a, b, return_indices=True)
    in_a, in_b = in_a[common >= 0], in_b[common >= 0]
    order = np.argsort(in_a)
    return in_a[order], in_b[order]


def _alike(a: Ints, b: Ints, shared: tuple[Ints, Ints], identity: float, coverage: float) -> bool:
    """Whether the best stretch of the alignment through the shared k-mers is long and equal enough."""
    at, there = shared
    positions = np.arange(len(a))
    # The diagonal of the nearest shared k-mer: an indel moves the alignment over halfway between two of them.
    nearest = np.searchsorted((at[:-1] + at[1:] + 1) // 2, positions, side="right")
    other = positions + (there - at)[nearest]
    inside = (other >= 0) & (other < len(b))
    equal = np.where(inside, a == b[np.clip(other, 0, len(b) - 1)], False) & (a >= 0)
    # A stretch gains by equal positions and loses by others, evenly at half the identity that is asked.
    loss = identity / (2 - identity)
    total = np.concatenate([[0.0], np.cumsum(np.where(equal, 1.0, -loss))])
    end = int(np.argmax(total - np.minimum.accumulate(total)))
    start = int(np.argmin(total[: end + 1]))
    length = end - start
    return length >= coverage * max(len(a), len(b)) and int(equal[start:end].sum()) >= identity * length
