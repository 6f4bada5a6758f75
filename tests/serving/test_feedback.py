"""Curated labels over HTTP: judged one by one, kept once, and nothing that is served changes by them."""

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from episome import feedback as store
from episome import params, shelf
from episome.sequence import reverse_complement
from episome.serveparams import Feedback
from serving import feedback, http, schema
from tests import toy_bundles, worlds
from tests.conftest import ROOT
from tests.serving.test_http import problem

WINDOW = toy_bundles.dna(1, 60)
SITE = toy_bundles.dna(2, 20) + "GT" + toy_bundles.dna(3, 18)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return worlds.write(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def closed(folder: Path) -> http.House:
    return worlds.house(folder, max_body_bytes=20_000, timeout_seconds=5)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "feedback" / "labels.sqlite"


def opened(closed: http.House, file: Path, max_rows: int = 4, max_store_bytes: int = 10_000_000) -> http.House:
    known = params.read(ROOT / "params.yaml")
    where = Feedback(file=file, max_rows=max_rows, max_store_bytes=max_store_bytes)
    serve = known.serve.model_copy(update={"feedback": where})
    return replace(closed, desk=feedback.desk(known.model_copy(update={"serve": serve})))


@pytest.fixture
def client(closed: http.House, file: Path) -> Iterator[TestClient]:
    with TestClient(http.app(opened(closed, file)), raise_server_exceptions=False) as client:
        yield client


def row(sequence: str = WINDOW, label: Any = "present", task: str = "promoter", **more: Any) -> dict[str, Any]:
    return {"species": "human_sim", "task": task, "sequence": sequence, "label": label, "curator": "Ada"} | more


def send(client: TestClient, *rows: Any) -> Any:
    return client.post("/v1/feedback", json={"rows": list(rows)})


def taken(client: TestClient, *rows: Any) -> list[dict[str, Any]]:
    response = send(client, *rows)
    assert response.status_code == 200
    schema.Taken.model_validate(response.json())
    results: list[dict[str, Any]] = response.json()["results"]
    assert [each["row"] for each in results] == list(range(1, len(rows) + 1))
    return results


def test_labels_are_stored_with_all_that_was_said(client: TestClient, file: Path) -> None:
    receipt = client.get("/v1/species/human_sim").json()["receipt"]
    results = taken(
        client, row(WINDOW.lower().replace("t", "u"), note="by eye", receipt=receipt), row(SITE, task="donor")
    )
    assert [(each["id"], each["status"], each["contradiction"]) for each in results] == [
        (1, "stored", False),
        (2, "stored", False),
    ]
    first, second = (each.said for each in store.read(file, "human_sim"))
    assert (first.task, first.sequence, first.label, first.name) == ("promoter", WINDOW, 1, "present")
    assert (first.curator, first.note, json.loads(first.receipt)) == ("Ada", "by eye", receipt)
    assert (second.task, second.sequence, second.note, second.receipt) == ("donor", SITE, "", "")
    assert first.key == results[0]["sequence_sha256"]


def test_what_was_said_before_is_known_and_the_contrary_is_flagged(client: TestClient, file: Path) -> None:
    turned = row(reverse_complement(WINDOW))
    assert [each["status"] for each in taken(client, row(), turned, row())] == ["stored", "known", "known"]
    other, contrary = taken(client, row(curator="Bo"), row(label="absent", curator="Bo"))
    assert (other["status"], other["contradicts"]) == ("stored", [3])
    assert (contrary["status"], contrary["contradiction"], contrary["contradicts"]) == ("stored", True, [1, 2])
    assert taken(client, row())[0]["contradiction"]
    assert len(store.read(file, "human_sim")) == 3


BAD = [
    (row(WINDOW[:-1]), 422, "contract", "59 bases; wanted, for task promoter: every sequence has 60 bases"),
    (row(WINDOW * 30), 422, "contract", "1800 bases; wanted"),
    (
        row(SITE[:20] + "AG" + SITE[22:], task="donor"),
        422,
        "contract",
        "AG at base 20, counted from 0; wanted, for task",
    ),
    (row("N" * 4 + WINDOW[4:]), 422, "contract", "6.7% is N; wanted, for task promoter: at most 5.0%"),
    (row(WINDOW[:-1] + "-"), 422, "character", "character '-' at position 60"),
    (row(""), 422, "empty", "the sequence is empty"),
    (row(label="yes"), 422, "unknown-label", "label 'yes'; wanted, for task promoter: 'absent' or 'present'"),
    (row(label="1"), 422, "unknown-label", "wanted, for task promoter"),
    (row(task="enhancer"), 422, "unknown-task", "no task 'enhancer'; it has: promoter, donor, orf"),
    (row(species="yeti"), 404, "unknown-species", "no species 'yeti'; served: fly_sim, human_sim"),
    (row(curator=""), 422, "malformed", "curator: "),
    (row(curator=" Ada"), 422, "malformed", "curator: "),
    (row(curator="Ada\nBo"), 422, "malformed", "curator: "),
    (row(curator="A" * 201), 422, "malformed", "curator: String should have at most 200 characters"),
    (row(note="A" * 2001), 422, "malformed", "note: String should have at most 2000 characters"),
    (row(strand="+"), 422, "malformed", "strand: unknown field"),
    (row(receipt={"tool": "mine"}), 422, "malformed", "receipt.base: missing field"),
    ({name: value for name, value in row().items() if name != "curator"}, 422, "malformed", "curator: missing field"),
    (row(label=1), 422, "malformed", "label: "),
    (7, 422, "malformed", "row 1: "),
]


@pytest.mark.parametrize(("bad", "status", "kind", "said"), BAD)
def test_a_bad_row_is_named_alone_and_beside_a_good_one(
    client: TestClient, file: Path, bad: Any, status: int, kind: str, said: str
) -> None:
    alone = problem(send(client, bad), status)
    assert not file.exists()
    refused, good = taken(client, bad, row(SITE, task="donor"))
    assert (refused["status"], good["status"]) == ("error", "stored")
    for found in (alone, refused["problem"]):
        assert (found["type"], found["record"]) == (f"urn:episome:problem:{kind}", "row 1")
        assert said in found["detail"]
    assert len(store.read(file, "human_sim")) == 1


def test_a_receipt_of_another_species_is_refused(client: TestClient) -> None:
    receipt = client.get("/v1/species/fly_sim").json()["receipt"]
    found = problem(send(client, row(receipt=receipt)), 422)
    assert "the receipt is of an answer for 'fly_sim'; wanted: one for 'human_sim'" in found["detail"]


def test_more_n_than_training_keeps_is_refused_whatever_the_gate_allows(closed: http.House, file: Path) -> None:
    house = opened(closed, file)
    assert house.desk is not None
    strict = replace(house, desk=replace(house.desk, max_n_share=0.01))
    with TestClient(http.app(strict)) as client:
        found = problem(send(client, row("N" + WINDOW[1:])), 422)
    assert found["detail"] == "row 1: 1.7% is N; wanted: at most 1.0% (windows.max_n_share)"


def test_rows_that_fail_in_different_ways_are_one_problem_with_every_one(client: TestClient) -> None:
    found = problem(send(client, row(""), row(species="yeti")), 422)
    assert found["type"].endswith("no-answer")
    assert [each["record"] for each in found["errors"]] == ["row 1", "row 2"]


@pytest.mark.parametrize(
    ("content", "status", "word"),
    [
        (b"hello", 400, "not JSON"),
        (b"[]", 422, "object"),
        (b"{}", 422, "rows: missing field"),
        (b'{"rows": []}', 422, "rows"),
        (b'{"rows": [1], "species": "human_sim"}', 422, "species: unknown field"),
        (b'{"rows": [1, 2, 3, 4, 5]}', 413, "5 rows came; at most 4 are taken in a call (serve.feedback.max_rows)"),
        (b" " * 20_001, 413, "serve.max_body_bytes"),
    ],
)
def test_a_body_that_is_no_call_is_refused(client: TestClient, content: bytes, status: int, word: str) -> None:
    assert word in problem(client.post("/v1/feedback", content=content), status)["detail"]


def test_feedback_is_off_unless_params_name_a_file(closed: http.House) -> None:
    known = params.read(ROOT / "params.yaml")
    assert feedback.desk(known) is None
    with TestClient(http.app(closed)) as client:
        found = problem(send(client, row()), 404)
    assert "serve.feedback in params.yaml is null" in found["detail"]


def test_before_the_first_generation_nothing_is_taken(tmp_path: Path, file: Path) -> None:
    with TestClient(http.app(opened(worlds.house(tmp_path / "shelf"), file))) as client:
        problem(send(client, row()), 503)
    assert not file.exists()


def test_a_full_a_broken_and_a_busy_store_are_problems_and_nothing_is_stored(closed: http.House, file: Path) -> None:
    with TestClient(http.app(opened(closed, file, max_rows=400, max_store_bytes=32768))) as client:
        many = [row(toy_bundles.dna(seed, 60)) for seed in range(90)]
        found = problem(send(client, *many), 507)
        assert "serve.feedback.max_store_bytes" in found["detail"]
    with TestClient(http.app(opened(replace(closed, limits=worlds.limits(timeout_seconds=0.1)), file))) as client:
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        response = send(client, row())
        other.close()
        assert problem(response, 503)["type"].endswith("busy")
        assert int(response.headers["retry-after"]) >= 1
        assert store.read(file, "human_sim") == []
        file.unlink()
        file.write_bytes(b"no database" * 1000)
        found = problem(send(client, row()), 503)
        assert str(file) not in found["detail"]


def test_nothing_that_is_served_changes(client: TestClient, folder: Path) -> None:
    asked = {"species": "human_sim", "report": "all", "records": [{"id": "a", "sequence": toy_bundles.dna(5, 200)}]}

    def served() -> tuple[Any, Any, Any]:
        return (
            client.post("/v1/annotate", json=asked).json(),
            client.get("/v1/species").json(),
            {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()},
        )

    before = served()
    taken(client, row(), row(label="absent"), row(SITE, task="donor"))
    assert served() == before
    assert shelf.read(folder).generation == 2


def test_no_sequence_and_no_name_is_in_any_log_or_series(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"):
        taken(client, row(curator="Barbara"), row(WINDOW[:50]))
        send(client, row(WINDOW[:50]))
    assert "/v1/feedback: 200 in" in caplog.text
    for secret in (WINDOW[:50], "Barbara"):
        assert secret not in caplog.text
        assert secret not in client.get("/metrics").text


def test_the_api_says_what_a_row_is_and_its_example_is_a_row_of_the_demo(client: TestClient) -> None:
    call = client.get("/openapi.json").json()["paths"]["/v1/feedback"]["post"]
    body = call["requestBody"]["content"]["application/json"]["schema"]
    fields = body["properties"]["rows"]["items"]["properties"]
    assert "`window // 2`" in fields["sequence"]["description"]
    assert fields["receipt"]["anyOf"][0]["properties"]["adapter"]["additionalProperties"] is False
    assert {"200", "400", "404", "413", "422", "503", "507"} <= set(call["responses"])
    assert "**stored, sequences included**" in call["description"]
    (example,) = body["examples"][0]["rows"]
    schema.CuratedLabel.model_validate(example, strict=True)
    task = params.read(ROOT / "params.yaml").task(example["task"])
    assert (len(example["sequence"]), example["label"]) == (task.window, task.labels[1])
