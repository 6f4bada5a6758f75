from pathlib import Path

import pytest

from episome.shelf import Entry
from pipelines import ledger
from pipelines.ledger import LedgerError, Move


def entry(version: int) -> Entry:
    sha = str(version) * 64
    return Entry(bundle=sha, base="b" * 64, version=str(version), git_commit="none", gate=sha, data=sha)


def move(before: int | None, after: int, action: ledger.Action = "promote", species: str = "human_sim") -> Move:
    return Move(
        actor="me",
        action=action,
        species=species,
        before=entry(before) if before else None,
        after=entry(after),
        prior="none",
        reason="naïve\nreason",
    )


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.jsonl"
    for before, after in ((None, 1), (1, 2), (2, 3)):
        ledger.append(path, move(before, after))
    return path


def test_what_is_appended_is_read_back_in_a_chain(written: Path) -> None:
    lines = ledger.read(written)
    assert [line.seq for line in lines] == [1, 2, 3]
    assert [line.after.version for line in lines] == ["1", "2", "3"]
    assert lines[0].previous == ledger.START
    assert lines[1].before == entry(1)
    assert lines[2].gate == entry(3).gate
    assert lines[0].reason == "naïve\nreason"
    assert ledger.head(written) not in {line.previous for line in lines}


def test_a_ledger_that_never_was_is_empty(tmp_path: Path) -> None:
    assert ledger.read(tmp_path / "none.jsonl") == ()
    assert ledger.head(tmp_path / "none.jsonl") == ledger.START


@pytest.mark.parametrize("number", [0, 1])
def test_a_changed_line_breaks_the_chain_behind_it(written: Path, number: int) -> None:
    lines = written.read_bytes().splitlines(keepends=True)
    lines[number] = lines[number].replace(b'"actor":"me"', b'"actor":"us"')
    written.write_bytes(b"".join(lines))
    with pytest.raises(LedgerError, match=f"line {number + 2}: the chain breaks here"):
        ledger.read(written)
    with pytest.raises(LedgerError):
        ledger.append(written, move(3, 4))


def test_a_removed_line_breaks_the_chain(written: Path) -> None:
    lines = written.read_bytes().splitlines(keepends=True)
    written.write_bytes(lines[0] + lines[2])
    with pytest.raises(LedgerError, match="line 2: the chain breaks here"):
        ledger.read(written)


def test_a_cut_line_and_a_foreign_line_are_named(written: Path) -> None:
    whole = written.read_bytes()
    written.write_bytes(whole[:-5])
    with pytest.raises(LedgerError, match="last line is cut"):
        ledger.read(written)
    written.write_bytes(whole + b'{"seq": 4}\n')
    with pytest.raises(LedgerError, match="line 4: time: Field required"):
        ledger.read(written)


def history(*moves: Move) -> list[str]:
    lines = [
        ledger.Line(
            seq=n,
            time="",
            gate="",
            previous="",
            actor=m.actor,
            action=m.action,
            species=m.species,
            before=m.before,
            after=m.after,
            prior=m.prior,
            reason=m.reason,
        )
        for n, m in enumerate(moves, start=1)
    ]
    return [one.version for one in ledger.history(lines, "human_sim")]


def test_history_grows_by_promotion_and_shrinks_by_rollback() -> None:
    assert history(move(None, 1), move(1, 2), move(None, 9, species="fly_sim")) == ["1", "2"]
    assert history(move(None, 1), move(1, 2), move(2, 3), move(3, 2, "rollback")) == ["1", "2"]
    assert history(move(None, 1), move(1, 2), move(2, 1)) == ["1", "2", "1"]
    assert history(move(None, 1), move(1, 2), move(2, 1, "rollback"), move(1, 3)) == ["1", "3"]


def test_a_move_that_never_happened_is_undone_by_the_next_line() -> None:
    assert history(move(None, 1), move(1, 2), move(1, 3)) == ["1", "3"]
    assert history(move(None, 1), move(1, 2), move(2, 1, "rollback"), move(2, 3)) == ["1", "2", "3"]
