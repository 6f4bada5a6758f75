"""Runs are shared fairly, errors stay with their row, and nothing waits longer than its deadline."""

import threading
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from episome.annotate import NO_CALL, Question, Window
from episome.answer import ScoreError
from episome.card import CalibratedTask
from episome.generation import Resident
from episome.types import EpisomeError
from serving.batcher import Batcher, DeadlineError, QueueFullError, StoppedError

QUESTION = Question(task=CalibratedTask(name="t", scope="window", window=10, threshold=0.5, temperature=1.0), column=0)


class Echo:
    """An engine whose logits are the first base's code and the slot; tokens are bases."""

    def __init__(self, gate: threading.Event | None = None) -> None:
        self.gate = gate
        self.runs: list[list[tuple[str, int]]] = []
        self.entered = threading.Event()

    def prepare(self, sequence: str, centre: int | None) -> Any:
        if len(sequence) > 50:
            raise EpisomeError("too long")
        return SimpleNamespace(ids=np.zeros(len(sequence), np.int64), text=sequence)

    def logits(self, rows: Sequence[tuple[Any, int]]) -> tuple[Any, Any]:
        self.runs.append([(prepared.text, slot) for prepared, slot in rows])
        self.entered.set()
        if self.gate is not None:
            assert self.gate.wait(5)
        if any("N" in prepared.text for prepared, _ in rows):
            raise RuntimeError("this engine chokes on N")
        return np.array([[ord(prepared.text[0]), slot] for prepared, slot in rows], np.float32), None


def resident(engine: Echo, slot: int = 0) -> Resident:
    return cast(Resident, SimpleNamespace(engine=engine, adapter=SimpleNamespace(slot=slot)))


def window(text: str, flags: tuple[str, ...] = ()) -> Window:
    return Window(question=QUESTION, start=0, end=len(text), strand="+", text=text, flags=flags)


def prepared(engine: Echo, *texts: str) -> list[tuple[Any, int]]:
    return [(engine.prepare(text, None), 0) for text in texts]


def make(**changes: Any) -> Batcher:
    return Batcher(**{"threads": 1, "tokens_per_run": 40, "queue_tokens": 100, "queued": lambda _: None, **changes})


def soon() -> float:
    return time.monotonic() + 5


def scores(results: Sequence[Any]) -> list[tuple[str, int]]:
    return [(chr(int(row[0])), int(row[1])) for row in results]


def test_results_come_in_the_order_asked_across_species_and_engines() -> None:
    one, other = Echo(), Echo()
    asked = [(resident(engine, slot), window(base * 9)) for base in "ACGT" for engine, slot in ((one, 1), (other, 2))]
    batcher = make(threads=2)
    found = batcher.call(soon())(asked)
    assert scores(found) == [(base, slot) for base in "ACGT" for slot in (1, 2)]
    assert {slot for run in one.runs for _, slot in run} == {1}
    batcher.close()


def test_species_of_one_engine_share_a_run() -> None:
    engine = Echo()
    batcher = make()
    batcher.call(soon())([(resident(engine, slot), window("ACGT")) for slot in (1, 2, 3)])
    assert engine.runs == [[("ACGT", 1), ("ACGT", 2), ("ACGT", 3)]]
    batcher.close()


def test_a_run_keeps_to_the_token_budget_but_takes_at_least_one_row() -> None:
    engine = Echo()
    batcher = make(tokens_per_run=20)
    batcher.call(soon())([(resident(engine), window("A" * size)) for size in (10, 10, 10, 30, 5)])
    assert [[len(text) for text, _ in run] for run in engine.runs] == [[10, 10], [10, 30], [5]]
    batcher.close()


def test_a_large_call_does_not_stand_in_front_of_a_small_one() -> None:
    gate = threading.Event()
    engine = Echo(gate)
    batcher = make(queue_tokens=10_000)
    answers: dict[str, Any] = {}

    def call(name: str, *windows: Window) -> threading.Thread:
        thread = threading.Thread(
            target=lambda: answers.setdefault(name, batcher.call(soon())([(resident(engine), w) for w in windows]))
        )
        thread.start()
        return thread

    large = call("large", *[window("A" * 10)] * 40)
    assert engine.entered.wait(5)
    small = call("small", window("C" * 10))
    wait_for(lambda: len(batcher._queue) == 2)
    gate.set()
    for thread in (large, small):
        thread.join(5)
    texts = [{text[0] for text, _ in run} for run in engine.runs]
    assert "C" in texts[1]
    assert scores(answers["small"]) == [("C", 0)]
    assert scores(answers["large"]) == [("A", 0)] * 40
    batcher.close()


def test_a_row_that_fails_is_alone_in_failing() -> None:
    engine = Echo()
    batcher = make()
    found = batcher.call(soon())([(resident(engine), window(text)) for text in ("AAA", "CNC", "GGG")])
    assert isinstance(found[1], ScoreError)
    assert "chokes" not in str(found[1])
    assert scores([found[0], found[2]]) == [("A", 0), ("G", 0)]
    assert scores(batcher.call(soon())([(resident(engine), window("TTT"))])) == [("T", 0)]
    batcher.close()


def test_what_cannot_be_asked_is_none_and_reaches_no_engine() -> None:
    engine = Echo()
    batcher = make()
    asked = [(resident(engine), window("A" * 51)), (resident(engine), window("ACG", (NO_CALL,)))]
    assert batcher.call(soon())(asked) == [None, None]
    assert engine.runs == []
    batcher.close()


def test_a_full_queue_refuses_new_calls_only() -> None:
    gate = threading.Event()
    engine = Echo(gate)
    waiting: list[int] = []
    batcher = make(tokens_per_run=10, queue_tokens=30, queued=waiting.append)
    first = batcher.call(soon())
    thread = threading.Thread(target=first, args=([(resident(engine), window("A" * 10))] * 5,))
    thread.start()
    wait_for(lambda: batcher.full)
    with pytest.raises(QueueFullError, match="40 tokens are waiting; at most 30 may"):
        batcher.call(soon())
    gate.set()
    thread.join(5)
    assert not batcher.full
    assert first([(resident(engine), window("C"))])
    assert max(waiting) == 40
    assert waiting[-1] == 0
    batcher.close()


def test_a_call_past_its_deadline_is_given_up_and_leaves_the_queue() -> None:
    gate = threading.Event()
    engine = Echo(gate)
    batcher = make(tokens_per_run=10)
    late = batcher.call(time.monotonic() + 0.05)
    with pytest.raises(DeadlineError):
        late([(resident(engine), window("A" * 10))] * 3)
    gate.set()
    assert scores(batcher.call(soon())([(resident(engine), window("C"))])) == [("C", 0)]
    assert batcher._waiting == 0
    assert [run[0][0][0] for run in engine.runs] == ["A", "C"]
    with pytest.raises(DeadlineError):
        batcher.call(time.monotonic() - 1)([(resident(engine), window("A"))])
    batcher.close()


def test_work_that_is_past_its_deadline_is_never_run() -> None:
    gate = threading.Event()
    engine = Echo(gate)
    batcher = make(tokens_per_run=10)
    first = threading.Thread(target=batcher.call(soon()), args=([(resident(engine), window("A" * 10))],))
    first.start()
    assert engine.entered.wait(5)
    # Nobody cancels it: who asked may be held up just when the run before it ends.
    late = batcher.submit(cast(Any, engine), prepared(engine, "C" * 10, "C" * 10), time.monotonic() + 0.01)
    time.sleep(0.02)
    good = batcher.submit(cast(Any, engine), prepared(engine, "G" * 10), soon())
    gate.set()
    first.join(5)
    assert scores(good.done.result(5)) == [("G", 0)]
    assert [run[0][0][0] for run in engine.runs] == ["A", "G"]
    assert not late.done.done()
    assert batcher._waiting == 0
    batcher.close()


def test_rows_of_a_failed_run_are_not_tried_one_by_one_after_their_deadline() -> None:
    gate = threading.Event()
    engine = Echo(gate)
    batcher = make()
    rows = prepared(engine, "AAA", "CNC", "GGG")
    job = batcher.submit(cast(Any, engine), rows, time.monotonic() + 0.05)
    assert engine.entered.wait(5)
    time.sleep(0.06)
    gate.set()
    assert all(isinstance(each, ScoreError) for each in job.done.result(5))
    assert len(engine.runs) == 1
    batcher.close()


def test_a_call_tells_where_its_time_went() -> None:
    batcher = make()
    call = batcher.call(soon())
    call([(resident(Echo()), window("ACGT"))])
    assert set(call.seconds) == {"tokenize", "queue", "infer"}
    assert all(seconds >= 0 for seconds in call.seconds.values())
    assert call.seconds["infer"] > 0
    batcher.close()


def test_closing_forgets_what_waits() -> None:
    gate = threading.Event()
    engine = Echo(gate)
    batcher = make(tokens_per_run=10)
    outcome: list[BaseException] = []

    def call() -> None:
        with pytest.raises(StoppedError) as caught:
            batcher.call(soon())([(resident(engine), window("A" * 10))] * 2)
        outcome.append(caught.value)

    thread = threading.Thread(target=call)
    thread.start()
    assert engine.entered.wait(5)
    threading.Timer(0.05, gate.set).start()
    batcher.close()
    thread.join(5)
    assert [str(each) for each in outcome] == ["the service is going down"]


def test_after_closing_nothing_is_taken_on() -> None:
    batcher = make()
    call = batcher.call(soon())
    batcher.close()
    with pytest.raises(StoppedError, match="going down"):
        call([(resident(Echo()), window("A"))])


def test_closing_waits_for_a_run_that_has_not_reached_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    batcher = make()
    honest, closing = batcher._run, threading.Event()

    def late(members: Any) -> None:
        assert closing.wait(5)
        time.sleep(0.05)
        honest(members)

    monkeypatch.setattr(batcher, "_run", late)
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.extend(batcher.call(soon())([(resident(Echo()), window("A"))])))
    thread.start()
    wait_for(lambda: batcher._running == 1)
    closing.set()
    batcher.close()
    thread.join(5)
    assert scores(answers) == [("A", 0)]


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)
