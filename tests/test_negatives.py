from collections import Counter

import numpy as np
import pytest

from episome import negatives
from episome.negatives import Window


def window(gc: int, kind: str = "") -> Window:
    sequence = "G" * gc + "A" * (100 - gc)
    return Window(sequence=sequence, contig="1", start=0, end=100, strand="+", split="train", group="g", kind=kind)


def match(positives: list[int], candidates: list[Window], count: int) -> tuple[list[Window], int]:
    return negatives.match([window(gc) for gc in positives], candidates, count, np.random.default_rng(1))


def gc(chosen: list[Window]) -> list[int]:
    return sorted(w.sequence.count("G") for w in chosen)


def test_gc_follows_the_positives_and_kinds_share_equally() -> None:
    candidates = [window(n, kind) for n in range(100) for kind in ("a", "b") for _ in range(5)]
    chosen, far = match([20] * 10 + [60] * 10, candidates, 20)
    assert far == 0
    assert sum(n < 40 for n in gc(chosen)) == 10
    assert np.mean(gc(chosen)) == pytest.approx(40, abs=1.5)
    assert Counter(w.kind for w in chosen) == {"a": 10, "b": 10}


def test_gc_matters_more_than_equal_kinds_and_what_is_far_is_counted() -> None:
    candidates = [window(20, "a") for _ in range(10)] + [window(60, "b") for _ in range(10)]
    chosen, far = match([20] * 6, candidates, 6)
    assert (Counter(w.kind for w in chosen), far) == ({"a": 6}, 0)
    chosen, far = match([20] * 6, candidates, 12)
    assert (Counter(w.kind for w in chosen), far) == ({"a": 10, "b": 2}, 2)


def test_nothing_is_drawn_twice_and_too_few_are_all_there_is() -> None:
    candidates = [window(n, "a") for n in range(10)]
    chosen, _ = match([50], candidates, 99)
    assert gc(chosen) == list(range(10))
    assert match([50], [], 5) == ([], 0)


def test_the_draw_is_the_same_for_the_same_seed() -> None:
    candidates = [window(n % 50, "ab"[n % 2]) for n in range(200)]
    assert match([10, 30], candidates, 20) == match([10, 30], candidates, 20)
