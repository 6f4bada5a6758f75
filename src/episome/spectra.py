"""Whose 6-mers are most like those of a genome that no tree has; a hint at a donor, and no evolutionary distance.

Sequences of any length are cut or joined into pieces of one length, and everybody is compared by as many pieces as the
one with the fewest has: a spectrum of fewer bases is rougher, and would look further away for that alone.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from episome import contigs, genome
from episome.species import divergence, spectrum

PIECE = 2_000  # bases other than N
LEAST = 50  # pieces; noise alone puts two samples of one genome of this size about 0.007 bits apart
MOST = 5_000  # pieces; of a larger genome they are taken at even steps

_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """Divergence of a candidate's spectrum, in bits, from those of the FASTA, of its first half and of its second."""

    key: str
    whole: float
    first: float
    second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What the spectra say.

    Attributes:
        ranked: candidates, the most alike first.
        doubts: why the first of them is not to be relied on; empty where nothing speaks against it.
        bases: about so many were compared of each.
    """

    ranked: tuple[Likeness, ...]
    doubts: tuple[str, ...]
    bases: int


def of_fasta(path: Path) -> list[str]:
    """Pieces of a genome, without contigs that by their names are no part of its nucleus (`genome.left_out`).

    Raises:
        EpisomeError: it cannot be opened, or is no FASTA of nucleotides.
    """
    with contigs.opened(path, "n") as sequences:
        kept = {name: length for name, length in sequences.lengths.items() if not genome.left_out(name, None)}
        stretches = [(name, start) for name, length in kept.items() for start in range(0, length, PIECE)]
        texts = (sequences.fetch(name, at, min(at + PIECE, kept[name])) for name, at in even(stretches, MOST))
        return list(pieces(texts))


def pieces(texts: Iterable[str]) -> Iterator[str]:
    """Texts joined by N, as many to a piece as give it `PIECE` known bases; a rest that has fewer is left out."""
    parts, known = [], 0
    for text in texts:
        bases = len(text) - text.count("N")
        parts += [text] if bases else []
        known += bases
        if known >= PIECE:
            yield "N".join(parts)
            parts, known = [], 0


def even(items: Sequence[_Item], most: int) -> list[_Item]:
    """At most so many items, at even steps."""
    count = min(most, len(items))
    return [items[i * len(items) // count] for i in range(count)]


def compare(asked: Sequence[str], candidates: Mapping[str, Sequence[str]], names: Mapping[str, str]) -> Comparison:
    """Rank candidates by their spectra, and say what speaks against the first.

    The FASTA must not lie outside of the first and another species, as a fish does of human and mouse: then those two
    are more like each other than the first is like it, and the difference between them says nothing. And both halves
    of it must be most like the same species.

    Args:
        asked: pieces, at least two.
        candidates: key → pieces, at least two of each.
        names: key → scientific name; entries of one species raise no doubt about each other.
    """
    count = min(len(asked), *map(len, candidates.values()))
    own = even(asked, count)
    whole, first, second = (spectrum(part) for part in (own, own[: count // 2], own[count // 2 :]))
    spectra = {key: spectrum(even(texts, count)) for key, texts in candidates.items()}
    found = [
        Likeness(key=key, whole=divergence(whole, s), first=divergence(first, s), second=divergence(second, s))
        for key, s in spectra.items()
    ]
    best, *others = ranked = sorted(found, key=lambda each: (each.whole, each.key))
    doubts = [
        f"{best.key} and {other.key} are more like each other ({apart:.4f}) than {best.key} is like the FASTA"
        for other in others
        if names[other.key] != names[best.key]
        and (apart := divergence(spectra[best.key], spectra[other.key])) <= best.whole
    ]
    halves = [min(ranked, key=lambda each: each.first).key, min(ranked, key=lambda each: each.second).key]
    if len({names[key] for key in halves}) > 1:
        doubts.append(f"the first half of the FASTA is most like {halves[0]}, the second most like {halves[1]}")
    return Comparison(ranked=tuple(ranked), doubts=tuple(doubts), bases=count * PIECE)
