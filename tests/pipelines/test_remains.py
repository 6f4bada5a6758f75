"""What a DVC that was killed while it wrote cannot read again is removed or put back; what it can is left alone."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pipelines import remains

PIN = "outs:\n- md5: 0123.dir\n  path: p\n"
LOCK = "schema: '2.0'\nstages:\n  one:\n    cmd: true\n    outs:\n    - path: a\n      md5: b\n"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in (".dvc/tmp", "prior"):
        Path(folder).mkdir(parents=True)


@pytest.mark.parametrize("rwlock", ["", '{"read": {"a": [{"pid"'])
def test_half_a_list_of_readers_is_removed(rwlock: str) -> None:
    Path(".dvc/tmp/rwlock").write_text(rwlock)
    remains.clear([], None)
    assert not Path(".dvc/tmp/rwlock").exists()


def test_readers_that_ended_are_taken_away_even_unreaped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remains, "_DYING", 0.2)
    with subprocess.Popen([sys.executable, "-c", ""]) as zombie:
        while psutil.Process(zombie.pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        here, gone = ({"pid": pid, "cmd": "dvc repro"} for pid in (os.getpid(), zombie.pid))
        readers = {"write": {"a": gone, "b": here}, "read": {"c": [gone], "d": [here, gone]}}
        Path(".dvc/tmp/rwlock").write_text(json.dumps(readers))
        remains.clear([], None)
    assert json.loads(Path(".dvc/tmp/rwlock").read_text()) == {"write": {"b": here}, "read": {"d": [here]}}


@pytest.mark.parametrize("pin", ["", PIN[:9], PIN[:20], PIN[:27], "outs: ["])
def test_half_a_pin_is_removed(pin: str) -> None:
    Path("prior/half.dvc").write_text(pin)
    remains.clear([Path("prior")], None)
    assert list(Path("prior").iterdir()) == []


@pytest.mark.parametrize("length", range(15, len(LOCK)))
def test_half_a_lock_is_put_back_or_removed(length: int) -> None:
    Path("dvc.lock").write_text(LOCK[:length])
    remains.clear([], LOCK)
    found = Path("dvc.lock").read_text()
    assert found == LOCK or found.endswith("\n"), "what ends with a whole line is what DVC can read"
    if not LOCK[:length].endswith("\n"):
        Path("dvc.lock").write_text(LOCK[:length])
        remains.clear([], None)
        assert not Path("dvc.lock").exists()


def test_whole_files_are_left_alone() -> None:
    for path, text in ((".dvc/tmp/rwlock", "{}"), ("prior/a.dvc", PIN), ("dvc.lock", LOCK)):
        Path(path).write_text(text)
    remains.clear([Path("prior")], "other")
    assert [Path(path).read_text() for path in (".dvc/tmp/rwlock", "prior/a.dvc", "dvc.lock")] == ["{}", PIN, LOCK]
