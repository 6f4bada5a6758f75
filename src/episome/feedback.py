"""Curated labels in one sqlite file: the service appends, `episome feedback` reads, and nothing is ever changed.

Several processes may append at once. What `append` returned is on disk, whatever kills the process next. The triggers
keep a row from being changed or removed by any statement; they are no match for who may write the file itself.
"""

import fcntl
import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from episome.sequence import canonical
from episome.types import EpisomeError, Task

FORMAT: Final = 1
MOST_CONTRADICTIONS: Final = 8

_COLUMNS: Final = ("received", "species", "task", "sequence", "key", "label", "name", "curator", "note", "receipt")
_IDENTITY: Final = ("species", "task", "key", "label", "curator")
_PRIMARY_CODE: Final = 0xFF  # of sqlite's extended result codes

# A `replace` deletes without asking the trigger for deletions, so an id or a label that is there is refused as well.
_SCHEMA: Final = f"""
BEGIN IMMEDIATE;
CREATE TABLE labels (
  id INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id > 0),
  received TEXT NOT NULL,
  species TEXT NOT NULL,
  task TEXT NOT NULL,
  sequence TEXT NOT NULL,
  key TEXT NOT NULL,
  label INTEGER NOT NULL CHECK (label IN (0, 1)),
  name TEXT NOT NULL,
  curator TEXT NOT NULL,
  note TEXT NOT NULL,
  receipt TEXT NOT NULL,
  UNIQUE ({", ".join(_IDENTITY)})
);
CREATE TRIGGER labels_are_not_changed BEFORE UPDATE ON labels
  BEGIN SELECT RAISE(ABORT, 'labels are append-only'); END;
CREATE TRIGGER labels_are_not_removed BEFORE DELETE ON labels
  BEGIN SELECT RAISE(ABORT, 'labels are append-only'); END;
CREATE TRIGGER labels_are_not_replaced BEFORE INSERT ON labels
  WHEN EXISTS (
    SELECT 1 FROM labels AS old WHERE old.id = NEW.id
    OR ({" AND ".join(f"old.{column} = NEW.{column}" for column in _IDENTITY)})
  )
  BEGIN SELECT RAISE(ABORT, 'labels are append-only'); END;
PRAGMA user_version = {FORMAT};
COMMIT;
"""


class FeedbackError(EpisomeError):
    """A file of labels that is none, or that cannot be read or written."""


class BusyError(FeedbackError):
    """Others wrote to the file for longer than one waits."""


class FullError(FeedbackError):
    """The file has the size it may have, or the disk is full."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One sequence, and what a curator says it is.

    Attributes:
        species: key of the species.
        task: whose question is answered.
        sequence: upper-case A C G T N.
        key: what `key` gives for sequence and task.
        label: 1 or 0.
        name: what the task calls that label.
        curator: who says so.
        note: in the curator's words, or "".
        receipt: JSON of the receipt of the answer that this corrects, or "".
    """

    species: str
    task: str
    sequence: str
    key: str
    label: int
    name: str
    curator: str
    note: str = ""
    receipt: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A label as it is stored; ids grow with time, `received` is UTC in ISO 8601."""

    id: int
    received: str
    said: Label


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a label.

    Attributes:
        id: of its row.
        known: the same curator had said the same of this sequence; nothing was stored.
        contradicts: ids of rows that say the contrary of this sequence, the first few.
    """

    id: int
    known: bool
    contradicts: tuple[int, ...]


class Count(NamedTuple):
    """How much was said with one label of one task of one species."""

    species: str
    task: str
    name: str
    rows: int
    sequences: int
    curators: int


def key(sequence: str, task: Task) -> str:
    """The same for sequences that are one to this task: sha256 of either strand's lesser, or of the strand it asks."""
    same = sequence if task.strands == "forward" else canonical(sequence)
    return hashlib.sha256(same.encode("ascii")).hexdigest()


def append(file: Path, labels: Sequence[Label], *, received: str, max_bytes: int, timeout: float) -> list[Outcome]:
    """Store labels, all or none; they are on disk when this returns.

    Args:
        file: where; made where it is missing, readable by its owner alone.
        labels: what came; one that its curator said before is not stored again.
        received: when, UTC in ISO 8601.
        max_bytes: what the file may grow to.
        timeout: seconds to wait for other writers.

    Raises:
        BusyError: others wrote all that time.
        FullError: there is no room for all of them.
        FeedbackError: the file cannot be written, or is none of this kind.
    """
    with _opened(file, timeout) as database:
        _prepare(database, file)
        page = database.execute("PRAGMA page_size").fetchone()[0]
        database.execute(f"PRAGMA max_page_count = {max(1, max_bytes // page)}")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("BEGIN IMMEDIATE")
        placed = [_place(database, label, received) for label in labels]
        outcomes = [
            Outcome(id=at, known=known, contradicts=_contrary(database, label))
            for label, (at, known) in zip(labels, placed, strict=True)
        ]
        database.execute("COMMIT")
    return outcomes


def read(file: Path, species: str) -> list[Row]:
    """All that was said about a species, in the order it came.

    Raises:
        FeedbackError: there is no such file, or it is none of this kind.
    """
    asked = f"SELECT id, {', '.join(_COLUMNS)} FROM labels WHERE species = ? ORDER BY id"
    with _reading(file) as database:
        return [_row(values) for values in database.execute(asked, (species,))]


def counts(file: Path) -> list[Count]:
    """How much was said, by species, task and label.

    Raises:
        FeedbackError: as `read`.
    """
    asked = """
      SELECT species, task, name, count(*), count(DISTINCT key), count(DISTINCT curator) FROM labels
      GROUP BY species, task, name ORDER BY species, task, name
    """
    with _reading(file) as database:
        return [Count(*values) for values in database.execute(asked)]


def _place(database: sqlite3.Connection, label: Label, received: str) -> tuple[int, bool]:
    """Id of a label's row, and whether it was there before."""
    same = " AND ".join(f"{column} = ?" for column in _IDENTITY)
    values = [getattr(label, column) for column in _IDENTITY]
    found = database.execute(f"SELECT id FROM labels WHERE {same}", values).fetchone()
    if found:
        return found[0], True
    marks = ", ".join("?" for _ in _COLUMNS)
    insert = f"INSERT INTO labels ({', '.join(_COLUMNS)}) VALUES ({marks})"
    return int(database.execute(insert, (received, *astuple(label))).lastrowid or 0), False


def _contrary(database: sqlite3.Connection, label: Label) -> tuple[int, ...]:
    asked = "SELECT id FROM labels WHERE species = ? AND task = ? AND key = ? AND label = ? ORDER BY id LIMIT ?"
    values = (label.species, label.task, label.key, 1 - label.label, MOST_CONTRADICTIONS)
    return tuple(at for (at,) in database.execute(asked, values))


def _row(values: tuple[Any, ...]) -> Row:
    """A stored row; values as `_SCHEMA` has them, id first."""
    row_id, received, *said = values
    return Row(id=row_id, received=received, said=Label(**dict(zip(_COLUMNS[1:], said, strict=True))))


@contextmanager
def _opened(file: Path, timeout: float) -> Iterator[sqlite3.Connection]:
    """A connection for the length of the block; what is not committed by then never happened."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        with closing(sqlite3.connect(file, timeout=timeout, isolation_level=None)) as database:
            yield database
    except (sqlite3.Error, OSError) as error:
        raise _told(file, error) from error


@contextmanager
def _reading(file: Path) -> Iterator[sqlite3.Connection]:
    if not file.is_file():
        raise FeedbackError(f"{file}: no such file; nobody has sent a label yet, or it lies elsewhere (serve.feedback)")
    with _opened(file, timeout=30) as database:
        _prepare(database, file)
        database.execute("PRAGMA query_only = ON")
        yield database


def _told(file: Path, error: sqlite3.Error | OSError) -> FeedbackError:
    code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return BusyError(f"{file}: others write to it; try again")
    if code == sqlite3.SQLITE_FULL:
        return FullError(f"{file}: no room for more (serve.feedback.max_store_bytes, or the disk)")
    return FeedbackError(f"{file}: cannot be used as a file of labels: {error}")


def _prepare(database: sqlite3.Connection, file: Path) -> None:
    """Make a new file one of labels; one process at a time, for sqlite answers "locked" to a second."""
    if _format(database) == FORMAT:
        return
    with file.with_name(f".{file.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = _format(database)
        if found == FORMAT:
            return
        if found or database.execute("SELECT 1 FROM sqlite_master").fetchone():
            raise FeedbackError(f"{file}: a sqlite file of another kind (user_version {found}); wanted: {FORMAT}")
        database.execute("PRAGMA journal_mode = WAL")
        database.executescript(_SCHEMA)


def _format(database: sqlite3.Connection) -> int:
    return int(database.execute("PRAGMA user_version").fetchone()[0])
