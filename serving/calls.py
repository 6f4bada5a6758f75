"""What all calls that annotate share: the room there is for them, what answers them, and what is told of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import anyio
from starlette.requests import Request

from episome import answer, reply
from episome.answer import Event, Head, Problem, RefusedError, Wish
from episome.generation import Generation
from episome.sequence import gc
from episome.serveparams import Serve
from monitoring.watch import Watch
from serving import admission, batcher, schema
from serving.batcher import Batcher, Call
from serving.shelf import Shelf

# A call of one short record; there is room for as many calls as could fill the queue with such.
_TOKENS_PER_CALL = 512
_READERS = 2


@dataclass(slots=True, kw_only=True, eq=False)
class Calls:
    """The calls that are being read and answered.

    Attributes:
        shelf: what answers are made from.
        batcher: who runs the model.
        limits: of a call.
        watch: told about every record.
        inside: calls that are being answered.
        reading: calls whose body is being read: apart from those inside, so that callers who send slowly do not keep
            out those who are ready.
        threads: that answers are made on.
    """

    shelf: Shelf
    batcher: Batcher
    limits: Serve
    watch: Watch
    inside: admission.Turnstile = field(init=False)
    reading: admission.Turnstile = field(init=False)
    threads: anyio.CapacityLimiter = field(init=False)

    def __post_init__(self) -> None:
        """Make room by the limits."""
        room = max(self.limits.threads + 1, self.limits.queue_tokens // _TOKENS_PER_CALL)
        self.inside = admission.Turnstile(room)
        self.reading = admission.Turnstile(_READERS * room)
        self.threads = anyio.CapacityLimiter(room)

    async def body(self, request: Request) -> bytes:
        """The body of a call that there is room for.

        Raises:
            RefusedError: 503 not ready, or no room; and as `admission.read_body`.
        """
        demand(self.shelf)
        admission.announced(request, self.limits)
        if self.batcher.full or self.inside.full:
            raise admission.busy("queue-full" if self.batcher.full else "busy")
        with self.reading.enter():
            return await admission.read_body(request, self.limits)

    @contextmanager
    def answering(self, asked: schema.Call, deadline: float) -> Iterator[tuple[Iterator[Event], Call]]:
        """The pieces of the answers to a call, to be taken within the block, and what scores their windows.

        One generation of the shelf answers all of them.

        Raises:
            RefusedError: 503 or 504 for what the batcher raises in the block.
        """
        with self.shelf.lease() as held:
            try:
                score = self.batcher.call(deadline)
                yield self._pieces(asked, held, score), score
            except batcher.QueueFullError as error:
                raise admission.busy("queue-full") from error
            except batcher.StoppedError as error:
                raise admission.busy("stopping") from error
            except batcher.DeadlineError as error:
                detail = f"no answer within {self.limits.timeout_seconds:g} seconds (serve.timeout_seconds); send less"
                raise answer.refused("deadline", "Deadline passed", 504, detail) from error
        for stage, seconds in score.seconds.items():
            self.watch.stage(stage, seconds)

    def _pieces(self, asked: schema.Call, held: Generation, score: Call) -> Iterator[Event]:
        return reply.stream(
            admission.admit(asked, self.limits),
            held,
            score,
            Wish(report=asked.report),
            mismatch_nats=self.limits.mismatch_nats,
            chunk_bases=batcher.chunk_bases(self.limits),
        )

    def answered(self, head: Head) -> None:
        """Tell of a record that was answered."""
        self.watch.observed(
            head.species,
            length=head.length,
            gc=gc(head.normalised.sequence),
            n_share=head.normalised.n / head.length,
            match=head.match,
        )

    def refused(self, problem: Problem) -> None:
        """Tell of a record that was refused."""
        self.watch.metrics.rejected(kind(problem))


def demand(shelf: Shelf) -> None:
    """Refuse what cannot be answered from an empty shelf.

    Raises:
        RefusedError: 503 nothing is loaded yet.
    """
    if not shelf.ready:
        raise answer.refused("not-ready", "Not ready", 503, "no generation of the shelf is loaded yet")


def kind(problem: Problem) -> str:
    """A problem's kind as the metrics spell it."""
    return problem.type.removeprefix(answer.URN).replace("-", "_")


def shed(watch: Watch, error: RefusedError) -> None:
    """Tell of a call that was turned away and may come again."""
    if error.problem.status in (503, 504):
        watch.metrics.shed(kind(error.problem))
