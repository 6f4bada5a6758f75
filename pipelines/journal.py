"""What params.yaml was before a retrain edited it, kept until the verdict is in.

A retrain that is killed cannot put params.yaml back. Its journal stays, `episome doctor` tells of it, and the next
`episome retrain`, or `episome doctor --mend`, goes back to the state before.
"""

import json
import os
import shutil
from pathlib import Path

from episome.types import EpisomeError
from pipelines import lock, paths

PARAMS = Path("params.yaml")
JOURNAL = Path("registry/retrain.json")
LOCK = Path("registry/.retrain.lock")


def begin(species: str, after: bytes) -> None:
    """Write down what params.yaml is, then replace it; both are on disk when this returns. The lock must be held."""
    entry = {"species": species, "before": PARAMS.read_text(encoding="utf-8"), "after": after.decode()}
    _replace(JOURNAL, json.dumps(entry, indent=2).encode())
    _replace(PARAMS, after)


def end(*, keep: bool) -> None:
    """Let params.yaml be as it is, or put it back unless somebody edited it meanwhile; then there is no journal."""
    _, before, after = _read()
    if not keep and PARAMS.read_bytes() == after:
        _replace(PARAMS, before)
    JOURNAL.unlink()


def settle() -> None:
    """Undo what a killed retrain left, if one did. The lock must be held.

    Raises:
        EpisomeError: params.yaml was edited since, so that nobody knows what it should be.
    """
    for parent in (paths.pinned(""), paths.release("")):
        for left_over in parent.glob(".new-*"):
            shutil.rmtree(left_over)
    _beside(PARAMS).unlink(missing_ok=True)
    if not JOURNAL.exists():
        return
    species, before, after = _read()
    if PARAMS.read_bytes() not in {before, after}:
        raise EpisomeError(
            f"{JOURNAL}: a retrain of {species} was killed, and {PARAMS} was edited since. Set species.{species}.prior "
            f"and .release to what stands under `before` there, unless you mean them, and remove {JOURNAL}"
        )
    end(keep=False)


def mend() -> None:
    """`settle` where no retrain runs."""
    if not lock.held(LOCK):
        with lock.hold(LOCK):
            settle()


def unfinished() -> tuple[str, ...]:
    """That a retrain was killed, in words; nothing while one runs."""
    if not JOURNAL.exists() or lock.held(LOCK):
        return ()
    species, *_ = _read()
    return (
        f"{species}: a retrain was killed while {PARAMS} named its prior and release; the next `episome retrain`, or "
        "`episome doctor --mend`, puts it back",
    )


def _read() -> tuple[str, bytes, bytes]:
    try:
        entry = json.loads(JOURNAL.read_bytes())
        return str(entry["species"]), entry["before"].encode(), entry["after"].encode()
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
