"""Problems as answers: RFC 9457, one at a time or several in one."""

from collections.abc import Sequence
from typing import Any, Final

from starlette.responses import JSONResponse

from episome import answer, formats, wire
from episome.answer import Problem

RETRY_AFTER_SECONDS: Final = 2
MEDIA_TYPE: Final = "application/problem+json"
DESCRIBED: Final[dict[str, Any]] = {"model": wire.ProblemDetails, "content": {MEDIA_TYPE: {}}}
"""What OpenAPI says of every problem."""


def response(problem: Problem, *, retry_after: int = RETRY_AFTER_SECONDS, **more: Any) -> JSONResponse:
    """A problem as an answer, with further members; where it passes, with the seconds after which to try again."""
    headers = {"Retry-After": str(retry_after)} if problem.status in (429, 503, 504) else {}
    body = formats.problem_json(problem) | more
    return JSONResponse(body, status_code=problem.status, headers=headers, media_type=MEDIA_TYPE)


def together(problems: Sequence[Problem], what: str) -> JSONResponse:
    """One problem for a call of which nothing could be done: the one they share, or 422 (500) for different ones.

    Args:
        problems: one for each part of the call.
        what: completes "none of the N ...".
    """
    first = problems[0]
    if len(problems) > 1:
        shared = len({problem.type for problem in problems}) == 1
        statuses = {problem.status for problem in problems}
        # Of different ones ours comes first: a caller must not take our failure for a fault of the records.
        ours = 500 if 500 in statuses else 422
        status = first.status if len(statuses) == 1 else ours
        kind, title = (first.type, first.title) if shared else (f"{answer.URN}no-answer", f"No {what}")
        detail = f"none of the {len(problems)} {what}; the first: {first.detail}"
        first = Problem(type=kind, title=title, status=status, detail=detail)
    return response(first, errors=[formats.problem_json(problem) for problem in problems])
