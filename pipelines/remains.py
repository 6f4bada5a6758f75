"""What a DVC that was killed leaves behind: files half-written in place, and its name among those at work."""

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil
import yaml

from pipelines import dvclock, lock
from pipelines.dvclock import LOCK, LockError

_READERS = Path(".dvc/tmp/rwlock")  # DVC's list of who reads and writes what; without it nobody does
_READERS_GUARD = Path(".dvc/tmp/rwlock.lock")
_DYING = 5.0  # seconds that a killed process may take to be gone


def clear(folders: Iterable[Path], lock_before: str | None) -> None:
    """Remove them; DVC writes such files again. No DVC that we started may run.

    Args:
        folders: whose ``.dvc`` files to look at.
        lock_before: dvc.lock as it was before the kill, which is put back if it is broken now; what ran since then is
            in DVC's run-cache.
    """
    if _READERS.exists():
        with lock.hold(_READERS_GUARD):
            _clear_readers()
    for pin in (pin for folder in folders for pin in folder.glob("*.dvc")):
        if not _is_pin(pin):
            pin.unlink()
    if LOCK.exists() and not _is_lock(LOCK):
        if lock_before is None:
            LOCK.unlink()
        else:
            LOCK.write_text(lock_before, encoding="utf-8")


def _clear_readers() -> None:
    """Take away who has ended. DVC asks for the process id alone, which a zombie keeps until somebody reaps it."""
    try:
        readers: dict[str, Any] = json.loads(_READERS.read_bytes())
    except ValueError:
        _READERS.unlink()
        return
    read, write = readers.get("read", {}), readers.get("write", {})
    named = {who["pid"] for several in read.values() for who in several} | {who["pid"] for who in write.values()}
    deadline = time.monotonic() + _DYING
    while (at_work := {pid for pid in named if _works(pid)}) and time.monotonic() < deadline:
        time.sleep(0.05)
    if at_work == named:
        return
    read = {path: [who for who in several if who["pid"] in at_work] for path, several in read.items()}
    read = {path: several for path, several in read.items() if several}
    write = {path: who for path, who in write.items() if who["pid"] in at_work}
    _READERS.write_text(json.dumps({"write": write, "read": read}), encoding="utf-8")


def _works(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() not in {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}
    except psutil.NoSuchProcess:
        return False


def _is_pin(path: Path) -> bool:
    try:
        (out,) = yaml.safe_load(path.read_bytes())["outs"]
        return {"md5", "path"} <= out.keys()
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError):
        return False


def _is_lock(path: Path) -> bool:
    text = path.read_text(encoding="utf-8")
    try:
        dvclock.read(text)
    except LockError:
        return False
    return text.endswith("\n")
