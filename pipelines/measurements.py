"""The numbers of one version, out of its reports: what becomes a column or a curve in the tracking store."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Measurement = tuple[str, float, int]  # name, value, step


def of(training: Path, evaluation: Path, gate: Path) -> Iterator[Measurement]:
    """Training curve, search for λ, test metrics and what the gate measured; what is no number is left out."""
    curve = json.loads(training.read_bytes())
    for part, key in (("steps", "step"), ("epochs", "epoch"), ("trail", "step")):
        for position, row in enumerate(curve.get(part, []), start=1):
            for name, value in _numbers({k: v for k, v in row.items() if k != key}):
                yield f"train.{part}.{name}", value, int(row.get(key, position))
    for name, value in _numbers(json.loads(evaluation.read_bytes())["tasks"]):
        yield f"evaluation.{name}", value, 0
    for check in json.loads(gate.read_bytes())["checks"]:
        place = ".".join(part for part in ("gate", check["name"], check["suite"]) if part)
        for name, value in _numbers({place: check}):
            yield name, value, 0


def flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of nested mappings, keys joined by dots; characters a tracking store refuses become underscores."""
    for key, value in tree.items():
        name = prefix + re.sub(r"[^\w./ -]", "_", str(key))
        if isinstance(value, Mapping):
            yield from flat(value, f"{name}.")
        else:
            yield name, value


def _numbers(tree: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in flat(tree):
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield name, float(value)
