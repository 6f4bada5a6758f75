"""The `episome` command in processes of its own, forked from one that has imported what is slow to import."""

import contextlib
import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

KILLED = -signal.SIGKILL
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["pipelines.promotion", "pipelines.retrain", "mlflow.pyfunc", "episome_cli.main"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended: exit status (negative: the signal that ended it), after how many seconds, saying what."""

    code: int
    seconds: float
    said: str


def command(folder: Path, *words: str, kill_after: float | None = None) -> Ended:
    """Run `episome WORDS` in a folder; SIGKILL it after some seconds where it has not ended by itself."""
    (ended,) = at_once(folder, words, kill_after=kill_after)
    return ended


def at_once(folder: Path, *calls: Sequence[str], kill_after: float | None = None) -> list[Ended]:
    """The same for several commands at the same time."""
    with tempfile.TemporaryDirectory() as scratch:
        outputs = [Path(scratch) / str(number) for number in range(len(calls))]
        pairs = zip(calls, outputs, strict=True)
        processes = [SERVER.Process(target=_run, args=(folder, words, said)) for words, said in pairs]
        started = time.monotonic()
        for process in processes:
            process.start()
        return [_ended(*pair, started, kill_after) for pair in zip(processes, outputs, strict=True)]


def left_in(folder: Path, others: Mapping[int, str], *, patience: float = 10.0) -> dict[int, str]:
    """Processes beside `others` that work in a folder and still do so after some seconds."""
    deadline = time.monotonic() + patience
    while True:
        found = {pid: words for pid, words in working_in(folder).items() if pid not in others}
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def working_in(folder: Path) -> dict[int, str]:
    """Process id → command line of every process that works in a folder now."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended meanwhile, or is another user's
            if (process / "cwd").readlink().is_relative_to(folder):
                found[int(process.name)] = (process / "cmdline").read_text().replace("\0", " ")
    return found


def _run(folder: Path, words: Sequence[str], said: Path) -> None:
    from episome_cli.main import main

    with said.open("wb") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    for name in ("MLFLOW_TRACKING_URI", "EPISOME_SHELF"):
        os.environ.pop(name, None)
    os.chdir(folder)
    main(list(words))


def _ended(process: ForkServerProcess, said: Path, started: float, kill_after: float | None) -> Ended:
    process.join(kill_after)
    if process.is_alive():
        process.kill()
        process.join()
    assert process.exitcode is not None
    text = said.read_text(encoding="utf-8") if said.exists() else ""
    return Ended(code=process.exitcode, seconds=time.monotonic() - started, said=text)
