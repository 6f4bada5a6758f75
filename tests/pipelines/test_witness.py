"""A ledger that was tampered with is found out: by its chain, by the shelf's witness, or by what the shelf answers."""

import hashlib
import json
import random
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from episome import shelf
from episome.shelf import Entry
from episome.types import EpisomeError
from episome_cli import registry
from pipelines import doctor, ledger, witness
from pipelines.ledger import LEDGER, START, LedgerError, Move
from tests.pipelines import project
from tests.pipelines.project import SPECIES

SHELF = Path("shelf")
MOVES = 6
TAMPERINGS = 100


def moved(before: Entry | None, after: Entry) -> Move:
    return Move(
        actor="me", action="promote", species=SPECIES, before=before, after=after, prior="none", reason="naïve\nreason"
    )


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shelf and the ledger of six promotions, of one bundle under six numbers."""
    folder = tmp_path_factory.mktemp("witness")
    with pytest.MonkeyPatch.context() as patch:
        project.make(folder)
        patch.chdir(folder)
        base, digest = shelf.publish(SHELF, Path("bundle/base")), shelf.publish(SHELF, Path("bundle") / SPECIES)
        before = None
        for number in range(1, MOVES + 1):
            after = Entry(bundle=digest, base=base, version=str(number), git_commit="none", gate=digest, data=digest)
            ledger.append(LEDGER, moved(before, after))
            witness.attest(SHELF, LEDGER)
            shelf.point(SHELF, SPECIES, after)
            before = after
    return folder


@pytest.fixture
def raw(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """The ledger as it was written, in a copy of its project that is entered."""
    shutil.copytree(kept, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.delenv("EPISOME_SHELF", raising=False)
    return LEDGER.read_bytes()


def chained(lines: Sequence[bytes], start: int = 0) -> list[bytes]:
    """Lines with numbers and hashes made right again from the one at `start`, as a careful forger would."""
    done = [*lines[:start]]
    for text in lines[start:]:
        previous = hashlib.sha256(done[-1]).hexdigest() if done else START
        line = json.loads(text) | {"seq": len(done) + 1, "previous": previous}
        done.append(json.dumps(line, separators=(",", ":"), ensure_ascii=False).encode())
    return done


def edited(line: bytes, chance: random.Random) -> bytes:
    """Another actor, reason, gate, time or champion."""
    value: dict[str, Any] = json.loads(line)
    name = chance.choice(["actor", "reason", "gate", "time", "to"])
    sha = hashlib.sha256(chance.randbytes(8)).hexdigest()
    value[name] = value["to"] | {"bundle": sha} if name == "to" else sha
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def flipped(lines: list[bytes], chance: random.Random) -> list[bytes]:
    raw = bytearray(b"\n".join(lines))
    raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
    return bytes(raw).split(b"\n")


def cut_out(lines: list[bytes], chance: random.Random) -> list[bytes]:
    raw = b"\n".join(lines)
    start = chance.randrange(len(raw) - 1)
    return (raw[:start] + raw[start + chance.randint(1, 200) :]).split(b"\n")


def removed(lines: list[bytes], chance: random.Random) -> list[bytes]:
    gone = chance.randrange(len(lines))
    return [*lines[:gone], *lines[gone + 1 :]]


def removed_and_chained(lines: list[bytes], chance: random.Random) -> list[bytes]:
    gone = chance.randrange(len(lines))
    return chained([*lines[:gone], *lines[gone + 1 :]], gone)


def ended(lines: list[bytes], chance: random.Random) -> list[bytes]:
    return lines[: chance.randrange(len(lines))]


def repeated(lines: list[bytes], chance: random.Random) -> list[bytes]:
    at = chance.randrange(len(lines) + 1)
    return [*lines[:at], chance.choice(lines), *lines[at:]]


def swapped(lines: list[bytes], chance: random.Random) -> list[bytes]:
    one, other = chance.sample(range(len(lines)), 2)
    lines[one], lines[other] = lines[other], lines[one]
    return lines


def swapped_and_chained(lines: list[bytes], chance: random.Random) -> list[bytes]:
    return chained(swapped(lines, chance))


def changed(lines: list[bytes], chance: random.Random) -> list[bytes]:
    at = chance.randrange(len(lines))
    return [*lines[:at], edited(lines[at], chance), *lines[at + 1 :]]


def changed_and_next_chained(lines: list[bytes], chance: random.Random) -> list[bytes]:
    at = chance.randrange(len(lines))
    done = chained([*lines[:at], edited(lines[at], chance), *lines[at + 1 :]][: at + 2], at)
    return [*done, *lines[at + 2 :]]


def changed_and_chained(lines: list[bytes], chance: random.Random) -> list[bytes]:
    at = chance.randrange(len(lines))
    return chained([*lines[:at], edited(lines[at], chance), *lines[at + 1 :]], at)


def added_and_chained(lines: list[bytes], chance: random.Random) -> list[bytes]:
    at = chance.randrange(len(lines) + 1)
    forged = edited(chance.choice(lines), chance)
    return chained([*lines[:at], forged, *lines[at:]], at)


FORGERS: tuple[Callable[[list[bytes], random.Random], list[bytes]], ...] = (
    flipped,
    cut_out,
    removed,
    removed_and_chained,
    ended,
    repeated,
    swapped,
    swapped_and_chained,
    changed,
    changed_and_next_chained,
    changed_and_chained,
    added_and_chained,
)


def test_a_hundred_tamperings_are_all_found(raw: bytes) -> None:
    assert tuple(doctor.of_ledger(SHELF)) == ()
    seen: set[bytes] = set()
    missed = []
    for number in range(3 * TAMPERINGS):  # two that come out alike count as one
        if len(seen) == TAMPERINGS:
            break
        forge = FORGERS[number % len(FORGERS)]
        forged = b"\n".join(forge(raw.split(b"\n")[:-1], random.Random(number)))
        forged += b"\n" if forged else b""
        assert forged != raw, f"{forge.__name__}, {number}: changed nothing"
        seen.add(forged)
        LEDGER.write_bytes(forged)
        if not tuple(doctor.of_ledger(SHELF)):
            missed.append(f"{forge.__name__}, {number}")
    assert missed == []
    assert len(seen) == TAMPERINGS
    LEDGER.unlink()
    assert tuple(doctor.of_ledger(SHELF))


def test_verify_says_what_was_found_and_no_champion_moves_on_such_a_ledger(raw: bytes) -> None:
    lines = raw.split(b"\n")[:-1]
    LEDGER.write_bytes(b"\n".join(chained(lines[:-1])) + b"\n")
    said = CliRunner().invoke(registry.verify)
    assert isinstance(said.exception, EpisomeError)
    assert re.search(f"5 lines, the last .* the shelf witnessed {MOVES}.*removed", str(said.exception))
    with pytest.raises(LedgerError, match="Restore the file"):
        witness.attest(SHELF, LEDGER)


def test_a_line_that_a_killed_promotion_left_is_told_and_witnessed_by_the_next(raw: bytes) -> None:
    (present,) = shelf.read(SHELF).species.values()
    ledger.append(LEDGER, moved(present, present))
    assert [f"line {MOVES + 1}: shelf has not witnessed it" in each for each in doctor.of_ledger(SHELF)] == [True]
    witness.attest(SHELF, LEDGER)
    assert tuple(doctor.of_ledger(SHELF)) == ()
    ledger.append(LEDGER, moved(present, present))
    ledger.append(LEDGER, moved(present, present))
    with pytest.raises(LedgerError, match="lines were removed, added or written anew"):
        witness.attest(SHELF, LEDGER)


def test_a_shelf_without_a_witness_says_so_and_a_file_that_is_none_is_refused(raw: bytes) -> None:
    (SHELF / witness.NAME).unlink()
    (said,) = doctor.of_ledger(SHELF)
    assert "no witness on shelf; the next promotion or rollback makes one" in said
    (SHELF / witness.NAME).write_text("{}")
    (said,) = doctor.of_ledger(SHELF)
    assert "no witness of a ledger" in said
