"""What a host can get wrong, and what is said of it; nothing half-right stays on the disk."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from episome.types import EpisomeError
from episome_cli.main import main
from tests import mirror
from tests.mirror import FASTA, File, Mirror
from tests.pipelines.fetching import get, nothing_left, settings, write_params

pytestmark = pytest.mark.slow


def _truncated(host: Mirror) -> None:
    host.files[FASTA].promised = 5000


def _cut_unseen(host: Mirror) -> None:
    host.files[FASTA].body = host.files[FASTA].body[:-20]
    host.files[FASTA].size = False


def _other_content(host: Mirror) -> None:
    host.files[FASTA].body = mirror.packed("something else")


def _unlisted(host: Mirror) -> None:
    host.files[f"{FASTA.rpartition('/')[0]}/CHECKSUMS"].body = b"00439 799942 Another.fa.gz\n"


def _no_list(host: Mirror) -> None:
    del host.files[f"{FASTA.rpartition('/')[0]}/CHECKSUMS"]


def _page_for_list(host: Mirror) -> None:
    host.files[f"{FASTA.rpartition('/')[0]}/CHECKSUMS"].body = b"<html>please log in</html>"


def _binary_list(host: Mirror) -> None:
    host.files[f"{FASTA.rpartition('/')[0]}/CHECKSUMS"].body = b"\xff\xfe\x00"


def _cut_list(host: Mirror) -> None:
    host.files[f"{FASTA.rpartition('/')[0]}/CHECKSUMS"].promised = 99


def _page(host: Mirror) -> None:
    host.files[FASTA] = File(body=b"<!DOCTYPE html><html>busy</html>", kind="text/html")


def _page_as_file(host: Mirror) -> None:
    host.put(FASTA, b"\n<!DOCTYPE html><html>busy</html>")


def _folder(host: Mirror) -> None:
    host.files[f"{FASTA}/inner.txt"] = host.files.pop(FASTA)


def _unpacked(host: Mirror) -> None:
    host.put(FASTA, b">1\nACGT\n")


FAULTS = {
    _truncated: r"cut off: \d+ bytes came, wanted \d+",
    _cut_unseen: r"CHECKSUMS says sum \d{5} \d+, came \d{5} \d+",
    _other_content: r"CHECKSUMS says sum \d{5} \d+, came \d{5} \d+",
    _unlisted: r"does not name Homo_sapiens\S+; it names Another.fa.gz \(1 in all\)",
    _no_list: r"CHECKSUMS: the host answered 404 .* say `checksums: none`",
    _page_for_list: r"line 1 is no checksum: '<html>please log in</html>'",
    _binary_list: r"CHECKSUMS: wanted text",
    _cut_list: r"CHECKSUMS: cut off",
    _page: r"a page came \(text/html\); wanted a file",
    _page_as_file: r"a page came, starting .*DOCTYPE",
    _folder: r"a page came \(text/html\); wanted a file. Is it a folder",
    _unpacked: r"wanted gzip, came b'>1",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__.strip("_"))
def test_a_fault_is_named_with_its_address_and_leaves_nothing(project: Path, host: Mirror, fault: Any) -> None:
    fault(host)
    with pytest.raises(EpisomeError, match=FAULTS[fault]) as caught:
        get(host)
    assert f"{host.url}/pub/release-115/fasta" in str(caught.value)
    assert nothing_left(project)


def test_no_answer_is_said_as_such(project: Path, host: Mirror) -> None:
    with mirror.serve() as gone:
        pass
    with pytest.raises(EpisomeError, match=r"no answer: .*refused.*Is there a network"):
        get(gone)


def test_a_certificate_nobody_knows_is_refused_with_a_hint(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = mirror.certificate(tmp_path / "host.pem")
    with mirror.serve(certificate) as host:
        with pytest.raises(EpisomeError, match=r"certificate is not trusted here.*SSL_CERT_FILE") as caught:
            get(host)
        assert host.url.startswith("https://")
        assert f"{host.url}/pub/release-115/fasta" in str(caught.value)
        assert nothing_left(project)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))  # the hint, followed
        assert "sum as the host states" in get(host)


def test_being_led_from_https_to_http_is_refused(
    project: Path, host: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = mirror.certificate(tmp_path / "host.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with mirror.serve(certificate) as safe:
        safe.moved[FASTA] = f"{host.url}{FASTA}"
        with pytest.raises(EpisomeError, match=rf"{safe.url}{FASTA}: led on to {host.url}{FASTA}"):
            get(safe)


def test_dvc_must_be_there(project: Path, host: Mirror) -> None:
    shutil.rmtree(".dvc")
    write_params(project, settings(host))
    done = CliRunner().invoke(main, ["data", "fetch"])
    assert done.exit_code == 1
    assert "run `dvc init` first" in done.stderr
    assert not Path(".dvc").exists()


def test_what_dvc_says_is_passed_on(project: Path, host: Mirror) -> None:
    Path("dvc.yaml").write_text("stages: 7\n", encoding="utf-8")
    with pytest.raises(EpisomeError, match=r"`dvc import-url` stopped: .*dvc\.yaml"):
        get(host)
