"""Ask a running service from Python: `Client(url).annotate(path, species="human")`."""

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import httpx
from pydantic import ValidationError

from episome import fasta
from episome.answer import URN, Report
from episome.fasta import Record
from episome.types import EpisomeError
from episome.wire import Annotation, AnswerOut, ProblemDetails, RefusalOut

_AGAIN: Final = frozenset({429, 503})
_OF_THE_CALL: Final = frozenset({"unknown-species", "unknown-task"})  # what no record can help
_OK: Final = 200


class ServiceError(EpisomeError):
    """The service refused a whole call, could not be reached, or answered what it never would.

    Attributes:
        problem: what it said; None where it did not say.
    """

    def __init__(self, message: str, problem: ProblemDetails | None = None) -> None:
        super().__init__(message)
        self.problem = problem


class Client:
    """One service; a context manager, or to be closed."""

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        timeout: float = 60.0,
        patience: float = 120.0,
        most_records: int = 64,
        most_bases: int = 200_000,
    ) -> None:
        """Know where it is; nothing is sent yet.

        Args:
            url: of the service, as ``http://127.0.0.1:3000``.
            key: API key, where it asks for one.
            timeout: seconds that one answer may take.
            patience: seconds for which one call is sent anew while the service has no room (429, 503), each time after
                what its ``Retry-After`` says.
            most_records: in one call; `serve.max_records` of the service or fewer.
            most_bases: in one call of several records; fewer than `serve.max_body_bytes`.
        """
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout)
        self._patience = patience
        self._most_records = most_records
        self._most_bases = most_bases

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def annotate(
        self,
        source: Path | Iterable[Record],
        *,
        species: str,
        tasks: Sequence[str] | None = None,
        report: Report = "calls",
    ) -> Iterator[AnswerOut | RefusalOut]:
        """Annotate FASTA of any length, in as many calls as that takes: a result a record, in order.

        Coordinates are 0-based half-open. A record that cannot be annotated gives its problem and costs the others
        nothing.

        Args:
            source: a FASTA file, plain or gzip, or records (`fasta.read` gives those of a stream).
            species: whose adapter answers.
            tasks: what is asked; None: all that the species answers.
            report: ``calls``: what reaches its threshold; ``all``: every window.

        Raises:
            FastaError: the file is not FASTA; results of records before the fault have been given.
            ServiceError: the whole call was refused, or the service was not reached.
        """
        records = fasta.read(source) if isinstance(source, Path) else source
        asked: dict[str, Any] = {"species": species, "report": report}
        if tasks is not None:
            asked["tasks"] = list(tasks)
        for group in self._groups(records):
            yield from self._annotated(asked, group)

    def species(self) -> dict[str, Any]:
        """What ``GET /v1/species`` says: who is served, at which version, with which tasks.

        Raises:
            ServiceError: the call was refused, or the service was not reached.
        """
        found: dict[str, Any] = self._asked("GET", "/v1/species").json()
        return found

    def _annotated(self, asked: dict[str, Any], group: Sequence[Record]) -> list[AnswerOut | RefusalOut]:
        records = [{"id": each.id, "sequence": each.sequence} for each in group]
        try:
            response = self._asked("POST", "/v1/annotate", json={**asked, "records": records})
        except ServiceError as error:
            problem = error.problem
            if problem is None or not problem.errors or problem.type.removeprefix(URN) in _OF_THE_CALL:
                raise
            # No record of the call could be annotated: each has a problem of its own.
            return [RefusalOut(id=each.record, status="error", problem=each) for each in problem.errors]
        try:
            return Annotation.model_validate_json(response.content).results
        except ValidationError as error:
            raise ServiceError(f"{response.url} answered what is no annotation: {error}") from error

    def _asked(self, method: str, path: str, **more: Any) -> httpx.Response:
        """The answer to a call that went well, sent anew while there is no room."""
        end = time.monotonic() + self._patience
        while True:
            try:
                response = self._http.request(method, path, **more)
            except httpx.HTTPError as error:
                raise ServiceError(f"{self._http.base_url}{path} was not answered: {error!r}") from error
            if response.status_code == _OK:
                return response
            wait = float(response.headers.get("retry-after", "1"))
            if response.status_code not in _AGAIN or time.monotonic() + wait > end:
                raise _refused(response)
            time.sleep(wait)

    def _groups(self, records: Iterable[Record]) -> Iterator[list[Record]]:
        """Records in calls of at most so many, and of at most so many bases unless a single one has more."""
        group: list[Record] = []
        bases = 0
        for record in records:
            if group and (len(group) >= self._most_records or bases + len(record.sequence) > self._most_bases):
                yield group
                group, bases = [], 0
            group.append(record)
            bases += len(record.sequence)
        if group:
            yield group


def _refused(response: httpx.Response) -> ServiceError:
    where = f"{response.request.method} {response.url}"
    try:
        problem = ProblemDetails.model_validate_json(response.content)
    except ValidationError:
        return ServiceError(f"{where}: status {response.status_code}, and no problem that Episome would send")
    return ServiceError(f"{where}: {problem.title}: {problem.detail}", problem)
