"""The ledger: who moved which champion, when and why; append-only, every line holds its predecessor's hash.

One JSON object a line. A changed, removed or reordered line breaks the chain behind it; lines cut off the end leave a
whole chain, which is why `episome doctor` also compares the last move of every species with the shelf.
"""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from episome.shelf import Entry
from episome.types import EpisomeError
from pipelines import lock

LEDGER = Path("registry/ledger.jsonl")
START = "0" * 64
Action = Literal["promote", "rollback"]


class LedgerError(EpisomeError):
    """The ledger is not what was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One move of one champion.

    Attributes:
        seq: 1 for the first line.
        time: UTC, ISO 8601 to the second.
        actor: who asked for it.
        action: ``promote`` or ``rollback``.
        species: whose champion moved.
        before: the champion until then (JSON key ``from``), None for the first.
        after: the champion from then on (JSON key ``to``).
        gate: sha256 of the gate report that let it pass.
        prior: what the gate report compared it with: name of the prior, or ``none``.
        reason: in the actor's words.
        previous: sha256 of the line before, without its newline; 64 zeros for the first.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    seq: Annotated[int, Field(ge=1)]
    time: str
    actor: str
    action: Action
    species: str
    before: Annotated[Entry | None, Field(alias="from")]
    after: Annotated[Entry, Field(alias="to")]
    gate: str
    prior: str
    reason: str
    previous: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """What a new line says, before it has its place in the chain; the fields are those of `Line`."""

    actor: str
    action: Action
    species: str
    before: Entry | None
    after: Entry
    prior: str
    reason: str


_LINE = TypeAdapter(Line)


def read(path: Path) -> tuple[Line, ...]:
    """All lines, oldest first, with the chain checked; none where nothing was ever promoted.

    Raises:
        LedgerError: a line is cut, is no ledger line, is out of order or does not hold its predecessor's hash.
    """
    raw = path.read_bytes() if path.exists() else b""
    if raw and not raw.endswith(b"\n"):
        raise LedgerError(
            f"{path}: the last line is cut; no champion moved by it, so delete that line and run `episome doctor`"
        )
    lines: list[Line] = []
    previous = START
    for number, text in enumerate(raw.split(b"\n")[:-1], start=1):
        line = _parse(text, f"{path}, line {number}")
        if line.seq != number or line.previous != previous:
            raise LedgerError(
                f"{path}, line {number}: the chain breaks here (number {line.seq}, predecessor {line.previous[:12]}; "
                f"wanted {number} and {previous[:12]}): a line was changed, removed or added; restore the file"
            )
        lines.append(line)
        previous = hashlib.sha256(text).hexdigest()
    return tuple(lines)


def head(path: Path) -> str:
    """Hash of the last line: keep it elsewhere, and nobody can shorten or rewrite the ledger unseen."""
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return hashlib.sha256(lines[-1]).hexdigest() if lines else START


def append(path: Path, move: Move) -> Line:
    """Add one line, on disk before this returns.

    Raises:
        LedgerError: the ledger so far does not verify.
    """
    with lock.hold(path.parent / ".ledger.lock"):
        line = Line(
            seq=len(read(path)) + 1,
            time=datetime.now(UTC).isoformat(timespec="seconds"),
            actor=move.actor,
            action=move.action,
            species=move.species,
            before=move.before,
            after=move.after,
            gate=move.after.gate,
            prior=move.prior,
            reason=move.reason,
            previous=head(path),
        )
        with path.open("ab") as file:
            file.write(_LINE.dump_json(line, by_alias=True) + b"\n")
            file.flush()
            os.fsync(file.fileno())
    return line


def history(lines: Iterable[Line], species: str) -> tuple[Entry, ...]:
    """The champions a species can be rolled back through, oldest first and the present one last.

    A promotion adds one, a rollback takes one away. What a line says it moved *from* is what really was, so a line
    whose move never happened (a crash in between) is undone by the next.
    """
    champions: tuple[Entry, ...] = ()
    for line in lines:
        if line.species == species:
            until_then = up_to(champions, line.before)
            champions = (*until_then, line.after) if line.action == "promote" else up_to(until_then[:-1], line.after)
    return champions


def up_to(champions: tuple[Entry, ...], present: Entry | None) -> tuple[Entry, ...]:
    """`champions` cut behind the last occurrence of `present`; a `present` that is not among them is added."""
    if present is None:
        return ()
    for end in range(len(champions), 0, -1):
        if champions[end - 1] == present:
            return champions[:end]
    return (*champions, present)


def _parse(text: bytes, where: str) -> Line:
    try:
        return _LINE.validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        raise LedgerError(
            f"{where}: {'.'.join(map(str, first['loc'])) or 'line'}: {first['msg']}; "
            "the ledger was changed by hand; restore it from a backup"
        ) from error
