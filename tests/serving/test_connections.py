"""Connections that keep the service waiting or send too much, on sockets of a real `bentoml serve`."""

import contextlib
import resource
import select
import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from tests import toy_bundles, worlds
from tests.serving.process import params, served, until

pytestmark = pytest.mark.slow

SLOW_SECONDS = 2
CONNECTIONS = 1000
DRIPPING = 10
LIMIT = 100_000
KERNEL = 16_000_000  # bytes that the sockets' own buffers may take at most
CALL = {"species": "human_sim", "records": [{"id": "a", "sequence": toy_bundles.dna(1, 200)}]}
HEAD = b"POST /v1/annotate HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 3 * CONNECTIONS:
        pytest.skip(f"a process may open {hard} files here; wanted: {3 * CONNECTIONS}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 3 * CONNECTIONS), hard))
    at = tmp_path_factory.mktemp("world")
    folder = worlds.write(at)
    settings = params(at, slow_seconds=SLOW_SECONDS, max_body_bytes=LIMIT, timeout_seconds=4)
    with served(folder, EPISOME_PARAMS=str(settings)) as (client, _):
        until(lambda: client.get("/readyz").status_code == 200)
        yield client
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def connect(client: httpx.Client, receive_bytes: int | None = None) -> socket.socket:
    made = socket.socket()
    if receive_bytes is not None:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    made.settimeout(20)
    made.connect((client.base_url.host, client.base_url.port))
    return made


def heard(one: socket.socket, seconds: float) -> bool:
    """Whether something came; not by `select`, which has no room for as many files as are open here."""
    poll = select.poll()
    poll.register(one, select.POLLIN)
    return bool(poll.poll(1000 * seconds))


def closed(one: socket.socket) -> bool:
    if not heard(one, 0):
        return False
    try:
        return one.recv(1) == b""
    except ConnectionResetError:
        return True


def rest(one: socket.socket) -> bytes:
    """What comes until the other side hangs up."""
    got = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while more := one.recv(1 << 16):
            got += more
    return bytes(got)


def test_a_thousand_heads_that_never_end_are_cut_off_while_others_are_answered(client: httpx.Client) -> None:
    begun = time.monotonic()
    with contextlib.ExitStack() as stack:
        waiting = {stack.enter_context(connect(client)) for _ in range(CONNECTIONS)}
        for one in waiting:
            one.sendall(HEAD)
        dripping = list(waiting)[:DRIPPING]
        while waiting:
            for one in dripping:
                with contextlib.suppress(ConnectionError):
                    one.sendall(b"x")
            assert client.post("/v1/annotate", json=CALL).status_code == 200
            waiting -= {one for one in waiting if closed(one)}
            assert time.monotonic() - begun < SLOW_SECONDS + 20


def test_a_kept_connection_whose_next_head_never_ends_is_cut_off(client: httpx.Client) -> None:
    with connect(client) as one:
        one.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b""
        while not answer.endswith(b"alive\n"):
            answer += one.recv(1 << 16)
        one.sendall(HEAD)
        assert rest(one) == b""


def test_a_caller_who_reads_nothing_is_cut_off(client: httpx.Client) -> None:
    asked = 2000
    with connect(client, receive_bytes=4096) as one:
        one.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * asked)
        time.sleep(2 * SLOW_SECONDS + 1)
        assert rest(one).count(b"HTTP/1.1 200") < asked


@pytest.mark.parametrize("pause", [SLOW_SECONDS + 1, SLOW_SECONDS / 4])
def test_a_body_that_pauses_or_never_ends_is_408(client: httpx.Client, pause: float) -> None:
    answer = b""
    with connect(client) as one:
        one.sendall(HEAD + b"Content-Length: 1000\r\n\r\n")
        while not heard(one, pause):
            with contextlib.suppress(ConnectionError):
                one.sendall(b"{")
        answer = rest(one)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"connection: close" in answer


def test_one_byte_over_the_limit_is_413_before_any_of_them_is_sent(client: httpx.Client) -> None:
    with connect(client) as one:
        one.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % (LIMIT + 1))
        answer = rest(one)
    assert answer.startswith(b"HTTP/1.1 413")
    with connect(client) as one:
        one.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % LIMIT + b" " * LIMIT)
        assert one.recv(1 << 16).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize(
    ("header", "chunk"),
    [
        (b"Content-Length: 1000000000", b" " * 1000),
        (b"Transfer-Encoding: chunked", b"3e8\r\n" + b" " * 1000 + b"\r\n"),
    ],
)
def test_who_goes_on_sending_over_the_limit_is_not_read(client: httpx.Client, header: bytes, chunk: bytes) -> None:
    sent = 0
    with connect(client) as one:
        one.sendall(HEAD + header + b"\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while sent < 2 * KERNEL:
                one.sendall(chunk)
                sent += len(chunk)
        assert rest(one).startswith(b"HTTP/1.1 413")
    assert sent < LIMIT + KERNEL
