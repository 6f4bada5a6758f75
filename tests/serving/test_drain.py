"""SIGTERM under load, on a real `bentoml serve`: what was taken on is answered, and what was not says so."""

import contextlib
import json
import os
import signal
import socket
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import httpx
import pytest

from tests import toy_bundles, worlds
from tests.serving.process import alive, free_port, params, serve, until

pytestmark = pytest.mark.slow

SIGTERMS = int(os.environ.get("EPISOME_SIGTERMS", "3"))  # a nightly run has time for 100
CALLERS = 4
DRAIN_SECONDS = 2.0
RECORDS = [{"id": str(number), "sequence": toy_bundles.dna(number, 1500)} for number in range(4)]
BODY = json.dumps({"species": "human_sim", "records": RECORDS}).encode()
HEAD = b"POST /v1/annotate HTTP/1.1\r\nHost: x\r\nConnection: %s\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"


@dataclass(slots=True)
class Caller:
    """Calls one after the other. A call is taken on when the service asks for its body, by `100 Continue`.

    Attributes:
        port: of the service.
        keep: whether to keep connections for the next call.
        seen: how many calls ended how.
        inside: a call is taken on and has no answer yet.
    """

    port: int
    keep: bool
    seen: Counter[str] = field(default_factory=Counter)
    inside: bool = False

    def call_until_nobody_listens(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                with socket.create_connection(("127.0.0.1", self.port), timeout=30) as one:
                    while self.call(one) == "answered" and self.keep:
                        pass

    def call(self, one: socket.socket) -> str:
        outcome = self.outcome(one)
        self.seen[outcome] += 1
        return outcome

    def outcome(self, one: socket.socket) -> str:
        with one.makefile("rb") as answer:
            one.sendall(HEAD % (b"keep-alive" if self.keep else b"close", len(BODY)))
            status, headers = read_head(answer)
            if status == 503:
                assert "retry-after" in headers
                return "refused"
            assert status == 100
            self.inside = True
            one.sendall(BODY)
            status, headers = read_head(answer)
            assert status == 200
            assert len(json.loads(answer.read(int(headers["content-length"])))["results"]) == len(RECORDS)
            self.inside = False
            return "answered"


def read_head(answer: BinaryIO) -> tuple[int, dict[str, str]]:
    line = answer.readline()
    if not line:
        raise ConnectionResetError
    headers = {}
    while header := answer.readline().decode().strip():
        name, _, value = header.partition(":")
        headers[name.lower()] = value.strip()
    return int(line.split()[1]), headers


@pytest.mark.parametrize("number", range(SIGTERMS))
def test_a_sigterm_under_load_loses_no_call_that_was_taken_on(tmp_path: Path, number: int) -> None:
    folder, port = worlds.write(tmp_path), free_port()
    settings = params(tmp_path, drain_seconds=DRAIN_SECONDS)
    process = serve(folder, port, EPISOME_PARAMS=str(settings))
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            until(lambda: alive(client) and client.get("/readyz").status_code == 200)
            callers = [Caller(port=port, keep=keep % 2 == 0) for keep in range(CALLERS)]
            threads = [threading.Thread(target=each.call_until_nobody_listens) for each in callers]
            for thread in threads:
                thread.start()
            until(lambda: all(each.seen["answered"] > 1 for each in callers))
            while not any(each.inside for each in callers):
                pass
            # A supervisor ends the process, `make stop` and a terminal its whole group.
            (os.killpg if number % 2 else os.kill)(process.pid, signal.SIGTERM)
            until(lambda: client.get("/readyz").status_code == 503, seconds=DRAIN_SECONDS)
        told = process.communicate(timeout=60)[0]
        for thread in threads:
            thread.join(30)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0
    seen = sum((each.seen for each in callers), Counter())
    assert not any(each.inside for each in callers)
    assert seen["refused"] > 0
    assert told.count("/v1/annotate: 200 in") == seen["answered"]
    assert "0 calls are still inside" in told
    assert "Traceback" not in told
