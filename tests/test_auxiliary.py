"""What is computed of a sequence, against closed forms and against a slow search that shares no code with it."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from episome import auxiliary
from episome.sequence import reverse_complement

SEQUENCES = st.text("ACGTN", min_size=1, max_size=60)


@pytest.mark.parametrize(
    ("sequence", "share"),
    [
        ("GCAT", 0.5),
        ("GCATNNNN", 0.5),  # an N counts nowhere
        ("NGNG", 1.0),
        ("NN", math.nan),
    ],
)
def test_gc_is_a_share_of_the_known_bases(sequence: str, share: float) -> None:
    assert auxiliary.gc_share(sequence) == pytest.approx(share, nan_ok=True)


@pytest.mark.parametrize(
    ("sequence", "ratio"),
    [
        ("CGCG", 2 * 4 / (2 * 2)),
        ("CGAT", 1 * 4 / (1 * 1)),
        ("CGATNN", 1 * 4 / (1 * 1)),
        ("CNG", 0.0),  # an N lies between: no CpG was seen
        ("GC", 0.0),
        ("CCAT", math.nan),  # without a G none can be expected
        ("NNN", math.nan),
    ],
)
def test_cpg_is_what_is_there_over_what_chance_would_make(sequence: str, ratio: float) -> None:
    assert auxiliary.cpg(sequence) == pytest.approx(ratio, nan_ok=True)


@pytest.mark.parametrize(
    ("sequence", "share"),
    [
        ("ATGTAA", 1.0),
        ("CCATGAAATGA", 9 / 11),  # the third frame, both codons included
        ("ATGATGTAA", 1.0),  # the first ATG opens
        ("ATGTAAATGAAATAG", 9 / 15),  # the longer of two
        ("TAAATG", 0.0),
        ("ATGAAA", 0.0),  # it comes to no stop
        ("ATGNAATAA", 0.0),  # through an N nothing goes on
        ("ATGNNNATGTAA", 6 / 9),  # and an N is no base to divide by
        ("TTACAT", 0.0),  # the other strand is not searched
        ("A", 0.0),
        ("NNNN", math.nan),
    ],
)
def test_an_open_frame_goes_from_atg_to_its_first_stop(sequence: str, share: float) -> None:
    assert auxiliary.open_frame(sequence) == pytest.approx(share, nan_ok=True)


@given(SEQUENCES)
def test_the_longest_open_frame_is_that_of_a_pattern_tried_at_every_base(sequence: str) -> None:
    pattern = re.compile("(?=(ATG(?:(?!TAA|TAG|TGA)[ACGT]{3})*(?:TAA|TAG|TGA)))")
    known = len(sequence) - sequence.count("N")
    wanted = max((len(found[1]) for found in pattern.finditer(sequence)), default=0)
    assert auxiliary.open_frame(sequence) == pytest.approx(wanted / known if known else math.nan, nan_ok=True)


@given(SEQUENCES)
def test_the_other_strand_has_the_same_gc_and_cpg(sequence: str) -> None:
    both = auxiliary.of([sequence, reverse_complement(sequence)], ("gc", "cpg"))
    np.testing.assert_allclose(both[0], both[1])
    assert np.isnan(both).all() or 0 <= both[0, 0] <= 1


@given(SEQUENCES, st.integers(0, 9))
def test_bases_not_known_at_the_ends_change_nothing(sequence: str, more: int) -> None:
    both = auxiliary.of([sequence, "N" * more + sequence + "N" * more], ("gc", "cpg", "orf"))
    np.testing.assert_allclose(both[0], both[1])


def test_standardised_targets_have_mean_0_and_spread_1_over_the_rows_that_are_seen() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(5, 3, (50, 3))
    values[::4, 1] = np.nan
    values[:, 2] = 0.1 + 0.2  # all alike but for rounding
    values[40:] += 100
    scaled = auxiliary.standardised(values, 40)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(np.nanmean(scaled[:40], axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(np.nanstd(scaled[:40], axis=0), [1, 1, 0], atol=1e-6)
    assert np.array_equal(np.isnan(scaled), np.isnan(values))
    assert (scaled[41:44, :2] > 20).all()
    assert np.isnan(auxiliary.standardised(np.full((3, 1), np.nan), 3)).all()
