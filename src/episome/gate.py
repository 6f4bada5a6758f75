"""May a new version replace the champion? Verdicts from test-row scores; knows no files and no models.

An old suite is kept when the one-sided lower confidence bound of ``MCC(new) - MCC(old)`` stays above ``-max_loss``.
All suites must pass, which is an intersection-union test: no correction for their number is needed (Berger 1982).
Too little data to tell is a failure, never a pass, and says how many rows would do. Releases too small for a suite of
their own share one (`suites`).
"""

from collections.abc import Collection, Sequence
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
        limit: what `low` had to exceed, or `value` may not.
        value: what was measured where it is no loss of MCC.
        needed: rows that would do, where those tested were too few.
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
    value: float | None = None
    needed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """Test rows of a task that are judged together.

    Attributes:
        name: ``task/release``, or ``task/pool(releases)``.
        rows: boolean, one per row.
        why: which releases were too small for a suite of their own, in words; empty where none was.
    """

    name: str
    rows: NDArray[np.bool_]
    why: str = ""


def suites(task: str, releases: ArrayLike, names: Collection[str], min_rows: int) -> tuple[Suite, ...]:
    """Old suites of a task: one a release, and a pool of all releases that have fewer than `min_rows` test rows.

    Where the pool is itself too small it takes in the smallest release that is not. That one is a suite of its own as
    well, so nothing that can be tested alone is averaged away. A release without a test row stays alone, and fails.

    Args:
        task: its name.
        releases: of each test row.
        names: the releases that have rows of this task on any side of the split.
        min_rows: fewest rows of a suite.
    """
    releases = np.asarray(releases, str)
    counts = {name: int((releases == name).sum()) for name in sorted(names)}
    small = [name for name, count in counts.items() if 0 < count < min_rows]
    large = [name for name, count in counts.items() if count >= min_rows]
    alone = [name for name in counts if name not in small]
    found = [Suite(name=f"{task}/{name}", rows=releases == name) for name in alone]
    if not small:
        return tuple(found)
    pool = list(small)
    if large and sum(counts[name] for name in small) < min_rows:
        pool.append(min(large, key=lambda name: (counts[name], name)))
    if len(pool) == 1:
        return (*found, Suite(name=f"{task}/{pool[0]}", rows=releases == pool[0]))
    few = ", ".join(f"{name} ({counts[name]} rows)" for name in small)
    why = f"pooled because alone too few to tell (gate.min_rows {min_rows}): {few}"
    return (*found, Suite(name=f"{task}/pool({'+'.join(pool)})", rows=np.isin(releases, pool), why=why))


def compare(
    suite: Suite,
    labels: ArrayLike,
    groups: Sequence[str] | ArrayLike,
    champion: Scored,
    challenger: Scored,
    limits: Limits,
) -> Check:
    """Whether the challenger kept an old suite, by a paired cluster bootstrap of the MCC difference.

    Args:
        suite: which of the rows, and what they are called.
        labels: 0 or 1, one per row.
        groups: homology cluster of each row.
        champion: its answers to these rows.
        challenger: likewise.
        limits: what may be lost, and how sure one must be.
    """
    labels, groups = np.asarray(labels)[suite.rows], np.asarray(groups)[suite.rows]
    champion, challenger = champion.where(suite.rows), challenger.where(suite.rows)
    floor, n = -limits.max_loss, len(labels)
    change = change_between(labels, groups, champion, challenger, limits) if n else None
    if change is None or n < limits.min_rows:
        needed = max(limits.min_rows, change.needed(limits.max_loss) if change else 0)
        message = _too_few(suite.name, n, needed, "retention") + (f"; {suite.why}" if suite.why else "")
        return Check(name="retention", suite=suite.name, passed=False, message=message, n=n, limit=floor, needed=needed)
    verdict, lacking = change.verdict(limits.max_loss, "gate.max_loss_mcc")
    message = (
        f"{suite.name}: MCC {change.old:.3f} -> {change.new:.3f} on {n} rows, "
        f"lower bound of the change {change.low:+.3f}; {verdict}"
    )
    return Check(
        name="retention",
        suite=suite.name,
        passed=change.low > floor,
        message=message + (f"; {suite.why}" if suite.why else ""),
        **change.figures,
        limit=floor,
        needed=lacking,
    )


def gain(
    suite: str,
    labels: ArrayLike,
    groups: Sequence[str] | ArrayLike,
    champion: Scored,
    challenger: Scored,
    limits: Limits,
    *,
    least: float | None,
) -> Check:
    """What a suite gained that the champion was not trained on; refused where it is surely less than `least`.

    A suite without any test row is refused as well: once promoted, nobody could say whether it is kept.

    Args:
        suite: its name.
        labels: 0 or 1, one per row.
        groups: homology cluster of each row.
        champion: its answers to these rows.
        challenger: likewise.
        limits: how sure one must be.
        least: MCC that the upper confidence bound of the gain may not be under; None: told alone.
    """
    labels = np.asarray(labels)
    n = len(labels)
    if not n:
        message = (
            f"{_too_few(suite, n, limits.min_rows, 'retention')}: it teaches rows and has none to test them on; "
            "state `test` in the column `split` of some"
        )
        return Check(name="gain", suite=suite, passed=False, message=message, n=n, needed=limits.min_rows)
    change = change_between(labels, groups, champion, challenger, limits)
    if n < limits.min_rows:
        needed = max(limits.min_rows, change.needed(limits.max_loss))
        message = f"{suite}: not tested, {n} rows came, {needed} needed; once promoted it is judged in a pool"
        return Check(name="gain", suite=suite, passed=True, message=message, n=n, needed=needed)
    message = (
        f"{suite}: MCC {change.old:.3f} -> {change.new:.3f} on {n} new rows, "
        f"change between {change.low:+.3f} and {change.high:+.3f}"
    )
    if refused := least is not None and change.high < least:
        message += f"; surely less than {least:+.3f} (gate.min_gain_mcc)"
    return Check(
        name="gain",
        suite=suite,
        passed=not refused,
        message=message,
        **change.figures,
        limit=least,
    )


def beats_chance(
    task: str, labels: ArrayLike, groups: Sequence[str] | ArrayLike, version: Scored, limits: Limits
) -> Check:
    """Whether the lower bound of a task's MCC is above 0; too few rows to tell are a failure."""
    labels = np.asarray(labels)
    n = len(labels)
    if not n:
        message = _too_few(task, n, limits.min_rows, "being better than chance")
        return Check(
            name="beats_chance", suite=task, passed=False, message=message, n=n, limit=0.0, needed=limits.min_rows
        )
    low, high = _bounds(mcc_draws(labels, version.calls(), draws(groups, limits.bootstrap, limits.seed)), limits)
    value = mcc(labels, version.probabilities, version.threshold)
    if n < limits.min_rows:
        needed = max(limits.min_rows, _rows(n, value - low, value))
        message = _too_few(task, n, needed, "being better than chance")
        return Check(name="beats_chance", suite=task, passed=False, message=message, n=n, limit=0.0, needed=needed)
    verdict = "above" if low > 0 else "not above"
    message = f"{task}: MCC {value:.3f} on {n} rows, lower bound {low:.3f} is {verdict} chance"
    return Check(name="beats_chance", suite=task, passed=low > 0, message=message, low=low, high=high, n=n, limit=0.0)


def over_baseline(
    task: str, labels: ArrayLike, version: Scored, baseline: float, limits: Limits, *, least: float | None
) -> Check:
    """Whether a task's MCC is above that of k-mers alone by `least`: point estimates on the same test rows.

    Args:
        task: its name.
        labels: 0 or 1, one per row.
        version: its answers to these rows.
        baseline: MCC of the k-mers on these rows.
        limits: fewest rows.
        least: MCC by which it must be better; None: told alone.
    """
    labels = np.asarray(labels)
    n = len(labels)
    if n < limits.min_rows:
        message = f"{task}: not compared with k-mers alone, {n} test rows came, {limits.min_rows} needed"
        return Check(name="baseline", suite=task, passed=True, message=message, n=n, needed=limits.min_rows)
    value = mcc(labels, version.probabilities, version.threshold)
    over = round(value - baseline, 6)
    passed = least is None or over >= least
    message = f"{task}: MCC {value:.3f} where k-mers alone have {baseline:.3f} on the same {n} rows"
    if not passed:
        message += f"; {over:+.3f} is less than {least:+.3f} (gate.min_over_baseline_mcc)"
    elif over <= 0:
        message += "; no better than those"
    return Check(name="baseline", suite=task, passed=passed, message=message, n=n, limit=least, value=over)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """MCC of both versions on `n` rows, and one-sided lower and upper bound of its change."""

    n: int
    old: float
    new: float
    low: float
    high: float

    @property
    def loss(self) -> float:
        return self.old - self.new

    @property
    def figures(self) -> dict[str, Any]:
        """What a check says of it."""
        return {"loss": round(self.loss, 6), "low": self.low, "high": self.high, "n": self.n}

    def needed(self, room: float) -> int:
        """Rows on which a loss of `room` more than the observed one is ruled out as surely as it is missed."""
        return _rows(self.n, -self.low - self.loss, room)

    def verdict(self, most: float, key: str) -> tuple[str, int | None]:
        """Kept, forgotten, or too few rows to rule it out: how many would do if the observed loss were the true one.

        Args:
            most: MCC that may be lost.
            key: of params.yaml, that says so.
        """
        if self.low > -most:
            return "kept", None
        if self.loss >= most:
            return f"lost {self.loss:.3f} MCC where {most:.3f} is allowed ({key})", None
        needed = self.needed(most - self.loss)
        return f"inconclusive: {self.n} rows came, about {needed} needed to rule out a loss of {most:.3f}", needed


def change_between(
    labels: NDArray[Any],
    groups: Sequence[str] | ArrayLike,
    champion: Scored,
    challenger: Scored,
    limits: Limits,
) -> Change:
    """What two versions answer to the same rows, with a paired bootstrap over homology clusters."""
    drawn = draws(groups, limits.bootstrap, limits.seed)
    low, high = _bounds(
        mcc_draws(labels, challenger.calls(), drawn) - mcc_draws(labels, champion.calls(), drawn), limits
    )
    old, new = (mcc(labels, version.probabilities, version.threshold) for version in (champion, challenger))
    return Change(n=len(labels), old=old, new=new, low=low, high=high)


def _bounds(resampled: Floats, limits: Limits) -> tuple[float, float]:
    """One-sided lower and upper bound, six digits."""
    low, high = np.quantile(resampled, [1 - limits.confidence, limits.confidence])
    return round(float(low), 6), round(float(high), 6)


def _rows(n: int, half: float, room: float) -> int:
    """Rows for which twice the distance from value to bound, `half` on `n` rows, is no more than `room`.

    Twice: once for the error that the bound allows, once so that a version that lost nothing passes as surely. The
    distance falls with the root of the rows. 0 where nothing can be said.
    """
    return ceil(n * (2 * max(half, 0.0) / room) ** 2) if room > 0 else 0


def _too_few(what: str, n: int, needed: int, of: str) -> str:
    return f"{what}: too few to tell of {of}: {n} rows came, {needed} needed (gate.min_rows, gate.max_loss_mcc)"
