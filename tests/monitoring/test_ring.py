"""The hour of buckets: counts add up, quantiles are near the true ones, old traffic goes."""

import numpy as np
import pytest

from monitoring.ring import BUCKET_SECONDS, BUCKETS, OUTCOMES, STAGES, Ring, outcome_of

NOON = 1_700_000_000.0 - 1_700_000_000.0 % 3600


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (200, "answered"),
        (304, "answered"),
        (400, "refused"),
        (422, "refused"),
        (429, "shed"),
        (500, "failed"),
        (503, "shed"),
        (504, "failed"),
    ],
)
def test_outcome_of_a_status(code: int, outcome: str) -> None:
    assert outcome_of(code) == outcome


def test_counts_land_in_the_bucket_of_their_time() -> None:
    ring = Ring()
    for second, code in [(0, 200), (4.9, 200), (5, 422), (12, 503)]:
        ring.record(NOON + second, code, 0.1)
    span = ring.read(NOON + 12)
    newest = {name: span.outcomes[-3:, column].tolist() for column, name in enumerate(OUTCOMES)}
    assert newest == {"answered": [2, 0, 0], "refused": [0, 1, 0], "shed": [0, 0, 1], "failed": [0, 0, 0]}
    assert span.outcomes.sum() == 4
    assert span.until == NOON + 15


def test_refused_and_shed_requests_stay_out_of_the_latency() -> None:
    ring = Ring()
    for code in (200, 422, 503, 500):
        ring.record(NOON, code, 0.1)
    assert ring.read(NOON).latency.sum() == 2


def test_an_hour_later_the_slot_starts_afresh_and_idle_buckets_are_zero() -> None:
    ring = Ring()
    ring.record(NOON, 200, 0.1)
    ring.stage(NOON, "infer", 0.1)
    a_lap = BUCKETS * BUCKET_SECONDS
    assert ring.read(NOON + a_lap - BUCKET_SECONDS).outcomes.sum() == 1
    assert ring.read(NOON + a_lap).outcomes.sum() == 0
    assert ring.read(NOON + a_lap).stage_seconds.sum() == 0
    ring.record(NOON + a_lap, 200, 0.1)
    assert ring.read(NOON + a_lap).outcomes.sum() == 1


def test_quantiles_are_within_one_cell_of_the_true_ones() -> None:
    ring = Ring()
    seconds = np.random.default_rng(1).lognormal(-3, 1, size=1000)
    for value in seconds:
        ring.record(NOON, 200, float(value))
    found = ring.read(NOON).last(1).quantiles()[0]
    true = np.quantile(seconds, [0.5, 0.95, 0.99], method="inverted_cdf")
    assert np.abs(np.log(found / true)).max() <= np.log(1.15) / 2 + 1e-9


@pytest.mark.parametrize(("seconds", "at_most", "at_least"), [(0.0, 1e-4, 5e-5), (1e-9, 1e-4, 5e-5), (1e6, 100, 80)])
def test_extreme_durations_land_in_the_end_cells(seconds: float, at_most: float, at_least: float) -> None:
    ring = Ring()
    ring.record(NOON, 200, seconds)
    assert at_least <= ring.read(NOON).last(1).quantiles()[0, 0] <= at_most


def test_one_request_is_every_quantile_and_none_is_nan() -> None:
    ring = Ring()
    assert np.isnan(ring.read(NOON).last(12).quantiles()).all()
    ring.record(NOON, 200, 0.05)
    found = ring.read(NOON).last(12).quantiles()[0]
    assert found[0] == found[1] == found[2] == pytest.approx(0.05, rel=0.08)


def test_stages_add_up_and_unknown_ones_are_refused() -> None:
    ring = Ring()
    ring.stage(NOON, "queue", 0.25)
    ring.stage(NOON + 1, "queue", 0.5)
    ring.stage(NOON + 1, "post", 0.125)
    assert ring.read(NOON + 1).last(1).stage_seconds[0].tolist() == [0.75, 0, 0, 0.125]
    assert STAGES == ("queue", "tokenize", "infer", "post")
    with pytest.raises(ValueError, match="tuple"):
        ring.stage(NOON, "lunch", 1)


@pytest.mark.parametrize("later", [0, 4, 5, 10, 14])
def test_points_do_not_change_while_the_next_one_fills(later: float) -> None:
    ring = Ring()
    for second in range(60):
        ring.record(NOON + second, 200, 0.1)
    at_once = ring.read(NOON + 60).points(4, 3)
    ring.record(NOON + 60 + later, 200, 0.1)
    then = ring.read(NOON + 60 + later).points(4, 3)
    assert at_once.outcomes[:, 0].tolist() == then.outcomes[:, 0].tolist() == [15, 15, 15, 15]
    assert at_once.until == then.until == NOON + 60
    assert ring.read(NOON + 75).points(4, 3).outcomes[:, 0].tolist() == [15, 15, 15, 1]


def test_a_whole_hour_of_minutes_is_there_at_any_moment() -> None:
    ring = Ring()
    for second in range(0, 3660, 5):
        ring.record(NOON + second, 200, 0.1)
    for second in (0, 20, 55):
        assert ring.read(NOON + 3600 + second).points(60, 12).outcomes[:, 0].tolist() == [12] * 60
