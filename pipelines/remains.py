"""Files that DVC writes in place, and that it cannot read again where it was killed while it wrote them."""

import json
from collections.abc import Iterable
from pathlib import Path

import yaml

from pipelines import dvclock, lock
from pipelines.dvclock import LOCK, LockError

_READERS = Path(".dvc/tmp/rwlock")  # DVC's list of who reads and writes what; without it nobody does
_READERS_GUARD = Path(".dvc/tmp/rwlock.lock")


def clear(folders: Iterable[Path], lock_before: str | None) -> None:
    """Remove such files; DVC writes them again. No DVC that we started may run.

    Args:
        folders: whose ``.dvc`` files to look at.
        lock_before: dvc.lock as it was before the kill, which is put back if it is broken now; what ran since then is
            in DVC's run-cache.
    """
    if _READERS.exists():
        with lock.hold(_READERS_GUARD):
            if not _is_json(_READERS):
                _READERS.unlink()
    for pin in (pin for folder in folders for pin in folder.glob("*.dvc")):
        if not _is_pin(pin):
            pin.unlink()
    if LOCK.exists() and not _is_lock(LOCK):
        if lock_before is None:
            LOCK.unlink()
        else:
            LOCK.write_text(lock_before, encoding="utf-8")


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except ValueError:
        return False
    return True


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
