"""Records answered: refused, or annotated with a receipt; the same for HTTP and the command line."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from episome import __version__, drift
from episome.annotate import Feature, Logits, Question, Window, feature, plan
from episome.drift import Match
from episome.generation import Generation, Resident
from episome.sequence import Normalised, SequenceError, normalise
from episome.types import EpisomeError, Scope

Report = Literal["calls", "all"]

URN = "urn:episome:problem:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why something was refused, in the words of RFC 9457.

    Attributes:
        type: a URI that names the kind of problem.
        title: the kind in words; the same for every case.
        status: HTTP status code.
        detail: this case: what came, what was wanted.
        record: id of the record it is about; None where it is about the whole call.
        position: 1-based position of the wrong character.
        character: that character.
    """

    type: str
    title: str
    status: int
    detail: str
    record: str | None = None
    position: int | None = None
    character: str | None = None


class RefusedError(EpisomeError):
    """A record, or a whole call, that gets a problem instead of an answer."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One record as it came: `tasks` None asks for all tasks of the species."""

    id: str
    sequence: str
    species: str
    tasks: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskAnswer:
    """What one task says about one record.

    Attributes:
        scope: what one score covers.
        threshold: probability from which on a feature is called.
        labels: names of the negative and the positive class.
        scored: windows that got a score.
        no_call: windows that got none (too many N, or too long).
        features: those asked for, by start.
    """

    scope: Scope
    threshold: float
    labels: tuple[str, str]
    scored: int
    no_call: int
    features: tuple[Feature, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterReceipt:
    """Which adapter answered."""

    species: str
    version: str
    bundle: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What an answer was made with; `gate`, `data`, `base` and `adapter.bundle` are sha256."""

    tool: str
    base: str
    adapter: AdapterReceipt
    data: str
    git_commit: str
    gate: str
    provider: str
    coordinate_system: Literal["0-based half-open"] = "0-based half-open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One annotated record."""

    id: str
    species: str
    simulated: bool
    length: int
    normalised: Normalised
    tasks: Mapping[str, TaskAnswer]
    match: Match
    receipt: Receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One record that could not be annotated."""

    id: str | None
    problem: Problem


class ScoreError(EpisomeError):
    """A single window could not be scored; its neighbours could."""


Scored = Logits | None | ScoreError
Score = Callable[[Sequence[tuple[Resident, Window]]], Sequence[Scored]]
"""Logits float32[L] for each window; None where it is longer than the model reads."""


def answer(
    asked: Sequence[Asked | Refusal],
    generation: Generation,
    score: Score,
    *,
    report: Report,
    mismatch_nats: float,
    chunk_bases: int,
) -> list[Answer | Refusal]:
    """Annotate records, in order; one that is refused does not touch its neighbours.

    Args:
        asked: the records, of any mix of species; one that was refused already stays so.
        generation: what answers all of them.
        score: runs the model.
        report: only called features, or every scored window.
        mismatch_nats: how much better another species must explain a record before it is called a mismatch.
        chunk_bases: bases of windows that are handed to `score` at a time (bounds the memory, not the result).
    """
    drafts = [_draft(record, generation) if isinstance(record, Asked) else record for record in asked]
    good = [draft for draft in drafts if isinstance(draft, _Draft)]
    for batch in _chunks(good, chunk_bases):
        outcomes = score([(draft.resident, window) for draft, window in batch])
        for (draft, window), outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, ScoreError):
                draft.failed = True
            elif not draft.failed:
                draft.take(window, outcome, report)
    return [_finish(draft, generation, mismatch_nats) if isinstance(draft, _Draft) else draft for draft in drafts]


def refused(kind: str, title: str, status: int, detail: str, record: str | None = None) -> RefusedError:
    """A refusal of the named kind."""
    return RefusedError(Problem(type=f"{URN}{kind}", title=title, status=status, detail=detail, record=record))


def no_sequence(error: SequenceError, record: str) -> Problem:
    """The problem of a record whose sequence is none."""
    kind, title = ("empty", "Empty sequence") if error.position is None else ("character", "Not a nucleotide")
    return Problem(
        type=f"{URN}{kind}",
        title=title,
        status=422,
        detail=str(error),
        record=record,
        position=error.position,
        character=error.character,
    )


def unknown_species(species: str, generation: Generation, record: str | None) -> RefusedError:
    """The refusal of a species that does not answer."""
    reason = generation.withheld.get(species)
    served = ", ".join(sorted(generation.residents)) or "none"
    detail = f"species {species!r} is withheld: {reason}" if reason else f"no species {species!r}; served: {served}"
    return refused("unknown-species", "Unknown species", 404, detail, record)


@dataclass(slots=True, kw_only=True)
class _Draft:
    """An answer while its windows come in."""

    asked: Asked
    resident: Resident
    clean: Normalised
    questions: tuple[Question, ...]
    features: dict[str, list[Feature]] = field(default_factory=dict)
    scored: dict[str, int] = field(default_factory=dict)
    no_call: dict[str, int] = field(default_factory=dict)
    failed: bool = False

    def take(self, window: Window, logits: Logits | None, report: Report) -> None:
        name = window.question.task.name
        found = feature(self.asked.id, window, logits)
        counts = self.scored if found.score is not None else self.no_call
        counts[name] = counts.get(name, 0) + 1
        if found.called or report == "all":
            self.features.setdefault(name, []).append(found)


def asked_of(
    species: str, tasks: Sequence[str] | None, generation: Generation, record: str | None = None
) -> tuple[Resident, tuple[Question, ...]]:
    """Who is asked what: the species and its questions, in the order asked for, or all of them.

    Raises:
        RefusedError: 404 no such species answers; 422 it has no such task.
    """
    if species not in generation.residents:
        raise unknown_species(species, generation, record)
    resident = generation.residents[species]
    for name in tasks or ():
        if name not in resident.questions:
            detail = f"species {species!r} has no task {name!r}; it has: {', '.join(resident.questions)}"
            raise refused("unknown-task", "Unknown task", 422, detail, record)
    wanted = resident.questions if tasks is None else dict.fromkeys(tasks)
    return resident, tuple(resident.questions[name] for name in wanted)


def _draft(asked: Asked, generation: Generation) -> _Draft | Refusal:
    try:
        resident, questions = asked_of(asked.species, asked.tasks, generation, asked.id)
        return _Draft(asked=asked, resident=resident, clean=normalise(asked.sequence), questions=questions)
    except RefusedError as error:
        return Refusal(id=asked.id, problem=error.problem)
    except SequenceError as error:
        return Refusal(id=asked.id, problem=no_sequence(error, asked.id))


def _chunks(drafts: Sequence[_Draft], bases: int) -> Iterator[list[tuple[_Draft, Window]]]:
    chunk: list[tuple[_Draft, Window]] = []
    size = 0
    for draft in drafts:
        for window in plan(draft.clean.sequence, draft.questions):
            chunk.append((draft, window))
            size += len(window.text)
            if size >= bases:
                yield chunk
                chunk, size = [], 0
    if chunk:
        yield chunk


def _finish(draft: _Draft, generation: Generation, mismatch_nats: float) -> Answer | Refusal:
    asked, resident = draft.asked, draft.resident
    if draft.failed:
        detail = "the model failed on this record; the service's log says more"
        return Refusal(id=asked.id, problem=refused("not-scored", "Not scored", 500, detail, asked.id).problem)
    return Answer(
        id=asked.id,
        species=asked.species,
        simulated=resident.adapter.card.simulated,
        length=len(draft.clean.sequence),
        normalised=draft.clean,
        tasks={question.task.name: _task(draft, question) for question in draft.questions},
        match=drift.match(draft.clean.sequence, asked.species, generation.profiles, mismatch_nats),
        receipt=receipt(asked.species, resident),
    )


def _task(draft: _Draft, question: Question) -> TaskAnswer:
    task = question.task
    features = sorted(draft.features.get(task.name, ()), key=lambda f: (f.start, f.end, f.strand))
    return TaskAnswer(
        scope=task.scope,
        threshold=task.threshold,
        labels=task.labels,
        scored=draft.scored.get(task.name, 0),
        no_call=draft.no_call.get(task.name, 0),
        features=tuple(features),
    )


def receipt(species: str, resident: Resident) -> Receipt:
    """What answers for a species: enough to find every part of it again."""
    entry = resident.entry
    return Receipt(
        tool=f"episome {__version__}",
        base=entry.base,
        adapter=AdapterReceipt(species=species, version=entry.version, bundle=entry.bundle),
        data=entry.data,
        git_commit=entry.git_commit,
        gate=entry.gate,
        provider=resident.engine.provider,
    )
