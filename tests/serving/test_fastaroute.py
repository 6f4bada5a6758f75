"""FASTA in, lines out: the bytes of the command line, whatever the spelling, the packing and the batches."""

import asyncio
import gzip
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fastapi import FastAPI
from starlette.testclient import TestClient

from episome_cli.main import main
from serving import fastaroute, http
from tests import toy_bundles, worlds
from tests.conftest import ROOT

URL = "/v1/annotate/fasta"
FASTA = "".join(
    f">r{n} some words\n{toy_bundles.dna(n, 40 + 110 * n)[:60]}\n{toy_bundles.dna(n, 40 + 110 * n)[60:]}\n"
    for n in range(5)
).encode()
LIMITS = {"max_records": 8, "max_record_bases": 600, "max_body_bytes": 4000}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return worlds.write(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def house(folder: Path) -> http.House:
    return worlds.house(folder, **LIMITS)


@pytest.fixture
def client(house: http.House) -> Iterator[TestClient]:
    with TestClient(http.app(house), raise_server_exceptions=False) as client:
        yield client


def ask(client: TestClient, body: bytes, accept: str = "text/x-gff3", **query: str) -> Any:
    return client.post(URL, params={"species": "human_sim", **query}, content=body, headers={"accept": accept})


def told(folder: Path, body: bytes, *words: str) -> bytes:
    """What the command line writes."""
    done = CliRunner().invoke(
        main,
        ["annotate", "-s", "human_sim", *words, "-"],
        input=body,
        env={"EPISOME_SHELF": str(folder), "EPISOME_PARAMS": str(ROOT / "params.yaml")},
    )
    return done.stdout_bytes


def problem(response: Any, status: int) -> dict[str, Any]:
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    found: dict[str, Any] = response.json()
    return found


SPELLINGS = {
    "plain": FASTA,
    "gzip": gzip.compress(FASTA),
    "two gzip members": gzip.compress(FASTA[:300]) + gzip.compress(FASTA[300:]),
    "CRLF": FASTA.replace(b"\n", b"\r\n"),
    "one line a record": re.sub(rb"(?m)^([ACGT]+)\n(?=[ACGT])", rb"\1", FASTA),
}


@pytest.mark.parametrize("report", ["calls", "all"])
@pytest.mark.parametrize("media", list(fastaroute.MEDIA))
def test_the_bytes_are_those_of_the_command_line_in_any_spelling(
    client: TestClient, folder: Path, media: str, report: str
) -> None:
    expected = told(folder, FASTA, "-f", fastaroute.MEDIA[media], "--report", report)
    assert len(expected) > 500
    for body in SPELLINGS.values():
        response = ask(client, body, media, report=report)
        assert (response.status_code, response.headers["content-type"]) == (200, f"{media}; charset=utf-8")
        assert response.content == expected


def test_lower_case_changes_nothing_but_what_is_said_of_it(client: TestClient) -> None:
    for media in fastaroute.MEDIA:
        upper, lower = (ask(client, body, media).text for body in (FASTA, FASTA.lower()))
        assert re.sub(r'"lower_case":\d+', '"lower_case":0', lower) == upper


@pytest.mark.parametrize(("tokens", "threads"), [(1, 1), (200, 2), (100_000, 3)])
def test_the_size_of_batches_changes_nothing(folder: Path, client: TestClient, tokens: int, threads: int) -> None:
    other = worlds.house(folder, **LIMITS, tokens_per_run=tokens, threads=threads)
    with TestClient(http.app(other)) as changed:
        for media in fastaroute.MEDIA:
            assert ask(changed, FASTA, media, report="all").content == ask(client, FASTA, media, report="all").content
    other.batcher.close()


def test_tasks_are_chosen_as_on_the_command_line(client: TestClient, folder: Path) -> None:
    assert ask(client, FASTA, tasks="orf,donor").content == told(folder, FASTA, "-t", "orf,donor")


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("*/*", "text/x-gff3"),
        ("text/*", "text/x-gff3"),
        ("text/html, application/*;q=0.5", "application/x-ndjson"),
        ("text/x-bed;q=0.2, text/x-bedgraph; q=0.9", "text/x-bedgraph"),
        ("TEXT/Tab-Separated-Values", "text/tab-separated-values"),
        ("text/x-gff3;q=0, text/*", "text/x-bed"),
        ("text/x-bed;q=high, text/tab-separated-values", "text/tab-separated-values"),
    ],
)
def test_what_is_wanted_most_is_given(accept: str, media: str) -> None:
    assert fastaroute.chosen(accept) == media


def test_a_caller_who_says_nothing_gets_gff3(client: TestClient) -> None:
    response = client.post(URL, params={"species": "human_sim"}, content=FASTA)
    assert response.text.startswith("##gff-version 3\n")


@pytest.mark.parametrize("accept", ["text/html", "application/json", "*/*;q=0", "text/x-gff3;q=0"])
def test_a_format_that_is_not_there_is_refused_with_those_that_are(client: TestClient, accept: str) -> None:
    assert "application/x-ndjson" in problem(ask(client, FASTA, accept), 406)["detail"]


BAD = b">good\nACGTGGTAAGTACGTACGTA\n>bad\nACG-\n>long\n" + b"A" * 601 + b"\n>last\nGGTAAGTGGTAAGT\n"


@pytest.mark.parametrize("media", list(fastaroute.MEDIA))
def test_a_refused_record_is_named_in_every_format_and_the_others_are_answered(client: TestClient, media: str) -> None:
    lines = ask(client, BAD, media).text.splitlines()
    values = [json.loads(line.removeprefix("# ")) for line in lines if line.startswith(("# {", "{"))]
    refused = {each["problem"]["record"]: each["problem"] for each in values if "problem" in each}
    assert {name: each["type"].rpartition(":")[2] for name, each in refused.items()} == {
        "bad": "character",
        "long": "too-long",
    }
    assert refused["bad"]["position"] == 4
    assert {each.get("record", each.get("id")) for each in values if "tasks" in each} >= {"good", "last"}


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        (b"", 400, "no record"),
        (b"ACGT\n", 400, "'>'"),
        (b">a\nACGT\n>a\nACGT\n", 400, "share the id 'a'"),
        (b">a\n\xff\n", 400, "no ASCII"),
        (gzip.compress(FASTA)[:-9], 400, "truncated or damaged"),
        (b"\x1f\x8bnot gzip", 400, "truncated or damaged"),
        (b">a\n" + b"A" * 4000, 413, "serve.max_body_bytes"),
        (gzip.compress(b">a\n" + b"A" * 10_000_000)[:4000] + b"", 413, "serve.max_body_bytes"),
        (b"".join(b">%d\nACGT\n" % n for n in range(9)), 413, "serve.max_records"),
        (b">a\nAC-T\n", 422, "position 3"),
        (b">a\nAC-T\n>b\nACG1\n", 422, "none of the 2 records"),
        (b">a\n", 422, "empty"),
        (b">a\n" + b"A" * 601, 413, "serve.max_record_bases"),
    ],
)
def test_a_body_that_cannot_be_answered_is_a_problem(client: TestClient, body: bytes, status: int, word: str) -> None:
    assert word in problem(ask(client, body), status)["detail"]


@pytest.mark.parametrize(
    ("query", "status", "word"),
    [
        ({"species": "yeti"}, 404, "no species 'yeti'"),
        ({"tasks": "enhancer"}, 422, "no task 'enhancer'"),
        ({"tasks": ""}, 422, "no task ''"),
        ({"report": "everything"}, 422, "report"),
        ({"threshold": "0.5"}, 422, "threshold"),
    ],
)
def test_a_query_that_asks_for_what_is_not_there_is_a_problem(
    client: TestClient, query: dict[str, str], status: int, word: str
) -> None:
    assert word in problem(ask(client, b">a\nACGTACGT\n", **query), status)["detail"]


def test_the_species_is_wanted(client: TestClient) -> None:
    assert "species" in problem(client.post(URL, content=FASTA), 422)["detail"]


def test_records_are_counted_as_those_of_json_are(folder: Path) -> None:
    house = worlds.house(folder, **LIMITS)
    with TestClient(http.app(house)) as client:
        ask(client, BAD)
    human = next(each for each in house.watch.snapshot()["species"] if each["species"] == "human_sim")
    assert human["records"] == 2
    text = house.watch.metrics.exposition().decode()
    for reason in ("character", "too_long"):
        assert f'episome_rejected_records_total{{reason="{reason}"}} 1.0' in text
    house.batcher.close()


def sent(app: FastAPI, query: bytes, accept: bytes, body: bytes) -> list[Any]:
    """What a server would be given for a call."""
    came: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        came.append(message)

    scope = {"type": "http", "method": "POST", "path": URL, "query_string": query, "headers": [(b"accept", accept)]}
    asyncio.run(app({**scope, "http_version": "1.1", "scheme": "http", "server": ("x", 80)}, receive, send))
    return came


@pytest.mark.parametrize(("accept", "start"), [(b"text/x-bed", "# {"), (b"application/x-ndjson", "{")])
def test_an_answer_that_cannot_be_finished_says_so_and_has_no_end(
    folder: Path, monkeypatch: pytest.MonkeyPatch, accept: bytes, start: str
) -> None:
    house = worlds.house(folder, timeout_seconds=3.0, tokens_per_run=64, threads=1)
    monkeypatch.setattr(fastaroute, "_BLOCK", 1)
    engine = house.shelf.current.residents["human_sim"].engine
    honest, go = engine.logits, threading.Event()
    runs = 0

    def logits(rows: Any) -> Any:
        nonlocal runs
        runs += 1
        return honest(rows) if runs < 200 or go.wait(10) else None

    monkeypatch.setattr(engine, "logits", logits)
    many = b"".join(b">r%d\n%s\n" % (n, toy_bundles.dna(n, 400).encode()) for n in range(60))
    first, *blocks = sent(http.app(house), b"species=human_sim&tasks=donor&report=all", accept, many)
    go.set()
    house.batcher.close()
    assert first["status"] == 200
    assert len(blocks) > 1
    assert all(each["more_body"] for each in blocks)
    last = blocks[-1]["body"].decode()
    assert last.startswith(start)
    assert json.loads(last.removeprefix("# "))["problem"]["type"].endswith("deadline")
    assert 'episome_shed_total{reason="deadline"} 1.0' in house.watch.metrics.exposition().decode()


def test_an_answer_that_is_finished_has_an_end_and_leaves_the_room_free(folder: Path) -> None:
    house = worlds.house(folder, **LIMITS)
    _, *blocks = sent(http.app(house), b"species=human_sim", b"*/*", FASTA)
    assert [each.get("more_body", False) for each in blocks] == [True, False]
    assert set(house.shelf._leases.values()) == {0}
    house.batcher.close()


def test_a_call_that_is_late_from_the_start_is_504(folder: Path) -> None:
    house = worlds.house(folder, timeout_seconds=1e-9)
    with TestClient(http.app(house)) as client:
        assert problem(ask(client, FASTA), 504)["type"].endswith("deadline")
    assert set(house.shelf._leases.values()) == {0}
    house.batcher.close()


def test_the_route_describes_itself_with_an_example_that_works(client: TestClient) -> None:
    described = client.get("/openapi.json").json()["paths"][URL]["post"]
    (example,) = described["requestBody"]["content"]["text/x-fasta"]["schema"]["examples"]
    assert list(described["responses"]["200"]["content"]) == list(fastaroute.MEDIA)
    names = {each["name"]: each["in"] for each in described["parameters"]}
    assert names == {"species": "query", "tasks": "query", "report": "query"}
    assert ask(client, example.encode()).status_code == 200


def test_before_the_first_generation_nothing_is_answered(tmp_path: Path) -> None:
    with TestClient(http.app(worlds.house(tmp_path / "shelf"))) as client:
        assert problem(ask(client, FASTA), 503)["type"].endswith("not-ready")
