"""The window of one species: sums, verdicts at their limits, and real windows of four species."""

import csv
import gzip
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from episome import drift, params, sequence
from episome.drift import Match, Profile, Status
from monitoring.traffic import Seen, Traffic
from tests.conftest import ROOT

LIMITS = params.read(ROOT / "params.yaml").monitor


def seen(status: Status = "match", best: str = "own", gc: float = 0.4, n_share: float = 0.0, length: int = 300) -> Seen:
    return Seen(length=length, gc=gc, n_share=n_share, match=Match(status=status, best_species=best, margin_nats=0.0))


def profile(gc_mean: float = 0.4, gc_sd: float = 0.1) -> Profile:
    return Profile(
        transitions=np.zeros((1024, 4), dtype=np.float32),
        length_quantiles=np.full(9, 300.0),
        gc_mean=gc_mean,
        gc_sd=gc_sd,
        n_share_mean=0.0,
        records=100,
    )


def traffic(*records: Seen) -> Traffic:
    made = Traffic(profile(), LIMITS)
    for record in records:
        made.add(record)
    return made


def spread(mismatches: int, of: int) -> list[Seen]:
    """Mismatches as far apart as they can be, so that only the share can alarm."""
    return [
        seen("mismatch" if (i + 1) * mismatches // of > i * mismatches // of else "match", "fly") for i in range(of)
    ]


def test_without_records_there_is_no_verdict() -> None:
    made = traffic()
    verdict = made.verdict()
    assert (verdict.state, verdict.reasons) == ("no verdict", ("no verdict: 0 of 50 records",))
    assert (made.mismatch_share, made.gc_zscore, made.n_share, made.median_length()) == (0, 0, 0, None)
    assert made.best_other() is None


def test_no_verdict_turns_into_ok_at_the_fiftieth_record() -> None:
    assert traffic(*[seen()] * 49).verdict().reasons == ("no verdict: 49 of 50 records",)
    assert traffic(*[seen()] * 50).verdict().state == "ok"


def test_mismatch_alarm_is_beyond_a_fifth() -> None:
    assert traffic(*spread(10, 50)).verdict().state == "ok"
    verdict = traffic(*spread(11, 50)).verdict()
    assert (verdict.state, verdict.mismatch, verdict.gc) == ("alarm", True, False)
    assert verdict.reasons == ("22 % of 50 records look like another species (limit 20 %)",)


@pytest.mark.parametrize(("mismatches", "state"), [(7, "no verdict"), (8, "alarm")])
def test_early_alarm_needs_eight_of_ten(mismatches: int, state: str) -> None:
    verdict = traffic(*[seen()] * (10 - mismatches), *[seen("mismatch", "fly")] * mismatches).verdict()
    assert verdict.state == state


def test_early_alarm_looks_at_the_newest_records_alone() -> None:
    assert traffic(*[seen("mismatch", "fly")] * 9, *[seen()] * 3).verdict().state == "no verdict"


def test_undecided_records_never_alarm() -> None:
    made = traffic(*[seen("undecided", "fly")] * 200)
    assert made.verdict().state == "ok"
    assert made.status_share("undecided") == 1
    assert made.best_other() is None


@pytest.mark.parametrize(
    ("gc", "state", "zscore"), [(0.549, "ok", 1.49), (0.551, "alarm", 1.51), (0.249, "alarm", -1.51)]
)
def test_gc_alarm_is_beyond_one_and_a_half_deviations_on_either_side(gc: float, state: str, zscore: float) -> None:
    made = traffic(*[seen(gc=gc)] * 50)
    assert made.gc_zscore == pytest.approx(zscore)
    assert made.verdict().state == state
    assert made.verdict().gc == (state == "alarm")
    assert traffic(*[seen(gc=gc)] * 49).verdict().state == "no verdict"


def test_gc_of_a_profile_without_spread_stays_finite() -> None:
    made = Traffic(profile(gc_sd=0.0), LIMITS)
    made.add(seen(gc=0.5))
    assert made.gc_zscore == pytest.approx(100)


def test_the_window_forgets_and_its_sums_stay_those_of_its_records() -> None:
    rng = np.random.default_rng(3)
    made = Traffic(profile(), LIMITS)
    records = [
        seen("mismatch" if rng.random() < 0.3 else "match", "fly", rng.random(), rng.random()) for _ in range(5000)
    ]
    for record in records:
        made.add(record)
    kept = records[-LIMITS.window :]
    assert made.records == LIMITS.window
    assert made.mismatch_share == sum(r.match.status == "mismatch" for r in kept) / LIMITS.window
    assert made.n_share == pytest.approx(np.mean([r.n_share for r in kept]))
    assert made.gc_zscore == pytest.approx((np.mean([r.gc for r in kept]) - 0.4) / 0.1)


def test_best_other_is_the_commonest_and_ties_go_by_name() -> None:
    made = traffic(*[seen("mismatch", best) for best in ("mouse", "fly", "fly", "mouse", "yeast")])
    assert made.best_other() == ("fly", 2)


def test_median_length() -> None:
    assert traffic(*[seen(length=length) for length in (100, 300, 200)]).median_length() == 200


@pytest.mark.parametrize("nats", [8, 10])
def test_limits_hold_on_held_out_windows_of_four_species(shared: Path, nats: float) -> None:
    """Own sequences stay quiet in every window; a far species is in alarm after 50 records at the latest."""
    folder = shared / "data" / "labelled" / "promoter300"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    species = ("human", "mouse", "zebrafish", "fly")
    profiles = {name: drift.fit(promoters(folder / name / "train.csv.gz", 2500)) for name in species}
    held_out = {name: promoters(folder / name / "test.csv.gz", 600) for name in species}
    for own in species:
        assert "alarm" not in states(held_out[own], own, profiles, nats), own
    for own, far in (*pairwise(("human", "fly", "mouse")), ("human", "zebrafish"), ("mouse", "zebrafish")):
        for to, source in ((own, far), (far, own)):
            assert "alarm" in states(held_out[source][:50], to, profiles, nats), (source, to)


def promoters(path: Path, most: int) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [row["sequence"] for row in csv.DictReader(file)]
    order = np.random.default_rng(0).permutation(len(rows))[:most]
    return [sequence.normalise(rows[at]).sequence for at in order]


def states(sent: list[str], own: str, profiles: dict[str, Profile], nats: float) -> list[str]:
    made = Traffic(profiles[own], LIMITS)
    found: list[str] = []
    for dna in sent:
        answer = drift.match(dna, own, profiles, nats)
        made.add(Seen(length=len(dna), gc=sequence.gc(dna), n_share=sequence.n_share(dna), match=answer))
        found.append(made.verdict().state)
    return found
