"""The BentoML service, and the only importer of bentoml: process, lifecycle and health; HTTP is `serving.http`."""

import asyncio
import ipaddress
import logging
import os
import signal
import socket
import time
from pathlib import Path
from typing import Any, cast

import bentoml
import click
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml._internal.utils.analytics import usage_stats
from starlette.types import ASGIApp, Receive, Scope, Send

from episome import generation, keys, params, shelf
from episome.generation import EMPTY
from episome.keys import Holder
from episome.params import Params
from episome.types import EpisomeError
from serving import feedback, http, patience
from serving.batcher import Batcher
from serving.drain import Drain
from serving.shelf import Shelf

_LOG = logging.getLogger("episome.serving")

# BentoML's command read the switch of `serving/__init__` before this file was imported, and kept what it read.
usage_stats.do_not_track.cache_clear()
patience.install()

# Longer than any deadline of ours: a call that is cut by BentoML would get an answer that is no problem+json.
_NEVER_SECONDS = 24 * 3600


class _Door:
    """Takes every request past BentoML's own routes, of which some would answer whoever asks, to our application."""

    app: ASGIApp | None = None
    """Exists once the service runs; BentoML wants the door when the class is defined."""

    def __init__(self, inner: ASGIApp) -> None:
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._inner(scope, receive, send)
        elif _Door.app is None:
            raise RuntimeError("a request came before the service was built")
        else:
            await _Door.app(scope, receive, send)


def where() -> tuple[Params, Path]:
    """Numbers and shelf: params.yaml (or EPISOME_PARAMS) and EPISOME_SHELF.

    Raises:
        EpisomeError: there is no good params.yaml.
    """
    read = params.read(Path(os.environ.get("EPISOME_PARAMS", "params.yaml")))
    return read, Path(os.environ.get("EPISOME_SHELF", read.registry.shelf))


def _holders(known: Params) -> tuple[Holder, ...]:
    """Who has a key: the lines in EPISOME_KEYS, parted by line ends or ``;``, or else the file `serve.keys`.

    Raises:
        EpisomeError: the list is none, or there is none though other machines can reach the service.
    """
    listed = os.environ.get("EPISOME_KEYS")
    if listed is not None:
        return keys.parse(listed.replace(";", "\n").splitlines(), "EPISOME_KEYS")
    if known.serve.keys is not None:
        return keys.read(known.serve.keys)
    host = _host()
    if not _loopback(host):
        raise EpisomeError(
            f"it would listen on {host}, where other machines reach it, and ask for no key; make keys by `episome key "
            "new NAME` and set serve.keys in params.yaml, or listen on this machine alone: --host 127.0.0.1"
        )
    return ()


def _host() -> str:
    """The address that BentoML's command is about to listen on, or that its worker was given the socket of."""
    command = click.get_current_context(silent=True)
    given = command.params if command else {}
    if "fd" not in given:
        return given.get("host") or BentoMLContainer.http.host.get()
    with socket.socket(fileno=os.dup(given["fd"])) as listening:
        return str(listening.getsockname()[0])


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


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
class Episome:
    """One process that answers for every species on the shelf."""

    @bentoml.on_deployment
    def check() -> None:
        """Refuse to start at all where what is on the shelf cannot be served."""
        try:
            known, folder = where()
            _holders(known)
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
        patience.Patient.seconds = limits.slow_seconds
        self.limits = limits
        self.drain = Drain()
        house = http.House(
            shelf=self.shelf,
            batcher=self.batcher,
            limits=limits,
            watch=watch,
            desk=feedback.desk(known),
            holders=_holders(known),
            drain=self.drain,
        )
        _Door.app = http.app(house)

    @bentoml.on_startup
    def look(self) -> None:
        """Begin to look for new generations, and for SIGTERM."""
        self.shelf.start()
        ends = signal.getsignal(signal.SIGTERM)  # uvicorn's: it listens no more, and ends after what is inside
        loop = asyncio.get_running_loop()

        def leave() -> None:
            if not self.drain.begun:
                self.leaving = loop.create_task(self._leave(ends))

        signal.signal(signal.SIGTERM, lambda *_: loop.call_soon_threadsafe(leave))

    async def _leave(self, ends: Any) -> None:
        _LOG.info("going down: new calls are refused, %d inside are finished", self.drain.number)
        left = await self.drain.over(least=self.limits.drain_seconds, most=self.limits.timeout_seconds)
        _LOG.info("going down: %d calls are still inside", left)
        ends(signal.SIGTERM, None)

    @bentoml.on_shutdown
    def close(self) -> None:
        """Finish what runs."""
        self.shelf.close()
        self.batcher.close()


cast(Any, Episome).add_asgi_middleware(_Door)  # the decorator made it a service
