import numpy as np

from episome import nearness
from episome.sequence import reverse_complement

RANDOM = np.random.default_rng(3)
MANY = ["".join(RANDOM.choice(list("ACGT"), 200)) for _ in range(300)]


def test_a_sequence_is_as_near_as_its_nearest_relative_on_either_strand() -> None:
    mutated = list(MANY[7])
    for place in range(0, 200, 50):
        mutated[place] = "ACGT"["ACGT".index(mutated[place]) - 1]
    asked = [MANY[0], reverse_complement(MANY[1]), "".join(mutated), MANY[2][:100] + "N" * 100, "N" * 50, "ACG"]
    found = nearness.nearest(asked, MANY)
    np.testing.assert_allclose(found[[0, 1, 3, 4, 5]], [1, 1, 1, 0, 0])
    # four changed bases, one of them at the end, spoil 1 + 3 * 8 of 193 words
    assert abs(found[2] - 168 / 193) < 0.02
    fresh = ["".join(RANDOM.choice(list("ACGT"), 200)) for _ in range(300)]
    assert nearness.nearest(fresh, MANY).max() < 0.1


def test_quarters_hold_each_row_once_and_never_part_equals() -> None:
    shares = np.array([0.1, 0.1, 0.1, 0.1, 0.2, 0.5, 0.9, 1.0])
    parts = nearness.quarters(shares)
    assert np.sum([part for _, _, part in parts], axis=0).tolist() == [1] * 8
    assert [(low, high) for low, high, _ in parts] == [(0.1, 0.1), (0.2, 0.5), (0.9, 1.0)]
    assert len(nearness.quarters(np.zeros(5))) == 1
