"""Records annotated, whole or piece by piece: the same for HTTP and the command line."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from episome import drift
from episome.annotate import Feature, Question, Span, Window, feature, plan
from episome.answer import (
    Answer,
    Asked,
    Count,
    Event,
    Head,
    Refusal,
    RefusedError,
    Report,
    Score,
    Scored,
    ScoreError,
    Tail,
    TaskHead,
    Wish,
    asked_of,
    no_sequence,
    receipt,
    refused,
)
from episome.generation import Generation, Resident
from episome.sequence import SequenceError, normalise
from episome.stitch import Stitcher

# Records that wait for each other, so that short ones share runs of the model: bases, and windows with their records.
_RECORD_BASES = 200_000
_STEPS = 4096


def collected(events: Iterable[Event]) -> Iterator[Answer | Refusal]:
    """Records put together from their pieces: the features of one are held at a time."""
    head: Head | None = None
    features: list[Feature] = []
    for event in events:
        match event:
            case Head():
                head, features = event, []
            case Feature():
                features.append(event)
            case Tail():
                assert head is not None, "a tail follows its head"
                yield Answer(head=head, features=tuple(features), tail=event)
            case Refusal():
                yield event


def stream(
    asked: Iterable[Asked | Refusal],
    generation: Generation,
    score: Score,
    wish: Wish,
    *,
    mismatch_nats: float,
    chunk_bases: int,
) -> Iterator[Event]:
    """Annotate records, in order and piece by piece; one that is refused does not touch its neighbours.

    Held are the record that is read (and short ones that share its chunk), one chunk of windows, and what
    `stitch.Stitcher` holds; never all windows or features of a record.

    Args:
        asked: the records, of any mix of species; one that was refused already stays so.
        generation: what answers all of them.
        score: runs the model.
        wish: what is reported, and where.
        mismatch_nats: how much better another species must explain a record before it is called a mismatch.
        chunk_bases: bases of windows that are handed to `score` at a time (bounds the memory, not the result).
    """
    for chunk in _chunks(_steps(asked, generation, wish, mismatch_nats), chunk_bases):
        windows = [(step.draft.resident, step.window) for step in chunk if isinstance(step, _Asking)]
        outcomes = iter(score(windows) if windows else ())
        for step in chunk:
            match step:
                case _Asking():
                    yield from step.draft.take(step.window, next(outcomes))
                case _Draft():
                    yield from step.end()
                case _:
                    yield step


@dataclass(slots=True, kw_only=True)
class _Draft:
    """An answer while its windows come in."""

    id: str
    resident: Resident
    report: Report
    counts: dict[str, list[int]]
    stitcher: Stitcher = field(default_factory=Stitcher)
    failed: bool = False

    def take(self, window: Window, outcome: Scored) -> Iterator[Feature]:
        """The features that are certain once this window is answered; none after a failure."""
        if isinstance(outcome, ScoreError):
            self.failed = True
        elif not self.failed:
            found = feature(self.id, window, outcome)
            self.counts[found.task][found.score is None] += 1
            if self.report == "all":
                yield found
            elif found.called:
                yield from self.stitcher.take(found, merge=window.question.task.scope == "window")

    def end(self) -> Iterator[Event]:
        """What is left of the record."""
        if self.failed:
            detail = "the model failed on this record; the service's log says more"
            yield Refusal(id=self.id, problem=refused("not-scored", "Not scored", 500, detail, self.id).problem)
            return
        yield from self.stitcher.rest()
        counts = {task: Count(scored=scored, no_call=not_called) for task, (scored, not_called) in self.counts.items()}
        yield Tail(id=self.id, counts=counts)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asking:
    """A window of a draft."""

    draft: _Draft
    window: Window


_Step = _Asking | _Draft | Head | Refusal
"""A record on its way to be scored: its head, its windows, and its draft where it ends."""


def _steps(
    asked: Iterable[Asked | Refusal], generation: Generation, wish: Wish, mismatch_nats: float
) -> Iterator[_Step]:
    for record in asked:
        if isinstance(record, Refusal):
            yield record
            continue
        try:
            resident, questions = asked_of(record.species, record.tasks, generation, record.id)
            questions = wished(questions, wish)
            clean = normalise(record.sequence)
            regions = _regions(record.id, len(clean.sequence), wish)
        except RefusedError as error:
            yield Refusal(id=record.id, problem=error.problem)
            continue
        except SequenceError as error:
            yield Refusal(id=record.id, problem=no_sequence(error, record.id))
            continue
        yield Head(
            id=record.id,
            species=record.species,
            simulated=resident.adapter.card.simulated,
            length=len(clean.sequence),
            normalised=clean,
            tasks={question.task.name: _task_head(question, resident) for question in questions},
            wish=wish,
            match=drift.match(clean.sequence, record.species, generation.profiles, mismatch_nats),
            receipt=receipt(record.species, resident),
        )
        counts = {question.task.name: [0, 0] for question in questions}
        draft = _Draft(id=record.id, resident=resident, report=wish.report, counts=counts)
        for window in plan(clean.sequence, questions, strand=wish.strand, regions=regions):
            yield _Asking(draft=draft, window=window)
        yield draft


def wished(questions: Sequence[Question], wish: Wish) -> tuple[Question, ...]:
    """The questions with the thresholds that are asked for.

    Raises:
        RefusedError: 422 a threshold is for a task that is not asked, or a task is never read from the strand.
    """
    names = [question.task.name for question in questions]
    if unknown := sorted(wish.thresholds.keys() - set(names)):
        detail = f"a threshold for task {unknown[0]!r}, which is not asked; asked: {', '.join(names)}"
        raise refused("unknown-task", "Unknown task", 422, detail)
    forward = [question.task.name for question in questions if question.task.strands == "forward"]
    if wish.strand == "-" and forward:
        detail = f"strand '-', from which {', '.join(forward)} is never read; leave it out of the tasks"
        raise refused("strand", "No such strand", 422, detail)
    return tuple(replace(each, task=replace(each.task, threshold=_threshold(each, wish))) for each in questions)


def _threshold(question: Question, wish: Wish) -> float:
    everywhere = question.task.threshold if wish.threshold is None else wish.threshold
    return wish.thresholds.get(question.task.name, everywhere)


def _regions(record: str, length: int, wish: Wish) -> Sequence[Span] | None:
    if wish.regions is None:
        return None
    regions = wish.regions.get(record, ())
    if regions and regions[-1][1] > length:
        start, end = regions[-1]
        detail = f"a region covers bases {start + 1} to {end} of record {record!r}, which has {length}"
        raise refused("region", "No such region", 422, detail, record)
    return regions


def _task_head(question: Question, resident: Resident) -> TaskHead:
    task = question.task
    return TaskHead(
        scope=task.scope,
        threshold=task.threshold,
        calibrated_threshold=resident.questions[task.name].task.threshold,
        labels=task.labels,
    )


def _chunks(steps: Iterable[_Step], bases: int) -> Iterator[list[_Step]]:
    """Steps in groups of at most about so many bases of windows, and of few and short records."""
    chunk: list[_Step] = []
    windows = records = 0
    for step in steps:
        chunk.append(step)
        windows += len(step.window.text) if isinstance(step, _Asking) else 0
        records += step.length if isinstance(step, Head) else 0
        if windows >= bases or records >= _RECORD_BASES or len(chunk) >= _STEPS:
            yield chunk
            chunk, windows, records = [], 0, 0
    if chunk:
        yield chunk
