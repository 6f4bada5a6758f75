import pytest
from hypothesis import given
from hypothesis import strategies as st

from episome import sequence
from episome.sequence import SequenceError, canonical, gc, n_share, normalise, reverse_complement

clean = st.text("ACGTN", min_size=1, max_size=200)
messy = st.text("ACGTUNRYSWKMBDHVacgtunryswkmbdhv", min_size=1, max_size=200)


@given(clean)
def test_reverse_complement_is_its_own_inverse_and_pairs_bases(s: str) -> None:
    other = reverse_complement(s)
    assert reverse_complement(other) == s
    assert all({a, b} in ({"A", "T"}, {"C", "G"}, {"N"}) for a, b in zip(s, reversed(other), strict=True))


@given(messy)
def test_normalised_is_clean_and_nothing_is_lost(raw: str) -> None:
    result = normalise(raw)
    assert len(result.sequence) == len(raw)
    assert set(result.sequence) <= set("ACGTN")
    assert normalise(result.sequence).sequence == result.sequence
    assert result.lower_case == sum(c.islower() for c in raw)
    assert result.uracil == sum(c in "Uu" for c in raw)
    assert result.ambiguous == sum(c in "RYSWKMBDHVryswkmbdhv" for c in raw)
    assert result.n == result.ambiguous + sum(c in "Nn" for c in raw)


@given(clean)
def test_canonical_is_the_same_for_both_strands(s: str) -> None:
    assert canonical(s) == canonical(reverse_complement(s))
    assert canonical(s) in (s, reverse_complement(s))


@given(clean)
def test_gc_and_n_share_do_not_depend_on_the_strand(s: str) -> None:
    assert gc(s) == gc(reverse_complement(s))
    assert n_share(s) == n_share(reverse_complement(s))


def test_gc_counts_known_bases_only() -> None:
    assert gc("GCNNAT") == 0.5
    assert gc("NNN") == 0.0
    assert n_share("GCNNAT") == pytest.approx(1 / 3)


def test_soft_masked_and_rna_letters_become_bases() -> None:
    assert normalise("acguNrT").sequence == "ACGTNNT"


@pytest.mark.parametrize(
    ("raw", "position", "character"),
    [("AC-T", 3, "-"), ("1ACGT", 1, "1"), ("ACGT*", 5, "*"), ("AC GT", 3, " "), ("ACGT\n", 5, "\n"), ("ACGé", 4, "é")],
)
def test_what_is_no_nucleotide_is_named_with_its_position(raw: str, position: int, character: str) -> None:
    with pytest.raises(SequenceError, match=f"position {position}") as caught:
        normalise(raw)
    assert (caught.value.position, caught.value.character) == (position, character)


def test_an_empty_sequence_has_no_position() -> None:
    with pytest.raises(SequenceError, match="empty") as caught:
        normalise("")
    assert (caught.value.position, caught.value.character) == (None, None)


def test_ambiguity_codes_are_refused_on_request_but_n_is_not() -> None:
    assert normalise("ACNT", ambiguous="error").sequence == "ACNT"
    with pytest.raises(SequenceError, match="'y' at position 3") as caught:
        normalise("ACyT", ambiguous="error")
    assert "IUPAC" not in str(caught.value)


def test_complement_table_is_public_and_complete() -> None:
    assert "ACGTN".translate(sequence.COMPLEMENT) == "TGCAN"
