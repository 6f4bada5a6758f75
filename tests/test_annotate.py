"""Windows are planned from the scope alone, and features lie where the windows lay."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from episome.annotate import EDGE, NO_CALL, TOO_LONG, Question, StrandChoice, Window, feature, plan
from episome.card import CalibratedTask
from episome.regions import joined
from episome.sequence import reverse_complement
from episome.types import Scope, Strands

DNA = st.text("ACGTN", min_size=1, max_size=120)


def ask(
    scope: Scope = "window",
    window: int | None = 20,
    motif: str | None = None,
    strands: Strands = "forward",
    threshold: float = 0.5,
    temperature: float = 1.0,
) -> Question:
    task = CalibratedTask(
        name="t",
        scope=scope,
        window=window,
        motif=motif,
        strands=strands,
        labels=("no", "yes"),
        threshold=threshold,
        temperature=temperature,
    )
    return Question(task=task, column=1)


@given(DNA, st.integers(1, 40))
def test_windows_cover_every_base_and_have_the_asked_length(sequence: str, size: int) -> None:
    windows = list(plan(sequence, [ask(window=size)]))
    covered = {base for each in windows for base in range(each.start, each.end)}
    assert covered == set(range(len(sequence)))
    assert all(each.text == sequence[each.start : each.end] for each in windows)
    assert len({(each.start, each.end) for each in windows}) == len(windows)
    if len(sequence) >= size:
        assert {each.end - each.start for each in windows} == {size}
    else:
        assert [each.flags[0] for each in windows] == [EDGE]


def test_windows_step_by_half_and_the_last_ends_with_the_record() -> None:
    starts = [each.start for each in plan("ACGT" * 13, [ask(window=20)])]
    assert starts == [0, 10, 20, 30, 32]


def test_a_record_of_exactly_one_window_is_one_window_and_no_edge() -> None:
    (only,) = plan("A" * 20, [ask(window=20)])
    assert (only.start, only.end, only.flags) == (0, 20, ())


@given(DNA)
def test_the_minus_strand_reads_the_reverse_complement_at_plus_coordinates(sequence: str) -> None:
    for question in (ask(strands="both"), ask("sequence", None, strands="both")):
        windows = list(plan(sequence, [question]))
        plus, minus = windows[::2], windows[1::2]
        assert [(each.start, each.end) for each in minus] == [(each.start, each.end) for each in plus]
        assert [each.text for each in minus] == [reverse_complement(each.text) for each in plus]
        assert {each.strand for each in minus} == {"-"}


@given(DNA)
def test_sites_of_the_minus_strand_are_the_mirrored_sites_of_the_reverse_complement(sequence: str) -> None:
    minus = [each for each in plan(sequence, [ask("site", 10, "GT", "both")]) if each.strand == "-"]
    mirrored = plan(reverse_complement(sequence), [ask("site", 10, "GT")])
    expected = [(len(sequence) - each.end, len(sequence) - each.start, each.text) for each in mirrored]
    assert [(each.start, each.end, each.text) for each in minus] == expected[::-1]
    assert {reverse_complement(sequence[each.start : each.end]) for each in minus} <= {"GT"}


@given(DNA, st.sampled_from(["GT", "AA", "ATG"]), st.integers(6, 30))
def test_every_motif_is_a_site_with_the_motif_at_the_middle(sequence: str, motif: str, size: int) -> None:
    sites = list(plan(sequence, [ask("site", size, motif)]))
    expected = [at for at in range(len(sequence)) if sequence.startswith(motif, at)]
    assert [each.start for each in sites] == expected
    for site in sites:
        assert site.centre == size // 2
        assert len(site.text) == size
        assert site.text[size // 2 : size // 2 + len(motif)] == motif
        assert sequence[site.start : site.end] == motif
        cut = site.start < size // 2 or site.start - size // 2 + size > len(sequence)
        assert (EDGE in site.flags) == cut


def test_a_site_at_either_end_is_padded_with_n_and_flagged() -> None:
    (end,) = plan("AAGT", [ask("site", 6, "GT")])
    assert end.text == "NAAGTN"
    assert (end.start, end.end, end.flags) == (2, 4, (EDGE,))
    (start,) = plan("GTCCCCCC", [ask("site", 6, "GT")])
    assert start.text == "NNNGTC"
    assert (start.start, start.end, start.flags) == (0, 2, (EDGE,))
    (minus,) = plan("ACCCCCCC", [ask("site", 6, "GT", "both")])
    assert minus.text == "GGGGTN"
    assert (minus.start, minus.end, minus.strand, minus.flags) == (0, 2, "-", (EDGE,))


def test_windows_of_many_questions_come_in_the_order_of_the_record() -> None:
    questions = [ask(strands="both"), ask("site", 10, "GT", "both"), ask("sequence", None)]
    found = [(each.start, each.end, each.strand) for each in plan("ACGTTGCAGT" * 9, questions)]
    assert found == sorted(found)
    assert {(0, 90, "+"), (0, 20, "-"), (2, 4, "+")} <= set(found)


SPANS = st.lists(st.tuples(st.integers(0, 119), st.integers(1, 40)), min_size=1, max_size=3)


@given(DNA, SPANS, st.integers(1, 40), st.sampled_from(["both", "+", "-"]))
def test_a_region_has_the_windows_of_the_whole_record_that_overlap_it(
    sequence: str, drawn: list[tuple[int, int]], size: int, strand: StrandChoice
) -> None:
    spans = joined(("r", (start, start + length)) for start, length in drawn if start + length <= len(sequence))
    spans_of = spans.get("r", [])
    questions = [
        ask(window=size, strands="both"),
        ask("sequence", None, strands="both"),
        ask("site", size, "A", "both"),
    ]

    def inside(each: Window) -> bool:
        end = each.start + 1 if each.question.task.scope == "site" else each.end
        return any(each.start < stop and start < end for start, stop in spans_of)

    whole = [each for each in plan(sequence, questions) if inside(each) and strand in ("both", each.strand)]
    assert list(plan(sequence, questions, strand=strand, regions=spans_of)) == whole


def test_more_than_half_n_is_no_call_and_half_is_not() -> None:
    assert [each.answerable for each in plan("N" * 11 + "A" * 9, [ask(window=20)])] == [False]
    assert [each.answerable for each in plan("N" * 10 + "A" * 10, [ask(window=20)])] == [True]


def test_a_whole_record_is_one_window_a_strand() -> None:
    found = [(each.start, each.end, each.strand) for each in plan("ACG", [ask("sequence", None, strands="both")])]
    assert found == [(0, 3, "+"), (0, 3, "-")]


@pytest.mark.parametrize("logit", [-800.0, -2.0, 0.0, 3.0, 800.0])
def test_the_score_is_the_calibrated_probability_of_the_asked_column(logit: float) -> None:
    question = ask(temperature=2.0, threshold=0.5)
    found = feature("r", window(question), np.array([9.0, logit], np.float32))
    expected = 0.5 * (1 + math.tanh(logit / 4))
    assert found.score == pytest.approx(expected, abs=1e-6)
    assert found.called == (logit >= 0)
    assert found.label == ("yes" if found.called else "no")


def test_what_was_not_scored_has_neither_score_nor_label() -> None:
    question = ask()
    silent = feature("r", window(question, flags=(NO_CALL,)), None)
    long = feature("r", window(question), None)
    assert (silent.score, silent.label, silent.called, silent.flags) == (None, None, False, (NO_CALL,))
    assert (long.score, long.label, long.called, long.flags) == (None, None, False, (TOO_LONG, NO_CALL))


def window(question: Question, flags: tuple[str, ...] = ()) -> Window:
    return Window(question=question, start=0, end=20, strand="+", text="A" * 20, flags=flags)
