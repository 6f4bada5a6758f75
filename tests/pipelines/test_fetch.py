"""Fetching from a host in Ensembl's layout on this machine, with the real dvc; no test reaches outside."""

import gzip
import hashlib
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from episome import genome
from episome.sources import FetchFiles, GenomeSource
from episome.types import EpisomeError
from episome_cli.main import main
from pipelines import fetch, pins
from tests import mirror, tiny_genome
from tests.mirror import FASTA, GTF, File, Mirror
from tests.pipelines.fetching import ANNOTATION, FOLDER, HERE, get, nothing_left, settings, sha256, write_params

pytestmark = pytest.mark.slow


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
