"""The HTTP contract: routes, problems and their documentation. No model runs on the event loop."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import anyio.to_thread
from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from episome import __version__, answer, formats, reply, wire
from episome.answer import Answer, Refusal, RefusedError
from episome.keys import Holder
from episome.serveparams import Serve
from monitoring import page
from monitoring.watch import Watch
from serving import admission, batcher, fastaroute, feedback, pages, problems, schema, shelf, species
from serving.calls import Calls, demand, shed
from serving.drain import Drain
from serving.gate import RESPONSES, Access, Gate

ROUTES: Final[dict[str, Access]] = {
    "/": "reader",
    "/docs": "reader",
    "/v1/annotate": "reader",
    "/v1/annotate/fasta": "reader",
    "/v1/feedback": "operator",
    "/v1/species": "reader",
    "/v1/species/{species}": "reader",
    "/v1/species/{species}/card.md": "reader",
    "/monitor": "operator",
    "/monitor/page.css": "operator",
    "/monitor/page.js": "operator",
    "/monitor/data.json": "operator",
    "/metrics": "operator",
    "/livez": "open",
    "/readyz": "open",
}
"""Templates of all routes, under which requests are counted, and who may ask for each; other paths are for readers."""

_PATTERNS: Final = [(compile_path(each)[0], each) for each in ROUTES]
_LOG = logging.getLogger("episome.serving")

_PROBLEM = problems.DESCRIBED
_PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    400: {**_PROBLEM, "description": "The body is not JSON in UTF-8."},
    404: {**_PROBLEM, "description": "No record names a species that is served."},
    413: {**_PROBLEM, "description": "The body is too big, or has too many or too long records."},
    422: {**_PROBLEM, "description": "A field is unknown or wrong, or no record is a nucleotide sequence."},
    503: {
        **problems.DESCRIBED,
        "description": "Busy, or nothing to answer from yet; `Retry-After` says when to try again.",
    },
    504: {**_PROBLEM, "description": "The answer would have come after the deadline."},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """What the routes work with.

    Attributes:
        shelf: what answers are made from.
        batcher: who runs the model.
        limits: of a call.
        watch: told about every request.
        desk: None where no curated labels are taken.
        holders: of API keys; nobody: no key is asked for.
        drain: whether calls are still let in.
    """

    shelf: shelf.Shelf
    batcher: batcher.Batcher
    limits: Serve
    watch: Watch
    desk: feedback.Desk | None = None
    holders: tuple[Holder, ...] = ()
    drain: Drain = field(default_factory=Drain)


def app(house: House) -> FastAPI:
    """The whole HTTP application."""
    built = FastAPI(
        title="Episome",
        version=__version__,
        summary="One DNA language model, one small adapter per species.",
        docs_url=None,
        redoc_url=None,
        responses=RESPONSES,
        # For documentation alone: `Gate` has looked at the key long before.
        dependencies=[Depends(HTTPBearer(auto_error=False))] if house.holders else None,
    )
    calls = Calls(shelf=house.shelf, batcher=house.batcher, limits=house.limits, watch=house.watch)
    _annotate_route(built, calls)
    fastaroute.mount(built, calls)
    species.mount(built, house.shelf)
    feedback.mount(built, house.desk, house.shelf, house.limits)
    pages.mount(built, lambda: list(house.shelf.current.residents))
    built.include_router(page.router(house.watch))
    _health_routes(built, house)

    @built.get("/metrics", include_in_schema=False)
    def metrics() -> Response:
        return Response(house.watch.metrics.exposition(), headers={"content-type": house.watch.metrics.media_type})

    built.add_exception_handler(RefusedError, partial(_on_refused, house.watch))
    built.add_exception_handler(HTTPException, _on_http)
    built.add_exception_handler(RequestValidationError, _on_parameters)
    built.add_exception_handler(Exception, _on_bug)
    built.add_middleware(
        Gate,
        access=lambda path: ROUTES.get(_template(path), "reader"),
        holders=house.holders,
        limits=house.limits,
        drain=house.drain,
        shed=house.watch.metrics.shed,
    )
    built.add_middleware(_Timed, watch=house.watch)
    return built


def _template(path: str) -> str:
    """The route's template; never the path, a caller may have put anything there."""
    return next((template for pattern, template in _PATTERNS if pattern.match(path)), "other")


def _health_routes(built: FastAPI, house: House) -> None:
    methods = ["GET", "HEAD"]  # some balancers ask for the head alone

    @built.api_route("/livez", methods=methods, include_in_schema=False)
    def alive() -> Response:
        if not house.shelf.looking:
            raise answer.refused("dead", "Not alive", 503, "nothing looks for new generations of the shelf any more")
        return PlainTextResponse("alive\n")

    @built.api_route("/readyz", methods=methods, include_in_schema=False)
    def ready() -> Response:
        if house.drain.begun:
            raise admission.busy("stopping")
        demand(house.shelf)
        return PlainTextResponse("ready\n")


def _annotate_route(built: FastAPI, calls: Calls) -> None:
    @built.post(
        "/v1/annotate",
        tags=["annotate"],
        summary="Annotate sequences",
        response_model=wire.Annotation,
        responses=_PROBLEMS,
        openapi_extra=schema.body(schema.Call),
    )
    async def annotate(request: Request) -> JSONResponse:
        """Annotate up to `serve.max_records` sequences, of one or of several species.

        A record that cannot be annotated gets a problem of its own beside the other records' answers; where none can,
        the call fails. Coordinates are 0-based half-open.
        """
        deadline = time.monotonic() + calls.limits.timeout_seconds
        body = await calls.body(request)
        with calls.inside.enter():
            return await anyio.to_thread.run_sync(partial(_annotate, calls, body, deadline), limiter=calls.threads)


def _annotate(calls: Calls, body: bytes, deadline: float) -> JSONResponse:
    call = admission.parse(body, calls.limits)
    started = time.monotonic()
    with calls.answering(call, deadline) as (events, score):
        results = list(reply.collected(events))
    # Jobs on two engines wait at the same time, so that the stages may add up to more than the clock says.
    calls.watch.stage("post", max(0.0, time.monotonic() - started - sum(score.seconds.values())))
    for result in results:
        if isinstance(result, Refusal):
            calls.refused(result.problem)
        else:
            calls.answered(result.head)
    return _answered(results)


def _answered(results: Sequence[Answer | Refusal]) -> JSONResponse:
    """All results where at least one is an answer; else one problem for all of them."""
    failed = [result.problem for result in results if isinstance(result, Refusal)]
    if len(failed) < len(results):
        return JSONResponse({"results": [formats.as_json(result) for result in results]})
    return problems.together(failed, "records could be annotated")


async def _on_refused(watch: Watch, _: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RefusedError), "registered for RefusedError alone"
    shed(watch, error)
    return problems.response(error.problem)


async def _on_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException), "registered for HTTPException alone"
    titles = {404: ("not-found", "Not found"), 405: ("method", "Method not allowed")}
    kind, title = titles.get(error.status_code, ("http", error.detail))
    detail = f"{request.method} is nothing that {request.url.path} answers to; /docs lists what there is"
    response = problems.response(answer.refused(kind, title, error.status_code, detail).problem)
    response.headers.update(error.headers or {})
    return response


async def _on_parameters(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError), "registered for RequestValidationError alone"
    detail = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
    return problems.response(answer.refused(*admission.MALFORMED, detail).problem)


async def _on_bug(_: Request, __: Exception) -> JSONResponse:
    return problems.response(
        answer.refused("internal", "Internal error", 500, "something went wrong inside the service").problem
    )


class _Timed:
    """Tells the watch and the log about every request, under its route's template."""

    def __init__(self, inner: ASGIApp, watch: Watch) -> None:
        self._inner = inner
        self._watch = watch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        started = time.monotonic()
        status = 500

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._inner(scope, receive, note)
        finally:
            route = _template(scope["path"])
            seconds = time.monotonic() - started
            self._watch.record(route, status, seconds)
            level = logging.DEBUG if ROUTES.get(route) == "open" else logging.INFO  # probes come every few seconds
            _LOG.log(level, "%s: %d in %.1f ms", route, status, 1000 * seconds)
