"""Curated labels: appended once, flagged where they disagree, never changed, whoever else writes and whatever dies."""

import os
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from episome import feedback
from episome.feedback import BusyError, FeedbackError, FullError, Label, Outcome
from episome.sequence import reverse_complement
from episome.types import Task
from tests.conftest import ROOT
from tests.toy_bundles import dna

EITHER = Task(name="promoter", scope="window", window=60)
FORWARD = Task(name="orf", scope="sequence", strands="forward")
AT = "2026-11-22T12:00:00+00:00"
ROOM = 10_000_000


def label(seed: int = 1, value: int = 1, curator: str = "Ada", task: Task = EITHER, sequence: str = "") -> Label:
    bases = sequence or dna(seed, 60)
    key = feedback.key(bases, task)
    name = task.labels[value]
    return Label(species="fly", task=task.name, sequence=bases, key=key, label=value, name=name, curator=curator)


def append(file: Path, *labels: Label, room: int = ROOM, timeout: float = 20) -> list[Outcome]:
    return feedback.append(file, labels, received=AT, max_bytes=room, timeout=timeout)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "feedback" / "labels.sqlite"


def test_what_was_appended_is_read_in_order_and_by_species(file: Path) -> None:
    said = [replace(label(1), note="seen on a gel", receipt="{}"), label(2, 0), replace(label(3), species="yeast")]
    assert [each.id for each in append(file, *said)] == [1, 2, 3]
    rows = feedback.read(file, "fly")
    assert [(row.id, row.received, row.said) for row in rows] == [(1, AT, said[0]), (2, AT, said[1])]
    assert [row.said for row in feedback.read(file, "yeast")] == said[2:]
    assert feedback.read(file, "yeti") == []
    assert file.stat().st_mode & 0o077 == 0


def test_the_same_by_the_same_curator_is_known_and_by_another_is_stored(file: Path) -> None:
    first, again, other = append(file, label(), label(), label(curator="Bo"))
    assert (first, again) == (Outcome(id=1, known=False, contradicts=()), Outcome(id=1, known=True, contradicts=()))
    assert (other.id, other.known) == (2, False)
    assert append(file, label())[0].known
    assert len(feedback.read(file, "fly")) == 2


def test_a_contrary_label_is_stored_and_flagged_for_both_whoever_says_it(file: Path) -> None:
    yes, no = append(file, label(), label(value=0))
    assert (yes.contradicts, no.contradicts) == ((2,), (1,))
    assert not no.known
    assert append(file, label(value=0, curator="Bo"))[0].contradicts == (1,)
    assert append(file, label())[0] == Outcome(id=1, known=True, contradicts=(2, 3))
    many = [label(value=0, curator=str(n)) for n in range(20)]
    append(file, *many)
    assert append(file, label())[0].contradicts == tuple(range(2, 2 + feedback.MOST_CONTRADICTIONS))


def test_a_sequence_is_the_same_on_the_strands_that_its_task_asks(file: Path) -> None:
    turned = reverse_complement(dna(1, 60))
    assert feedback.key(turned, EITHER) == feedback.key(dna(1, 60), EITHER)
    assert feedback.key(turned, FORWARD) != feedback.key(dna(1, 60), FORWARD)
    append(file, label(), label(task=FORWARD))
    assert append(file, label(sequence=turned))[0].known
    assert append(file, label(sequence=turned, value=0, task=FORWARD))[0].contradicts == ()


def test_counts_are_by_species_task_and_label(file: Path) -> None:
    append(file, label(1), label(1, curator="Bo"), label(2), label(3, 0), label(1, task=FORWARD))
    assert [tuple(count) for count in feedback.counts(file)] == [
        ("fly", "orf", "present", 1, 1, 1),
        ("fly", "promoter", "absent", 1, 1, 1),
        ("fly", "promoter", "present", 3, 2, 2),
    ]


def insert(columns: str, verb: str = "INSERT") -> str:
    """A statement that adds the first row once more, some of its columns changed."""
    given = dict(each.split("=") for each in columns.split())
    order = ("id", "received", "species", "task", "sequence", "key", "label", "name", "curator", "note", "receipt")
    return f"{verb} INTO labels SELECT {', '.join(given.get(name, name) for name in order)} FROM labels WHERE 1"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE labels SET label = 0",
        "UPDATE labels SET curator = 'Eve' WHERE id = 1",
        "DELETE FROM labels",
        insert("curator='Eve' key='k'", "REPLACE"),
        insert("id=9 note='no'", "REPLACE"),
        insert("note='no'") + " ON CONFLICT DO UPDATE SET label = 0",
        insert("id=5 label=2"),
        insert("id=-1 key='k'"),
    ],
)
@pytest.mark.parametrize("recursive", [0, 1])
def test_no_statement_changes_or_removes_a_label(file: Path, statement: str, recursive: int) -> None:
    append(file, label())
    before = feedback.read(file, "fly")
    with sqlite3.connect(file) as database:
        database.execute(f"PRAGMA recursive_triggers = {recursive}")
        with pytest.raises(sqlite3.IntegrityError, match=r"append-only|CHECK constraint failed"):
            database.execute(statement)
    database.close()
    assert feedback.read(file, "fly") == before


def test_a_full_store_takes_nothing_more_and_keeps_what_it_has(file: Path) -> None:
    append(file, label())
    with pytest.raises(FullError, match="max_store_bytes"):
        append(file, *[label(seed) for seed in range(2, 400)], room=65536)
    assert len(feedback.read(file, "fly")) == 1
    assert file.stat().st_size <= 65536
    append(file, label(2))


def test_one_who_waits_too_long_is_told_that_others_write(file: Path) -> None:
    append(file, label())
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(BusyError, match="others write"):
        append(file, label(2), timeout=0.05)
    assert len(feedback.read(file, "fly")) == 1  # a reader does not wait
    other.execute("ROLLBACK")
    other.close()
    assert append(file, label(2))[0].id == 2


def test_a_file_that_is_none_of_labels_is_refused_and_left_alone(file: Path) -> None:
    with pytest.raises(FeedbackError, match="no such file; nobody has sent a label yet"):
        feedback.read(file, "fly")
    file.parent.mkdir()
    file.write_bytes(b"not a database, but longer than one page of nothing" * 100)
    with pytest.raises(FeedbackError, match="cannot be used as a file of labels: file is not a database"):
        append(file, label())
    file.unlink()
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE theirs (a)")
    database.close()
    for act in (lambda: append(file, label()), lambda: feedback.counts(file)):
        with pytest.raises(FeedbackError, match=r"a sqlite file of another kind \(user_version 0\); wanted: 1"):
            act()
    (file.parent / "taken").write_text("")
    with pytest.raises(FeedbackError, match="cannot be used"):
        append(file.parent / "taken" / "labels.sqlite", label())


def test_an_empty_file_is_a_store_without_labels(file: Path) -> None:
    file.parent.mkdir()
    file.touch()
    assert feedback.counts(file) == []


def test_whoever_comes_second_finds_the_file_made(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append(file, label())
    honest, answers = feedback._format, [0]
    monkeypatch.setattr(feedback, "_format", lambda database: answers.pop() if answers else honest(database))
    assert append(file, label())[0].known


# Two labels a call: a sequence of its own number, and one of seven that all writers share, with either label.
WRITER = """
import random, sys
from pathlib import Path
from episome import feedback
from episome.types import Task
task = Task(name="promoter", scope="window", window=60)
def label(seed, value):
    bases = "".join(random.Random(seed).choices("ACGT", k=60))
    key = feedback.key(bases, task)
    return feedback.Label(species="fly", task=task.name, sequence=bases, key=key, label=value, name="", curator=curator)
file, curator, first, last = Path(sys.argv[1]), *sys.argv[2:]
for seed in range(int(first), int(last)):
    said = [label(seed, 1), label(seed % 7, seed % 2)]
    for outcome in feedback.append(file, said, received="now", max_bytes=10**7, timeout=60):
        print(outcome.id, int(outcome.known), flush=True)
"""


def writer(file: Path, curator: str, first: int, last: int) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(file), curator, str(first), str(last)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_processes_that_write_at_once_from_no_file_on_lose_and_double_nothing(file: Path) -> None:
    writers = [writer(file, curator, 100, 130) for curator in ("Ada", "Bo", "Ada")]
    told = [process.communicate(timeout=60)[0].split("\n")[:-1] for process in writers]
    assert [process.returncode for process in writers] == [0, 0, 0]
    rows = feedback.read(file, "fly")
    assert [row.id for row in rows] == list(range(1, len(rows) + 1))
    said = [(row.said.key, row.said.label, row.said.curator) for row in rows]
    assert len(set(said)) == len(said) == 2 * (30 + 14)  # 30 sequences each, and 7 with both labels
    stored = [line.split()[0] for lines in told for line in lines if line.endswith(" 0")]
    assert sorted(map(int, stored)) == [row.id for row in rows]


def test_what_was_answered_survives_a_kill_and_what_is_there_is_whole(file: Path) -> None:
    process = writer(file, "Ada", 100, 100_000)
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(40)]
    process.send_signal(signal.SIGKILL)
    lines += process.stdout.readlines()
    process.wait(timeout=20)
    process.stdout.close()
    answered = {int(line.split()[0]) for line in lines if line.endswith("\n")}
    rows = feedback.read(file, "fly")
    assert answered <= {row.id for row in rows}
    with sqlite3.connect(file) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    database.close()
    assert append(file, label(99))[0].id == len(rows) + 1
