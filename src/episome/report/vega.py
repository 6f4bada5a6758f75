"""The sheets as Vega-Lite 5: one specification each, which is a template of ``dvc plots`` until it has its data."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from episome.report.drawing import COLOURS
from episome.report.scores import PANELS

ANCHOR = "<DVC_METRIC_DATA>"
"""DVC puts the lines of the CSV here."""

Spec = dict[str, Any]
_WHO = [{"calculate": "(datum.donor ? datum.donor + ' → ' : '') + datum.target", "as": "pair"}]
_SHOWN = {"filter": "isValid(datum.value)"}
_POINT: Spec = {"type": "point", "filled": True}
_TIP = ["donor", "target", "value", "low", "high", "n", "seeds", "reason"]


def template(name: str, marks: Sequence[str]) -> Spec:
    """Specification of a sheet with the anchor in place of its data; numbers are parsed, as CSV holds text.

    Args:
        name: of the sheet.
        marks: what must be said of every picture.
    """
    numbers = ("value", "low", "high", "distance", "epoch", "loss", "val_auroc", "seed", "n")
    parse = dict.fromkeys(numbers, "number")
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "title": {"text": name.replace("_", " "), "subtitle": " · ".join(marks)},
        "config": {"range": {"category": list(COLOURS)}},
        "data": {"values": ANCHOR, "format": {"parse": parse}},
        **_SPECS[name],
    }


def filled(name: str, data: pd.DataFrame, marks: Sequence[str]) -> str:
    """The same with its data inside, for any viewer of Vega-Lite."""
    spec = template(name, marks)
    spec["data"]["values"] = json.loads(data.to_json(orient="records", double_precision=6))
    return dumped(spec)


def dumped(spec: Mapping[str, Any]) -> str:
    """As JSON, always the same bytes."""
    return json.dumps(spec, indent=1, ensure_ascii=False) + "\n"


def _by(field: str, kind: str = "nominal", **more: Any) -> Spec:
    return {"field": field, "type": kind, **more}


def _number(field: str, title: str) -> Spec:
    return _by(field, "quantitative", title=title, scale={"zero": False})


def _ends(y: Spec, title: str) -> list[Spec]:
    """Points with their intervals, lying."""
    return [
        {"mark": "rule", "encoding": {"x": _number("low", title), "x2": {"field": "high"}, "y": y}},
        {
            "mark": {"type": "point", "filled": True},
            "encoding": {"x": _number("value", title), "y": y, "tooltip": _tips()},
        },
    ]


def _tips() -> list[Spec]:
    return [{"field": name} for name in _TIP]


def _heat() -> Spec:
    places = {"x": _by("target"), "y": _by("donor")}
    # As in the PNG: 0.5 to 1 of AUROC, 1 to 0 of a loss; bright is good.
    shade = "datum.panel === 'performance_loss' ? 1 - datum.value : 2 * datum.value - 1"
    shades = _by("shade", "quantitative", scale={"scheme": "cividis", "domain": [0, 1], "clamp": True}, legend=None)
    ink = {"condition": {"test": "datum.shade < 0.55", "value": "white"}, "value": "black"}
    figures = {"text": _by("value", "quantitative", format=".3f"), "color": ink}
    return {
        "transform": [_SHOWN, {"calculate": shade, "as": "shade"}],
        "facet": {
            "row": _by("task"),
            "column": _by("panel", sort=list(PANELS)),
        },
        "spec": {
            "width": 220,
            "height": 180,
            "encoding": places,
            "layer": [
                {"mark": "rect", "encoding": {"color": shades, "tooltip": _tips()}},
                {"mark": "text", "encoding": figures},
            ],
        },
        "resolve": {"scale": {"y": "independent"}},
    }


def _scatter() -> Spec:
    x, colour = _number("distance", "distance of donor and target"), {"color": _by("target"), "shape": _by("target")}
    area = _number("value", "test AUROC")
    return {
        "transform": [_SHOWN],
        "facet": {"row": _by("task"), "column": _by("method")},
        "spec": {
            "width": 320,
            "height": 240,
            "encoding": {"x": x, **colour},
            "layer": [
                {"mark": "rule", "encoding": {"y": _number("low", "test AUROC"), "y2": {"field": "high"}}},
                {"mark": {"type": "point", "filled": True}, "encoding": {"y": area, "tooltip": _tips()}},
            ],
        },
    }


def _epochs() -> Spec:
    def of(field: str, title: str) -> Spec:
        lines = {
            "x": _by("epoch", "quantitative"),
            "y": _number(field, title),
            "color": _by("donor"),
            "detail": _by("seed"),
        }
        return {
            "facet": {"row": _by("task"), "column": _by("target")},
            "spec": {"width": 200, "height": 150, "mark": {"type": "line", "point": True}, "encoding": lines},
        }

    return {"vconcat": [of("loss", "training loss"), of("val_auroc", "validation AUROC")]}


def _convergence() -> Spec:
    points = {"x": _number("value", "value"), "y": _by("pair", title=None), "color": _by("method")}
    return {
        "transform": [_SHOWN, *_WHO],
        "facet": {"row": _by("task"), "column": _by("metric")},
        "spec": {"width": 260, "height": {"step": 16}, "mark": {"type": "point", "filled": True}, "encoding": points},
        "resolve": {"scale": {"x": "independent"}},
    }


def _performance() -> Spec:
    label = {"calculate": "datum.target ? datum.pair + (datum.at ? ', ' + datum.at : '') : datum.method", "as": "who"}
    ends = _ends(_by("who", title=None), "value")
    return {
        "transform": [_SHOWN, *_WHO, label],
        "facet": _by("metric"),
        "columns": 3,
        "spec": {"width": 240, "height": {"step": 14}, "encoding": {"color": _by("task")}, "layer": ends},
        "resolve": {"scale": {"x": "independent", "y": "independent"}},
    }


_SPECS: dict[str, Spec] = {
    "transfer_matrix": _heat(),
    "distance_performance_correlation": _scatter(),
    "learning_dynamics": _epochs(),
    "convergence_analysis": _convergence(),
    "performance_metrics": _performance(),
}
