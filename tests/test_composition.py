import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from episome.composition import Composition, around, features, size
from episome.sequence import reverse_complement

sequences = st.text("ACGTN", min_size=0, max_size=120)


def counted(words: list[str], n: int) -> list[float]:
    kept = [w for w in words if "N" not in w]
    return [kept.count("".join(w)) / max(len(kept), 1) for w in itertools.product("ACGT", repeat=n)]


@given(sequences, st.integers(0, 4), st.booleans())
def test_features_are_what_counting_gives(s: str, k: int, phased: bool) -> None:
    wanted = [f for n in range(1, k + 1) for f in counted([s[i : i + n] for i in range(len(s) - n + 1)], n)]
    if phased:
        wanted += [f for p in range(3) for f in counted([s[i : i + 3] for i in range(p, len(s) - 2, 3)], 3)]
    came = features(s, k, phased)
    assert came.dtype == np.float32
    assert came.shape == (size(k, phased),)
    np.testing.assert_allclose(came, np.array(wanted), atol=1e-6)


@given(st.text("ACGT", min_size=8, max_size=200))
def test_every_word_length_and_every_phase_sums_to_one(s: str) -> None:
    came = features(s, 6, True)
    edges = np.cumsum([0, *(4**n for n in range(1, 7)), 64, 64, 64])
    assert [pytest.approx(1, abs=1e-5)] * 9 == [came[a:b].sum() for a, b in itertools.pairwise(edges.tolist())]


@given(st.text("ACGTN", min_size=1, max_size=60))
def test_the_other_strand_permutes_the_words(s: str) -> None:
    words = ["".join(w) for w in itertools.product("ACGT", repeat=3)]
    order = [words.index(reverse_complement(w)) for w in words]
    np.testing.assert_array_equal(features(reverse_complement(s), 3, False)[20:][order], features(s, 3, False)[20:])


def test_nothing_asked_is_nothing_given() -> None:
    assert features("ACGT", 0, False).shape == (0,)
    assert (size(0, False), size(5, True), size(6, False)) == (0, 1364 + 192, 5460)


@pytest.mark.parametrize("k", range(1, 7))
def test_an_n_spoils_only_the_words_that_hold_it(k: int) -> None:
    # The N at the far end of a long word must not be outweighed by the letters before it.
    came = features("T" * (k - 1) + "N", k, False)[size(k - 1, False) :]
    assert came.sum() == 0


@given(sequences, st.integers(0, 12), st.data())
def test_the_bases_around_a_site_are_spelt_out(s: str, reach: int, data: st.DataObject) -> None:
    centre = data.draw(st.integers(0, max(len(s) - 1, 0)))
    seen = around(s, centre, reach).reshape(2 * reach, 4)
    for i in range(2 * reach):
        at = centre - reach + i
        base = s[at] if 0 <= at < len(s) else "N"
        assert seen[i].tolist() == [float(base == letter) for letter in "ACGT"]


def test_without_a_centre_nothing_is_spelt_out() -> None:
    spec = Composition(k=2, phased=True, site_reach=3)
    came = spec.of("ACGTACGT", None)
    assert came.shape == (spec.size,) == (20 + 192 + 24,)
    assert not came[-24:].any()
    assert spec.of("ACGTACGT", 4)[-24:].sum() == 6
    np.testing.assert_array_equal(came[:-24], features("ACGTACGT", 2, phased=True))
