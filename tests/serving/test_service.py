"""The real thing: `bentoml serve` in processes of its own, a swap while it runs, a start that is refused."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from episome import shelf
from tests import toy_bundles, worlds
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

RECORD = {"id": "a", "sequence": toy_bundles.dna(1, 200)}
BENTOML = Path(sys.executable).with_name("bentoml")


def serve(folder: Path, port: int) -> "subprocess.Popen[str]":
    """Start the service; BENTOML_DO_NOT_TRACK is left to the service itself."""
    environment = {name: value for name, value in os.environ.items() if name != "BENTOML_DO_NOT_TRACK"}
    return subprocess.Popen(
        [str(BENTOML), "serve", "serving.service:Episome", "--host", "127.0.0.1", "--port", str(port)],
        cwd=ROOT,
        env={**environment, "EPISOME_SHELF": str(folder), "__BENTOML_DEBUG_USAGE": "True", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@contextmanager
def served(folder: Path) -> Iterator[tuple[httpx.Client, list[str]]]:
    """A client of a running service; the list holds its log once the block is left."""
    log: list[str] = []
    port = free_port()
    process = serve(folder, port)
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


def test_the_service_answers_takes_up_a_generation_and_reports(tmp_path: Path) -> None:
    folder = tmp_path / "shelf"
    with served(folder) as (client, log):
        assert client.get("/readyz").status_code == 503
        assert client.post("/v1/annotate", json={"records": [RECORD]}).status_code == 503
        worlds.write(tmp_path)
        until(lambda: client.get("/readyz").status_code == 200)
        asked = {"species": "human_sim", "records": [RECORD]}
        first = client.post("/v1/annotate", json=asked).json()["results"][0]
        assert first["receipt"]["adapter"]["version"] == "1"
        worlds.promote(tmp_path, "human_sim", seed=9, version="2")
        until(lambda: client.get("/v1/species").json()["generation"] == 3)
        second = client.post("/v1/annotate", json=asked).json()["results"][0]
        assert second["receipt"]["adapter"]["bundle"] == shelf.read(folder).species["human_sim"].bundle
        assert second["tasks"] != first["tasks"]
        problem = client.get("/nowhere")
        assert (problem.status_code, problem.headers["content-type"]) == (404, "application/problem+json")
        assert client.get("/v1/annotate").status_code == 405
        for page in ("/", "/docs", "/monitor"):
            assert client.get(page).headers["content-type"].startswith("text/html")
        assert "tagmanager" not in client.get("/").text
        secret = "ACGTTGCAAC" * 3
        assert client.get(f"/v1/species/{secret}").status_code == 404
        metrics = client.get("/metrics").text
        assert secret not in metrics
        assert 'episome_requests_total{code="200",route="/v1/annotate"} 2.0' in metrics
        assert "episome_shelf_generation 3.0" in metrics
    assert RECORD["sequence"] not in log[0]
    assert secret not in log[0]
    assert "/v1/annotate: 200 in" in log[0]
    assert "Tracking" not in log[0]
    assert "generation 3 of the shelf serves" in log[0]


def test_a_bundle_that_does_not_verify_keeps_the_service_from_starting(tmp_path: Path) -> None:
    folder = worlds.write(tmp_path)
    head = folder / "objects" / shelf.read(folder).species["fly_sim"].bundle / "head.safetensors"
    head.chmod(0o644)
    head.write_bytes(head.read_bytes() + b"?")
    process = serve(folder, free_port())
    try:
        told = process.communicate(timeout=60)[0]
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode != 0
    assert "episome: not started" in told
    assert "head.safetensors: sha256 is" in told
    assert "Traceback" not in told
