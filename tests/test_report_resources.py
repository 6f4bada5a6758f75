"""What trainings took, as the report tells it: in their units, once each, and not at all where nobody measured."""

import pytest

from episome.report import page, performance, values, words
from episome.report.resources import RESOURCES, by_method
from tests.invented import Study

MEASURED = {"load_seconds": 0.5, "cpu_seconds": 160.0, "mean_bytes": 750e6, "stored_bytes": 3_400_000}


def made() -> Study:
    """A run that measured everything, one that measured little."""
    study = Study(species=("human", "mouse"), tasks=("donor",))
    about = {"target": "mouse", "task": "donor"}
    study.add(1.0, **about, method="scratch", extra=MEASURED)
    study.add(1.0, **about, method="zero_shot", donor="human", seconds=None, curve=())
    return study


def test_a_training_of_two_tasks_counts_once() -> None:
    study = Study()
    for task in ("donor", "promoter"):
        study.add(1.0, target="mouse", method="scratch", task=task, seconds=90.0, extra={"tokens": 2e6, "epochs": 3})
    found = by_method(study.grid())["scratch"]
    assert found["seconds"] == [90.0]
    assert found["epoch_seconds"] == [30.0]
    assert found["million_tokens"] == [2.0]
    assert found.keys() == RESOURCES.keys()


def test_what_was_measured_is_given_in_its_unit_and_what_was_not_is_said() -> None:
    frame = performance.table(made().grid())
    lines = frame[frame["metric"].isin(RESOURCES)].set_index(["method", "metric"])
    wanted = {"load_seconds": 0.5, "cpu_seconds": 160, "mean_gb": 0.75, "stored_mb": 3.4}
    for name, value in wanted.items():
        assert lines.loc[("scratch", name), "value"] == pytest.approx(value)
        assert tuple(lines.loc[("zero_shot", name), ["n", "reason"]]) == (0, "not measured")
    head, (scratch, zero_shot) = words.resources(frame)
    assert dict(zip(head, scratch, strict=True))["size of what is kept, MB"] == "3.4 [3.4, 3.4] n = 1"
    assert dict(zip(head, zero_shot, strict=True))["mean memory, GB"] == "not measured"


def test_a_picture_is_drawn_of_what_was_measured_alone() -> None:
    sheet = values.performance(made().grid())
    named = {panel.name for panel in sheet.panels}
    assert named >= {"load-seconds", "cpu-seconds", "peak-gb", "mean-gb", "stored-mb"}
    assert "million-tokens" not in named
    assert "million_tokens,scratch" in page.csv(sheet.data)
