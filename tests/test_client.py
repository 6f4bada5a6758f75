"""The client of a running service, which is real: keys, calls of several sizes, problems, waiting for room."""

import gzip
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from episome import fasta, keys
from episome.client import Client, ServiceError
from episome.fasta import FastaError, Record
from episome.wire import AnswerOut, RefusalOut
from tests import toy_bundles, worlds
from tests.serving import process

pytestmark = pytest.mark.slow

KEY, HOLDER = keys.new("ada", "reader")
RECORDS = [Record(id=f"r{k}", description="", sequence=toy_bundles.dna(k, 150 + 10 * k)) for k in range(7)]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service that wants a key, and takes three calls at once and two a second after that."""
    folder = tmp_path_factory.mktemp("client")
    worlds.write(folder)
    rate = {"unit": "requests", "per_second": 2.0, "burst": 3.0}
    numbers = process.params(folder, rate=rate, max_records=4)
    more = {"EPISOME_KEYS": HOLDER.line, "EPISOME_PARAMS": str(numbers)}
    with process.served(folder / "shelf", **more) as (client, _):
        yield str(client.base_url)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "in.fa.gz"
    text = "".join(f">{each.id} described\r\n{each.sequence.lower()}\r\n" for each in RECORDS)
    path.write_bytes(gzip.compress(text.encode()))
    return path


def test_a_file_is_annotated_in_as_many_calls_as_it_takes_and_waits_for_room(url: str, file: Path) -> None:
    with Client(url, key=KEY, most_records=1) as client:
        results = list(client.annotate(file, species="human_sim", tasks=["donor"], report="all"))
    assert [each.id for each in results] == [each.id for each in RECORDS]
    with Client(url, key=KEY, most_records=4, most_bases=500) as client, file.open("rb") as stream:
        assert list(client.annotate(fasta.read(stream), species="human_sim", tasks=["donor"], report="all")) == results
        served = client.species()
    (brief,) = (each for each in served["species"] if each["id"] == "human_sim")
    for result, record in zip(results, RECORDS, strict=True):
        assert isinstance(result, AnswerOut)
        assert (result.length, list(result.tasks)) == (len(record.sequence), ["donor"])
        assert result.receipt.adapter.bundle == brief["bundle"]
        starts = {feature.start for feature in result.tasks["donor"].features if feature.strand == "+"}
        found = {at for at in range(len(record.sequence)) if record.sequence.startswith("GT", at)}
        assert starts == found


def test_a_bad_record_gives_its_problem_alone_or_among_others(url: str) -> None:
    bad = Record(id="bad", description="", sequence="ACGTJ")
    with Client(url, key=KEY, most_records=2) as client:
        first, second, third = client.annotate([RECORDS[0], bad, bad], species="human_sim")
    assert isinstance(first, AnswerOut)
    assert isinstance(second, RefusalOut)
    assert (second.problem.position, second.problem.character) == (5, "J")
    assert third == second


def test_what_sinks_a_call_is_an_error_that_says_what_the_service_said(url: str) -> None:
    with Client(url, key=KEY) as client:
        with pytest.raises(ServiceError, match=r"Unknown species: .*'yeti'; served: ") as refused:
            list(client.annotate(RECORDS[:2], species="yeti"))
        assert refused.value.problem is not None
        assert refused.value.problem.status == 404
        with pytest.raises(ServiceError, match="7 records came; at most 4"):
            list(client.annotate(RECORDS, species="human_sim"))
    with Client(url, key="episome_wrong") as client, pytest.raises(ServiceError, match="an API key that is known here"):
        client.species()


def test_who_has_no_patience_is_told_that_there_is_no_room(url: str) -> None:
    with Client(url, key=KEY, patience=0.0) as client, pytest.raises(ServiceError, match="more than 2 requests a sec"):
        [client.species() for _ in range(50)]


def test_a_file_that_is_none_and_a_service_that_is_not_there(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        with Client(f"http://127.0.0.1:{taken.getsockname()[1]}") as client:
            with pytest.raises(FastaError, match="cannot be opened"):
                list(client.annotate(tmp_path / "none.fa", species="human_sim"))
            with pytest.raises(ServiceError, match="/v1/species was not answered: ConnectError"):
                client.species()


@pytest.mark.parametrize(("path", "said"), [("/monitor", "status 404, and no problem"), ("/docs", "no annotation")])
def test_another_service_is_found_out(path: str, said: str) -> None:
    def other(request: httpx.Request) -> httpx.Response:
        return httpx.Response(404 if path == "/monitor" else 200, text="<html>", request=request)

    with Client("http://other") as client:
        client._http = httpx.Client(base_url="http://other", transport=httpx.MockTransport(other))
        with pytest.raises(ServiceError, match=said):
            list(client.annotate(iter(RECORDS[:1]), species="human_sim"))
