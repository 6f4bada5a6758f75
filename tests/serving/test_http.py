"""The HTTP contract, on the application itself."""

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from episome import bundle, modelcard, provenance, shelf, wire
from serving import http, schema
from tests import toy_bundles, worlds

DNA = toy_bundles.dna(1, 200)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return worlds.write(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def house(folder: Path) -> http.House:
    return worlds.house(folder, max_records=4, max_record_bases=300, max_body_bytes=2000)


@pytest.fixture(scope="module")
def app(house: http.House) -> FastAPI:
    return http.app(house)


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def record(sequence: str = DNA, name: str = "a", **more: str) -> dict[str, str]:
    return {"id": name, "sequence": sequence, **more}


def body(*records: Any, species: str | None = "human_sim", **more: Any) -> dict[str, Any]:
    return {"records": list(records), **({"species": species} if species else {}), **more}


def problem(response: Any, status: int) -> dict[str, Any]:
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    found: dict[str, Any] = response.json()
    wire.ProblemDetails.model_validate(found)
    assert found["status"] == status
    return found


def test_an_answer_has_the_documented_shape_and_its_receipt(client: TestClient, folder: Path) -> None:
    response = client.post("/v1/annotate", json=body(record("acgu" + DNA[4:]), record(name="b", species="fly_sim")))
    assert response.status_code == 200
    answers = wire.Annotation.model_validate(response.json(), strict=False).results
    assert [each.id for each in answers] == ["a", "b"]
    for each, species in zip(answers, ("human_sim", "fly_sim"), strict=True):
        assert isinstance(each, wire.AnswerOut)
        entry = shelf.read(folder).species[species]
        assert (each.species, each.simulated, each.length) == (species, True, 200)
        assert each.receipt.adapter.model_dump() == {"species": species, "version": "1", "bundle": entry.bundle}
        assert (each.receipt.base, each.receipt.data, each.receipt.gate) == (entry.base, entry.data, entry.gate)
        assert each.receipt.provider == "CPUExecutionProvider"
        assert set(each.tasks) == {"promoter", "donor", "orf"}
    assert response.json()["results"][0]["normalised"] == {"lower_case": 4, "uracil": 1, "ambiguous": 0}


def test_all_windows_are_there_when_asked_for_and_calls_are_those_over_the_threshold(client: TestClient) -> None:
    every = client.post("/v1/annotate", json=body(record(), report="all")).json()["results"][0]["tasks"]
    calls = client.post("/v1/annotate", json=body(record())).json()["results"][0]["tasks"]
    for name, task in every.items():
        assert len(task["features"]) == task["scored"] + task["no_call"] == calls[name]["scored"]
        called = [each for each in task["features"] if each["score"] >= task["threshold"]]
        assert called == calls[name]["features"]
        assert all(each["called"] for each in called)
    assert [(each["start"], each["end"]) for each in every["promoter"]["features"]][:3] == [(0, 60), (0, 60), (30, 90)]


def test_tasks_can_be_chosen(client: TestClient) -> None:
    response = client.post("/v1/annotate", json=body(record(), tasks=["orf"]))
    assert list(response.json()["results"][0]["tasks"]) == ["orf"]


def test_a_mixed_call_answers_as_each_record_alone(client: TestClient) -> None:
    sequences = [toy_bundles.dna(seed, 90 + 7 * seed) for seed in range(4)]
    species = ["human_sim", "fly_sim", "human_sim", "fly_sim"]
    records = [record(s, str(n), species=o) for n, (s, o) in enumerate(zip(sequences, species, strict=True))]
    together = client.post("/v1/annotate", json=body(*records, report="all")).json()["results"]
    alone = [client.post("/v1/annotate", json=body(each, report="all")).json()["results"][0] for each in records]
    for one, other in zip(together, alone, strict=True):
        for name, task in one["tasks"].items():
            scores = [each["score"] for each in task["features"]]
            assert scores == pytest.approx([each["score"] for each in other["tasks"][name]["features"]], abs=2e-6)
    assert together[0]["tasks"] != together[1]["tasks"]


@pytest.mark.parametrize(
    ("content", "status", "word"),
    [
        (b"hello", 400, "not JSON"),
        (b"", 400, "not JSON"),
        (b'{"records": [', 400, "not JSON"),
        (b'{"species": "\xff"}', 400, "UTF-8"),
        (b'{"records": [{"id": "a", "sequence": "\\ud800"}]}', 400, "not JSON"),
        (b"[" * 1900, 400, "not JSON"),
        (b"[]", 422, "object"),
        (b'{"species": "human_sim"}', 422, "records: missing field"),
        (b'{"species": "human_sim", "records": []}', 422, "records"),
        (b'{"species": "human_sim", "records": {}}', 422, "records"),
        (b'{"species": "human_sim", "sequence": "ACGT", "records": [1]}', 422, "sequence: unknown field"),
        (b'{"report": "everything", "records": [1]}', 422, "report"),
        (b'{"tasks": [], "records": [1]}', 422, "tasks"),
    ],
)
def test_a_body_that_is_no_call_is_refused(client: TestClient, content: bytes, status: int, word: str) -> None:
    assert word in problem(client.post("/v1/annotate", content=content), status)["detail"]


@pytest.mark.parametrize(
    ("bad", "status", "kind", "position", "character"),
    [
        (record("ACG-T", "x"), 422, "character", 4, "-"),
        (record("AC1GT", "x"), 422, "character", 3, "1"),
        (record("ACGT ", "x"), 422, "character", 5, " "),
        (record("ACGé", "x"), 422, "character", 4, "é"),
        (record("", "x"), 422, "empty", None, None),
        (record("A" * 301, "x"), 413, "too-long", None, None),
        (record(name="x", species="yeti"), 404, "unknown-species", None, None),
        (record(name="x", organism="human"), 422, "malformed", None, None),
        ({"id": "x"}, 422, "malformed", None, None),
        ({"id": "x", "sequence": 5}, 422, "malformed", None, None),
    ],
)
def test_a_bad_record_alone_fails_the_call_and_beside_a_good_one_only_itself(
    client: TestClient, bad: Any, status: int, kind: str, position: int | None, character: str | None
) -> None:
    alone = problem(client.post("/v1/annotate", json=body(bad)), status)
    response = client.post("/v1/annotate", json=body(record(DNA[:80]), bad))
    assert response.status_code == 200
    good, refused = response.json()["results"]
    assert (good["id"], good["status"]) == ("a", "ok")
    assert (refused["id"], refused["status"]) == ("x", "error")
    for found in (alone, refused["problem"]):
        assert found["type"] == f"urn:episome:problem:{kind}"
        assert (found["status"], found["record"]) == (status, "x")
        assert (found.get("position"), found.get("character")) == (position, character)


def test_the_unknown_field_of_a_record_is_named(client: TestClient) -> None:
    found = problem(client.post("/v1/annotate", json=body(record(organism="human"))), 422)
    assert found["detail"] == "record 1: organism: unknown field"


def test_what_is_no_record_and_ids_that_repeat_are_refused_one_by_one(client: TestClient) -> None:
    records = [record(DNA[:60]), record(DNA[:60]), 7, {"id": "", "sequence": "A"}]
    results = client.post("/v1/annotate", json=body(*records)).json()["results"]
    assert [each["status"] for each in results] == ["ok", "error", "error", "error"]
    assert "the id 'a'" in results[1]["problem"]["detail"]
    assert results[2]["problem"]["detail"].startswith("record 3: ")
    assert results[2]["id"] is None


def test_records_that_all_fail_in_different_ways_are_422_with_every_problem(client: TestClient) -> None:
    found = problem(client.post("/v1/annotate", json=body(record("A-", "x"), record(name="y", species="yeti"))), 422)
    assert [each["record"] for each in found["errors"]] == ["x", "y"]
    assert [each["status"] for each in found["errors"]] == [422, 404]
    shared = problem(client.post("/v1/annotate", json=body(record(), record(name="b"), species="yeti")), 404)
    assert shared["type"] == "urn:episome:problem:unknown-species"


def test_a_record_without_a_species_is_refused(client: TestClient) -> None:
    assert "names no species" in problem(client.post("/v1/annotate", json=body(record(), species=None)), 422)["detail"]


def test_an_unknown_task_is_named_with_the_known_ones(client: TestClient) -> None:
    found = problem(client.post("/v1/annotate", json=body(record(), tasks=["orf", "enhancer"])), 422)
    assert "no task 'enhancer'; it has: promoter, donor, orf" in found["detail"]


def test_too_many_records_are_413(client: TestClient) -> None:
    found = problem(client.post("/v1/annotate", json=body(*[record("ACGT", str(n)) for n in range(5)])), 413)
    assert "serve.max_records" in found["detail"]


def test_a_body_that_is_too_big_is_refused_announced_or_not(client: TestClient) -> None:
    problem(client.post("/v1/annotate", content=b" " * 2001), 413)
    read = 0

    def chunks() -> Iterator[bytes]:
        nonlocal read
        for _ in range(1000):
            read += 1
            yield b" " * 100

    problem(client.post("/v1/annotate", content=chunks()), 413)
    problem(client.post("/v1/annotate", content=b"x", headers={"content-length": "9" * 30}), 413)


def test_a_compressed_body_is_refused(client: TestClient) -> None:
    problem(client.post("/v1/annotate", content=b"{}", headers={"content-encoding": "gzip"}), 415)


def test_a_window_of_n_is_counted_and_has_no_score(client: TestClient) -> None:
    task = client.post(
        "/v1/annotate", json=body(record("N" * 60 + "ACGT" * 15), report="all", tasks=["promoter"])
    ).json()["results"][0]["tasks"]["promoter"]
    assert (task["scored"], task["no_call"]) == (4, 2)
    silent = [each for each in task["features"] if each["score"] is None]
    assert [(each["start"], each["flags"], each["label"]) for each in silent] == [(0, ["no_call"], None)] * 2


def test_routes_that_are_not_there_and_methods_that_are_not_are_problems(client: TestClient) -> None:
    problem(client.get("/v1/nothing"), 404)
    wrong = client.get("/v1/annotate")
    problem(wrong, 405)
    assert wrong.headers["allow"] == "POST"
    problem(client.get("/monitor/data.json?minutes=x"), 422)


def test_species_lists_who_answers_and_one_species_gives_its_card(client: TestClient) -> None:
    listed = client.get("/v1/species").json()
    assert listed["generation"] == 2
    assert [each["id"] for each in listed["species"]] == ["fly_sim", "human_sim"]
    assert listed["refused"] is None
    one = client.get("/v1/species/human_sim").json()
    assert one["card"]["lineage"]["donor"] == "base"
    assert one["receipt"]["adapter"]["bundle"] == one["bundle"]
    problem(client.get("/v1/species/yeti"), 404)


def test_no_page_asks_for_anything_outside(client: TestClient) -> None:
    for path in ("/", "/docs"):
        page = client.get(path)
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")
        assert "//" not in page.text.replace("// ", "").replace("http://testserver/", "")
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'")
        assert "'unsafe-inline'" not in policy.split("script-src")[1].split(";")[0]
    assert '"species": "fly_sim"' in client.get("/").text
    assert '"validatorUrl": null' in client.get("/docs").text
    strange = client.get("/", headers={"host": "<b>x"})
    assert "<b>" not in strange.text
    for name in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"):
        assert client.get(f"/docs/assets/{name}").status_code == 200


def test_the_api_describes_itself_with_an_example_that_works(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    call = described["paths"]["/v1/annotate"]["post"]
    body_schema = call["requestBody"]["content"]["application/json"]["schema"]
    assert body_schema["properties"]["records"]["items"]["additionalProperties"] is False
    assert client.post("/v1/annotate", json=body_schema["examples"][0]).status_code == 200
    assert {"200", "400", "404", "413", "422", "503", "504"} <= set(call["responses"])
    for code in ("400", "503"):
        assert "application/problem+json" in call["responses"][code]["content"]


def test_every_route_is_counted_under_its_template(house: http.House, client: TestClient) -> None:
    for path in http.ROUTES:
        client.get(path.replace("{species}", "human_sim"))
    client.get("/v1/nothing")
    text = house.watch.metrics.exposition().decode()
    counted = set(re.findall(r'episome_requests_total\{code="\d+",route="([^"]+)"', text))
    assert counted == {*http.ROUTES, "other"}


def test_a_failing_model_costs_the_record_not_the_call(
    client: TestClient, house: http.House, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = house.shelf.current.residents["human_sim"].engine
    slot = house.shelf.current.residents["human_sim"].adapter.slot
    honest = engine.logits

    def broken(prepared: Any) -> Any:
        if any(each == slot for _, each in prepared):
            raise RuntimeError("a secret path")
        return honest(prepared)

    monkeypatch.setattr(engine, "logits", broken)
    response = client.post("/v1/annotate", json=body(record(), record(name="b", species="fly_sim"), tasks=["promoter"]))
    failed, good = response.json()["results"]
    assert (response.status_code, good["status"]) == (200, "ok")
    assert failed["problem"]["status"] == 500
    assert "secret" not in response.text
    assert problem(client.post("/v1/annotate", json=body(record())), 500)
    assert problem(client.post("/v1/annotate", json=body(record(), record("A-", "x"))), 500)


def test_a_bug_is_a_problem_that_tells_nothing(
    client: TestClient, house: http.House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a secret path")

    monkeypatch.setattr("episome.reply.stream", broken)
    response = client.post("/v1/annotate", json=body(record()))
    assert "secret" not in response.text
    assert problem(response, 500)["title"] == "Internal error"


def test_before_the_first_generation_nothing_is_answered(tmp_path: Path) -> None:
    empty = worlds.house(tmp_path / "shelf")
    with TestClient(http.app(empty)) as client:
        response = client.post("/v1/annotate", json=body(record()))
        problem(response, 503)
        assert int(response.headers["retry-after"]) >= 1
        assert client.get("/v1/species").json()["species"] == []
    assert not empty.shelf.ready


def test_a_call_that_cannot_be_answered_in_time_is_504(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = worlds.house(folder, timeout_seconds=0.2)
    release = threading.Event()
    for resident in slow.shelf.current.residents.values():
        honest = resident.engine.logits
        monkeypatch.setattr(resident.engine, "logits", lambda rows, honest=honest: release.wait(5) and honest(rows))
    with TestClient(http.app(slow)) as client:
        response = client.post("/v1/annotate", json=body(record()))
        release.set()
        problem(response, 504)
        assert "retry-after" in response.headers
        slow.batcher.close()


def test_a_full_house_and_a_full_queue_are_503_before_the_body_is_read(folder: Path) -> None:
    full = worlds.house(folder, queue_tokens=1)
    with TestClient(http.app(full)) as client:
        full.batcher._waiting = 1
        response = client.post("/v1/annotate", content=b"not even JSON")
        assert problem(response, 503)["type"].endswith("queue-full")
        full.batcher._waiting = 0
        assert client.post("/v1/annotate", json=body(record())).status_code == 200
    text = full.watch.metrics.exposition().decode()
    assert 'episome_shed_total{reason="queue_full"} 1.0' in text


def test_what_a_caller_puts_into_a_path_is_in_no_log_and_no_series(
    client: TestClient, house: http.House, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "ACGTTGCAAC" * 3
    caplog.set_level("INFO", logger="episome.serving")
    assert client.get(f"/v1/species/{secret}").status_code == 404
    assert client.get(f"/{secret}").status_code == 404
    told = [each.getMessage() for each in caplog.records if each.name == "episome.serving"]
    assert [re.sub(r"[\d.]+ ms", "", each) for each in told] == ["/v1/species/{species}: 404 in ", "other: 404 in "]
    series = client.get("/metrics")
    assert series.headers["content-type"].startswith("text/plain; version=")
    assert 'route="/v1/species/{species}"' in series.text
    assert secret not in series.text


def test_a_caller_who_hangs_up_is_no_failure_of_ours(app: FastAPI, house: http.House) -> None:
    before = house.watch.snapshot()["live"]["outcomes"]
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/annotate", "query_string": b"", "headers": []}
    asyncio.run(app({**scope, "http_version": "1.1", "scheme": "http", "server": ("x", 80)}, receive, send))
    assert sent[0]["status"] == 400
    after = house.watch.snapshot()["live"]["outcomes"]
    assert after["failed"] == before["failed"]


def test_refusals_are_counted_by_their_own_reasons(client: TestClient, house: http.House) -> None:
    records = [record(DNA[:60]), record(DNA[:60]), record("A" * 301, "long"), 7]
    client.post("/v1/annotate", json=body(*records))
    text = house.watch.metrics.exposition().decode()
    for reason in ("duplicate_id", "too_long", "malformed"):
        (count,) = re.findall(rf'episome_rejected_records_total{{reason="{reason}"}} (\S+)', text)
        assert float(count) >= 1


def test_no_sequence_is_in_any_log(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    secret = "ACGTTGCAAC" * 3
    with caplog.at_level("DEBUG"):
        client.post("/v1/annotate", json=body(record(secret), record(secret + "-", "b")))
        client.post("/v1/annotate", content=json.dumps(body(record(secret)))[:-1].encode())
    assert secret not in caplog.text


def test_traffic_of_another_species_is_told_to_the_watch(house: http.House, client: TestClient) -> None:
    before = house.watch.snapshot()["species"]
    client.post("/v1/annotate", json=body(record()))
    after = house.watch.snapshot()["species"]
    human = next(n for n, each in enumerate(after) if each["species"] == "human_sim")
    assert after[human]["records"] == before[human]["records"] + 1


def test_scores_are_finite_numbers(client: TestClient) -> None:
    tasks = client.post("/v1/annotate", json=body(record(), report="all")).json()["results"][0]["tasks"]
    scores = np.array([each["score"] for task in tasks.values() for each in task["features"]])
    assert ((scores >= 0) & (scores <= 1)).all()


def test_one_species_gives_its_model_card_as_values_and_as_a_page(client: TestClient) -> None:
    one = client.get("/v1/species/human_sim").json()
    made = schema.SpeciesOut.model_validate(one, strict=True).model_card
    assert made.model_details["bundle"] == one["bundle"]
    assert made.model_details["version"] == one["version"]
    assert made.training_data["licence"] == toy_bundles.MADE.licence
    page = client.get("/v1/species/human_sim/card.md")
    assert page.headers["content-type"] == "text/markdown; charset=utf-8"
    assert page.text == modelcard.markdown(one["model_card"])
    assert page.text.startswith("# Model card: human_sim (SIMULATED")
    problem(client.get("/v1/species/yeti/card.md"), 404)
    described = client.get("/openapi.json").json()["paths"]["/v1/species/{species}/card.md"]["get"]["responses"]
    assert list(described["200"]["content"]) == ["text/markdown"]


def test_a_bundle_that_is_older_than_model_cards_has_one_that_says_so(tmp_path: Path) -> None:
    place, older = worlds.write(tmp_path), tmp_path / "bundle" / "human_sim-1"
    (older / provenance.NAME).unlink()
    bundle.write_card(older, bundle.read_species_card(older))
    digest = shelf.publish(place, older)
    shelf.point(place, "human_sim", replace(shelf.read(place).species["human_sim"], bundle=digest))
    with TestClient(http.app(worlds.house(place))) as client:
        one = client.get("/v1/species/human_sim").json()
    assert one["bundle"] == digest
    assert one["model_card"]["training_data"]["source"] == modelcard.UNKNOWN


def test_one_bad_sequence_among_32_costs_that_one_alone(folder: Path) -> None:
    records = [record(toy_bundles.dna(number, 90), f"r{number}") for number in range(32)]
    records[17]["sequence"] = records[17]["sequence"][:40] + "?" + records[17]["sequence"][41:]
    with TestClient(http.app(worlds.house(folder))) as client:
        results = client.post("/v1/annotate", json=body(*records)).json()["results"]
        alone = client.post("/v1/annotate", json=body(records[16])).json()["results"][0]
    assert [each["id"] for each in results] == [each["id"] for each in records]
    (bad,) = [each for each in results if each["status"] == "error"]
    assert (bad["id"], bad["problem"]["record"], bad["problem"]["position"]) == ("r17", "r17", 41)
    assert bad["problem"]["character"] == "?"
    assert results[16]["tasks"].keys() == alone["tasks"].keys()
    assert results[16]["receipt"] == alone["receipt"]


def test_clients_one_after_the_other_each_keep_their_own_identity(folder: Path) -> None:
    with TestClient(http.app(worlds.house(folder))) as client:
        for name, species, length in [("alice", "human_sim", 61), ("bob", "fly_sim", 75), ("carol", "human_sim", 90)]:
            sent = body(record(DNA[:length], name), species=species)
            (found,) = client.post("/v1/annotate", json=sent, headers={"x-species": "yeti"}).json()["results"]
            assert (found["id"], found["species"], found["length"]) == (name, species, length)
            entry = shelf.read(folder).species[species]
            assert found["receipt"]["adapter"] == {"species": species, "version": "1", "bundle": entry.bundle}
