"""API keys: random, listed by their hashes, and never repeated in a message."""

import hashlib
from pathlib import Path

import pytest
from click.testing import CliRunner

from episome import keys
from episome.keys import Holder, KeysError
from episome_cli.main import main

ADA, ADAS = keys.new("ada", "reader")
BO, BOS = keys.new("bo", "operator")


def test_a_key_opens_for_its_holder_alone() -> None:
    assert keys.who(ADA, [ADAS, BOS]) == ADAS
    assert keys.who(BO, [ADAS, BOS]) == BOS
    for wrong in ("", ADA[:-1], ADA + "A", ADA.upper(), ADAS.digest, "\udce9"):
        assert keys.who(wrong, [ADAS, BOS]) is None
    assert ADAS.digest == hashlib.sha256(ADA.encode()).hexdigest()


def test_no_two_keys_are_the_same_and_each_has_256_random_bits() -> None:
    made = {keys.new("ada", "reader")[0] for _ in range(100)}
    assert len(made) == 100
    assert {len(each.removeprefix("episome_")) for each in made} == {43}


def test_a_list_is_read_as_it_was_printed(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# who may ask\n\n{ADAS.line}\n  {BOS.line}  \n", encoding="utf-8")
    assert keys.read(file) == (ADAS, BOS)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "the list lists no key"),
        (["# nobody"], "the list lists no key"),
        ([ADAS.line, "reader eve"], "the list, line 2: wanted reader or operator"),
        ([f"admin eve {ADAS.digest}"], "the list, line 1: wanted reader or operator"),
        ([f"reader eve {ADA}"], "the list, line 1: wanted reader or operator"),
        ([f"reader eve {ADAS.digest.upper()}"], "64 hex digits"),
        ([f"reader /etc {ADAS.digest}"], "the list, line 1: wanted"),
        (
            [ADAS.line, "", f"operator ada {BOS.digest}"],
            "the list, line 3: its name or its key is that of a line before",
        ),
        ([ADAS.line, f"operator eve {ADAS.digest}"], "the list, line 2: its name or its key"),
    ],
)
def test_a_list_that_is_none_is_refused_without_repeating_it(lines: list[str], said: str) -> None:
    with pytest.raises(KeysError, match=said) as caught:
        keys.parse(lines, "the list")
    assert ADA not in str(caught.value)
    assert ADAS.digest not in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeysError, match=r"keys cannot be read: FileNotFoundError"):
        keys.read(tmp_path / "keys")
    (tmp_path / "keys").write_bytes(b"\xff")
    with pytest.raises(KeysError, match=r"keys cannot be read: UnicodeDecodeError"):
        keys.read(tmp_path / "keys")


@pytest.mark.parametrize("name", ["", " ada", "a b", "-a", "a" * 64, "é", "a\n"])
def test_a_name_that_would_not_fit_a_line_is_refused(name: str) -> None:
    with pytest.raises(KeysError, match="wanted: up to 63 letters"):
        keys.new(name, "reader")


def test_the_command_prints_a_key_once_and_a_line_that_holds_only_its_hash() -> None:
    done = CliRunner().invoke(main, ["key", "new", "ada@lab", "--role", "operator"])
    assert done.exit_code == 0
    made, line = done.stdout.splitlines()
    (holder,) = keys.parse([line], "the line")
    assert keys.who(made, [holder]) == Holder(name="ada@lab", role="operator", digest=holder.digest)
    assert made not in line
    assert made not in done.stderr
    bad = CliRunner().invoke(main, ["key", "new", "a b"])
    assert (bad.exit_code, bad.stdout) == (1, "")
