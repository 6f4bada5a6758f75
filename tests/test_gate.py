"""Verdicts: what is kept passes, what is lost fails with the loss named, what cannot be told fails too."""

from dataclasses import replace

import numpy as np
import pytest

from episome import gate
from episome.gate import Check, Limits, Scored, Suite, beats_chance, gain, over_baseline, suites
from episome.metrics import mcc

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


def compare(suite: str, labels: np.ndarray, groups: np.ndarray, champion: Scored, new: Scored, limits: Limits) -> Check:
    """All rows as one suite."""
    return gate.compare(Suite(name=suite, rows=np.ones(len(labels), bool)), labels, groups, champion, new, limits)


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
    assert "too few to tell of retention: 38 rows came, 40 needed (gate.min_rows" in check.message
    assert (check.low, check.n, check.needed) == (None, 38, 40)


def test_how_many_are_needed_follows_the_spread_and_the_margin() -> None:
    labels, groups, champion = suite(38, 0.9)
    noisy = flipped(champion, np.array([0, 20]))
    wide, narrow = (
        compare("s", labels, groups, champion, noisy, replace(LIMITS, max_loss=margin)).needed
        for margin in (0.06, 0.03)
    )
    assert wide is not None
    assert narrow is not None
    assert wide > 400
    assert narrow == pytest.approx(4 * wide, rel=0.01)


def test_an_empty_old_suite_fails() -> None:
    nothing = np.array([], int)
    check = compare("donor/none", nothing, nothing.astype(str), version(nothing), version(nothing), LIMITS)
    assert not check.passed
    assert "0 rows came, 40 needed" in check.message
    assert check.needed == 40


def names(found: tuple[Suite, ...]) -> dict[str, int]:
    """Rows of each suite."""
    return {each.name: int(each.rows.sum()) for each in found}


def test_a_release_of_enough_rows_is_a_suite_of_its_own() -> None:
    releases = np.repeat(["none", "a", "new"], [100, 40, 50])
    assert names(suites("donor", releases, {"none", "a"}, 40)) == {"donor/a": 40, "donor/none": 100}


def test_small_releases_are_pooled_and_named() -> None:
    releases = np.repeat(["none", "a", "b"], [100, 30, 10])
    found = suites("donor", releases, {"none", "a", "b"}, 40)
    assert names(found) == {"donor/none": 100, "donor/pool(a+b)": 40}
    assert found[1].why == "pooled because alone too few to tell (gate.min_rows 40): a (30 rows), b (10 rows)"
    assert found[0].why == ""


def test_a_pool_that_is_too_small_takes_in_the_smallest_release_which_is_tested_alone_too() -> None:
    releases = np.repeat(["none", "a", "b"], [100, 30, 60])
    assert names(suites("donor", releases, {"none", "a", "b"}, 40)) == {
        "donor/b": 60,
        "donor/none": 100,
        "donor/pool(a+b)": 90,
    }


def test_small_releases_alone_stay_too_small() -> None:
    assert names(suites("donor", np.repeat(["a"], 5), {"a"}, 40)) == {"donor/a": 5}
    assert names(suites("donor", np.repeat(["a", "b"], 5), {"a", "b"}, 40)) == {"donor/pool(a+b)": 10}


def test_a_release_without_a_test_row_is_an_empty_suite_and_in_no_pool() -> None:
    releases = np.repeat(["none", "a"], [100, 5])
    found = names(suites("donor", releases, {"none", "a", "gone"}, 40))
    assert found == {"donor/gone": 0, "donor/none": 100, "donor/pool(a+none)": 105}


def test_a_loss_in_a_pool_is_refused_and_says_who_is_in_it() -> None:
    labels, groups, champion = suite(400, 0.9)
    releases = np.resize(["a", "b", "c", "d", "e"], 400)
    (pool,) = suites("donor", releases, set(releases), 100)
    lost = flipped(champion, np.flatnonzero((champion.calls() == (labels == 1)) & (releases == "a")))
    check = gate.compare(pool, labels, groups, champion, lost, replace(LIMITS, min_rows=100))
    assert not check.passed
    assert check.suite == "donor/pool(a+b+c+d+e)"
    assert "lost 0." in check.message
    assert "a (80 rows)" in check.message


def test_a_new_suite_is_told_and_refuses_nothing_where_no_gain_is_asked_for() -> None:
    labels, groups, champion = suite(1000, 0.3)
    _, _, better = suite(1000, 0.9, seed=1)
    check = gain("donor/added", labels, groups, champion, better, LIMITS, least=None)
    assert (check.name, check.suite, check.n, check.limit) == ("gain", "donor/added", 1000, None)
    assert check.loss == compare("donor/added", labels, groups, champion, better, LIMITS).loss
    assert check.low is not None
    assert check.low > 0.4
    assert check.message.startswith("donor/added: MCC 0.")
    worse = gain("donor/added", labels, groups, better, champion, LIMITS, least=None)
    assert worse.passed
    assert worse.high == pytest.approx(-check.low, abs=0.01)


def test_new_rows_that_are_surely_answered_worse_are_refused_and_doubt_is_not() -> None:
    labels, groups, champion = suite(1000, 0.9)
    _, _, worse = suite(1000, 0.3, seed=1)
    check = gain("donor/added", labels, groups, champion, worse, LIMITS, least=0.0)
    assert (check.passed, check.limit) == (False, 0.0)
    assert "surely less than +0.000 (gate.min_gain_mcc)" in check.message
    assert gain("donor/added", labels, groups, champion, champion, LIMITS, least=0.0).passed
    one = flipped(champion, np.flatnonzero(champion.calls() == (labels == 1))[:1])
    doubtful = gain("donor/added", labels, groups, champion, one, LIMITS, least=0.0)
    assert doubtful.loss is not None
    assert doubtful.loss > 0
    assert doubtful.passed
    assert not gain("donor/added", labels, groups, champion, champion, LIMITS, least=0.01).passed


def test_a_new_suite_of_too_few_rows_is_said_to_be_untested() -> None:
    labels, groups, champion = suite(38, 0.9)
    check = gain("donor/added", labels, groups, champion, champion, LIMITS, least=0.0)
    assert check.passed
    assert "not tested, 38 rows came, 40 needed; once promoted it is judged in a pool" in check.message
    assert (check.loss, check.needed) == (None, 40)
    assert gain("donor/added", labels, groups, champion, flipped(champion, np.arange(38)), LIMITS, least=0.0).passed


def test_a_new_suite_without_a_test_row_is_refused() -> None:
    nothing = np.array([], int)
    check = gain("donor/added", nothing, nothing.astype(str), version(nothing), version(nothing), LIMITS, least=None)
    assert not check.passed
    assert "state `test` in the column `split`" in check.message


def test_k_mers_that_do_as_well_are_told_and_refused_only_where_params_ask_for_more() -> None:
    labels, _, good = suite(1000, 0.9)
    value = mcc(labels, good.probabilities, good.threshold)
    told = over_baseline("donor", labels, good, value, LIMITS, least=None)
    assert (told.name, told.suite, told.passed, told.value, told.n) == ("baseline", "donor", True, 0, 1000)
    assert told.message.endswith("; no better than those")
    assert over_baseline("donor", labels, good, value - 0.1, LIMITS, least=0.1).passed
    short = over_baseline("donor", labels, good, value - 0.1, LIMITS, least=0.11)
    assert not short.passed
    assert short.message.endswith("; +0.100 is less than +0.110 (gate.min_over_baseline_mcc)")
    few = over_baseline("donor", labels[:39], good.where(np.arange(1000) < 39), 1.0, LIMITS, least=0.5)
    assert (few.passed, few.value, few.needed) == (True, None, 40)


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
    needed = small.needed
    assert needed is not None
    assert f"inconclusive: 200 rows came, about {needed} needed to rule out a loss of 0.030" in small.message
    assert needed > 200
    assert turned(needed // 40 * 40).passed
    assert not turned(needed // 8 // 40 * 40).passed


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


def test_a_task_with_too_few_rows_fails_and_says_how_many_are_needed() -> None:
    labels, groups, guess = suite(20, 0.0)
    check = beats_chance("donor", labels, groups, guess, LIMITS)
    assert not check.passed
    assert "donor: too few to tell of being better than chance: 20 rows came, " in check.message
    assert check.needed is not None
    assert check.needed >= 40
    empty = beats_chance("donor", labels[:0], groups[:0], version(labels[:0]), LIMITS)
    assert not empty.passed
    assert empty.needed == 40


def test_a_version_on_some_rows_keeps_its_threshold() -> None:
    some = version(np.array([1, 0, 1])).where(np.array([True, False, True]))
    assert some.threshold == 0.25
    assert some.calls().tolist() == [True, True]
