"""`POST /v1/annotate/fasta`: FASTA in, lines out as they are made, with the bytes that `episome annotate` writes."""

import gzip
import io
import time
import zlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from functools import partial
from typing import Annotated, Any, Final

import anyio.to_thread
from fastapi import FastAPI, Query
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from episome import answer, fasta, formats
from episome.answer import Event, Head, Problem, Refusal, RefusedError, Report, Tail
from episome.fasta import FastaError
from episome.formats import Format
from episome.packed import MAGIC
from episome.serveparams import Serve
from serving import admission, problems, schema
from serving.calls import Calls, shed

MEDIA: Final[dict[str, Format]] = {
    "text/x-gff3": "gff3",
    "text/x-bed": "bed",
    "text/x-bedgraph": "bedgraph",
    "text/tab-separated-values": "tsv",
    "application/x-ndjson": "jsonl",
}
"""What `Accept` may name; the first is given where several are equally wanted, or nothing is said."""

_BLOCK = 2**16
_TEXT: Final[dict[str, Any]] = {"schema": {"type": "string"}}
_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "text/x-fasta": {
                "schema": {"type": "string", "examples": [">seq1\nGCGGGCTATAAAAGGCGCAGGTAAGTCCGATTTGACC\n"]}
            },
            "application/gzip": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The features, a line each.", "content": dict.fromkeys(MEDIA, _TEXT)},
    **{
        status: {**problems.DESCRIBED, "description": description}
        for status, description in {
            400: "The body is not FASTA.",
            404: "No such species is served.",
            406: "`Accept` names no format that there is.",
            413: "The body is too big, packed or not, or has too many or too long records.",
            422: "A parameter is unknown or wrong, or no record is a nucleotide sequence.",
            503: "Busy, or nothing to answer from yet; `Retry-After` says when to try again.",
            504: "The answer would have come after the deadline.",
        }.items()
    },
}


class Asking(BaseModel):
    """What stands in the query."""

    model_config = ConfigDict(extra="forbid")

    species: Annotated[str, Field(description="Species whose adapter answers.", examples=["human_sim"])]
    tasks: Annotated[str | None, Field(description="Tasks with commas between; all of the species' when left out.")] = (
        None
    )
    report: Annotated[
        Report,
        Field(
            description="`calls`: what reaches its threshold, overlapping windows of a task as one; `all`: every "
            "window."
        ),
    ] = "calls"


def mount(built: FastAPI, calls: Calls) -> None:
    """Add the route."""

    @built.post(
        "/v1/annotate/fasta",
        tags=["annotate"],
        summary="Annotate a FASTA file",
        response_class=Response,
        responses=_RESPONSES,
        openapi_extra=_BODY,
    )
    async def annotate_fasta(request: Request, asking: Annotated[Asking, Query()]) -> Response:
        """Annotate a FASTA file, plain or gzip, with the lines that `episome annotate` writes.

        `Accept` says which: GFF3 (where nothing is said), BED, bedGraph, TSV or JSON lines. Coordinates are 0-based
        half-open, in GFF3 1-based and closed. A record that cannot be annotated is named in a comment, or in a line of
        its own in JSON lines; where none can, the call fails. The answer is sent as it is made: where it cannot be
        finished, its last line says why, and the connection is cut.
        """
        deadline = time.monotonic() + calls.limits.timeout_seconds
        media = chosen(request.headers.get("accept", "*/*"))
        body = await calls.body(request)
        with ExitStack() as stack:
            stack.enter_context(calls.inside.enter())
            begin = partial(_begin, calls, body, asking, MEDIA[media], deadline)
            begun = await anyio.to_thread.run_sync(begin, limiter=calls.threads)
            if isinstance(begun, Response):
                return begun
            return _Streamed(calls, begun, media, stack.pop_all())


def chosen(accept: str) -> str:
    """The media type that an `Accept` header wants most (RFC 9110, 12.5.1).

    Raises:
        RefusedError: 406 it wants none of ours.
    """
    ranges = dict(_range(each) for each in accept.lower().split(",") if each.strip())
    wanted = {media: _weight(media, ranges) for media in MEDIA}
    best = max(wanted, key=wanted.__getitem__)  # the first of equals
    if not wanted[best]:
        detail = f"nothing that Accept names can be given; there is: {', '.join(MEDIA)}"
        raise answer.refused("accept", "Not acceptable", 406, detail)
    return best


def _range(text: str) -> tuple[str, float]:
    name, *parameters = (each.strip() for each in text.split(";"))
    weight = next((each[2:] for each in parameters if each.startswith("q=")), "1")
    try:
        return name, float(weight)
    except ValueError:
        return name, 0.0


def _weight(media: str, ranges: dict[str, float]) -> float:
    """What the narrowest range that covers it says; 0 where none does."""
    return next((ranges[each] for each in (media, f"{media.split('/')[0]}/*", "*/*") if each in ranges), 0.0)


class _Streamed(Response):
    """Blocks of lines as they are made; the room of the call is kept until the last is sent."""

    def __init__(self, calls: Calls, blocks: "_Blocks", media: str, kept: ExitStack) -> None:
        super().__init__(media_type=f"{media}; charset=utf-8")
        del self.headers["content-length"]
        self._calls = calls
        self._blocks = blocks
        self._kept = kept

    async def __call__(self, _: Scope, __: Receive, send: Send) -> None:
        with self._kept, closing(self._blocks):
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            try:
                block: bytes | None = self._blocks.first
                while block is not None:
                    await send({"type": "http.response.body", "body": block, "more_body": True})
                    block = await anyio.to_thread.run_sync(self._blocks.next, limiter=self._calls.threads)
            except RefusedError as error:
                shed(self._calls.watch, error)
                line = self._blocks.told(error.problem)
                await send({"type": "http.response.body", "body": line, "more_body": True})
                return  # without an end, so that nobody takes it for whole
            await send({"type": "http.response.body", "body": b""})


class _Blocks:
    """Lines in blocks, the first of them made at once: what fails until then is a problem with a status of its own."""

    def __init__(self, lines: Generator[str, None, None], kind: Format) -> None:
        self._lines = lines
        self._kind = kind
        self.first = self.next()

    def next(self) -> bytes | None:
        """Some 64 KiB of lines; None after the last."""
        block: list[str] = []
        size = 0
        for line in self._lines:
            block.append(f"{line}\n")
            size += len(line)
            if size >= _BLOCK:
                break
        return "".join(block).encode() if block else None

    def told(self, problem: Problem) -> bytes:
        """A line on why there are no more."""
        refusal = Refusal(id=None, problem=problem)
        (line,) = formats.jsonl([refusal]) if self._kind == "jsonl" else [formats.refusal_comment(refusal)]
        return f"{line}\n".encode()

    def close(self) -> None:
        """Make no more."""
        self._lines.close()


class _NoAnswerError(Exception):
    """None of the records could be annotated."""

    def __init__(self, refusals: Sequence[Refusal]) -> None:
        super().__init__()
        self.problems = [refusal.problem for refusal in refusals]


def _begin(calls: Calls, body: bytes, asking: Asking, kind: Format, deadline: float) -> "_Blocks | Response":
    call = schema.Call(
        species=asking.species,
        tasks=None if asking.tasks is None else asking.tasks.split(","),
        report=asking.report,
        records=_records(body, calls.limits),
    )
    try:
        return _Blocks(_lines(calls, call, kind, deadline), kind)
    except _NoAnswerError as error:
        return problems.together(error.problems, "records could be annotated")


def _records(body: bytes, limits: Serve) -> list[JsonValue]:
    """The records of a body, as those of a JSON call.

    Raises:
        RefusedError: 400 not FASTA; 413 more bases, unpacked, or more records than are taken.
    """
    try:
        plain = body
        if body.startswith(MAGIC):
            plain = gzip.GzipFile(fileobj=io.BytesIO(body)).read(limits.max_body_bytes + 1)
        if len(plain) > limits.max_body_bytes:
            detail = f"unpacked the body is larger than {limits.max_body_bytes} bytes (serve.max_body_bytes)"
            raise answer.refused(*admission.TOO_BIG, detail)
        records: list[JsonValue] = [{"id": r.id, "sequence": r.sequence} for r in fasta.read(io.BytesIO(plain))]
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise answer.refused(
            "not-fasta", "Not FASTA", 400, f"the gzip body is truncated or damaged: {error}"
        ) from error
    except FastaError as error:
        raise answer.refused("not-fasta", "Not FASTA", 400, str(error)) from error
    admission.count(len(records), limits)
    return records


def _lines(calls: Calls, call: schema.Call, kind: Format, deadline: float) -> Generator[str, None, None]:
    with calls.answering(call, deadline) as (events, _):
        yield from formats.WRITERS[kind](_not_only_refused(_told(calls, events)))


def _not_only_refused(events: Iterator[Event]) -> Iterator[Event]:
    refused: list[Refusal] = []
    for event in events:
        if not isinstance(event, Refusal):
            yield from (*refused, event)
            yield from events
            return
        refused.append(event)
    raise _NoAnswerError(refused)


def _told(calls: Calls, events: Iterable[Event]) -> Iterator[Event]:
    """Pass pieces of answers on, and tell of each record."""
    head: Head | None = None
    for event in events:
        match event:
            case Head():
                head = event
            case Tail() if head is not None:
                calls.answered(head)
            case Refusal():
                calls.refused(event.problem)
        yield event
