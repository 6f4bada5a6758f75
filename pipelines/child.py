"""Programs run for a person who waits: their output on stderr, and their end with ours."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_STDERR = 2
_SET_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


def run(words: Sequence[str], *, folder: Path | None = None, environment: Mapping[str, str] | None = None) -> int:
    """Run a program to its end and answer its exit status; it ends with this process, however that ends.

    Args:
        words: program and arguments.
        folder: where it runs; None: here.
        environment: what it has beside ours.
    """
    own = Path(sys.executable).parent  # stages say `python`, which must be this one
    path = f"{own}{os.pathsep}{os.environ.get('PATH', '')}"
    whole = os.environ | {"DVC_NO_ANALYTICS": "1", "PATH": path} | dict(environment or {})
    with subprocess.Popen(
        words, cwd=folder, stdin=subprocess.DEVNULL, stdout=_STDERR, env=whole, preexec_fn=die_with_parent
    ) as process:
        try:
            return process.wait()
        except BaseException:
            process.terminate()
            raise


def die_with_parent() -> None:
    """What a child runs before its program, so that it ends when this process does, however that ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGTERM)
