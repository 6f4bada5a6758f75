"""Records are answered piece by piece: what is held does not grow with the record, and one that fails fails alone."""

import tracemalloc
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from episome import generation, reply, shelf
from episome.annotate import Feature, Window
from episome.answer import Asked, Event, Head, Refusal, Scored, ScoreError, Tail, Wish
from episome.generation import EMPTY, Generation, Resident
from tests import toy_bundles, worlds

ALL = Wish(report="all")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Generation:
    folder = worlds.write(tmp_path_factory.mktemp("world"))
    return generation.load(folder, shelf.read(folder), threads=1, allow_simulated=True, before=EMPTY)


class Judge:
    """Scores by the share of A, whatever the species; fails on windows that hold a poison."""

    def __init__(self, poison: str = "-") -> None:
        self.asked: list[int] = []
        self._poison = poison

    def __call__(self, windows: Sequence[tuple[Resident, Window]]) -> list[Scored]:
        self.asked.append(len(windows))
        return [self._one(window) for _, window in windows]

    def _one(self, window: Window) -> Scored:
        if self._poison in window.text:
            return ScoreError("poison")
        return np.full(3, 8 * window.text.count("A") / len(window.text) - 2, np.float32)


def asked(*sequences: str, tasks: tuple[str, ...]) -> Iterator[Asked]:
    return (Asked(id=f"r{n}", sequence=each, species="human_sim", tasks=tasks) for n, each in enumerate(sequences))


def events(
    loaded: Generation,
    judge: Judge,
    *sequences: str,
    wish: Wish = ALL,
    chunk_bases: int = 1000,
    tasks: tuple[str, ...] = ("promoter", "donor"),
) -> Iterator[Event]:
    return reply.stream(asked(*sequences, tasks=tasks), loaded, judge, wish, mismatch_nats=8.0, chunk_bases=chunk_bases)


def test_the_first_features_come_before_the_last_windows_are_asked(loaded: Generation) -> None:
    judge = Judge()
    coming = events(loaded, judge, toy_bundles.dna(1, 20_000))
    assert isinstance(next(coming), Head)
    assert isinstance(next(coming), Feature)
    assert len(judge.asked) == 1
    rest = list(coming)
    assert len(judge.asked) > 20
    assert sum(judge.asked) == sum(isinstance(each, Feature) for each in rest) + 1
    assert isinstance(rest[-1], Tail)


def test_what_is_held_does_not_grow_with_the_record(loaded: Generation) -> None:
    def peak(bases: int) -> int:
        sequence = toy_bundles.dna(1, bases)
        tracemalloc.start()
        for _ in events(loaded, Judge(), sequence, tasks=("promoter",)):
            pass
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    short, long = peak(150_000), peak(250_000)
    # Its upper-case copy and what makes that, a byte a base each; the features alone would take twenty.
    assert long - short < 4 * 100_000


@pytest.mark.parametrize("wish", [ALL, Wish(), Wish(threshold=0.0)])
@pytest.mark.parametrize("chunk_bases", [1, 97, 10**9])
def test_the_size_of_a_chunk_changes_nothing(loaded: Generation, wish: Wish, chunk_bases: int) -> None:
    sequences = [toy_bundles.dna(seed, 50 + 90 * seed) for seed in range(6)]
    found = list(events(loaded, Judge(), *sequences, wish=wish, chunk_bases=chunk_bases))
    assert found == list(events(loaded, Judge(), *sequences, wish=wish))
    for n in range(6):
        places = [(e.start, e.end, e.strand, e.task) for e in found if isinstance(e, Feature) and e.record == f"r{n}"]
        assert places == sorted(places)


def test_a_record_that_fails_half_way_is_refused_and_its_neighbours_are_whole(loaded: Generation) -> None:
    bad = toy_bundles.dna(1, 3000) + "ACGTACGTAC" * 6 + toy_bundles.dna(2, 3000)
    judge = Judge(poison="ACGTACGTACACGTACGTAC")
    found = list(events(loaded, judge, toy_bundles.dna(3, 500), bad, toy_bundles.dna(4, 500)))
    heads_and_ends = [each for each in found if not isinstance(each, Feature)]
    assert [(type(each), each.id) for each in heads_and_ends] == [
        (Head, "r0"),
        (Tail, "r0"),
        (Head, "r1"),
        (Refusal, "r1"),
        (Head, "r2"),
        (Tail, "r2"),
    ]
    last = max(each.end for each in found if isinstance(each, Feature) and each.record == "r1")
    assert 2900 < last < 3100
    alone = list(events(loaded, Judge(), toy_bundles.dna(3, 500), "-", toy_bundles.dna(4, 500)))
    assert [each for each in found if isinstance(each, Feature) and each.record != "r1"] == [
        each for each in alone if isinstance(each, Feature)
    ]


def test_records_without_windows_do_not_wait_for_each_other_for_ever(loaded: Generation) -> None:
    read = 0

    def many() -> Iterator[Asked]:
        nonlocal read
        for n in range(20_000):
            read += 1
            yield Asked(id=f"r{n}", sequence="CCCC", species="human_sim", tasks=("donor",))

    assert isinstance(next(reply.stream(many(), loaded, Judge(), ALL, mismatch_nats=8.0, chunk_bases=1000)), Head)
    assert read < 5000
