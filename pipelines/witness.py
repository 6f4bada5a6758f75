"""The shelf's witness of the ledger: how many lines it has, and the hash of the last.

Hashes chain a line to the one before it, and nothing to the last: an end that was cut off or written anew is found by
the witness alone. It lies on the shelf, whose writers need not be those who can write the ledger.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from episome.card import Sha256
from pipelines import ledger
from pipelines.ledger import LedgerError

NAME = "ledger.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """What the ledger was when a champion last moved: number of lines, sha256 of the last."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    lines: Annotated[int, Field(ge=1)]
    head: Sha256


_WITNESS = TypeAdapter(Witness)


def read(shelf: Path) -> Witness | None:
    """The witness on a shelf; None where there is none.

    Raises:
        LedgerError: the file is no witness.
    """
    path = shelf / NAME
    try:
        return _WITNESS.validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise LedgerError(f"{path}: no witness of a ledger: {error.errors()[0]['msg']}; restore it") from error


def attest(shelf: Path, path: Path) -> None:
    """Let the shelf witness the ledger at `path` as it is now; nothing where nothing was ever written.

    Raises:
        LedgerError: its chain is broken, or it is not the ledger that was witnessed, perhaps with one line more.
    """
    lines = ledger.read(path)
    if gone := _gone(read(shelf), path):
        raise LedgerError(gone)
    if lines:
        shelf.mkdir(parents=True, exist_ok=True)
        fresh = shelf / f".{NAME}.new"
        with fresh.open("wb") as file:
            file.write(_WITNESS.dump_json(Witness(lines=len(lines), head=ledger.head(path))) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(shelf / NAME)


def differences(shelf: Path, path: Path) -> Iterator[str]:
    """Where a ledger whose chain is whole is not what the shelf witnessed, in words.

    Raises:
        LedgerError: the file on the shelf is no witness.
    """
    seen, lines = read(shelf), _lines(path)
    if gone := _gone(seen, path):
        yield gone
    elif seen is None and lines:
        yield f"{path}: no witness on {shelf}; the next promotion or rollback makes one"
    elif seen is not None and len(lines) > seen.lines:
        yield (
            f"{path}, line {len(lines)}: {shelf} has not witnessed it: a promotion was killed there, or somebody added "
            "it. The next promotion or rollback witnesses it"
        )


def _gone(seen: Witness | None, path: Path) -> str | None:
    """Why the ledger is not the one that was witnessed; a promotion that is killed leaves at most one line more."""
    lines = _lines(path)
    if seen is None or (
        seen.lines <= len(lines) <= seen.lines + 1 and hashlib.sha256(lines[seen.lines - 1]).hexdigest() == seen.head
    ):
        return None
    last = hashlib.sha256(lines[-1]).hexdigest()[:12] if lines else "none"
    return (
        f"{path}: {len(lines)} lines, the last {last}; the shelf witnessed {seen.lines}, the last {seen.head[:12]}: "
        f"lines were removed, added or written anew. Restore the file (or remove {NAME} there, to begin again)"
    )


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().split(b"\n")[:-1] if path.exists() else []
