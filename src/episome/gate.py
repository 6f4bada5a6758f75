"""May a new version replace the champion? Verdicts from test-row scores; knows no files and no models.

An old suite is kept when the one-sided lower confidence bound of ``MCC(new) - MCC(old)`` stays above ``-max_loss``.
All suites must pass, which is an intersection-union test: no correction for their number is needed (Berger 1982).
An old suite with too little data to tell is a failure, never a pass; a task of a version that is too small to be
tested against chance is only said to be untested.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from episome.metrics import Floats, draws, mcc, mcc_draws


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a version may lose and how sure one must be.

    Attributes:
        max_loss: MCC that an old suite may lose.
        min_rows: fewest rows a suite needs to be tested at all.
        confidence: one-sided.
        bootstrap: number of draws over homology groups.
        seed: of the draws.
    """

    max_loss: float
    min_rows: int
    confidence: float
    bootstrap: int
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One version's calibrated probabilities of a suite's rows and its own calling threshold."""

    probabilities: NDArray[np.floating]
    threshold: float

    def calls(self) -> NDArray[np.bool_]:
        """Boolean calls, one per row."""
        return self.probabilities >= self.threshold

    def where(self, rows: NDArray[np.bool_]) -> "Scored":
        """The same version on some of the rows."""
        return replace(self, probabilities=self.probabilities[rows])


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One line of a gate report; numbers are None where nothing was measured.

    Attributes:
        name: which rule.
        suite: ``task/release`` or a task, or empty.
        passed: the verdict.
        message: the verdict in words.
        loss: MCC lost against the champion (negative: gained).
        low: lower bound of the measured value (difference to the champion, or MCC).
        high: upper bound likewise.
        n: rows tested.
        limit: what `low` had to exceed.
    """

    name: str
    passed: bool
    message: str
    suite: str = ""
    loss: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    limit: float | None = None


def compare(
    suite: str,
    labels: ArrayLike,
    groups: Sequence[str] | ArrayLike,
    champion: Scored,
    challenger: Scored,
    limits: Limits,
) -> Check:
    """Whether the challenger kept an old suite, by a paired cluster bootstrap of the MCC difference."""
    labels, floor = np.asarray(labels), -limits.max_loss
    n = len(labels)
    if n < limits.min_rows:
        message = f"{suite}: {n} rows are too few to tell; at least {limits.min_rows} are needed (gate.min_rows)"
        return Check(name="retention", suite=suite, passed=False, message=message, n=n, limit=floor)
    old, new, low, high = _change(labels, groups, champion, challenger, limits)
    verdict = "kept" if low > floor else _why(old - new, low, n, limits)
    return Check(
        name="retention",
        suite=suite,
        passed=low > floor,
        message=f"{suite}: MCC {old:.3f} -> {new:.3f} on {n} rows, lower bound of the change {low:+.3f}; {verdict}",
        loss=round(old - new, 6),
        low=low,
        high=high,
        n=n,
        limit=floor,
    )


def gain(
    suite: str,
    labels: ArrayLike,
    groups: Sequence[str] | ArrayLike,
    champion: Scored,
    challenger: Scored,
    limits: Limits,
) -> Check:
    """What a suite gained that the champion was not trained on: told, and no reason to refuse."""
    labels = np.asarray(labels)
    n = len(labels)
    if n < limits.min_rows:
        message = f"{suite}: not tested, {n} rows of the {limits.min_rows} needed (gate.min_rows)"
        return Check(name="gain", suite=suite, passed=True, message=message, n=n)
    old, new, low, high = _change(labels, groups, champion, challenger, limits)
    message = f"{suite}: MCC {old:.3f} -> {new:.3f} on {n} new rows, change between {low:+.3f} and {high:+.3f}"
    return Check(
        name="gain", suite=suite, passed=True, message=message, loss=round(old - new, 6), low=low, high=high, n=n
    )


def beats_chance(
    task: str, labels: ArrayLike, groups: Sequence[str] | ArrayLike, version: Scored, limits: Limits
) -> Check:
    """Whether the lower bound of a task's MCC is above 0; a task with too few rows is said to be untested."""
    labels = np.asarray(labels)
    n = len(labels)
    if n < limits.min_rows:
        message = f"{task}: not tested, {n} rows of the {limits.min_rows} needed (gate.min_rows)"
        return Check(name="beats_chance", suite=task, passed=True, message=message, n=n, limit=0.0)
    low, high = _bounds(mcc_draws(labels, version.calls(), draws(groups, limits.bootstrap, limits.seed)), limits)
    value = mcc(labels, version.probabilities, version.threshold)
    verdict = "above" if low > 0 else "not above"
    message = f"{task}: MCC {value:.3f} on {n} rows, lower bound {low:.3f} is {verdict} chance"
    return Check(name="beats_chance", suite=task, passed=low > 0, message=message, low=low, high=high, n=n, limit=0.0)


def _change(
    labels: NDArray[Any],
    groups: Sequence[str] | ArrayLike,
    champion: Scored,
    challenger: Scored,
    limits: Limits,
) -> tuple[float, float, float, float]:
    """MCC of both versions, and one-sided lower and upper bound of its change."""
    drawn = draws(groups, limits.bootstrap, limits.seed)
    low, high = _bounds(
        mcc_draws(labels, challenger.calls(), drawn) - mcc_draws(labels, champion.calls(), drawn), limits
    )
    old, new = (mcc(labels, version.probabilities, version.threshold) for version in (champion, challenger))
    return old, new, low, high


def _bounds(resampled: Floats, limits: Limits) -> tuple[float, float]:
    """One-sided lower and upper bound, six digits."""
    low, high = np.quantile(resampled, [1 - limits.confidence, limits.confidence])
    return round(float(low), 6), round(float(high), 6)


def _why(loss: float, low: float, n: int, limits: Limits) -> str:
    """Forgotten, or too few rows to rule it out: how many would do if the observed loss were the true one."""
    room = limits.max_loss - loss
    if room <= 0:
        return f"lost {loss:.3f} MCC where {limits.max_loss:.3f} is allowed (gate.max_loss_mcc)"
    needed = ceil(n * ((-low - loss) / room) ** 2)
    return f"inconclusive: about {needed} rows would be needed to rule out a loss of {limits.max_loss:.3f}"
