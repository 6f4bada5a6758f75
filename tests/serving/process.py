"""`bentoml serve` in processes of its own, for tests of the real thing."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.conftest import ROOT

BENTOML = Path(sys.executable).with_name("bentoml")


def serve(folder: Path, port: int, host: str = "127.0.0.1", **more: str) -> "subprocess.Popen[str]":
    """Start the service; BENTOML_DO_NOT_TRACK is left to the service itself."""
    environment = {name: value for name, value in os.environ.items() if name != "BENTOML_DO_NOT_TRACK"}
    return subprocess.Popen(
        [str(BENTOML), "serve", "serving.service:Episome", "--host", host, "--port", str(port)],
        cwd=ROOT,
        env={
            **environment,
            "EPISOME_SHELF": str(folder),
            "__BENTOML_DEBUG_USAGE": "True",
            "OMP_NUM_THREADS": "1",
            **more,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@contextmanager
def served(folder: Path, host: str = "127.0.0.1", **more: str) -> Iterator[tuple[httpx.Client, list[str]]]:
    """A client of a running service; the list holds its log once the block is left."""
    log: list[str] = []
    port = free_port()
    process = serve(folder, port, host, **more)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            until(lambda: process.poll() is not None or alive(client), seconds=60)
            assert process.poll() is None, process.communicate()[0]
            yield client, log
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
        try:
            log.append(process.communicate(timeout=20)[0])
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            log.append(process.communicate()[0])


def alive(client: httpx.Client) -> bool:
    try:
        return client.get("/livez").status_code == 200
    except httpx.TransportError:
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def until(condition: Callable[[], bool], seconds: float = 45) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


def params(at: Path, **changes: Any) -> Path:
    """The project's params.yaml with other values under `serve`; give the file."""
    known = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    known["serve"] |= changes
    file = at / "params.yaml"
    file.write_text(yaml.safe_dump(known), encoding="utf-8")
    return file
