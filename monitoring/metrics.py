"""Every Prometheus series of the service, and the only file that knows Prometheus.

Import it only once the serving process runs: prometheus_client decides at its own import whether it works in
multiprocess mode (`PROMETHEUS_MULTIPROC_DIR`).
Label sets are closed: what is not on a list counts as ``other``, so traffic cannot grow the number of series.
"""

from collections.abc import Collection, Iterable
from typing import Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

from monitoring.ring import STAGES

CODES: Final = (
    "200",
    "400",
    "401",
    "403",
    "404",
    "405",
    "406",
    "408",
    "413",
    "415",
    "422",
    "429",
    "500",
    "503",
    "504",
    "507",
)
REJECTIONS: Final = (
    "character",
    "duplicate_id",
    "empty",
    "malformed",
    "not_scored",
    "too_long",
    "unknown_species",
    "unknown_task",
)
SHEDS: Final = ("busy", "deadline", "not_ready", "queue_full", "rate_limit", "stopping")
SWAPS: Final = ("ok", "refused")
SIGNALS: Final = ("mismatch", "gc")
OTHER: Final = "other"

_PREFIX: Final = "episome"
_REQUEST_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_STAGE_BUCKETS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)


class Metrics:
    """The instruments, registered once on the given registry.

    Durations are in seconds, shares are ratios from 0 to 1.
    """

    media_type: Final = CONTENT_TYPE_LATEST

    def __init__(self, routes: Iterable[str], registry: CollectorRegistry = REGISTRY) -> None:
        """Register every instrument.

        Args:
            routes: route templates that get a label of their own (``/v1/species/{id}``, not the path asked for).
            registry: where the instruments live; a second `Metrics` on one registry is refused by it.

        Raises:
            ValueError: the registry holds one of these names already.
        """
        self.registry = registry
        self._routes = frozenset(routes)
        self._species: frozenset[str] = frozenset()
        self._models: set[tuple[str, str, str]] = set()
        self._serving_instruments()
        self._drift_instruments()

    def _serving_instruments(self) -> None:
        self._requests = self._counter("requests", "HTTP requests answered.", "route", "code")
        self._request_seconds = self._histogram(
            "request_duration_seconds",
            "Seconds from a request's arrival to the end of its answer.",
            "route",
            buckets=_REQUEST_BUCKETS,
        )
        self._stage_seconds = self._histogram(
            "stage_duration_seconds", "Seconds a request spends in one stage.", "stage", buckets=_STAGE_BUCKETS
        )
        self._rejected = self._counter("rejected_records", "Records answered with a problem.", "reason")
        self._shed = self._counter("shed", "Requests refused to protect the ones in progress.", "reason")
        self._queue = self._gauge("queue_tokens", "Tokens admitted and not yet answered.")
        self._bases = self._counter("annotated_bases", "Bases annotated.", "species")
        self._model = self._gauge(
            "model_info", "1 for the version that serves, 0 for one it replaced.", "species", "version", "bundle"
        )
        self._swaps = self._counter("model_swaps", "Attempts to take up a new shelf generation.", "result")
        self._generation = self._gauge("shelf_generation", "Generation of the shelf that serves.")
        for counter, values in (
            (self._rejected, REJECTIONS),
            (self._shed, SHEDS),
            (self._swaps, SWAPS),
            (self._stage_seconds, STAGES),
        ):
            for value in values:  # a series that starts at zero is one a rate can be taken of
                counter.labels(value)

    def _drift_instruments(self) -> None:
        self._mismatches = self._counter(
            "adapter_mismatch", "Records that look like another species than the asked one.", "species", "best_species"
        )
        window = "of the recent records"
        self._mismatch_ratio = self._gauge(
            "drift_mismatch_ratio", f"Share {window} that look like another species.", "species"
        )
        self._gc_zscore = self._gauge(
            "drift_gc_zscore",
            f"Mean GC {window} minus that of the training sequences, in standard deviations between those.",
            "species",
        )
        self._n_share_ratio = self._gauge("drift_n_share_ratio", f"Mean share of N {window}.", "species")
        self._window_records = self._gauge("drift_window_records", "Number of recent records.", "species")
        self._alarm = self._gauge("drift_alarm", "1 while a drift signal is in alarm.", "species", "signal")

    def request(self, route: str, code: int, seconds: float) -> None:
        """Count one answered request."""
        known = _one_of(route, self._routes)
        self._requests.labels(known, _one_of(str(code), CODES)).inc()
        self._request_seconds.labels(known).observe(seconds)

    def stage(self, name: str, seconds: float) -> None:
        """Time of one request in one of `STAGES`."""
        self._stage_seconds.labels(_one_of(name, STAGES)).observe(seconds)

    def rejected(self, reason: str) -> None:
        """Count one record that got a problem instead of an annotation; `reason` from `REJECTIONS`."""
        self._rejected.labels(_one_of(reason, REJECTIONS)).inc()

    def shed(self, reason: str) -> None:
        """Count one request turned away; `reason` from `SHEDS`."""
        self._shed.labels(_one_of(reason, SHEDS)).inc()

    def queued(self, tokens: int) -> None:
        """Set the number of tokens admitted and not yet answered."""
        self._queue.set(tokens)

    def serving(self, generation: int, models: Collection[tuple[str, str, str]]) -> None:
        """Set what serves now: triples of species, version and bundle hash."""
        # A gauge child cannot be taken back in multiprocess mode, so a replaced version stays and reads 0.
        for gone in self._models.difference(models):
            self._model.labels(*gone).set(0)
        for model in models:
            self._model.labels(*model).set(1)
        self._models.update(models)
        self._species = frozenset(species for species, _, _ in models)
        self._generation.set(generation)

    def swap(self, result: str) -> None:
        """Count one attempt to take up a generation; `result` from `SWAPS`."""
        self._swaps.labels(_one_of(result, SWAPS)).inc()

    def annotated(self, species: str, bases: int) -> None:
        """Add the bases of one annotated record."""
        self._bases.labels(_one_of(species, self._species)).inc(bases)

    def mismatch(self, species: str, best_species: str) -> None:
        """Count one record that looks like `best_species` and was sent to `species`."""
        self._mismatches.labels(_one_of(species, self._species), _one_of(best_species, self._species)).inc()

    def drift(self, species: str, *, records: int, mismatch: float, gc_zscore: float, n_share: float) -> None:
        """Set the window gauges of one species."""
        label = _one_of(species, self._species)
        self._window_records.labels(label).set(records)
        self._mismatch_ratio.labels(label).set(mismatch)
        self._gc_zscore.labels(label).set(gc_zscore)
        self._n_share_ratio.labels(label).set(n_share)

    def alarm(self, species: str, signal: str, *, on: bool) -> None:
        """Set whether a signal of `SIGNALS` is in alarm for a species."""
        self._alarm.labels(_one_of(species, self._species), _one_of(signal, SIGNALS)).set(on)

    def exposition(self) -> bytes:
        """The series of this process in Prometheus' text format, of the type `media_type`."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, namespace=_PREFIX, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, namespace=_PREFIX, registry=self.registry, multiprocess_mode="mostrecent")

    def _histogram(self, name: str, text: str, *labels: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, text, labels, namespace=_PREFIX, registry=self.registry, buckets=buckets)


def _one_of(value: str, known: Collection[str]) -> str:
    return value if value in known else OTHER
