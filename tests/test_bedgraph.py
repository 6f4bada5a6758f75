"""A track never overlaps itself, and says at each base the highest score over it."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from episome.bedgraph import Sweep

STRETCHES = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20), st.sampled_from([0.1, 0.5, 0.9])))


@given(STRETCHES)
def test_pieces_are_sorted_disjoint_and_say_the_highest_score_at_each_base(drawn: list[tuple[int, int, float]]) -> None:
    sweep = Sweep()
    for _ in range(2):  # the second record begins anew
        pieces = [piece for start, size, score in sorted(drawn) for piece in sweep.take(start, start + size, score)]
        pieces += sweep.rest()
        assert all(one[1] <= other[0] for one, other in itertools.pairwise(pieces))
        highest: dict[int, float] = {}
        for start, size, score in drawn:
            for base in range(start, start + size):
                highest[base] = max(score, highest.get(base, 0.0))
        assert {base: score for start, end, score in pieces for base in range(start, end)} == highest


def test_neighbours_of_one_score_are_one_piece_and_a_gap_parts_them() -> None:
    sweep = Sweep()
    taken = [piece for start in (0, 10, 40) for piece in sweep.take(start, start + 20, 0.5)]
    assert [*taken, *sweep.rest()] == [(0, 30, 0.5), (40, 60, 0.5)]
