"""Latency, outcomes and stage times of the last hour, in five-second buckets of fixed memory."""

from dataclasses import dataclass
from typing import Final, Literal, TypeVar

import numpy as np
import numpy.typing as npt

BUCKET_SECONDS: Final = 5
BUCKETS: Final = (3600 + 60) // BUCKET_SECONDS
"""An hour, and a minute more so that an hour of whole minutes is always there."""
STAGES: Final = ("queue", "tokenize", "infer", "post")
OUTCOMES: Final = ("answered", "refused", "shed", "failed")
QUANTILES: Final = (0.5, 0.95, 0.99)

_Number = TypeVar("_Number", np.int64, np.float64)

Outcome = Literal["answered", "refused", "shed", "failed"]

# Latency cells grow by 1.15 from 0.1 ms to 90 s, so a quantile is off by 7 % at most.
_FIRST: Final = 1e-4
_GROWTH: Final = np.log(1.15)
_CELLS: Final = 100


def outcome_of(code: int) -> Outcome:
    """The outcome an HTTP status stands for; 429 and 503 are load shed on purpose, every other 5xx a failure."""
    if code in (429, 503):
        return "shed"
    if code < 400:
        return "answered"
    return "refused" if code < 500 else "failed"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Span:
    """Counts of consecutive equal stretches of time, oldest first.

    Attributes:
        until: seconds of the clock at which the newest stretch ends.
        outcomes: int64[buckets, 4], requests by `OUTCOMES`.
        latency: int64[buckets, cells], answered and failed requests by duration.
        stage_seconds: float64[buckets, 4], time summed over requests, by `STAGES`.
    """

    until: float
    outcomes: npt.NDArray[np.int64]
    latency: npt.NDArray[np.int64]
    stage_seconds: npt.NDArray[np.float64]

    def last(self, buckets: int) -> "Span":
        """The newest buckets as one, the filling one included."""
        return self._grouped(slice(-buckets, None), buckets, self.until)

    def points(self, count: int, each: int) -> "Span":
        """The newest `count` full groups of `each` buckets, oldest first.

        Groups begin at whole multiples of their length, so a group's values stay the same from one reading to the
        next; the group that is still filling is left out.
        """
        filling = round(self.until / BUCKET_SECONDS) - 1
        end = len(self.outcomes) - 1 - filling % each
        return self._grouped(slice(end - count * each, end), each, float((filling - filling % each) * BUCKET_SECONDS))

    def _grouped(self, buckets: slice, each: int, until: float) -> "Span":
        def summed(values: npt.NDArray[_Number]) -> npt.NDArray[_Number]:
            groups: npt.NDArray[_Number] = values[buckets].reshape(-1, each, values.shape[1]).sum(axis=1)
            return groups

        return Span(
            until=until,
            outcomes=summed(self.outcomes),
            latency=summed(self.latency),
            stage_seconds=summed(self.stage_seconds),
        )

    def quantiles(self) -> npt.NDArray[np.float64]:
        """Latency in seconds at `QUANTILES`, float64[buckets, 3]; NaN where a bucket has no request."""
        total = self.latency.sum(axis=1)
        below = self.latency.cumsum(axis=1)
        ranks = np.ceil(total[:, None] * np.asarray(QUANTILES))
        # The cell that holds the ranked request is the first one with that many at or below it.
        cell = (below[:, None, :] < np.maximum(ranks, 1)[:, :, None]).sum(axis=2)
        seconds = _FIRST * np.exp(_GROWTH * (cell - 0.5))
        return np.where(total[:, None] > 0, seconds, np.nan)


class Ring:
    """Counts of the last hour; the caller brings the time and holds the lock."""

    def __init__(self) -> None:
        """Start empty."""
        self._bucket_of = np.full(BUCKETS, -1, dtype=np.int64)
        self._outcomes = np.zeros((BUCKETS, len(OUTCOMES)), dtype=np.int64)
        self._latency = np.zeros((BUCKETS, _CELLS), dtype=np.int64)
        self._stage_seconds = np.zeros((BUCKETS, len(STAGES)))

    def record(self, now: float, code: int, seconds: float) -> None:
        """Add one request that ended at `now`; refused and shed ones end early and stay out of the latency."""
        slot = self._slot(now)
        outcome = outcome_of(code)
        self._outcomes[slot, OUTCOMES.index(outcome)] += 1
        if outcome in {"answered", "failed"}:
            self._latency[slot, _cell(seconds)] += 1

    def stage(self, now: float, name: str, seconds: float) -> None:
        """Add time spent in a stage.

        Raises:
            ValueError: the stage is none of `STAGES`.
        """
        self._stage_seconds[self._slot(now), STAGES.index(name)] += seconds

    def read(self, now: float) -> Span:
        """All buckets up to `now`, copied; the newest is still filling, those without traffic are zero."""
        newest = int(now // BUCKET_SECONDS)
        wanted = np.arange(newest - BUCKETS + 1, newest + 1)
        slots = wanted % BUCKETS
        live = (self._bucket_of[slots] == wanted)[:, None]
        return Span(
            until=float((newest + 1) * BUCKET_SECONDS),
            outcomes=self._outcomes[slots] * live,
            latency=self._latency[slots] * live,
            stage_seconds=self._stage_seconds[slots] * live,
        )

    def _slot(self, now: float) -> int:
        bucket = int(now // BUCKET_SECONDS)
        slot = bucket % BUCKETS
        if self._bucket_of[slot] != bucket:  # an hour old: start it afresh
            self._bucket_of[slot] = bucket
            self._outcomes[slot] = 0
            self._latency[slot] = 0
            self._stage_seconds[slot] = 0
        return slot


def _cell(seconds: float) -> int:
    if seconds <= _FIRST:
        return 0
    return min(_CELLS - 1, 1 + int(np.log(seconds / _FIRST) / _GROWTH))
