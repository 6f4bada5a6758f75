"""The door: how large a body may be, how many calls may be inside, and what a body says, before any model runs."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from pydantic import BaseModel, JsonValue, ValidationError
from starlette.requests import ClientDisconnect, Request

from episome.answer import Asked, Refusal, RefusedError, refused
from episome.serveparams import Serve
from serving.schema import Call, Record

TOO_BIG = ("too-big", "Too big", 413)
MALFORMED = ("malformed", "Malformed request", 422)

Body = TypeVar("Body", bound=BaseModel)

_MOST_ERRORS = 8
_WORDS = {"extra_forbidden": "unknown field", "missing": "missing field"}


class Turnstile:
    """How many calls are inside; one more than it has room for is turned away."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._inside = 0
        self._lock = threading.Lock()

    @property
    def full(self) -> bool:
        """Whether one more would be turned away now."""
        return self._inside >= self._room

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Be inside for the length of the block.

        Raises:
            RefusedError: 503, there is no room.
        """
        with self._lock:
            if self.full:
                raise busy("busy")
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1


def busy(kind: str) -> RefusedError:
    """The refusal of a call there is no room for."""
    return refused(kind, "Busy", 503, "the service has more calls than it takes on; try again in a moment")


def announced(request: Request, limits: Serve) -> None:
    """Refuse a body for what its headers say of it.

    Raises:
        RefusedError: 413 larger than serve.max_body_bytes; 415 compressed.
    """
    encoding = request.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise refused("encoding", "Unsupported encoding", 415, f"the body is encoded as {encoding!r}; send it plain")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limits.max_body_bytes:
        raise _too_big(limits)


def _too_big(limits: Serve) -> RefusedError:
    return refused(*TOO_BIG, f"the body is larger than {limits.max_body_bytes} bytes (serve.max_body_bytes)")


async def read_body(request: Request, limits: Serve) -> bytes:
    """The body of a request, never more of it than is allowed.

    Raises:
        RefusedError: 413 larger than serve.max_body_bytes, announced or not; 415 compressed; 408 too slow; 400 the
            caller hung up, which is no failure of ours.
    """
    announced(request, limits)
    body = bytearray()
    chunks = request.stream()
    try:
        async with asyncio.timeout(limits.timeout_seconds):
            while (chunk := await asyncio.wait_for(anext(chunks, None), limits.slow_seconds)) is not None:
                body += chunk
                if len(body) > limits.max_body_bytes:
                    raise _too_big(limits)
    except TimeoutError as error:
        whole, part = limits.timeout_seconds, limits.slow_seconds
        detail = f"the body did not arrive within {whole:g} seconds, or nothing of it within {part:g}"
        raise refused("slow", "Too slow", 408, detail) from error
    except ClientDisconnect as error:
        raise refused("gone", "Gone", 400, "the caller hung up before the body had arrived") from error
    return bytes(body)


def read(model: type[Body], body: bytes) -> Body:
    """A body as the model that it should be.

    Raises:
        RefusedError: 400 not JSON in UTF-8; 422 a field is unknown, missing or of the wrong type.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if first["type"] == "json_invalid":
            detail = f"the body is not JSON in UTF-8: {first['ctx']['error']}"
            raise refused("not-json", "Not JSON", 400, detail) from error
        raise refused(*MALFORMED, told(error)) from error


def parse(body: bytes, limits: Serve) -> Call:
    """The call a body holds.

    Raises:
        RefusedError: 400 not JSON in UTF-8; 422 a field is unknown, missing or of the wrong type; 413 too many records.
    """
    call = read(Call, body)
    count(len(call.records), limits)
    return call


def count(records: int, limits: Serve) -> None:
    """Refuse a call of too many records.

    Raises:
        RefusedError: 413 there are more than serve.max_records.
    """
    if records > limits.max_records:
        detail = f"{records} records came; at most {limits.max_records} are taken in a call (serve.max_records)"
        raise refused(*TOO_BIG, detail)


def admit(call: Call, limits: Serve) -> list[Asked | Refusal]:
    """The records of a call in order; each one that cannot be asked as it is gets its refusal."""
    seen: set[str] = set()
    return [_admit(number, value, call, limits, seen) for number, value in enumerate(call.records, start=1)]


def _admit(number: int, value: JsonValue, call: Call, limits: Serve, seen: set[str]) -> Asked | Refusal:
    identifier = value.get("id") if isinstance(value, dict) else None
    name = identifier if isinstance(identifier, str) else None
    try:
        return _asked(Record.model_validate(value, strict=True), call, limits, seen)
    except ValidationError as error:
        detail = f"record {number}: {told(error)}"
        return Refusal(id=name, problem=refused(*MALFORMED, detail, name).problem)
    except RefusedError as error:
        return Refusal(id=name, problem=error.problem)


def _asked(record: Record, call: Call, limits: Serve, seen: set[str]) -> Asked:
    if record.id in seen:
        detail = f"two records of this call have the id {record.id!r}; ids must differ"
        raise refused("duplicate-id", "Duplicate id", 422, detail, record.id)
    seen.add(record.id)
    if len(record.sequence) > limits.max_record_bases:
        detail = (
            f"record {record.id!r} has {len(record.sequence)} bases; at most {limits.max_record_bases} are taken "
            "(serve.max_record_bases)"
        )
        raise refused("too-long", "Too long", 413, detail, record.id)
    species = record.species or call.species
    if species is None:
        detail = f"record {record.id!r} names no species, and neither does the call"
        raise refused(*MALFORMED, detail, record.id)
    tasks = None if call.tasks is None else tuple(call.tasks)
    return Asked(id=record.id, sequence=record.sequence, species=species, tasks=tasks)


def told(error: ValidationError) -> str:
    """What is wrong, field by field; never the values that came, which may be sequences."""
    found = error.errors(include_url=False, include_input=False)[:_MOST_ERRORS]
    return "; ".join(f"{'.'.join(map(str, e['loc'])) or 'body'}: {_WORDS.get(e['type'], e['msg'])}" for e in found)
