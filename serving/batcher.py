"""Windows of all calls share runs of the model: a token budget per run, a bounded queue, errors and deadlines per call.

Calls take turns, so a large one does not stand in front of a small one; species mix freely within a run.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from episome.annotate import Window
from episome.answer import Scored, ScoreError
from episome.generation import Resident
from episome.runtime import Engine, Prepared
from episome.serveparams import Serve
from episome.types import EpisomeError

Floats = NDArray[np.float32]

_LOG = logging.getLogger("episome.serving")
_GOING_DOWN = "the service is going down"


class QueueFullError(EpisomeError):
    """More tokens are waiting than the service takes on; try again later."""


class StoppedError(EpisomeError):
    """The service is going down."""


class DeadlineError(EpisomeError):
    """The answer would come later than the call's deadline."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Job:
    """Rows of one call for one engine; `done` gets one `Scored` a row, in order."""

    engine: Engine
    rows: Sequence[tuple[Prepared, int]]
    deadline: float
    put: float
    begun: float
    waiting: deque[int]
    missing: int
    results: list[Scored]
    done: "Future[list[Scored]]" = field(default_factory=Future)

    @property
    def pointless(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.done.cancelled() or time.monotonic() > self.deadline

    def next_rows(self, tokens: int) -> list[int]:
        """The next rows up to that many tokens, at least one."""
        taken: list[int] = []
        while self.waiting and tokens > 0:
            tokens -= len(self.rows[self.waiting[0]][0].ids)
            taken.append(self.waiting.popleft())
        return taken


class Batcher:
    """Scores windows on `threads` threads of its own."""

    def __init__(self, *, threads: int, tokens_per_run: int, queue_tokens: int, queued: Callable[[int], None]) -> None:
        """Start with an empty queue.

        Args:
            threads: calls of an engine at the same time.
            tokens_per_run: tokens of one call of an engine.
            queue_tokens: tokens that may wait before a new call is refused.
            queued: told how many tokens wait whenever that changes.
        """
        self._threads = threads
        self._tokens_per_run = tokens_per_run
        self._queue_tokens = queue_tokens
        self._queued = queued
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="episome-batch")
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._closed = False
        self._queue: deque[_Job] = deque()
        self._waiting = 0
        self._running = 0

    @property
    def full(self) -> bool:
        """Whether a new call would be refused now."""
        return self._waiting >= self._queue_tokens

    def call(self, deadline: float) -> "Call":
        """Take on one call; what comes back is its `score` function.

        Args:
            deadline: `time.monotonic()` after which the function raises DeadlineError.

        Raises:
            QueueFullError: too much is waiting already.
        """
        if self.full:
            raise QueueFullError(f"{self._waiting} tokens are waiting; at most {self._queue_tokens} may")
        return Call(self.submit, deadline)

    def close(self) -> None:
        """Finish what runs, forget what waits, take on nothing more."""
        with self._lock:
            self._closed = True
            jobs, self._queue, self._waiting = list(self._queue), deque(), 0
        for job in jobs:
            if job.done.set_running_or_notify_cancel():
                job.done.set_exception(StoppedError(_GOING_DOWN))
        with self._idle:  # a run that was taken from the queue may not have reached the pool yet
            self._idle.wait_for(lambda: not self._running)
        self._pool.shutdown(wait=True)

    def submit(self, engine: Engine, rows: Sequence[tuple[Prepared, int]], deadline: float) -> _Job:
        """Put prepared rows with their slots in the queue, to be run before the deadline or not at all.

        Raises:
            StoppedError: nothing is taken on any more.
        """
        now = time.monotonic()
        job = _Job(
            engine=engine,
            rows=rows,
            deadline=deadline,
            put=now,
            begun=now,
            waiting=deque(range(len(rows))),
            missing=len(rows),
            results=[None] * len(rows),
        )
        with self._lock:
            if self._closed:
                raise StoppedError(_GOING_DOWN)
            self._queue.append(job)
            self._waiting += _tokens(job, job.waiting)
        self._start()
        return job

    def _start(self) -> None:
        """Begin runs while a thread is free and something waits."""
        while True:
            with self._lock:
                members = self._take() if self._running < self._threads else []
                self._running += bool(members)
                self._queued(self._waiting)  # under the lock: the last number told is the true one
            if not members:
                return
            self._run(members)

    def _take(self) -> list[tuple[_Job, int]]:
        """Rows of the next run: from each waiting call of one engine a fair share of the token budget."""
        members: list[tuple[_Job, int]] = []
        share = max(1, self._tokens_per_run // max(1, len(self._queue)))
        engine: Engine | None = None
        for _ in range(len(self._queue)):
            job = self._queue.popleft()
            if job.pointless:
                self._waiting -= _tokens(job, job.waiting)
                continue
            engine = engine or job.engine
            if job.engine is engine:
                taken = job.next_rows(share)
                self._waiting -= _tokens(job, taken)
                members += [(job, index) for index in taken]
            if job.waiting:
                self._queue.append(job)
        return members

    def _run(self, members: Sequence[tuple[_Job, int]]) -> None:
        now = time.monotonic()
        for job, index in members:
            if index == 0:
                job.begun = now
        run = self._pool.submit(_logits, members)
        run.add_done_callback(partial(self._ended, members))

    def _ended(self, members: Sequence[tuple[_Job, int]], run: "Future[tuple[Floats, Floats]]") -> None:
        """Hand out what a run gave; after a failure each of its rows gets a run of its own, to find the culprit."""
        error = run.exception()
        if error is not None and len(members) > 1:
            with self._lock:
                self._running += len(members) - 1
            for member in members:
                self._run([member])
            return
        if error is not None and not isinstance(error, DeadlineError):
            _LOG.error("a window could not be scored", exc_info=error)
        scored: Iterable[Scored] = run.result()[0] if error is None else [ScoreError("the model failed on a window")]
        with self._lock:
            self._running -= 1
            for (job, index), value in zip(members, scored, strict=True):
                job.results[index] = value
                job.missing -= 1
            finished = [job for job in {id(job): job for job, _ in members}.values() if not job.missing]
            self._idle.notify_all()
        for job in finished:
            if job.done.set_running_or_notify_cancel():
                job.done.set_result(job.results)
        self._start()


def _logits(members: Sequence[tuple[_Job, int]]) -> tuple[Floats, Floats]:
    """Run the model, unless it took so long to come to it that nobody waits for any of the rows."""
    if all(job.pointless for job, _ in members):
        raise DeadlineError("the deadline passed before the run")
    return members[0][0].engine.logits([job.rows[index] for job, index in members])


def chunk_bases(limits: Serve) -> int:
    """Bases of windows to hand to a `Call` at a time: a run for every thread, at four to five bases a token."""
    return 4 * limits.tokens_per_run * limits.threads


class Call:
    """One call's `score` function (`episome.answer.Score`), and where its time went.

    Attributes:
        seconds: spent reading sequences (``tokenize``), waiting (``queue``) and in the model (``infer``).
    """

    def __init__(
        self, submit: Callable[[Engine, Sequence[tuple[Prepared, int]], float], _Job], deadline: float
    ) -> None:
        self._submit = submit
        self._deadline = deadline
        self.seconds = {"tokenize": 0.0, "queue": 0.0, "infer": 0.0}

    def __call__(self, windows: Sequence[tuple[Resident, Window]]) -> list[Scored]:
        """Score windows of any mix of species.

        Raises:
            DeadlineError: it would take longer than the call may.
        """
        started = time.monotonic()
        rows: dict[Engine, list[tuple[Prepared, int]]] = {}
        places: dict[Engine, list[int]] = {}
        for index, (resident, window) in enumerate(windows):
            if time.monotonic() > self._deadline:
                raise DeadlineError("the deadline passed while the sequences were read")
            prepared = _prepared(resident.engine, window)
            if prepared is not None:
                rows.setdefault(resident.engine, []).append((prepared, resident.adapter.slot))
                places.setdefault(resident.engine, []).append(index)
        self.seconds["tokenize"] += time.monotonic() - started
        jobs = [self._submit(engine, part, self._deadline) for engine, part in rows.items()]
        results: list[Scored] = [None] * len(windows)
        for job in jobs:
            for index, scored in zip(places[job.engine], self._wait(job, jobs), strict=True):
                results[index] = scored
        return results

    def _wait(self, job: _Job, siblings: Iterable[_Job]) -> list[Scored]:
        try:
            results = job.done.result(timeout=min(max(0.0, self._deadline - time.monotonic()), threading.TIMEOUT_MAX))
        except TimeoutError as error:
            for each in siblings:
                each.done.cancel()
            raise DeadlineError("the deadline passed before the model had answered") from error
        self.seconds["queue"] += job.begun - job.put
        self.seconds["infer"] += time.monotonic() - job.begun
        return results


def _prepared(engine: Engine, window: Window) -> Prepared | None:
    """What the engine reads; None where there is nothing to ask or the window is longer than it takes."""
    if not window.answerable:
        return None
    try:
        return engine.prepare(window.text, window.centre)
    except EpisomeError:  # the text is clean, so it can only be too long
        return None


def _tokens(job: _Job, rows: Iterable[int]) -> int:
    return sum(len(job.rows[index][0].ids) for index in rows)
