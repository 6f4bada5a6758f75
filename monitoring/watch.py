"""The one object the service reports to: it feeds the Prometheus series and keeps what the page shows.

Everything here is cheap enough for the request path and holds no sequence. One process, one `Watch`: with several
worker processes each would tell of its own share of the traffic, while the Prometheus series add up.
"""

import math
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from episome.drift import Match, Profile
from episome.serveparams import Monitor
from monitoring.ring import BUCKET_SECONDS, OUTCOMES, QUANTILES, STAGES, Ring, Span
from monitoring.traffic import Seen, Traffic

if TYPE_CHECKING:
    from monitoring.metrics import Metrics

WATCHED: Final = "/v1/annotate"
"""Routes that begin so are on the page's charts; the others would hide them."""

_LIVE_BUCKETS: Final = 60 // BUCKET_SECONDS
_POINTS: Final = 60
_SWAPS_KEPT: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Loaded:
    """An adapter that serves: its version, its bundle's hash and what its training sequences look like."""

    species: str
    version: str
    bundle: str
    simulated: bool
    profile: Profile


class Watch:
    """Counters, latency of the last hour, recent traffic per species and swaps; safe to call from any thread."""

    def __init__(self, metrics: "Metrics", clock: Callable[[], float], limits: Monitor) -> None:
        """Start without a species.

        Args:
            metrics: the Prometheus series to feed.
            clock: seconds since the epoch (``time.time``).
            limits: when traffic counts as drifted.
        """
        self.metrics = metrics
        self._clock = clock
        self._limits = limits
        self._lock = threading.Lock()
        self._started = clock()
        self._ring = Ring()
        self._loaded: dict[str, Loaded] = {}
        self._traffic: dict[str, Traffic] = {}
        self._generation: int | None = None
        self._swaps: deque[dict[str, Any]] = deque(maxlen=_SWAPS_KEPT)

    def record(self, route: str, code: int, seconds: float) -> None:
        """One request ended; `route` is its template, `seconds` the time from arrival to the end of the answer."""
        self.metrics.request(route, code, seconds)
        if route.startswith(WATCHED):
            with self._lock:
                self._ring.record(self._clock(), code, seconds)

    def stage(self, name: str, seconds: float) -> None:
        """Time one request spent in one of `STAGES`."""
        self.metrics.stage(name, seconds)
        with self._lock:
            self._ring.stage(self._clock(), name, seconds)

    def observed(self, species: str, length: int, gc: float, n_share: float, match: Match) -> None:
        """One record was annotated.

        Args:
            species: the species it was sent to; one that was swapped out meanwhile only counts.
            length: bases.
            gc: GC share, 0 to 1.
            n_share: share of N, 0 to 1.
            match: whether it looks like that species.
        """
        self.metrics.annotated(species, length)
        if match.status == "mismatch":
            self.metrics.mismatch(species, match.best_species)
        with self._lock:
            traffic = self._traffic.get(species)
            if traffic is None:
                return
            traffic.add(Seen(length=length, gc=gc, n_share=n_share, match=match))
            self._publish(species, traffic)

    def swapped(self, generation: int, loaded: Iterable[Loaded]) -> None:
        """The service now answers from these adapters; a species whose bundle stayed keeps its window."""
        incoming = {adapter.species: adapter for adapter in loaded}
        self.metrics.swap("ok")
        with self._lock:
            for species in self._loaded.keys() - incoming.keys():
                # Its gauges cannot be taken back in multiprocess mode; an empty window says there is no traffic.
                self._publish(species, Traffic(self._traffic.pop(species).profile, self._limits))
            self.metrics.serving(generation, [(a.species, a.version, a.bundle) for a in incoming.values()])
            for species, adapter in incoming.items():
                before = self._loaded.get(species)
                if before is None or before.bundle != adapter.bundle:
                    self._traffic[species] = Traffic(adapter.profile, self._limits)
                    self._publish(species, self._traffic[species])
            self._log_swap(generation, "ok", ", ".join(_changes(self._loaded, incoming)) or "nothing changed")
            self._loaded = incoming
            self._generation = generation

    def refused(self, generation: int, reason: str) -> None:
        """A new generation could not be taken up; the service goes on with the old one."""
        self.metrics.swap("refused")
        with self._lock:
            self._log_swap(generation, "refused", reason)

    def snapshot(self, minutes: int = 15) -> dict[str, Any]:
        """Everything the page shows, as JSON values; times are seconds since the epoch, durations seconds.

        ``live`` is the last minute. ``series`` holds at most 60 points, each over ``point_seconds``: requests per
        second by outcome, latency (null where nothing was answered) and, by stage, seconds of work per second.

        Args:
            minutes: length of the series, 1 to 60.
        """
        with self._lock:
            now = self._clock()
            hour = self._ring.read(now)
            species = [self._species_row(name) for name in sorted(self._loaded)]
            swaps = list(reversed(self._swaps))
            generation = self._generation
        return {
            "now": now,
            "started": self._started,
            "generation": generation,
            "live": _live(hour.last(_LIVE_BUCKETS), min(60.0, max(1.0, now - self._started))),
            "series": _series(hour, minutes),
            "species": species,
            "swaps": swaps,
            "limits": self._limits.model_dump(),
        }

    def _publish(self, species: str, traffic: Traffic) -> None:
        verdict = traffic.verdict()
        self.metrics.drift(
            species,
            records=traffic.records,
            mismatch=traffic.mismatch_share,
            gc_zscore=traffic.gc_zscore,
            n_share=traffic.n_share,
        )
        self.metrics.alarm(species, "mismatch", on=verdict.mismatch)
        self.metrics.alarm(species, "gc", on=verdict.gc)

    def _log_swap(self, generation: int, result: Literal["ok", "refused"], what: str) -> None:
        self._swaps.append({"at": self._clock(), "generation": generation, "result": result, "what": what})

    def _species_row(self, name: str) -> dict[str, Any]:
        adapter, traffic = self._loaded[name], self._traffic[name]
        verdict = traffic.verdict()
        other = traffic.best_other()
        return {
            "species": name,
            "version": adapter.version,
            "bundle": adapter.bundle,
            "simulated": adapter.simulated,
            "records": traffic.records,
            "mismatch_share": traffic.mismatch_share,
            "undecided_share": traffic.status_share("undecided"),
            "best_other": None if other is None else {"species": other[0], "records": other[1]},
            "gc_zscore": traffic.gc_zscore,
            "n_share": traffic.n_share,
            "median_length": traffic.median_length(),
            "training_length": float(adapter.profile.length_quantiles[len(adapter.profile.length_quantiles) // 2]),
            "state": verdict.state,
            "reasons": list(verdict.reasons),
        }


def _changes(before: dict[str, Loaded], after: dict[str, Loaded]) -> list[str]:
    words = []
    for species in sorted(before.keys() | after.keys()):
        old, new = before.get(species), after.get(species)
        if new is None:
            words.append(f"{species} withdrawn")
        elif old is None or old.bundle != new.bundle:
            words.append(f"{species} version {new.version}")
    return words


def _live(minute: Span, seconds: float) -> dict[str, Any]:
    outcomes = minute.outcomes[0]
    return {
        "seconds": seconds,
        "requests": int(outcomes.sum()),
        "rate": float(outcomes.sum() / seconds),
        "outcomes": {name: int(count) for name, count in zip(OUTCOMES, outcomes, strict=True)},
        "latency": {f"p{q * 100:.0f}": _known(s) for q, s in zip(QUANTILES, minute.quantiles()[0], strict=True)},
        "stage_seconds": {name: float(s) for name, s in zip(STAGES, minute.stage_seconds[0], strict=True)},
    }


def _series(hour: Span, minutes: int) -> dict[str, Any]:
    buckets = max(1, minutes * 60 // BUCKET_SECONDS // _POINTS)
    seconds = buckets * BUCKET_SECONDS
    points = hour.points(minutes * 60 // seconds, buckets)
    quantiles = points.quantiles()
    return {
        "point_seconds": seconds,
        "until": points.until,
        "rate": {name: _rounded(points.outcomes[:, c] / seconds) for c, name in enumerate(OUTCOMES)},
        "latency": {f"p{q * 100:.0f}": [_known(s) for s in quantiles[:, c]] for c, q in enumerate(QUANTILES)},
        "stage_load": {name: _rounded(points.stage_seconds[:, c] / seconds) for c, name in enumerate(STAGES)},
    }


def _rounded(values: Iterable[float]) -> list[float]:
    return [round(float(value), 6) for value in values]


def _known(seconds: float) -> float | None:
    return None if math.isnan(seconds) else round(float(seconds), 6)
