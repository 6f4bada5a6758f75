import pytest
from hypothesis import given
from hypothesis import strategies as st

from episome import kmertext

SEQUENCES = st.text("ACGTNacgtu", min_size=1, max_size=60)
SIZES = st.integers(1, 8)


def words(sequence: str, k: int) -> list[str]:
    return [sequence[i : i + k] for i in range(max(len(sequence) - k + 1, 1))]


@given(SEQUENCES, SIZES)
def test_joining_undoes_cutting(sequence: str, k: int) -> None:
    text = " ".join(words(sequence, k))
    assert kmertext.join(text) == sequence
    assert kmertext.size(text) == (k if len(sequence) > k else 0)


@given(SEQUENCES.filter(lambda s: len(s) > 5), st.integers(2, 5), st.data())
def test_a_word_that_does_not_follow_is_named_by_its_number(sequence: str, k: int, data: st.DataObject) -> None:
    parts = words(sequence, k)
    number = data.draw(st.integers(2, len(parts)))
    parts[number - 1] = "X" * k
    with pytest.raises(kmertext.KmerError, match=f"^k-mer {number} is 'X+'; wanted: '{parts[number - 2][1:]}' and one"):
        kmertext.join(" ".join(parts))


@pytest.mark.parametrize("text", ["ACG CGTT", "ACG  CGT", "ACG CG"])
def test_words_of_unequal_length_are_refused(text: str) -> None:
    with pytest.raises(kmertext.KmerError, match="wanted: 3 letters, as in the first, 'ACG'"):
        kmertext.join(text)


@pytest.mark.parametrize("around", ["{} ", " {}", "{}\t", " {} \n"])
def test_blanks_around_a_sequence_are_no_kmer_text(around: str) -> None:
    assert kmertext.size(around.format("ACG")) == 0
    assert kmertext.size(around.format("ACG CGT")) == 3
    assert kmertext.join(around.format("ACG CGT")) == "ACGT"
