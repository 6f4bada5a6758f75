from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from episome import loci
from episome.entry import Entry
from episome.loci import Locus
from episome.sequence import canonical, normalise
from episome.sources import SplitShares
from episome.types import EpisomeError, Split
from tests import table_rows

LENGTHS = {"1": 1000, "2": 800, "X": 500}


def locus(contig: str, start: int, end: int, split: Split = "train") -> Locus:
    return Locus(split=split, place="here", contig=contig, start=start, end=end, strand="+", label=1)


def entry(split: Split, contig: str, start: int, length: int) -> Entry:
    sequence = "A" * length
    return Entry(
        split=split, place="here", clean=normalise(sequence), labels={}, key=canonical(sequence),
        contig=contig, start=start,
    )  # fmt: skip


def spans(found: Sequence[Locus], split: Split) -> list[str]:
    return [f"{x.contig}:{x.start}-{x.end}" for x in found if x.split == split]


def test_names_of_the_reference_are_taken_from_the_table_alone() -> None:
    came = [locus("chr1", 0, 10), locus("2", 5, 15)]
    found, report = loci.locate(came, LENGTHS, {"chr1": ("chr1", "CM1", "1")}, 1.0, "set")
    assert spans(found, "train") == ["1:0-10", "2:5-15"]
    assert report == {"renamed": 1, "dropped": 0, "unknown": []}
    with pytest.raises(
        EpisomeError, match=r"set: 10 of 20 bases lie .*wanted: 95%\. Unknown here: chr1; .*: 1, 2, X\."
    ):
        loci.locate(came, LENGTHS, {}, 0.95, "set")
    with pytest.raises(EpisomeError, match=r"set: contig 'chr1' is 1 and 2 in the reference; wanted: one"):
        loci.locate(came, LENGTHS, {"chr1": ("1", "2")}, 0.95, "set")


def test_a_few_intervals_on_contigs_that_the_reference_has_not_are_dropped_and_counted() -> None:
    found, report = loci.locate([locus("1", 0, 95), locus("patch", 0, 5)], LENGTHS, {}, 0.95, "set")
    assert spans(found, "train") == ["1:0-95"]
    assert report == {"renamed": 0, "dropped": 1, "unknown": ["patch"]}


def test_an_interval_that_leaves_its_contig_is_named() -> None:
    loci.locate([locus("X", 490, 500)], LENGTHS, {}, 1.0, "set")
    with pytest.raises(EpisomeError, match="set: here: X:490-501 leaves the contig, which has 500 bases"):
        loci.locate([locus("X", 490, 501)], LENGTHS, {}, 1.0, "set")


def test_whole_contigs_of_train_become_val_and_test_stays() -> None:
    came = [locus(c, i * 10, i * 10 + 10) for c, n in (("1", 40), ("2", 10), ("X", 6)) for i in range(n)]
    came.append(locus("2", 700, 710, "test"))
    found, report = loci.with_val(came, table_rows.windows(split=SplitShares(train=0.6, val=0.2, test=0.2)), 7)
    sides = {side: {x.contig for x in found if x.split == side} for side in ("train", "val", "test")}
    assert sides["train"].isdisjoint(sides["val"])
    assert sides["train"] | sides["val"] == {"1", "2", "X"}
    assert sides["test"] == {"2"}
    assert report == {"by": "contig", "parts": len(sides["val"]), "of": 3, "contigs": sorted(sides["val"])}
    assert [x.start for x in found] == [x.start for x in came]


def test_one_contig_is_divided_by_stretches_that_overlap() -> None:
    came = [locus("1", i * 100 + shift, i * 100 + shift + 60) for i in range(60) for shift in (0, 30)]
    found, report = loci.with_val(came, table_rows.windows(), 7)
    assert [x.split for x in found[::2]] == [x.split for x in found[1::2]]
    assert report == {"by": "locus", "parts": len(spans(found, "val")) // 2, "of": 60}
    assert 5 <= report["parts"] <= 25
    with pytest.raises(EpisomeError, match=r"1 contig\(s\) cannot fill 2 splits"):
        loci.with_val(came, table_rows.windows(split_by="contig"), 7)


def test_contigs_of_which_one_has_nearly_all_do_not_divide_train() -> None:
    came = [*(locus("1", i * 10, i * 10 + 10) for i in range(50)), locus("2", 0, 10)]
    _, report = loci.with_val(came, table_rows.windows(), 7)
    assert (report["by"], report["of"]) == ("locus", 51)
    _, report = loci.with_val(came, table_rows.windows(split_by="contig"), 7)
    assert (report["by"], report["contigs"]) == ("contig", ["2"])


def test_loci_divide_several_contigs_where_that_is_asked() -> None:
    came = [locus(contig, i * 20, i * 20 + 10) for contig in ("1", "2") for i in range(30)]
    _, report = loci.with_val(came, table_rows.windows(split_by="locus"), 7)
    assert (report["by"], report["of"]) == ("locus", 60)


def test_what_shares_a_base_with_test_leaves_train_and_val() -> None:
    came = [
        entry("train", "1", 0, 10), entry("val", "1", 19, 5), entry("train", "1", 40, 9), entry("train", "2", 10, 10),
        entry("test", "1", 10, 10), entry("test", "1", 15, 10), entry("test", "1", 48, 1),
    ]  # fmt: skip
    kept, lost = loci.apart(came)
    assert kept == [came[0], came[3], *came[4:]]
    assert lost == {"train": 1, "val": 1, "test": 0}


SPANS = st.tuples(st.sampled_from(["train", "val", "test"]), st.integers(0, 60), st.integers(1, 15))


@given(st.lists(SPANS, max_size=20))
def test_no_base_of_test_is_left_in_train_or_val(drawn: list[tuple[Split, int, int]]) -> None:
    came = [entry(split, "1", start, length) for split, start, length in drawn]
    kept, _ = loci.apart(came)
    tested = {base for e in came if e.split == "test" for base in range(e.start, e.end)}
    shares = [e.split != "test" and not tested.isdisjoint(range(e.start, e.end)) for e in came]
    assert kept == [e for e, wrong in zip(came, shares, strict=True) if not wrong]
