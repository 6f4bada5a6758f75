"""`POST /v1/feedback`: curated labels, held to what training rows are held to, and kept in one file.

Nothing that answers reads that file: what is served changes by `episome promote` alone.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Literal

import anyio.to_thread
from fastapi import FastAPI
from pydantic import JsonValue, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse

from episome import answer, contract, feedback, formats, serveparams
from episome.answer import Problem, RefusedError, refused
from episome.contract import Rule
from episome.feedback import Label, Outcome
from episome.generation import Generation
from episome.limits import Check
from episome.params import Params
from episome.sequence import SequenceError, n_share, normalise
from episome.serveparams import Serve
from episome.types import Task
from serving import admission, problems, schema
from serving.shelf import Shelf

_LOG = logging.getLogger("episome.serving")
_ROOM = 16
_WRITERS = 2  # sqlite takes one at a time
_FULL = 507
_SHOWN = 80
_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    400: {**problems.DESCRIBED, "description": "The body is not JSON in UTF-8."},
    404: {**problems.DESCRIBED, "description": "`serve.feedback` is off, or no row names a species that is served."},
    413: {**problems.DESCRIBED, "description": "The body is too big, or has too many rows."},
    422: {**problems.DESCRIBED, "description": "A field is unknown or wrong, or no row could be one of training."},
    503: {**problems.DESCRIBED, "description": "Busy, or the file of labels cannot be written; nothing was stored."},
    507: {**problems.DESCRIBED, "description": "The file of labels has the size it may have; nothing was stored."},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Where curated labels are handed in, and what a training row must be.

    Attributes:
        store: the file and its limits.
        ambiguous: policy for IUPAC codes.
        max_n_share: with more N than this a row would be dropped on its way into training.
        check: limits of the data gate.
        max_tokens: the longest run of the model.
    """

    store: serveparams.Feedback
    ambiguous: Literal["n", "error"]
    max_n_share: float
    check: Check
    max_tokens: int


def desk(known: Params) -> Desk | None:
    """The desk that params.yaml describes; None where ``serve.feedback`` is null."""
    if known.serve.feedback is None:
        return None
    return Desk(
        store=known.serve.feedback,
        ambiguous=known.windows.ambiguous,
        max_n_share=known.windows.max_n_share,
        check=known.check,
        max_tokens=known.export.max_tokens,
    )


def mount(app: FastAPI, at: Desk | None, shelf: Shelf, limits: Serve) -> None:
    """Take labels at `at`, for the species on the shelf."""
    # Apart from those of annotation, so that neither can keep the other out.
    inside = admission.Turnstile(_ROOM)
    threads = anyio.CapacityLimiter(_WRITERS)

    @app.post(
        "/v1/feedback",
        tags=["feedback"],
        summary="Hand in curated labels",
        response_model=schema.Taken,
        responses=_RESPONSES,
        openapi_extra=schema.body(schema.Feedback),
    )
    async def hand_in(request: Request) -> JSONResponse:
        """Hand in up to `serve.feedback.max_rows` labels that somebody stands for; each is judged for itself.

        They are **stored, sequences included**, until the lab deletes the file, and wait for `episome feedback export`
        and a retrain: no answer changes by them. What its curator said before is `known` and not stored again. What
        contradicts another label of the same sequence is stored and says so. The same sequence means on either strand,
        unless the task has `strands: forward`. The service does not check who a curator is.
        """
        if at is None:
            detail = "no curated labels are taken here: serve.feedback in params.yaml is null"
            raise refused("feedback-off", "Feedback is off", 404, detail)
        if not shelf.ready:
            raise refused("not-ready", "Not ready", 503, "no generation of the shelf is loaded yet")
        with inside.enter():
            body = await admission.read_body(request, limits)
            return await anyio.to_thread.run_sync(partial(_take, body, at, shelf, limits), limiter=threads)


def _take(body: bytes, at: Desk, shelf: Shelf, limits: Serve) -> JSONResponse:
    rows = admission.read(schema.Feedback, body).rows
    if len(rows) > at.store.max_rows:
        most = f"at most {at.store.max_rows} are taken in a call (serve.feedback.max_rows)"
        raise refused(*admission.TOO_BIG, f"{len(rows)} rows came; {most}")
    with shelf.lease() as held:
        judged = [_judged(f"row {number}", value, held, at) for number, value in enumerate(rows, start=1)]
    good = [each for each in judged if isinstance(each, Label)]
    if not good:
        return problems.together([each for each in judged if isinstance(each, Problem)], "rows could be taken")
    outcomes = iter(_stored(good, at.store, limits.timeout_seconds))
    told = [
        _told(each, next(outcomes)) if isinstance(each, Label) else _refusal(each)  # outcomes: one a label, in order
        for each in judged
    ]
    return JSONResponse({"results": [{"row": number, **each} for number, each in enumerate(told, start=1)]})


def _stored(labels: Sequence[Label], store: serveparams.Feedback, seconds: float) -> list[Outcome]:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        return feedback.append(store.file, labels, received=now, max_bytes=store.max_store_bytes, timeout=seconds)
    except feedback.BusyError as error:
        raise admission.busy("busy") from error
    except feedback.FullError as error:
        detail = "the file of labels takes no more (serve.feedback.max_store_bytes); nothing was stored"
        raise refused("feedback-full", "Full", _FULL, detail) from error
    except feedback.FeedbackError as error:
        _LOG.error("feedback: %s", error)
        detail = "the file of labels cannot be written; nothing was stored, and the service's log says why"
        raise refused("feedback-store", "Not stored", 503, detail) from error


def _told(label: Label, outcome: Outcome) -> dict[str, Any]:
    return {
        "status": "known" if outcome.known else "stored",
        "id": outcome.id,
        "sequence_sha256": label.key,
        "contradiction": bool(outcome.contradicts),
        "contradicts": list(outcome.contradicts),
    }


def _refusal(problem: Problem) -> dict[str, Any]:
    return {"status": "error", "problem": formats.problem_json(problem)}


def _judged(place: str, value: JsonValue, held: Generation, at: Desk) -> Label | Problem:
    """A row as the label it is, or why it is none."""
    try:
        return _label(place, schema.CuratedLabel.model_validate(value, strict=True), held, at)
    except ValidationError as error:
        return refused(*admission.MALFORMED, f"{place}: {admission.told(error)}", place).problem
    except SequenceError as error:
        return answer.no_sequence(error, place)
    except RefusedError as error:
        return error.problem


def _label(place: str, row: schema.CuratedLabel, held: Generation, at: Desk) -> Label:
    _, (question,) = answer.asked_of(row.species, [row.task], held, place)
    task = question.task
    if row.label not in task.labels:
        wanted = " or ".join(map(repr, task.labels))
        detail = f"{place}: label {row.label[:_SHOWN]!r}; wanted, for task {task.name}: {wanted}"
        raise refused("unknown-label", "Unknown label", 422, detail, place)
    if row.receipt is not None and row.receipt.adapter.species != row.species:
        came = row.receipt.adapter.species[:_SHOWN]
        detail = f"{place}: the receipt is of an answer for {came!r}; wanted: one for {row.species!r}"
        raise refused("receipt", "Another species' receipt", 422, detail, place)
    sequence = normalise(row.sequence, at.ambiguous).sequence
    _check(place, sequence, task, at)
    return Label(
        species=row.species,
        task=task.name,
        sequence=sequence,
        key=feedback.key(sequence, task),
        label=task.labels.index(row.label),
        name=row.label,
        curator=row.curator,
        note=row.note or "",
        receipt=json.dumps(row.receipt.model_dump(), sort_keys=True) if row.receipt else "",
    )


def _check(place: str, sequence: str, task: Task, at: Desk) -> None:
    """Hold a sequence to the contract of training rows.

    Raises:
        RefusedError: it could be no row of this task.
    """
    broken = contract.broken(sequence, contract.sequence_rules(task, at.check, at.max_tokens))
    # Of a window of another length nobody knows where its centre was meant to be.
    for rule in sorted(broken, key=lambda rule: rule.column != "bases"):
        detail = f"{place}: {_came(rule, sequence, task)}; wanted, for task {task.name}: {rule.wanted}"
        raise refused("contract", "Not a row of training", 422, detail, place)
    if (share := n_share(sequence)) > at.max_n_share:
        most = f"at most {at.max_n_share:.1%} (windows.max_n_share)"
        raise refused("contract", "Not a row of training", 422, f"{place}: {share:.1%} is N; wanted: {most}", place)


def _came(rule: Rule, sequence: str, task: Task) -> str:
    if rule.column == "bases":
        return f"{len(sequence)} bases"
    if rule.column == "n_share":
        return f"{n_share(sequence):.1%} is N"
    start = (task.window or 0) // 2
    return f"{sequence[start : start + len(task.motif or '')]} at base {start}, counted from 0"
