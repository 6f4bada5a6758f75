"""K-mer text, as DNABERT 1 reads it (``ACGTAC CGTACG ...``), joined into the sequence that it spells."""

from itertools import pairwise

from episome.types import EpisomeError


class KmerError(EpisomeError):
    """Words that do not overlap as the k-mers of one sequence do."""


def size(text: str) -> int:
    """Letters of each word of k-mer text; 0 for a plain sequence. Blanks around the text say nothing.

    A single word is a plain sequence: k-mer text of a sequence as long as k looks the same and means the same.
    """
    words = text.strip().split(" ")
    return len(words[0]) if len(words) > 1 else 0


def join(text: str) -> str:
    """The sequence behind k-mer text: the first word, then the last letter of each further one.

    >>> join("ACGTAC CGTACG GTACGT")
    'ACGTACGT'

    Raises:
        KmerError: words of different lengths, or one that does not begin as the word before goes on; the message
            names its number, from 1.
    """
    words = text.strip().split(" ")
    first = words[0]
    for number, (before, word) in enumerate(pairwise(words), start=2):
        if len(word) != len(first):
            raise KmerError(f"k-mer {number} is {word!r}; wanted: {len(first)} letters, as in the first, {first!r}")
        if word[:-1] != before[1:]:
            raise KmerError(f"k-mer {number} is {word!r}; wanted: {before[1:]!r} and one letter, after {before!r}")
    return first + "".join(word[-1] for word in words[1:])
