"""Fetching from a host in Ensembl's layout on this machine, with the real dvc; no test reaches outside."""

import gzip
import hashlib
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from episome import genome
from episome.sources import Fetch, FetchFiles, GenomeSource
from episome.types import EpisomeError
from episome_cli.main import main
from pipelines import fetch, pins
from tests import mirror, tiny_genome
from tests.conftest import ROOT
from tests.mirror import FASTA, GTF, File, Mirror

pytestmark = pytest.mark.slow

FOLDER = Path("data/ensembl/115/human")
HERE = FOLDER / Path(FASTA).name
ANNOTATION = FOLDER / Path(GTF).name


@pytest.fixture(scope="module")
def running() -> Iterator[Mirror]:
    with mirror.serve() as host:
        yield host


@pytest.fixture
def host(running: Mirror) -> Mirror:
    running.fill()
    return running


def settings(host: Mirror, **changes: Any) -> Fetch:
    """The human's two files, as params.yaml names them, from the local host."""
    text = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["fetch"]
    text["species"] = {"human": text["species"]["human"]}
    return Fetch.model_validate(text | {"base": f"{host.url}/pub"} | changes)


def write_params(folder: Path, chosen: Fetch) -> None:
    text = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    text["fetch"] = chosen.model_dump(mode="json")
    (folder / "params.yaml").write_text(yaml.safe_dump(text), encoding="utf-8")


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git repository with DVC and nothing in it."""
    folder = tmp_path_factory.mktemp("empty") / "project"
    folder.mkdir()
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=folder, check=True)
    shutil.copyfile(ROOT / ".dvc/config", folder / ".dvc/config")
    return folder


@pytest.fixture(scope="module")
def filled(running: Mirror, empty: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """The same after a first fetch by the command, and what the command said."""
    running.fill()
    folder = tmp_path_factory.mktemp("filled") / "project"
    shutil.copytree(empty, folder)
    write_params(folder, settings(running))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("no_proxy", "127.0.0.1")
        return folder, CliRunner().invoke(main, ["data", "fetch"])


@pytest.fixture
def project(empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return _enter(empty, tmp_path, monkeypatch)


@pytest.fixture
def fetched(filled: tuple[Path, Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return _enter(filled[0], tmp_path, monkeypatch)


def _enter(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    shutil.copytree(template, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return folder


def get(host: Mirror, path: Path = HERE, *, again: bool = False, **changes: Any) -> str:
    """Fetch one file as the command does."""
    chosen = settings(host, **changes)
    (wanted,) = [file for file in fetch.plan(chosen, []) if file.path.name == path.name]
    return fetch.get(wanted, fetch.Hosts(timeout=5), lambda *_: None, again=again)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def nothing_left(folder: Path) -> bool:
    """Whether no data file, pin or half download is anywhere in the project."""
    return [path for path in (folder / "data").rglob("*") if path.is_file()] == []


def test_the_command_leaves_files_pins_and_hashes_that_git_takes(filled: tuple[Path, Result], running: Mirror) -> None:
    folder, done = filled
    assert done.exit_code == 0, done.output
    assert done.stderr == ""  # nobody looks on: no progress
    assert "sum as the host states" in done.stdout
    assert "git add data/ensembl/115/human" in done.stdout
    untracked = subprocess.run(
        ["git", "ls-files", "-o", "--exclude-standard", "data"], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.split()
    names = {".gitignore", "sha256sums.txt", f"{HERE.name}.dvc", f"{ANNOTATION.name}.dvc"}
    assert {Path(name).name for name in untracked} == names
    assert {path.name for path in (folder / FOLDER).iterdir()} == names | {HERE.name, ANNOTATION.name}
    subprocess.run(["sha256sum", "--strict", "--quiet", "-c", "sha256sums.txt"], cwd=folder / FOLDER, check=True)
    said = subprocess.run(
        [sys.executable, "-m", "dvc", "status"], cwd=folder, capture_output=True, text=True, check=True
    )
    assert "up to date" in said.stdout
    assert yaml.safe_load((folder / f"{HERE}.dvc").read_text())["deps"][0]["path"] == f"{running.url}{FASTA}"


def test_the_folder_is_a_genome_source_as_it_is(project: Path, host: Mirror, tmp_path: Path) -> None:
    toy = tiny_genome.write(tmp_path / "toy")
    host.put(FASTA, mirror.packed((toy / "genome.fa").read_text()))
    host.put(GTF, mirror.packed((toy / "genes.gtf").read_text()))
    for path in (HERE, ANNOTATION):
        get(host, path)
    source = GenomeSource.model_validate(
        {"kind": "genome", "folder": FOLDER, "tasks": ["donor"], "licence": "none", "citation": "toy"}
    )
    with genome.opened(source, tiny_genome.WINDOWS) as (_, transcripts, report):
        assert report["files"] == {"fasta": HERE.name, "annotation": ANNOTATION.name}
        assert len(transcripts) == 18


def test_a_second_run_downloads_nothing(fetched: Path, host: Mirror) -> None:
    before = {path: path.stat().st_mtime_ns for path in FOLDER.iterdir()}
    done = CliRunner().invoke(main, ["data", "fetch", "human"])
    assert done.stdout.count("right, and as on the host") == 2
    assert [line for line in host.asked if line.startswith("GET")] == []
    assert {path: path.stat().st_mtime_ns for path in FOLDER.iterdir()} == before


def test_a_dry_run_asks_nobody(project: Path, host: Mirror) -> None:
    write_params(project, settings(host))
    done = CliRunner().invoke(main, ["data", "fetch", "--dry-run"])
    first, second = done.stdout.splitlines()
    assert first.startswith(f"to fetch  {host.url}{FASTA} -> {HERE}")
    assert f"{GTF.rpartition('/')[0]}/CHECKSUMS" in second
    assert host.asked == []


def test_one_refused_file_leaves_the_other_alone(project: Path, host: Mirror) -> None:
    del host.files[FASTA]
    write_params(project, settings(host))
    done = CliRunner().invoke(main, ["data", "fetch"])
    assert done.exit_code == 1
    assert f"{host.url}{FASTA}: the host answered 404" in done.stderr
    assert "1 of 2 files refused" in done.stderr
    assert {path.name for path in FOLDER.glob("*.gz*")} == {ANNOTATION.name, f"{ANNOTATION.name}.dvc"}


def test_what_is_missing_comes_back_from_the_cache(fetched: Path, host: Mirror) -> None:
    content = HERE.read_bytes()
    HERE.unlink()
    assert get(host).startswith("taken from DVC's cache; right")
    assert HERE.read_bytes() == content
    assert [line for line in host.asked if line.startswith("GET")] == []


def test_a_fresh_clone_gets_the_content_its_pins_name(fetched: Path, host: Mirror) -> None:
    content = HERE.read_bytes()
    HERE.unlink()
    shutil.rmtree(".dvc/cache")
    assert "the content it always had" in get(host)
    assert HERE.read_bytes() == content


def test_a_changed_file_is_refused_with_both_hashes_and_the_old_one_kept(fetched: Path, host: Mirror) -> None:
    old, pin = HERE.read_bytes(), Path(f"{HERE}.dvc").read_bytes()
    new = mirror.packed(">1\nTTTT\n")
    host.put(FASTA, new, etag='"2-b"')
    with pytest.raises(EpisomeError, match="another file under this name") as caught:
        get(host)
    assert sha256(old) in str(caught.value)
    assert sha256(new) in str(caught.value)
    assert f"{host.url}{FASTA}" in str(caught.value)
    assert HERE.read_bytes() == old
    assert Path(f"{HERE}.dvc").read_bytes() == pin


def test_a_changed_file_is_refused_in_a_fresh_clone_too(fetched: Path, host: Mirror) -> None:
    old = HERE.read_bytes()
    HERE.unlink()
    shutil.rmtree(".dvc/cache")
    new = mirror.packed(">1\nTTTT\n")
    host.put(FASTA, new)  # CHECKSUMS has moved with it
    with pytest.raises(EpisomeError, match="nothing was put in place") as caught:
        get(host)
    assert sha256(old) in str(caught.value)
    assert sha256(new) in str(caught.value)
    assert not HERE.exists()


def test_a_change_under_the_same_etag_and_size_shows_when_asked_for(fetched: Path, host: Mirror) -> None:
    old = HERE.read_bytes()
    new = bytearray(old)
    new[-1] ^= 1
    host.put(FASTA, bytes(new))
    assert get(host) == "right, and as on the host"
    with pytest.raises(EpisomeError, match=sha256(bytes(new))):
        get(host, again=True)
    assert HERE.read_bytes() == old


def test_a_new_etag_on_the_same_content_renews_the_pin_alone(fetched: Path, host: Mirror) -> None:
    old = HERE.read_bytes()
    host.files[FASTA].etag = '"touched"'
    assert "the content it always had" in get(host)
    assert pins.pin(HERE) == pins.Pin(url=f"{host.url}{FASTA}", etag='"touched"', size=len(old))
    assert get(host) == "right, and as on the host"


@pytest.mark.parametrize("fault", ["silent", "gone"])
def test_a_file_that_is_right_is_kept_whatever_the_host_says(fetched: Path, host: Mirror, fault: str) -> None:
    if fault == "gone":
        del host.files[FASTA]
    else:
        host.files[FASTA].kind = "text/html"
    assert get(host).startswith("right; the host was asked in vain")


def test_a_file_altered_here_is_refused_and_not_overwritten(fetched: Path, host: Mirror) -> None:
    wanted = sha256(HERE.read_bytes())
    HERE.chmod(0o644)
    HERE.write_bytes(b"mine")
    with pytest.raises(EpisomeError, match="altered since it was fetched") as caught:
        get(host)
    assert wanted in str(caught.value)
    assert sha256(b"mine") in str(caught.value)
    assert HERE.read_bytes() == b"mine"


def test_a_file_nobody_fetched_is_not_overwritten(project: Path, host: Mirror) -> None:
    FOLDER.mkdir(parents=True)
    HERE.write_bytes(b"mine")
    with pytest.raises(EpisomeError, match=r"sha256sums.txt does not name it"):
        get(host)
    assert HERE.read_bytes() == b"mine"


def test_another_release_does_not_replace_the_pinned_one(fetched: Path, host: Mirror) -> None:
    with pytest.raises(EpisomeError, match=r"release-115.*release-116"):
        get(host, folder="data/ensembl/115", release=116)


def test_a_pin_by_another_command_is_refused(fetched: Path, host: Mirror) -> None:
    Path(f"{HERE}.dvc").write_text("outs:\n- path: x\n", encoding="utf-8")
    with pytest.raises(EpisomeError, match="not written by `dvc import-url`"):
        get(host)


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


def test_what_a_killed_run_left_is_cleared_away(project: Path, host: Mirror) -> None:
    left = Path("data/ensembl/115/.incoming-killed")
    left.mkdir(parents=True)
    (left / "half.tmp").write_bytes(b"half")
    get(host)
    assert {path.name for path in FOLDER.parent.iterdir()} == {"human"}


def test_a_host_with_md5_lists_is_believed_and_checked(project: Path, host: Mirror) -> None:
    body, beside = host.files[FASTA].body, FASTA.rpartition("/")[0]
    md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
    host.files[f"{beside}/md5sum.txt"] = File(body=f"{'0' * 32}  {HERE.name}\n".encode(), kind="text/plain")
    with pytest.raises(EpisomeError, match=f"md5 {'0' * 32}, came {md5}"):
        get(host, checksums="md5sum.txt")
    host.files[f"{beside}/md5sum.txt"].body = f"{md5}  ./{HERE.name}\n".encode()
    assert "md5 as the host states" in get(host, checksums="md5sum.txt")


def test_without_a_list_gzip_itself_must_be_whole(project: Path, host: Mirror) -> None:
    whole = host.files[FASTA].body
    host.files[FASTA].body = whole[:-20]
    with pytest.raises(EpisomeError, match="wanted whole gzip"):
        get(host, checksums="none")
    assert nothing_left(project)
    host.files[FASTA].body = whole
    assert "the host states no checksum" in get(host, checksums="none")
    assert pins.recorded(FOLDER) == {HERE.name: sha256(whole)}


def test_a_table_of_names_is_fetched_as_plain_text(project: Path, host: Mirror) -> None:
    host.files["/pub/names/chromAlias.txt"] = File(body=b"chr1\t1\n", kind="text/plain")
    files = FetchFiles(fasta=FASTA[5:], annotation=GTF[5:], aliases="names/chromAlias.txt", checksums="none")
    chosen = settings(host).model_copy(update={"species": {"human": files}})
    wanted = fetch.plan(chosen, ["human"])[-1]
    assert "no checksum" in fetch.get(wanted, fetch.Hosts(timeout=5), lambda *_: None)
    assert (FOLDER / "chromAlias.txt").read_bytes() == b"chr1\t1\n"


def test_who_watches_a_download_sees_it_grow(project: Path, host: Mirror) -> None:
    body = gzip.compress(random.Random(1).randbytes(12_000_000), 1)
    host.files[FASTA] = File(body=body, seconds=1.2)
    size, seen = len(body), list[tuple[int, int | None]]()
    wanted = fetch.plan(settings(host, checksums="none"), [])[0]
    fetch.get(wanted, fetch.Hosts(timeout=5), lambda *now: seen.append(now))
    assert {total for _, total in seen} == {size}
    came = [count for count, _ in seen]
    assert came == sorted(came)
    assert any(0 < count < size for count in came)


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
