"""What a nucleotide sequence may be, and how any spelling of it becomes upper-case A C G T N."""

from dataclasses import dataclass
from typing import Literal

from episome.types import EpisomeError

COMPLEMENT = str.maketrans("ACGTN", "TGCAN")

_UPPER = b"ACGTUNRYSWKMBDHV"
_KNOWN = _UPPER + _UPPER.lower()
_AMBIGUOUS = b"RYSWKMBDHVryswkmbdhv"
_CLEAN = bytes.maketrans(_KNOWN, b"ACGTTNNNNNNNNNNN" * 2)


class SequenceError(EpisomeError):
    """A character that is no nucleotide, or no character at all.

    Attributes:
        position: 1-based position of the first wrong character; None for an empty sequence.
        character: that character; None for an empty sequence.
    """

    def __init__(self, message: str, *, position: int | None = None, character: str | None = None) -> None:
        super().__init__(message)
        self.position = position
        self.character = character


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalised:
    """A clean sequence and what was changed on the way.

    Attributes:
        sequence: upper-case A C G T N.
        lower_case: letters that came in lower case (soft-masking).
        uracil: U that became T.
        ambiguous: IUPAC codes other than N that became N.
        n: N in `sequence`, those from ambiguous codes included.
    """

    sequence: str
    lower_case: int
    uracil: int
    ambiguous: int
    n: int


def normalise(raw: str, ambiguous: Literal["n", "error"] = "n") -> Normalised:
    """Upper-case, U to T, IUPAC codes to N (or refused): the one policy for every door.

    Raises:
        SequenceError: `raw` is empty or holds anything that is no IUPAC nucleotide (a digit, a gap, white space, …).
    """
    if not raw:
        raise SequenceError("the sequence is empty; at least one nucleotide is wanted")
    allowed = _KNOWN if ambiguous == "n" else _KNOWN.translate(None, _AMBIGUOUS)
    if not raw.isascii() or raw.encode("ascii").translate(None, allowed):
        raise _first_wrong(raw, allowed.decode("ascii"))
    data = raw.encode("ascii")
    codes = len(data) - len(data.translate(None, _AMBIGUOUS))
    clean = data.translate(_CLEAN)
    return Normalised(
        sequence=clean.decode("ascii"),
        lower_case=len(data.translate(None, _UPPER)),
        uracil=data.count(b"U") + data.count(b"u"),
        ambiguous=codes,
        n=clean.count(b"N"),
    )


def _first_wrong(raw: str, allowed: str) -> SequenceError:
    position, character = next((i, c) for i, c in enumerate(raw, start=1) if c not in allowed)
    wanted = "A, C, G, T, U or N" + ("" if "R" not in allowed else " or an IUPAC code (R Y S W K M B D H V)")
    return SequenceError(
        f"character {character!r} at position {position} is no nucleotide here; wanted: {wanted}",
        position=position,
        character=character,
    )


def reverse_complement(sequence: str) -> str:
    """The other strand, 5' to 3', of a sequence of upper-case A C G T N.

    >>> reverse_complement("GATTN")
    'NAATC'
    """
    return sequence.translate(COMPLEMENT)[::-1]


def canonical(sequence: str) -> str:
    """The same string for a sequence and its reverse complement: the lesser of the two."""
    return min(sequence, reverse_complement(sequence))


def gc(sequence: str) -> float:
    """Share of G and C among the bases that are not N; 0.0 where every base is N."""
    known = len(sequence) - sequence.count("N")
    return (sequence.count("G") + sequence.count("C")) / known if known else 0.0


def n_share(sequence: str) -> float:
    """Share of N in a sequence of at least one base."""
    return sequence.count("N") / len(sequence)
