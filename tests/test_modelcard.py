import html
import json
from dataclasses import replace
from typing import Any

import pytest

from episome import modelcard
from episome.card import CalibratedTask, Card
from tests import toy_bundles
from tests.toy_bundles import MADE

# The headings of Mitchell et al. (2019), in their order; between them, calibration and lineage.
HEADINGS = [
    "Model details",
    "Intended use",
    "Factors",
    "Metrics",
    "Training data",
    "Evaluation data",
    "Quantitative analyses",
    "Calibration",
    "Lineage",
    "Ethical considerations",
    "Caveats and recommendations",
]


def interval(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.05, "high": value + 0.05}


EVALUATION: dict[str, Any] = {
    "temperature": 1.5,
    "test": {
        "n": 1447,
        "groups": 1200,
        "prevalence": 0.5086,
        "mcc": interval(0.47),
        "auroc": interval(0.805),
        "ece": 0.0546,
        "ece_debiased": None,
    },
    "baseline": {"mcc": interval(0.46)},
    "pwm": {"absent": "no fixed length"},
    "negative_kinds": {"model": {"shifted": {"negatives": 700, "auroc": interval(0.61)}, "odd": "text"}},
}


def card(species: str = "human_sim", evaluation: Any = EVALUATION, **changes: Any) -> Card:
    metrics = {"promoter": evaluation, "donor": {"test": {"mcc": {"value": 1}}}}
    return replace(toy_bundles.card("b" * 64, species), metrics=metrics, **changes)


def build(of: Card, *, version: str | None = "3", **changes: Any) -> dict[str, Any]:
    made = changes.get("made", MADE)
    return modelcard.build(of, made, bundle="a" * 64, git_commit="c" * 40, gate="e" * 64, version=version)


def test_a_card_says_what_bundle_and_registry_know_and_json_holds_it() -> None:
    made = build(card())
    assert json.loads(json.dumps(made)) == made
    assert made["model_details"]["version"] == "3"
    assert made["training_data"]["licence"] == "CC0-1.0"
    assert made["training_data"]["rows_sha256"] == "d" * 64
    assert made["training_data"]["rows"]["promoter"]["train"]["positives"] == 40
    scores = made["quantitative_analyses"]["promoter"]
    assert scores["scores"]["test"]["mcc"] == interval(0.47)
    assert scores["scores"].keys() == {"test", "baseline"}
    assert scores["auroc_by_negative_kind"] == {"shifted": interval(0.61)}
    assert made["calibration"]["promoter"] == {"temperature": 1.5, "threshold": 0.5, "ece": 0.0546}
    assert made["lineage"]["donor"] == "base"
    assert made["factors"]["donor"]["reads"] == "windows of 40 bases with GT at base 20, counted from 0"


def test_the_same_bundle_gives_the_same_card() -> None:
    assert modelcard.markdown(build(card())) == modelcard.markdown(build(card()))


def test_the_page_has_every_heading_and_every_interval() -> None:
    page = modelcard.markdown(build(card()))
    assert [line.removeprefix("## ") for line in page.splitlines() if line.startswith("## ")] == HEADINGS
    assert "| this model | 0.470 [0.420, 0.520] | 0.805 [0.755, 0.855] | – |" in page
    assert "| k-mer baseline | 0.460 [0.410, 0.510] | – |" in page
    assert "| shifted | 0.610 [0.560, 0.660] |" in page
    assert "- licence: CC0-1.0" in page
    assert "1000 bootstrap draws of whole homology groups, 95%" in page
    assert "promoter: not shown to beat k-mer counts (MCC 0.470 [0.420, 0.520] against 0.460" in page.replace("\\", "")
    assert "50.9% of the test rows are positive" in page


@pytest.mark.parametrize(("species", "kind"), [("human_sim", "SIMULATED"), ("human", "real sequences")])
def test_the_first_line_says_whether_it_is_simulated(species: str, kind: str) -> None:
    made = build(card(species))
    first = modelcard.markdown(made).splitlines()[0]
    assert kind in first
    assert first == f"# {modelcard.headline(made)}"
    unfit = " ".join(made["intended_use"]["out_of_scope_uses"])
    assert ("Real DNA of any kind" in unfit) == (kind == "SIMULATED")
    assert "Diagnosis" in unfit


def test_what_nobody_recorded_is_said_to_be_missing() -> None:
    made = build(card(), made=None, version=None)
    page = modelcard.markdown(made)
    assert page.count(modelcard.UNKNOWN) == 6
    assert "- version: none" in page


def test_a_model_that_beats_its_baseline_has_no_such_caveat() -> None:
    better = {"test": {"mcc": interval(0.6)}, "baseline": {"mcc": interval(0.5)}}
    page = modelcard.markdown(build(card(evaluation=better)))
    assert "not shown to beat" not in page


@pytest.mark.parametrize("odd", [{"test": {"mcc": {"value": "x"}, "prevalence": True}}, {"test": []}, "text", None])
def test_an_evaluation_of_another_shape_is_left_out(odd: Any) -> None:
    page = modelcard.markdown(build(card(evaluation=odd)))
    assert "promoter: no evaluation is recorded." in page
    assert "| this model | 1.000 | – |" in page


def test_what_people_wrote_stays_text() -> None:
    hostile = "<script>x</script> [a](javascript:b) **c** `d` | e\n# f"
    task = CalibratedTask(name="promoter", scope="sequence", labels=("no|no", "yes"), threshold=0.5, temperature=1.0)
    made = build(card(scientific_name=hostile, tasks=(task,)), made=replace(MADE, licence=hostile, citation=hostile))
    page = modelcard.markdown(made)
    assert "<script" not in page
    assert "[a](" not in page
    assert "**c**" not in page
    assert "\n# f" not in page
    assert "no\\|no, yes" in page
    assert html.unescape(modelcard.plain(hostile).replace("\\", "")) == hostile.replace("\n", " ")
