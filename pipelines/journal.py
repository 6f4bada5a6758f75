"""What params.yaml was before a retrain edited it, kept until the verdict is in.

A retrain that is killed cannot put params.yaml back. Its journal stays, `episome doctor` tells of it, and the next
`episome retrain`, or `episome doctor --mend`, goes back to the state before.
"""

import json
import os
import shutil
from pathlib import Path
from typing import NamedTuple

from episome.types import EpisomeError
from pipelines import lock, paths, remains
from pipelines.dvclock import LOCK as DVC_LOCK

PARAMS = Path("params.yaml")
JOURNAL = Path("registry/retrain.json")
LOCK = Path("registry/.retrain.lock")


class _Entry(NamedTuple):
    """What is written down: whose retrain, params.yaml as it was and as it was changed, dvc.lock as it was."""

    species: str
    before: bytes
    after: bytes
    lock: str | None


def begin(species: str, after: bytes) -> None:
    """Write down what params.yaml is, then replace it; both are on disk when this returns. The lock must be held."""
    before = PARAMS.read_text(encoding="utf-8")
    lock_file = DVC_LOCK.read_text(encoding="utf-8") if DVC_LOCK.exists() else None
    entry = {"species": species, "before": before, "after": after.decode(), "dvc.lock": lock_file}
    _replace(JOURNAL, json.dumps(entry, indent=2).encode())
    _replace(PARAMS, after)


def end(*, keep: bool) -> None:
    """Let params.yaml be as it is, or put it back unless somebody edited it meanwhile; then there is no journal."""
    entry = _read()
    if not keep and PARAMS.read_bytes() == entry.after:
        _replace(PARAMS, entry.before)
    JOURNAL.unlink()


def settle() -> bool:
    """Undo what a killed retrain left; whether params.yaml may have been put back. The lock must be held.

    Raises:
        EpisomeError: params.yaml was edited since, so that nobody knows what it should be.
    """
    entry = _read() if JOURNAL.exists() else None
    folders = (paths.pinned(""), paths.release(""))
    remains.clear(folders, entry.lock if entry else None)
    for parent in folders:
        for left_over in parent.glob(".new-*"):
            shutil.rmtree(left_over)
    _beside(PARAMS).unlink(missing_ok=True)
    if entry is None:
        return False
    if PARAMS.read_bytes() not in {entry.before, entry.after}:
        raise EpisomeError(
            f"{JOURNAL}: a retrain of {entry.species} was killed, and {PARAMS} was edited since. Put what "
            f"species.{entry.species} has back to what stands under `before` there, unless you mean it, and remove "
            f"{JOURNAL}"
        )
    end(keep=False)
    return True


def mend() -> None:
    """`settle` where no retrain runs."""
    if not lock.held(LOCK):
        with lock.hold(LOCK):
            settle()


def unfinished() -> tuple[str, ...]:
    """That a retrain was killed, in words; nothing while one runs."""
    if not JOURNAL.exists() or lock.held(LOCK):
        return ()
    return (
        f"{_read().species}: a retrain was killed while {PARAMS} named its prior and release; the next "
        "`episome retrain`, or `episome doctor --mend`, puts it back",
    )


def _read() -> _Entry:
    try:
        entry = json.loads(JOURNAL.read_bytes())
        return _Entry(entry["species"], entry["before"].encode(), entry["after"].encode(), entry["dvc.lock"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EpisomeError(f"{JOURNAL}: not the journal of a retrain: {error!r}; remove it if you know why") from error


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = _beside(path)
    with fresh.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")
