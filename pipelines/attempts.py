"""What a retrain tried, a training and its verdict each, and whether a next one could end better."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_FORGOT = {"retention", "probe", "calibration", "kl", "flips"}
"""Checks that a retrain held more closely to its champion may pass."""
_OF_TRAINING = {*_FORGOT, "beats_chance", "baseline", "gain"}
"""Checks that hang on how it was trained; no training mends the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One training and its verdict.

    Attributes:
        rung: the last one of ``retrain.ladder`` that it had; empty of the first attempt, which had none.
        train: values of the species' `train` that it had beside those of params.yaml.
        version: in the registry.
        report: the gate report.
    """

    rung: str
    train: Mapping[str, Any]
    version: int
    report: Mapping[str, Any]

    @property
    def passed(self) -> bool:
        """Whether `promote` will take it."""
        return bool(self.report["passed"])

    @property
    def shown(self) -> str:
        """For people: what it was trained with."""
        if not self.rung:
            return "params.yaml as it was"
        return f"{self.rung} ({', '.join(f'{key}: {json.dumps(value)}' for key, value in self.train.items())})"

    def words(self) -> list[str]:
        """The gate report, a line a check."""
        return [
            f"{'passed' if check['passed'] else 'FAILED'}  {check['name']}: {check['message']}"
            for check in self.report["checks"]
        ]

    def beyond_repair(self) -> str:
        """Why no rung of the ladder would help, in words; empty where one may, or where it passed."""
        if self.passed:
            return ""
        failed = [check for check in self.report["checks"] if not check["passed"]]
        others = sorted({check["name"] for check in failed} - _OF_TRAINING)
        if others:
            return f"no training mends {', '.join(others)}"
        # Where nothing was measured, there were too few rows, and they will be as few.
        few = sorted({check["name"] for check in failed if all(check[key] is None for key in ("loss", "low", "value"))})
        if few:
            return f"too few rows for {', '.join(few)}, which no training mends"
        if not {check["name"] for check in failed} & _FORGOT:
            return "nothing was forgotten, so that holding it closer to the champion mends nothing"
        return ""


def write(path: Path, *, species: str, prior: str, release: str, attempts: Sequence[Attempt], end: str) -> None:
    """Keep every attempt with its gate report.

    Args:
        path: JSON file.
        species: short id.
        prior: name under ``prior/``.
        release: name under ``releases/``.
        attempts: so far.
        end: why there was no further one, in words; empty while there may be.
    """
    about = {"species": species, "prior": prior, "release": release, "passed": attempts[-1].passed, "end": end}
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(about | {"attempts": [asdict(each) for each in attempts]}, indent=2)
    path.write_text(text + "\n", encoding="utf-8")
