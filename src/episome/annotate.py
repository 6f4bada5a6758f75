"""From a sequence to what is scored, and from scores to features: the same for HTTP and the command line.

Coordinates are 0-based half-open on the plus strand, also for features of the minus strand.
"""

import heapq
import itertools
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
StrandChoice = Literal["both", "+", "-"]
Span = tuple[int, int]
"""A stretch of a record: first base, 0-based, and the base after its last."""
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
        text: what the model reads, 5' to 3'; N where the record begins or ends inside a site's window.
        centre: base of `text` that a site's motif starts at; None for the other scopes.
        flags: `edge` where the record begins or ends inside the window; `no_call` where too many bases are N.
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


def plan(
    sequence: str,
    questions: Sequence[Question],
    *,
    strand: StrandChoice = "both",
    regions: Sequence[Span] | None = None,
) -> Iterator[Window]:
    """What must be scored to answer the questions about one record, in the order of the record.

    Ordered by start, end, strand and task. Whole records and sliding windows lie at the same place on both strands;
    sites are looked for on each. Nothing but one window a question and strand is held at a time.

    Args:
        sequence: upper-case A C G T N, at least one base.
        questions: what is asked; each brings its scope, window, motif and strands.
        strand: leaves out windows of the other strand.
        regions: sorted, disjoint and not empty; of the whole record's windows only those that overlap one of them, and
            only the sites that start in one. None: all of them.
    """
    spans = ((0, len(sequence)),) if regions is None else regions
    streams = [_SCOPES[question.task.scope](sequence, question, spans) for question in questions if spans]
    for window in heapq.merge(*itertools.chain.from_iterable(streams), key=_place):
        if strand in ("both", window.strand):
            yield window


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


def _place(window: Window) -> tuple[int, int, Strand, str]:
    return window.start, window.end, window.strand, window.question.task.name


def _whole(sequence: str, question: Question, _: Sequence[Span]) -> list[Iterator[Window]]:
    return [_both(_window(sequence, question, 0, len(sequence)))]


def _sliding(sequence: str, question: Question, spans: Sequence[Span]) -> list[Iterator[Window]]:
    size = _size(question)
    if size > len(sequence):
        return [_both(_window(sequence, question, 0, len(sequence), edge=True))]
    return [_slid(sequence, question, _starts(len(sequence), size, spans))]


def _slid(sequence: str, question: Question, starts: Iterator[int]) -> Iterator[Window]:
    for start in starts:
        yield from _both(_window(sequence, question, start, start + _size(question)))


def _starts(length: int, size: int, spans: Sequence[Span]) -> Iterator[int]:
    """Starts of the windows that overlap a span: every half window, and one that ends with the record."""
    step, last, done = max(1, size // 2), length - size, -1
    for begin, end in spans:
        first = max(done + 1, begin - size + 1, 0)
        for start in (*range(-(-first // step) * step, min(last, end), step), last):
            if first <= start < end:
                yield start
                done = start


def _sites(sequence: str, question: Question, spans: Sequence[Span]) -> list[Iterator[Window]]:
    strands: tuple[Strand, ...] = ("+", "-") if question.task.strands == "both" else ("+",)
    return [_sites_of(strand, sequence, question, spans) for strand in strands]


def _sites_of(strand: Strand, sequence: str, question: Question, spans: Sequence[Span]) -> Iterator[Window]:
    """Sites of one strand, found and ordered on the plus strand."""
    size, motif = _size(question), question.task.motif
    assert motif is not None, "types.Task refuses a site task without a motif"
    before = size // 2
    # Read from its strand, a window has `before` bases ahead of the motif.
    ahead, spelt = (before, motif) if strand == "+" else (size - before - len(motif), reverse_complement(motif))
    for begin, end in spans:
        at = sequence.find(spelt, begin, end + len(spelt) - 1)
        while at >= 0:
            start, stop = at - ahead, at - ahead + size
            inside = sequence[max(0, start) : stop]
            text = "N" * max(0, -start) + inside + "N" * max(0, stop - len(sequence))
            window = _window(text, question, 0, size, edge=len(inside) < size)
            read = text if strand == "+" else reverse_complement(text)
            yield replace(window, start=at, end=at + len(motif), strand=strand, text=read, centre=before)
            at = sequence.find(spelt, at + 1, end + len(spelt) - 1)


_SCOPES: Final[Mapping[Scope, Callable[[str, Question, Sequence[Span]], list[Iterator[Window]]]]] = {
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
