"""Programs run for a person who waits: their output on stderr, and their end, and that of all they start, with ours.

This file is run as a program too: `run` puts it between us and what it runs. It leads a process group, in which that
program and all it starts live, and ends the group when we end. (A stage is DVC's child and knows nothing of us.)
"""

import contextlib
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
    """Run a program to its end and answer its exit status; nothing of it is left when this process ends, however.

    Args:
        words: program and arguments.
        folder: where it runs; None: here.
        environment: what it has beside ours.
    """
    own = Path(sys.executable).parent  # stages say `python`, which must be this one
    path = f"{own}{os.pathsep}{os.environ.get('PATH', '')}"
    whole = os.environ | {"DVC_NO_ANALYTICS": "1", "PATH": path} | dict(environment or {})
    us = os.getpid()

    def tie() -> None:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGTERM)
        if os.getppid() != us:  # we ended before the tie was there
            os._exit(1)

    leader = [sys.executable, "-I", "-S", __file__, *words]
    with subprocess.Popen(
        leader, cwd=folder, stdin=subprocess.DEVNULL, stdout=_STDERR, env=whole, preexec_fn=tie, process_group=0
    ) as process:
        try:
            return process.wait()
        finally:
            _end(process.pid)


def _lead(words: Sequence[str]) -> int:
    """Run a program; a SIGTERM, which comes when our parent dies, ends the whole group, this process with it."""
    signal.signal(signal.SIGTERM, lambda *_: _end(os.getpgid(0)))
    return subprocess.call(words)


def _end(group: int) -> None:
    """End what is left of a process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: a group of zombies refuses
        os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(_lead(sys.argv[1:]))
