"""The real thing: `bentoml serve` in processes of its own, a swap while it runs, a start that is refused."""

import os
import signal
from pathlib import Path

import pytest

from episome import keys, shelf
from tests import toy_bundles, worlds
from tests.serving.process import free_port, params, serve, served, until

pytestmark = pytest.mark.slow

RECORD = {"id": "a", "sequence": toy_bundles.dna(1, 200)}


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


def refused(folder: Path, host: str = "127.0.0.1", **more: str) -> str:
    """What is told by a service that does not start."""
    process = serve(folder, free_port(), host, **more)
    try:
        told = process.communicate(timeout=60)[0]
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode != 0
    assert "episome: not started" in told
    assert "Traceback" not in told
    return told


def test_a_bundle_that_does_not_verify_keeps_the_service_from_starting(tmp_path: Path) -> None:
    folder = worlds.write(tmp_path)
    head = folder / "objects" / shelf.read(folder).species["fly_sim"].bundle / "head.safetensors"
    head.chmod(0o644)
    head.write_bytes(head.read_bytes() + b"?")
    assert "head.safetensors: sha256 is" in refused(folder)


def test_keys_that_cannot_be_read_keep_the_service_from_starting(tmp_path: Path) -> None:
    settings = params(tmp_path, keys=str(tmp_path / "keys"))
    assert f"the list of keys {tmp_path}/keys cannot be read" in refused(tmp_path, EPISOME_PARAMS=str(settings))


def test_where_other_machines_reach_it_the_service_starts_with_keys_alone(tmp_path: Path) -> None:
    folder = worlds.write(tmp_path)
    told = refused(folder, "0.0.0.0")
    assert "it would listen on 0.0.0.0" in told
    assert "episome key new NAME" in told
    key, holder = keys.new("ada", "reader")
    (tmp_path / "keys").write_text("reader nobody " + "0" * 64, encoding="utf-8")
    settings = params(tmp_path, keys=str(tmp_path / "keys"))
    listed = {"EPISOME_KEYS": f"# the lab;{holder.line}", "EPISOME_PARAMS": str(settings)}
    with served(folder, "0.0.0.0", **listed) as (client, log):
        until(lambda: client.get("/readyz").status_code == 200)
        assert client.get("/v1/species").status_code == 401
        assert client.get("/v1/species", headers={"authorization": f"Bearer {key}"}).status_code == 200
        for path in ("/healthz", "/schema.json", "/docs.json", "/static_content/index.css"):  # BentoML's own
            assert client.get(path).status_code == 401
    assert key not in log[0]
    assert holder.digest not in log[0]
