"""Verdicts: what is kept passes, what is lost fails with the loss named, what cannot be told fails too."""

import numpy as np
import pytest

from episome.gate import Check, Limits, Scored, beats_chance, compare, gain

LIMITS = Limits(max_loss=0.03, min_rows=40, confidence=0.95, bootstrap=400, seed=7)


def suite(n: int, skill: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, Scored]:
    """Labels, groups of two rows, and a version that calls a share `skill` of the rows right and guesses the rest."""
    random = np.random.default_rng(seed)
    labels = np.repeat([0, 1], n // 2)
    right = random.random(n) < skill
    guess = random.integers(0, 2, n)
    return labels, (np.arange(n) // 2).astype(str), version(np.where(right, labels, guess))


def version(calls: np.ndarray) -> Scored:
    """A version that calls exactly these rows, at a threshold of its own."""
    return Scored(probabilities=0.2 + 0.1 * calls, threshold=0.25)


def width(check: Check) -> float:
    assert check.high is not None
    assert check.low is not None
    return check.high - check.low


def flipped(champion: Scored, rows: np.ndarray) -> Scored:
    """The champion with the calls of some rows turned round."""
    calls = champion.calls().astype(int)
    calls[rows] = 1 - calls[rows]
    return version(calls)


def test_the_same_answers_pass_with_nothing_lost() -> None:
    labels, groups, champion = suite(100, 0.8)
    check = compare("donor/none", labels, groups, champion, champion, LIMITS)
    assert (check.passed, check.loss, check.low, check.high, check.n, check.limit) == (True, 0, 0, 0, 100, -0.03)
    assert check.suite == "donor/none"


def test_the_same_calls_at_another_temperature_and_threshold_pass() -> None:
    labels, groups, champion = suite(100, 0.8)
    rescaled = Scored(probabilities=champion.probabilities * 3, threshold=0.75)
    assert compare("donor/none", labels, groups, champion, rescaled, LIMITS).loss == 0


def test_forgetting_fails_and_names_the_loss() -> None:
    labels, groups, champion = suite(1000, 0.9)
    _, _, naive = suite(1000, 0.3, seed=1)
    check = compare("donor/none", labels, groups, champion, naive, LIMITS)
    assert not check.passed
    assert check.loss == pytest.approx(0.6, abs=0.1)
    assert width(check) < 0.15
    assert check.loss is not None
    assert f"lost {check.loss:.3f} MCC where 0.030 is allowed" in check.message
    assert check.message.startswith("donor/none: MCC 0.")


def test_gains_pass() -> None:
    labels, groups, champion = suite(1000, 0.3)
    _, _, better = suite(1000, 0.9, seed=1)
    check = compare("donor/none", labels, groups, champion, better, LIMITS)
    assert check.passed
    assert check.loss is not None
    assert check.loss < -0.5


def test_too_few_rows_fail_and_say_how_many_are_needed() -> None:
    labels, groups, champion = suite(38, 0.9)
    check = compare("donor/none", labels, groups, champion, champion, LIMITS)
    assert not check.passed
    assert "38 rows are too few to tell; at least 40 are needed" in check.message
    assert check.low is None


def test_a_new_suite_is_told_and_refuses_nothing() -> None:
    labels, groups, champion = suite(1000, 0.3)
    _, _, better = suite(1000, 0.9, seed=1)
    check = gain("donor/added", labels, groups, champion, better, LIMITS)
    assert (check.name, check.suite, check.n, check.limit) == ("gain", "donor/added", 1000, None)
    assert check.loss == compare("donor/added", labels, groups, champion, better, LIMITS).loss
    assert check.low is not None
    assert check.low > 0.4
    assert check.message.startswith("donor/added: MCC 0.")
    worse = gain("donor/added", labels, groups, better, champion, LIMITS)
    assert worse.passed
    assert worse.high == pytest.approx(-check.low, abs=0.01)


def test_a_new_suite_of_too_few_rows_is_said_to_be_untested() -> None:
    labels, groups, champion = suite(38, 0.9)
    check = gain("donor/added", labels, groups, champion, champion, LIMITS)
    assert check.passed
    assert "not tested, 38 rows of the 40 needed" in check.message
    assert check.loss is None


def test_an_inconclusive_suite_fails_and_about_as_many_rows_as_it_asks_for_pass() -> None:
    def turned(n: int) -> Check:
        """A twentieth of the rows turned to right, a twentieth to wrong: no loss, only noise."""
        labels, groups, champion = suite(n, 0.9)
        right = champion.calls() == (labels == 1)
        share = n // 40
        cells = [mask & (labels == side) for mask in (right, ~right) for side in (0, 1)]
        rows = np.concatenate([np.flatnonzero(cell)[:share] for cell in cells])
        return compare("s", labels, groups, champion, flipped(champion, rows), LIMITS)

    small = turned(200)
    assert not small.passed
    assert "inconclusive: about " in small.message
    needed = int(small.message.split("about ")[1].split(" rows")[0])
    assert needed > 200
    large = turned(2 * needed // 40 * 40)
    assert large.passed


def test_pairing_ignores_what_both_versions_get_wrong() -> None:
    labels, groups, champion = suite(400, 0.1)  # barely better than chance, so each alone is very uncertain
    one_group = flipped(champion, np.flatnonzero(groups == "3"))
    check = compare("s", labels, groups, champion, one_group, LIMITS)
    alone = beats_chance("s", labels, groups, champion, LIMITS)
    assert width(check) < 0.3 * width(alone)


def test_a_true_loss_of_the_limit_is_rarely_accepted() -> None:
    limits = Limits(max_loss=0.1, min_rows=40, confidence=0.95, bootstrap=200, seed=7)
    accepted = 0
    for seed in range(60):
        labels, groups, champion = suite(400, 0.9, seed=seed)
        right = champion.calls() == (labels == 1)
        lost = right & (np.random.default_rng(1000 + seed).random(400) < 0.05 / 0.95)  # right calls: 0.95 to 0.90
        accepted += compare("s", labels, groups, champion, flipped(champion, np.flatnonzero(lost)), limits).passed
    assert accepted <= 8


def test_skill_beats_chance_and_guessing_does_not() -> None:
    labels, groups, good = suite(200, 0.6)
    check = beats_chance("donor", labels, groups, good, LIMITS)
    assert check.passed
    assert "is above chance" in check.message
    _, _, guess = suite(200, 0.0, seed=3)
    check = beats_chance("donor", labels, groups, guess, LIMITS)
    assert not check.passed
    assert "is not above chance" in check.message


def test_a_version_that_always_says_yes_does_not_beat_chance() -> None:
    labels, groups, _ = suite(200, 0.6)
    assert not beats_chance("donor", labels, groups, version(np.ones(200, int)), LIMITS).passed


def test_a_task_with_too_few_rows_is_said_to_be_untested() -> None:
    labels, groups, guess = suite(20, 0.0)
    check = beats_chance("donor", labels, groups, guess, LIMITS)
    assert check.passed
    assert check.message == "donor: not tested, 20 rows of the 40 needed (gate.min_rows)"


def test_a_version_on_some_rows_keeps_its_threshold() -> None:
    some = version(np.array([1, 0, 1])).where(np.array([True, False, True]))
    assert some.threshold == 0.25
    assert some.calls().tolist() == [True, True]
