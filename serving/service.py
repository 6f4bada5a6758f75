"""The BentoML service, and the only importer of bentoml: process, lifecycle and health; HTTP is `serving.http`."""

import logging
import os
import time
from pathlib import Path

import bentoml
from bentoml._internal.utils.analytics import usage_stats
from starlette.types import ASGIApp, Receive, Scope, Send

from episome import generation, params, shelf
from episome.generation import EMPTY
from episome.types import EpisomeError
from serving import feedback, http
from serving.batcher import Batcher
from serving.shelf import Shelf

# BentoML's command read the switch of `serving/__init__` before this file was imported, and kept what it read.
usage_stats.do_not_track.cache_clear()

# Longer than any deadline of ours: a call that is cut by BentoML would get an answer that is no problem+json.
_NEVER_SECONDS = 24 * 3600


class _Door:
    """What BentoML mounts when the class is defined; the application behind it exists once the service runs."""

    def __init__(self) -> None:
        self.app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.app is None:
            raise RuntimeError("a request came before the service was built")
        await self.app(scope, receive, send)


_door = _Door()


def where() -> tuple[params.Params, Path]:
    """Numbers and shelf: params.yaml (or EPISOME_PARAMS) and EPISOME_SHELF.

    Raises:
        EpisomeError: there is no good params.yaml.
    """
    read = params.read(Path(os.environ.get("EPISOME_PARAMS", "params.yaml")))
    return read, Path(os.environ.get("EPISOME_SHELF", read.registry.shelf))


def _log_like_bentoml() -> None:
    ours = logging.getLogger("episome")
    ours.handlers = logging.getLogger("bentoml").handlers
    ours.setLevel(logging.INFO)
    ours.propagate = False


# BentoML's request metrics and access log hold the path as it came: what a caller puts there would become a series of
# its own, and stay. `serving.http` counts and logs by route instead, and answers /metrics itself.
@bentoml.service(
    name="episome",
    workers=1,
    traffic={"timeout": _NEVER_SECONDS},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)
@bentoml.asgi_app(_door, path="/")
class Episome:
    """One process that answers for every species on the shelf."""

    @bentoml.on_deployment
    def check() -> None:
        """Refuse to start at all where what is on the shelf cannot be served."""
        try:
            known, folder = where()
            loaded = generation.load(
                folder, shelf.read(folder), threads=1, allow_simulated=known.serve.allow_simulated, before=EMPTY
            )
        except (EpisomeError, OSError) as error:
            raise SystemExit(f"episome: not started: {error}") from error
        generation.retire(loaded, [])

    def __init__(self) -> None:
        # prometheus_client decides at import whether it counts for several processes; the command line never needs it.
        from monitoring.metrics import Metrics
        from monitoring.watch import Watch

        _log_like_bentoml()
        known, folder = where()
        limits = known.serve
        watch = Watch(Metrics(http.ROUTES), time.time, known.monitor)
        self.batcher = Batcher(
            threads=limits.threads,
            tokens_per_run=limits.tokens_per_run,
            queue_tokens=limits.queue_tokens,
            queued=watch.metrics.queued,
        )
        self.shelf = Shelf(folder, threads=limits.threads, allow_simulated=limits.allow_simulated, watch=watch)
        if shelf.read(folder).generation:
            self.shelf.take_up()
        house = http.House(
            shelf=self.shelf, batcher=self.batcher, limits=limits, watch=watch, desk=feedback.desk(known)
        )
        _door.app = http.app(house)

    @bentoml.on_startup
    def look(self) -> None:
        """Begin to look for new generations."""
        self.shelf.start()

    @bentoml.on_shutdown
    def close(self) -> None:
        """Finish what runs."""
        self.shelf.close()
        self.batcher.close()

    def __is_ready__(self) -> bool:
        return self.shelf.ready

    def __is_alive__(self) -> bool:
        return self.shelf.looking
