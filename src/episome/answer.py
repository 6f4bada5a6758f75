"""What is asked of records and what comes back: the pieces of an answer with its receipt, or a refusal."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from episome import __version__
from episome.annotate import Feature, Logits, Question, Span, StrandChoice, Window
from episome.drift import Match
from episome.generation import Generation, Resident
from episome.sequence import Normalised, SequenceError
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
class Wish:
    """How records are to be annotated, whatever they are.

    Attributes:
        report: ``calls``: features that reach their threshold, overlapping windows of one task and strand as one;
            ``all``: every window, scored or not.
        strand: leaves out the other strand.
        threshold: instead of the calibrated one, for every task that `thresholds` does not name.
        thresholds: the same by task.
        regions: by record id, sorted and disjoint; None: whole records. A record without one has no windows.
    """

    report: Report = "calls"
    strand: StrandChoice = "both"
    threshold: float | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)
    regions: Mapping[str, Sequence[Span]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskHead:
    """What one task asks of one record.

    Attributes:
        scope: what one score covers.
        threshold: probability from which on a feature is called.
        calibrated_threshold: the bundle's own; another than `threshold` where that was asked for.
        labels: names of the negative and the positive class.
    """

    scope: Scope
    threshold: float
    calibrated_threshold: float
    labels: tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Windows of one task on one record: those that got a score, and those that got none (too many N, too long)."""

    scored: int
    no_call: int


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
class Head:
    """What is known of a record before it is scored."""

    id: str
    species: str
    simulated: bool
    length: int
    normalised: Normalised
    tasks: Mapping[str, TaskHead]
    wish: Wish
    match: Match
    receipt: Receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """What is known of a record once it is scored; `counts` by task."""

    id: str
    counts: Mapping[str, Count]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One annotated record, whole; `features` in the order of the record."""

    head: Head
    features: tuple[Feature, ...]
    tail: Tail


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One record that could not be annotated."""

    id: str | None
    problem: Problem


Event = Head | Feature | Tail | Refusal
"""A record in pieces: its head, its features in order, its tail; or a refusal, in place of head or tail."""


class ScoreError(EpisomeError):
    """A single window could not be scored; its neighbours could."""


Scored = Logits | None | ScoreError
Score = Callable[[Sequence[tuple[Resident, Window]]], Sequence[Scored]]
"""Logits float32[L] for each window; None where it is longer than the model reads."""


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
