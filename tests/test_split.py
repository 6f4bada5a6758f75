from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from episome import split
from episome.sequence import reverse_complement
from episome.sources import SplitShares
from episome.types import EpisomeError

SHARES = SplitShares(train=0.7, val=0.15, test=0.15)


def test_a_groups_side_never_changes() -> None:
    # Golden: a change of the hash would move every held-out family of every project.
    assert [split.by_group(f"FAM{i:06d}", SHARES, 7) for i in range(8)] == [
        "train", "test", "train", "test", "test", "train", "train", "train",
    ]  # fmt: skip


def test_groups_reach_the_asked_shares() -> None:
    counts = Counter(split.by_group(f"g{i}", SHARES, 7) for i in range(20_000))
    assert {side: n / 20_000 for side, n in counts.items()} == pytest.approx(SHARES.model_dump(), abs=0.01)


@given(st.text(), st.integers())
def test_the_fraction_is_stable_and_in_range(group: str, seed: int) -> None:
    assert 0 <= split.fraction(group, seed) < 1
    assert split.fraction(group, seed) == split.fraction(group, seed)


@given(st.dictionaries(st.text("chr0123", min_size=1), st.integers(1, 500), min_size=3), st.integers(0, 99))
def test_every_contig_has_one_side_and_no_side_is_empty(sizes: dict[str, int], seed: int) -> None:
    sides = split.by_contig(sizes, SHARES, seed)
    assert sides.keys() == sizes.keys()
    assert set(sides.values()) == {"train", "val", "test"}
    assert sides == split.by_contig(dict(reversed(sizes.items())), SHARES, seed)


def test_contigs_follow_the_asked_shares_where_they_can() -> None:
    sides = split.by_contig({f"c{i}": 10 for i in range(20)}, SHARES, 7)
    assert Counter(sides.values()) == {"train": 14, "val": 3, "test": 3}


def test_a_side_without_a_share_gets_no_contig() -> None:
    shares = SplitShares(train=0.5, val=0, test=0.5)
    assert set(split.by_contig({"a": 1, "b": 1, "c": 1}, shares, 7).values()) == {"train", "test"}


def test_too_few_contigs_are_refused() -> None:
    with pytest.raises(
        EpisomeError, match=r"2 contig\(s\) cannot fill 3 splits; set windows\.split_by .* family or locus"
    ):
        split.by_contig({"a": 1, "b": 1}, SHARES, 7)


def test_shares_are_reached_only_where_every_side_has_half_of_its_own() -> None:
    assert split.reached({"train": 90, "val": 8, "test": 8}, SHARES)
    assert not split.reached({"train": 90, "val": 2, "test": 8}, SHARES)
    assert not split.reached({"train": 50, "val": 8, "test": 8, "nobody": 84}, SHARES)
    assert split.reached({"train": 5, "test": 5}, SplitShares(train=0.5, val=0, test=0.5))


@given(st.text("ACGTN", min_size=1))
def test_both_strands_are_one_group(s: str) -> None:
    assert split.canonical_group(s) == split.canonical_group(reverse_complement(s))


def test_generators_of_two_purposes_differ_and_repeat() -> None:
    draws = [split.generator(7, purpose).integers(1 << 60) for purpose in ("a", "b", "a")]
    assert draws[0] == draws[2] != draws[1]
