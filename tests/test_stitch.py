"""Called windows that overlap are one feature; nothing is lost, and the order of the record is kept."""

from collections.abc import Iterator
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from episome.annotate import Feature, Strand
from episome.stitch import Stitcher, place


def called(start: int, end: int, strand: Strand = "+", task: str = "promoter", score: float = 0.9) -> Feature:
    return Feature(
        record="r", start=start, end=end, strand=strand, task=task, label="yes", score=score, called=True, flags=()
    )


def stitch(*features: Feature) -> Iterator[Feature]:
    stitcher = Stitcher()
    for feature in features:
        yield from stitcher.take(feature, merge=feature.task == "promoter")
    yield from stitcher.rest()


def test_overlapping_windows_are_one_with_the_highest_score_and_all_flags() -> None:
    windows = (called(0, 20), replace(called(10, 30, score=0.97), flags=("edge",)), called(20, 40, score=0.5))
    assert list(stitch(*windows)) == [replace(called(0, 40, score=0.97), flags=("edge",))]


def test_windows_that_only_touch_and_those_of_another_strand_or_task_stay_apart() -> None:
    apart = (called(0, 20), called(0, 20, "-"), called(5, 25, task="donor"), called(20, 40))
    assert list(stitch(*apart)) == list(apart)


def test_what_begins_within_an_open_stretch_comes_after_it() -> None:
    site = called(12, 14, task="donor")
    assert list(stitch(called(0, 20), called(10, 30), site, called(20, 40))) == [called(0, 40), site]


def test_what_nothing_can_come_before_is_not_held() -> None:
    stitcher = Stitcher()
    assert list(stitcher.take(called(0, 20), merge=True)) == []
    assert list(stitcher.take(called(15, 17, task="donor"), merge=False)) == []
    assert list(stitcher.take(called(30, 32, task="donor"), merge=False)) == [
        called(0, 20),
        called(15, 17, task="donor"),
    ]


PLACES = st.lists(
    st.tuples(
        st.integers(0, 60), st.sampled_from("+-"), st.sampled_from(["promoter", "donor"]), st.sampled_from([0.5, 0.9])
    )
)


@given(PLACES)
def test_the_stretches_are_the_union_of_the_windows_and_everything_is_in_order(
    drawn: list[tuple[int, Strand, str, float]],
) -> None:
    windows = (called(at, at + 10, strand, task, score) for at, strand, task, score in drawn)
    placed = {place(each): each for each in windows}
    features = [placed[each] for each in sorted(placed)]
    found = list(stitch(*features))
    assert [place(each) for each in found] == sorted(place(each) for each in found)
    assert [each for each in found if each.task == "donor"] == [each for each in features if each.task == "donor"]
    for strand in "+-":
        asked = [each for each in features if (each.task, each.strand) == ("promoter", strand)]
        stretches = [each for each in found if (each.task, each.strand) == ("promoter", strand)]
        covered = [base for each in stretches for base in range(each.start, each.end)]
        assert len(covered) == len(set(covered))
        assert set(covered) == {base for each in asked for base in range(each.start, each.end)}
        for each in stretches:
            inside = [one.score for one in asked if one.start < each.end and each.start < one.end]
            assert each.score == max(score for score in inside if score is not None)
