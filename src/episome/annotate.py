"""From a sequence to what is scored, and from scores to features: the same for HTTP and the command line.

Coordinates are 0-based half-open on the plus strand, also for features of the minus strand.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from episome.card import CalibratedTask
from episome.sequence import n_share, reverse_complement
from episome.types import Scope

Strand = Literal["+", "-"]
Logits = NDArray[np.float32]

EDGE: Final = "edge"
NO_CALL: Final = "no_call"
TOO_LONG: Final = "too_long"

_MAX_N_SHARE = 0.5
_DIGITS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A task as one adapter answers it, in which column of its head."""

    task: CalibratedTask
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One stretch of DNA that one question is asked about.

    Attributes:
        question: what is asked.
        start: first base of the feature on the plus strand.
        end: base after the feature's last.
        strand: strand that `text` is read from.
        text: what the model reads, 5' to 3'; N where the record ends inside a site's window.
        centre: base of `text` that a site's motif starts at; None for the other scopes.
        flags: `edge` where the record ends inside the window; `no_call` where too many bases are N.
    """

    question: Question
    start: int
    end: int
    strand: Strand
    text: str
    centre: int | None = None
    flags: tuple[str, ...] = ()

    @property
    def answerable(self) -> bool:
        """Whether the model is asked at all."""
        return NO_CALL not in self.flags


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One answered window.

    Attributes:
        record: id of the record it lies on.
        start: first base, 0-based.
        end: base after the last.
        strand: strand it was read from.
        task: name of the task.
        label: class name of the answer; None where there is none.
        score: calibrated probability of the positive class, 0 to 1; None where there is no answer.
        called: whether `score` reaches the task's threshold.
        flags: any of `edge`, `no_call`, `too_long`.
    """

    record: str
    start: int
    end: int
    strand: Strand
    task: str
    label: str | None
    score: float | None
    called: bool
    flags: tuple[str, ...]


def plan(sequence: str, questions: Sequence[Question]) -> Iterator[Window]:
    """What must be scored to answer the questions about one record, question by question.

    Whole records and sliding windows lie at the same place on both strands; sites are looked for on each.

    Args:
        sequence: upper-case A C G T N, at least one base.
        questions: what is asked; each brings its scope, window, motif and strands.
    """
    for question in questions:
        yield from _SCOPES[question.task.scope](sequence, question)


def feature(record: str, window: Window, logits: Logits | None) -> Feature:
    """The answer for one window of a record.

    Args:
        record: id of the record.
        window: as planned.
        logits: float32[L] of the adapter's head; None where the model was not asked or could not read the window.
    """
    task = window.question.task
    score = label = None
    called = False
    flags = window.flags
    if logits is not None:
        score = round(_sigmoid(float(logits[window.question.column]) / task.temperature), _DIGITS)
        called = score >= task.threshold
        label = task.labels[called]
    elif window.answerable:
        flags = (*flags, TOO_LONG, NO_CALL)
    return Feature(
        record=record,
        start=window.start,
        end=window.end,
        strand=window.strand,
        task=task.name,
        label=label,
        score=score,
        called=called,
        flags=flags,
    )


def _whole(sequence: str, question: Question) -> Iterator[Window]:
    yield from _both(_window(sequence, question, 0, len(sequence)))


def _sliding(sequence: str, question: Question) -> Iterator[Window]:
    size = _size(question)
    last = len(sequence) - size
    if last < 0:
        yield from _both(_window(sequence, question, 0, len(sequence), edge=True))
        return
    for start in (*range(0, last, max(1, size // 2)), last):
        yield from _both(_window(sequence, question, start, start + size))


def _sites(sequence: str, question: Question) -> Iterator[Window]:
    yield from _forward_sites(sequence, question)
    if question.task.strands == "both":
        for window in _forward_sites(reverse_complement(sequence), question):
            start, end = len(sequence) - window.end, len(sequence) - window.start
            yield replace(window, start=start, end=end, strand="-")


def _forward_sites(sequence: str, question: Question) -> Iterator[Window]:
    size, motif = _size(question), question.task.motif
    assert motif is not None, "types.Task refuses a site task without a motif"
    before = size // 2
    at = sequence.find(motif)
    while at >= 0:
        start, end = at - before, at - before + size
        inside = sequence[max(0, start) : end]
        text = "N" * max(0, -start) + inside + "N" * max(0, end - len(sequence))
        window = _window(text, question, 0, size, edge=len(inside) < size)
        yield replace(window, start=at, end=at + len(motif), centre=before)
        at = sequence.find(motif, at + 1)


_SCOPES: Final[Mapping[Scope, Callable[[str, Question], Iterator[Window]]]] = {
    "sequence": _whole,
    "window": _sliding,
    "site": _sites,
}


def _both(window: Window) -> Iterator[Window]:
    """The window, and the same place read from the other strand where the task asks for both."""
    yield window
    if window.question.task.strands == "both":
        yield replace(window, strand="-", text=reverse_complement(window.text))


def _window(sequence: str, question: Question, start: int, end: int, *, edge: bool = False) -> Window:
    text = sequence[start:end]
    flags = ((EDGE,) if edge else ()) + ((NO_CALL,) if n_share(text) > _MAX_N_SHARE else ())
    return Window(question=question, start=start, end=end, strand="+", text=text, flags=flags)


def _size(question: Question) -> int:
    assert question.task.window is not None, "types.Task refuses a window or site task without a window"
    return question.task.window


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
