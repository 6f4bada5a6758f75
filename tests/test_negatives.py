from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from episome import negatives
from episome.negatives import Match, Sample

Candidates = list[tuple[int, str]]


def shares_of(gc: list[int], masked: float = 0.0) -> negatives.Floats:
    return np.array([(n / 100, masked) for n in gc]).reshape(-1, 2)


def match(positives: list[int], candidates: Candidates, count: int, **shares: float) -> Match:
    return negatives.match(
        shares_of(positives),
        shares_of([gc for gc, _ in candidates]),
        [kind for _, kind in candidates],
        count,
        shares or {"a": 1.0, "b": 1.0},
        np.random.default_rng(1),
    )


def chosen(found: Match, candidates: Candidates) -> tuple[list[int], Counter[str]]:
    return sorted(candidates[i][0] for i in found.chosen), Counter(candidates[i][1] for i in found.chosen)


def test_gc_follows_the_positives_and_kinds_share_as_asked() -> None:
    candidates = [(n, kind) for n in range(100) for kind in ("a", "b") for _ in range(5)]
    found = match([20] * 10 + [60] * 10, candidates, 20)
    gc, kinds = chosen(found, candidates)
    assert found.far == 0
    assert sum(n < 40 for n in gc) == 10
    assert np.mean(gc) == pytest.approx(40, abs=1.5)
    assert kinds == {"a": 10, "b": 10}
    assert max(found.distance) < 0.04
    assert chosen(match([20] * 10 + [60] * 10, candidates, 20, a=1.0, b=3.0), candidates)[1] == {"a": 5, "b": 15}


def test_gc_matters_more_than_shares_and_what_is_far_is_counted() -> None:
    candidates = [(20, "a")] * 10 + [(60, "b")] * 10
    found = match([20] * 6, candidates, 6)
    assert (chosen(found, candidates)[1], found.far) == ({"a": 6}, 0)
    found = match([20] * 6, candidates, 12)
    assert (chosen(found, candidates)[1], found.far) == ({"a": 10, "b": 2}, 2)
    assert sorted(found.distance) == pytest.approx([0.0] * 10 + [0.4] * 2)


def test_repeats_are_followed_and_weigh_as_much_as_some_gc() -> None:
    positives = shares_of([20] * 5)
    candidates = np.concatenate([shares_of([20] * 9, masked=0.9), shares_of([23] * 3), shares_of([60] * 9)])
    found = negatives.match(positives, candidates, ["a"] * 21, 5, {"a": 1.0}, np.random.default_rng(1))
    assert sorted(found.chosen)[2:] == [9, 10, 11]
    assert max(sorted(found.chosen)[:2]) < 9
    assert found.far == 0


def test_nothing_is_drawn_twice_and_too_few_are_all_there_is() -> None:
    candidates = [(n, "a") for n in range(10)]
    assert chosen(match([50], candidates, 99), candidates)[0] == list(range(10))
    assert match([50], [], 5) == Match(chosen=(), distance=(), far=0)


def test_the_draw_is_the_same_for_the_same_seed() -> None:
    candidates = [(n % 50, "ab"[n % 2]) for n in range(200)]
    assert match([10, 30], candidates, 20) == match([10, 30], candidates, 20)


@example([(0, key) for key in (900, 5, 400, 3, 800, 1, 2)], [2, 0, 0], 2)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1000)), max_size=60, unique_by=lambda item: item[1]),
    st.lists(st.integers(0, 12), min_size=3, max_size=3),
    st.integers(1, 7),
)
def test_a_sample_is_the_least_keys_of_each_bucket_however_it_comes(
    items: list[tuple[int, int]], most: list[int], size: int
) -> None:
    sample = Sample(np.array(most), room=0)
    rows = np.array([key for _, key in items], dtype=np.int64)
    buckets = np.array([bucket for bucket, _ in items], dtype=np.int64)
    for at in range(0, len(items) + 1, size):
        part = slice(at, at + size)
        sample.add(rows[part], buckets[part], rows[part] / 1001)
    wanted = [sorted(key for b, key in items if b == bucket)[: most[bucket]] for bucket in range(3)]
    assert sample.taken().tolist() == [key for keys in wanted for key in keys]
