"""A probe on frozen states: it finds what is linear in them, whatever head stood there, and tells when it is gone."""

import re
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from episome import probe
from episome.gate import Limits
from episome.probe import Held

LIMITS = Limits(max_loss=0.03, min_rows=40, confidence=0.95, bootstrap=200, seed=7)


def held(n: int, seed: int = 0) -> tuple[Held, np.ndarray]:
    """Rows in groups of eight, half of them for training, and Gaussian states; the first number is the label's, ± 1.

    The label is then logistic in that number alone, and the best that can be done is to ask for its sign.
    """
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    states = rng.standard_normal((n, 6))
    states[:, 0] += np.where(labels == 1, 1.0, -1.0)
    splits = np.resize(["train", "train", "val", "test"], n)
    return Held(labels=labels, groups=(np.arange(n) // 8).astype(str), splits=splits), states


def test_the_probe_finds_the_one_number_that_tells_and_comes_to_the_best_that_can_be_done() -> None:
    rows, states = held(40_000)
    train, val, test = (rows.side(split) for split in ("train", "val", "test"))
    fitted = probe.fit(states[train], rows.labels[train], states[val], rows.labels[val])
    assert np.corrcoef(fitted.logits(states[test]), states[test, 0])[0, 1] > 0.998
    check = probe.check("donor", rows, states, -states, LIMITS, most=0.03)
    found = re.search(r"MCC (\S+) -> (\S+) on 10000 old rows", check.message)
    assert found
    # Both labels alike: MCC is sensitivity + specificity - 1.
    assert [float(each) for each in found.groups()] == pytest.approx([2 * norm.cdf(1) - 1] * 2, abs=0.02)


def test_a_turn_of_the_states_which_no_head_would_survive_loses_nothing() -> None:
    rows, states = held(20_000)
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((6, 6)))[0]
    check = probe.check("donor", rows, states, 3 * states @ turn + 5, LIMITS, most=0.03)
    assert (check.name, check.suite, check.passed, check.n, check.limit) == ("probe", "donor", True, 5000, -0.03)
    assert check.loss == pytest.approx(0, abs=0.02)
    assert check.message.endswith("; kept")
    same = probe.check("donor", rows, states, states, LIMITS, most=0.03)
    assert (same.loss, same.low, same.high) == (0, 0, 0)


def test_what_is_gone_from_the_states_is_missed_and_refused() -> None:
    rows, states = held(2000)
    empty = states.copy()
    empty[:, 0] = np.random.default_rng(2).standard_normal(2000)
    check = probe.check("donor", rows, states, empty, LIMITS, most=0.03)
    assert not check.passed
    assert check.loss is not None
    assert check.loss > 0.5
    assert f"lost {check.loss:.3f} MCC where 0.030 is allowed (gate.max_probe_loss_mcc)" in check.message
    told = probe.check("donor", rows, states, empty, LIMITS, most=None)
    assert (told.passed, told.limit, told.loss) == (True, None, check.loss)
    back = probe.check("donor", rows, empty, states, LIMITS, most=0.03)
    assert (back.passed, back.loss) == (True, -check.loss)


def test_a_probe_says_how_many_rows_would_tell() -> None:
    rows, states = held(400)
    blurred = states + 0.3 * np.random.default_rng(3).standard_normal(states.shape)
    check = probe.check("donor", rows, states, blurred, LIMITS, most=0.1)
    assert not check.passed
    assert check.needed is not None
    assert check.needed > 100
    assert f"about {check.needed} needed to rule out a loss of 0.100" in check.message


def test_too_few_rows_and_rows_of_one_label_are_told() -> None:
    rows, _ = held(2000)
    assert probe.unfit("donor", rows, 500) is None
    few = probe.unfit("donor", rows, 501)
    assert few is not None
    assert (few.passed, few.n, few.needed) == (True, 500, 501)
    assert few.message == (
        "donor: no linear probe: 1000 training and 500 test rows of the champion's releases, "
        "501 of each needed (gate.min_rows)"
    )
    alone = probe.unfit("donor", replace(rows, labels=np.where(rows.side("val"), 1, rows.labels)), 40)
    assert alone is not None
    assert "no rows of both labels in val" in alone.message
