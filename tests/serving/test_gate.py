"""The gate: who may ask for what and how much, settled before anything of a body is read."""

import asyncio
import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from episome import keys
from episome.serveparams import Rate
from monitoring import page
from serving import http, rate
from serving.drain import Drain
from serving.rate import Limiter
from tests import toy_bundles, worlds
from tests.serving.test_http import problem

READER, READERS = keys.new("ada", "reader")
OPERATOR, OPERATORS = keys.new("bo", "operator")
CALL = {"species": "human_sim", "records": [{"id": "a", "sequence": toy_bundles.dna(1, 200)}]}
OPENED = {"open": (None, "wrong", READER, OPERATOR), "reader": (READER, OPERATOR), "operator": (OPERATOR,)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return worlds.write(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def plain(folder: Path) -> http.House:
    return worlds.house(folder)


@pytest.fixture(scope="module")
def house(plain: http.House) -> http.House:
    return replace(plain, holders=(READERS, OPERATORS))


@pytest.fixture
def client(house: http.House) -> Iterator[TestClient]:
    with TestClient(http.app(house), raise_server_exceptions=False) as client:
        yield client


def bearing(key: str | None) -> dict[str, str]:
    return {} if key is None else {"authorization": f"Bearer {key}"}


def bucket(house: http.House, **rate: Any) -> http.House:
    return replace(house, limits=house.limits.model_copy(update={"rate": Rate(**rate)}))


def ask(
    house: http.House, headers: Mapping[str, str], path: str = "/v1/annotate", client: Any = ("10.0.0.1", 9)
) -> Any:
    """Answer to a POST whose body must not be asked for: status and headers."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        raise AssertionError("the body was asked for")

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "http_version": "1.1",
        "scheme": "http",
        "server": ("x", 80),
        "client": client,
    }
    asyncio.run(http.app(house)(scope, receive, send))
    return sent[0]["status"], {name.decode(): value.decode() for name, value in sent[0]["headers"]}


@pytest.mark.parametrize("key", [None, "wrong", READER, OPERATOR])
@pytest.mark.parametrize(
    "path", [*http.ROUTES, "/openapi.json", "/docs/assets/swagger-ui.css", "/v1/nothing", "/metrics/"]
)
def test_every_route_opens_for_its_roles_alone(client: TestClient, path: str, key: str | None) -> None:
    access = http.ROUTES.get(path, "reader")
    for method in ("GET", "POST", "DELETE"):
        status = client.request(method, path, headers=bearing(key), follow_redirects=False).status_code
        if key in OPENED[access]:
            assert status not in {401, 403}
        else:
            assert status == (403 if key == READER else 401)


def test_every_route_has_a_rule(house: http.House) -> None:
    routes = [*http.app(house).routes, *page.router(house.watch).routes]
    paths = {each.path for each in routes if isinstance(each, APIRoute)}
    assert paths == set(http.ROUTES)


def test_without_a_key_the_answer_says_how_to_bring_one(client: TestClient) -> None:
    read = client.get("/v1/species")
    assert "Authorization: Bearer KEY" in problem(read, 401)["detail"]
    assert read.headers.get_list("www-authenticate") == [
        'Bearer realm="episome"',
        'Basic realm="episome", charset="UTF-8"',
    ]
    sent = client.post("/v1/annotate", json=CALL)
    assert (problem(sent, 401)["title"], sent.headers["www-authenticate"]) == ("Key wanted", 'Bearer realm="episome"')
    assert "key of ada is a reader's" in problem(client.get("/metrics", headers=bearing(READER)), 403)["detail"]


def test_a_browser_may_bring_the_key_as_a_password_but_to_read_alone(client: TestClient) -> None:
    assert client.get("/monitor", auth=("anybody", OPERATOR)).status_code == 200
    assert client.get("/monitor", auth=("anybody", READER)).status_code == 403
    assert client.post("/v1/annotate", json=CALL, auth=("anybody", OPERATOR)).status_code == 401
    for bad in ("Basic", "Basic !", "Basic " + base64.b64encode(b"\xff:\xff").decode(), "Digest x", READER, "Bearer"):
        assert client.get("/v1/species", headers={"authorization": bad}).status_code == 401


def test_with_a_key_the_service_answers_and_counts_the_rest(client: TestClient, house: http.House) -> None:
    assert client.post("/v1/annotate", json=CALL, headers=bearing(READER)).status_code == 200
    client.get("/metrics", headers=bearing(READER))
    series = client.get("/metrics", headers=bearing(OPERATOR)).text
    assert 'episome_requests_total{code="403",route="/metrics"}' in series


def test_no_key_is_in_any_log(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"):
        for key in (READER, OPERATOR, READER + "x"):
            client.get("/metrics", headers=bearing(key))
            client.get("/metrics", auth=("x", key))
            client.post("/v1/annotate", json=CALL, headers=bearing(key))
    assert READER not in caplog.text
    assert OPERATOR not in caplog.text
    assert READERS.digest not in caplog.text


def test_the_api_describes_keys_where_they_are_asked_for(client: TestClient, plain: http.House) -> None:
    described = client.get("/openapi.json", headers=bearing(READER)).json()
    call = described["paths"]["/v1/annotate"]["post"]
    assert call["security"] == [{"HTTPBearer": []}]
    assert {"401", "403", "429"} <= set(call["responses"])
    with TestClient(http.app(plain)) as client:
        assert "security" not in client.get("/openapi.json").json()["paths"]["/v1/annotate"]["post"]


def test_what_is_refused_is_refused_before_the_body_is_read_in_this_order(house: http.House) -> None:
    limits = house.limits
    full = bucket(house, unit="requests", per_second=0.001, burst=1)
    sized = {"content-length": str(limits.max_body_bytes + 1)}
    assert ask(full, sized)[0] == 401
    assert ask(full, {**sized, **bearing(READER)}, path="/v1/feedback")[0] == 403
    status, headers = ask(house, {**sized, **bearing(READER)})
    assert (status, headers["connection"]) == (413, "close")
    house.batcher._waiting = limits.queue_tokens
    try:
        assert ask(house, {**sized, **bearing(READER)})[0] == 413
        status, headers = ask(house, {"content-length": "9", **bearing(READER)})
    finally:
        house.batcher._waiting = 0
    assert (status, headers["retry-after"], headers["connection"]) == (503, "2", "close")


def test_after_its_burst_a_key_waits_and_another_does_not(house: http.House) -> None:
    with TestClient(http.app(bucket(house, unit="requests", per_second=0.1, burst=2))) as client:
        answers = [client.post("/v1/annotate", json=CALL, headers=bearing(READER)) for _ in range(3)]
        assert [each.status_code for each in answers] == [200, 200, 429]
        assert "more than 0.1 requests a second (serve.rate)" in problem(answers[2], 429)["detail"]
        assert 1 <= int(answers[2].headers["retry-after"]) <= 10
        assert client.post("/v1/annotate", json=CALL, headers=bearing(OPERATOR)).status_code == 200
        assert [client.get("/metrics", headers=bearing(OPERATOR)).status_code for _ in range(4)] == [200] * 4
        assert [client.get("/readyz").status_code for _ in range(4)] == [200] * 4
        series = client.get("/metrics", headers=bearing(OPERATOR)).text
        (count,) = re.findall(r'episome_shed_total{reason="rate_limit"} (\S+)', series)
        assert float(count) >= 1


def test_bases_are_counted_by_what_a_body_announces(plain: http.House) -> None:
    with TestClient(http.app(bucket(plain, unit="bases", per_second=1, burst=1000))) as client:
        assert client.post("/v1/annotate", content=b" " * 600).status_code == 400
        refused = client.post("/v1/annotate", content=b" " * 600)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "200")
        assert client.post("/v1/annotate", content=b" " * 300).status_code == 400
        assert client.get("/v1/species").status_code == 200
        unknown = client.post("/v1/annotate", content=iter([b" "]))
        assert unknown.status_code == 429
        assert int(unknown.headers["retry-after"]) > 800


def test_without_keys_each_address_has_a_bucket_and_an_ipv6_network_has_one(plain: http.House) -> None:
    app = http.app(bucket(plain, unit="requests", per_second=0.001, burst=1))
    for address, status in [
        ("10.0.0.1", 200),
        ("10.0.0.1", 429),
        ("10.0.0.2", 200),
        ("2001:db8::1", 200),
        ("2001:db8::2", 429),
        ("2001:db8:0:1::1", 200),
        ("a name", 200),
    ]:
        with TestClient(app, client=(address, 1)) as client:
            assert client.get("/v1/species").status_code == status


def test_a_bucket_fills_again_and_a_large_call_empties_it() -> None:
    now = [0.0]
    limiter = Limiter(per_second=2, burst=10, clock=lambda: now[0])
    assert limiter.take("a", 25) == 0
    assert limiter.take("a", 1) == 0.5
    assert limiter.take("a", 25) == 5
    now[0] = 4
    assert limiter.take("a", 25) == 1
    assert limiter.take("a", 8) == 0
    assert limiter.take("a", 1) == 0.5
    now[0] = 1000
    assert limiter.take("a", 10) == 0
    assert limiter.take("a", 1) == 0.5


def test_who_asked_longest_ago_is_forgotten_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate, "MOST_CALLERS", 2)
    limiter = Limiter(per_second=1, burst=1, clock=lambda: 0.0)
    for caller in ("a", "b"):
        assert limiter.take(caller, 1) == 0
    assert limiter.take("a", 1) == 1
    assert limiter.take("c", 1) == 0
    assert limiter.take("a", 1) == 1
    assert limiter.take("b", 1) == 0


def test_health_is_open_and_readiness_says_why_not(house: http.House, tmp_path: Path) -> None:
    with TestClient(http.app(house)) as client:
        assert [client.request(method, "/readyz").status_code for method in ("GET", "HEAD", "POST")] == [200, 200, 405]
        dead = client.get("/livez")
        assert (problem(dead, 503)["title"], dead.headers["retry-after"]) == ("Not alive", "2")
        house.shelf.start()
        assert client.get("/livez").status_code == 200
        house.shelf.close()
    with TestClient(http.app(replace(house, shelf=worlds.house(tmp_path / "shelf").shelf))) as client:
        assert problem(client.get("/readyz"), 503)["type"].endswith("not-ready")


def test_a_house_that_is_being_left_takes_no_call_in_and_tells_balancers(plain: http.House) -> None:
    leaving = replace(plain, drain=Drain())
    with TestClient(http.app(leaving)) as client:
        assert "connection" not in client.get("/v1/species").headers
        leaving.drain.begun = True
        for path in ("/readyz", "/v1/species"):
            refused = client.get(path)
            assert problem(refused, 503)["type"].endswith("stopping")
            assert (refused.headers["retry-after"], refused.headers["connection"]) == ("2", "close")


def test_leaving_waits_for_those_inside_but_not_for_ever() -> None:
    async def walk() -> None:
        drain = Drain()
        assert await drain.over(least=0, most=5) == 0
        with drain.inside():
            assert await drain.over(least=0, most=0.05) == 1
            waiting = asyncio.create_task(drain.over(least=0, most=5))
            await asyncio.sleep(0.1)
            assert not waiting.done()
        assert await waiting == 0

    asyncio.run(walk())
