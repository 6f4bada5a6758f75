"""Whether a next attempt could end better: only where something was forgotten, and measured."""

from typing import Any

import pytest

from pipelines.attempts import Attempt


def refused(*failed: tuple[str, dict[str, float]]) -> Attempt:
    """An attempt that failed these checks, with what each measured."""
    nothing: dict[str, Any] = {"loss": None, "low": None, "value": None}
    checks = [{"name": name, "message": "", "passed": False} | nothing | found for name, found in failed]
    fine = {"name": "golden", "message": "", "passed": True} | nothing
    return Attempt(rung="", train={}, version=2, report={"passed": not failed, "checks": [fine, *checks]})


@pytest.mark.parametrize("name", ["retention", "probe", "calibration", "kl", "flips"])
def test_what_was_forgotten_may_be_mended(name: str) -> None:
    assert refused((name, {"value": 0.2})).beyond_repair() == ""
    assert (
        refused((name, {"value": 0.2}), ("beats_chance", {"low": -0.1}), ("gain", {"loss": 0.1})).beyond_repair() == ""
    )


@pytest.mark.parametrize("name", ["data", "leaks", "golden", "champion", "prior", "releases", "tasks", "isolation"])
def test_what_no_training_made_no_training_mends(name: str) -> None:
    assert refused(("retention", {"loss": 0.2}), (name, {})).beyond_repair() == f"no training mends {name}"


def test_too_few_rows_stay_too_few() -> None:
    attempt = refused(("retention", {}), ("kl", {"value": 0.2}))
    assert attempt.beyond_repair() == "too few rows for retention, which no training mends"


def test_a_closer_hold_teaches_nothing() -> None:
    assert "nothing was forgotten" in refused(("beats_chance", {"low": -0.1})).beyond_repair()
    assert "nothing was forgotten" in refused(("gain", {"loss": 0.1})).beyond_repair()


def test_what_passed_needs_no_repair() -> None:
    assert refused().passed
    assert refused().beyond_repair() == ""
