"""Re-hashing a small project that the real `dvc repro`, `dvc add` and `dvc import-url` made."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from episome.types import EpisomeError
from episome_cli.main import main
from pipelines import pins, published, verify
from pipelines.verify import Report
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

CACHE = Path(".dvc/cache/files/md5")
STAGES = """
stages:
  words:
    foreach: [fly, worm]
    do:
      cmd: mkdir -p out/${item}/deep && echo ${item} > out/${item}/one.txt && echo 2 > out/${item}/deep/two.txt
      outs: ["out/${item}"]
  count:
    cmd: mkdir -p reports && wc -l out/fly/one.txt > reports/count.txt
    deps: [out/fly]
    outs:
      - reports/count.txt: {cache: false}
  later:
    cmd: echo later > later.txt
    outs: [later.txt]
"""


def dvc(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", *words, "-q"], check=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folders and a report of a pipeline, a file added, a file imported; one stage never ran."""
    folder = tmp_path_factory.mktemp("made") / "project"
    folder.mkdir()
    origin = folder.parent / "origin.fa"
    origin.write_text(">1\nACGT\n", encoding="ascii")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        subprocess.run(["git", "init", "-q"], check=True)
        dvc("init")
        shutil.copyfile(ROOT / ".dvc/config", ".dvc/config")
        shutil.copyfile(ROOT / ".dvcignore", ".dvcignore")
        Path("dvc.yaml").write_text(STAGES, encoding="utf-8")
        Path("data/fly").mkdir(parents=True)
        Path("data/rows.csv").write_text("a,b\n", encoding="ascii")
        dvc("repro", "words", "count")
        dvc("add", "data/rows.csv")
        dvc("import-url", str(origin), "data/fly/origin.fa")
        imported = Path("data/fly/origin.fa")
        pins.record(imported, published.digest(imported, "sha256"))
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    shutil.copytree(made, folder)
    monkeypatch.chdir(folder)
    return folder


def flip(path: Path) -> None:
    """Change one bit, and neither size nor time."""
    times, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(bytes(content))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def object_of(path: Path) -> Path:
    """Where the cache holds a file."""
    md5 = published.digest(path, "md5")
    return CACHE / md5[:2] / md5[2:]


def list_of(name: str) -> Path:
    """Where the cache holds the list of a folder's files."""
    (found,) = [
        path
        for path in CACHE.rglob("*.dir")
        if published.digest(Path(f"out/{name}/one.txt"), "md5") in path.read_text()
    ]
    return found


def wrong(report: Report) -> list[tuple[str, str, str]]:
    return [(found.where, found.stage, found.path) for found in report.wrong]


def test_all_is_right_and_counted(project: Path) -> None:
    done = CliRunner().invoke(main, ["data", "verify"])
    assert done.exit_code == 0
    assert "5 outputs, 7 files here and 7 in the cache" in done.stdout  # the number 2 is in the cache once
    assert "0 wrong, 0 not in the cache" in done.stdout
    assert "never made: 1 outputs, first later (later.txt)" in done.stdout


def test_a_flipped_bit_in_a_file_of_the_cache_is_named(project: Path) -> None:
    here = Path("out/worm/one.txt")
    copy, md5 = object_of(here), published.digest(here, "md5")
    flip(copy)
    done = CliRunner().invoke(main, ["data", "verify", "--json"])
    report = json.loads(done.stdout)
    assert done.exit_code == 1
    assert report["wrong"] == [
        {
            "where": "cache",
            "stage": "words@worm",
            "path": str(copy),
            "of": "out/worm/one.txt",
            "wanted": f"md5 {md5}",
            "found": f"md5 {published.digest(copy, 'md5')}",
        }
    ]
    shown = CliRunner().invoke(main, ["data", "verify"]).stdout
    assert f"words@worm: {copy} (copy of out/worm/one.txt): wanted md5 {md5}" in shown


@pytest.mark.parametrize(
    ("path", "stage"),
    [
        ("out/fly/deep/two.txt", "words@fly"),
        ("data/rows.csv", "data/rows.csv.dvc"),
        ("reports/count.txt", "count"),
    ],
)
def test_a_flipped_bit_in_the_workspace_is_named(project: Path, path: str, stage: str) -> None:
    flip(Path(path))
    assert wrong(verify.verify()) == [("workspace", stage, path)]


def test_a_fetched_file_is_held_to_its_sha256_too(project: Path) -> None:
    wanted = published.digest(Path("data/fly/origin.fa"), "sha256")
    flip(Path("data/fly/origin.fa"))
    report = verify.verify()
    assert [found.where for found in report.wrong] == ["workspace", "sha256"]
    assert report.wrong[1].wanted == f"sha256 {wanted}"


def test_a_pin_moved_to_another_content_is_caught_by_the_sha256(project: Path) -> None:
    Path("data/fly/origin.fa").write_text(">1\nTTTT\n", encoding="ascii")
    dvc("commit", "-f", "data/fly/origin.fa.dvc")
    assert wrong(verify.verify()) == [("sha256", "data/fly/origin.fa.dvc", "data/fly/origin.fa")]


def test_a_flipped_bit_in_a_folders_list_leaves_its_files_judged(project: Path) -> None:
    listing = list_of("fly")
    flip(listing)
    report = verify.verify()
    assert wrong(report) == [("cache", "words@fly", str(listing))]
    assert report.cached == 7


def test_without_its_list_an_altered_folder_is_named_as_a_whole(project: Path) -> None:
    list_of("fly").unlink()
    flip(Path("out/fly/one.txt"))
    report = verify.verify()
    assert wrong(report) == [("workspace", "words@fly", "out/fly")]
    assert [found.of for found in report.not_in_cache] == ["out/fly"]


def test_what_the_cache_lacks_is_told_apart_from_what_is_wrong(project: Path) -> None:
    object_of(Path("data/rows.csv")).unlink()
    done = CliRunner().invoke(main, ["data", "verify"])
    assert done.exit_code == 0
    assert "not in the cache: data/rows.csv.dvc: data/rows.csv (md5 " in done.stdout
    assert "0 wrong, 1 not in the cache" in done.stdout


def _missing(_: Path) -> tuple[str, str]:
    Path("out/fly/one.txt").unlink()
    return "out/fly/one.txt", "missing"


def _missing_file(_: Path) -> tuple[str, str]:
    Path("data/rows.csv").unlink()
    return "data/rows.csv", "missing"


def _missing_folder(_: Path) -> tuple[str, str]:
    shutil.rmtree("out/fly")
    return "out/fly", "missing"


def _one_too_many(_: Path) -> tuple[str, str]:
    Path("out/fly/stray.txt").write_bytes(b"")
    return "out/fly/stray.txt", "md5 d41d8cd98f00b204e9800998ecf8427e"


@pytest.mark.parametrize("change", [_missing, _missing_file, _missing_folder, _one_too_many])
def test_files_gone_or_too_many_are_wrong(project: Path, change: Callable[[Path], tuple[str, str]]) -> None:
    path, found = change(project)
    report = verify.verify()
    assert [(one.where, one.path, one.found) for one in report.wrong] == [("workspace", path, found)]
    assert report.cached == 7


def test_what_dvc_ignores_is_not_too_many(project: Path) -> None:
    Path("out/fly/__pycache__").mkdir()
    Path("out/fly/__pycache__/x.pyc").write_bytes(b"x")
    assert verify.verify().wrong == []


def test_a_disk_that_gives_nothing_back_is_a_finding(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = published.digest

    def broken(path: Path, method: Any) -> str:
        if path.name in {"rows.csv", "origin.fa"}:
            raise OSError(5, "Input/output error")
        return real(path, method)

    monkeypatch.setattr(published, "digest", broken)
    said = "unreadable: [Errno 5] Input/output error"
    assert {(found.path, found.found) for found in verify.verify().wrong} == {
        ("data/rows.csv", said),
        ("data/fly/origin.fa", said),
    }


@pytest.mark.parametrize("records", ["dvc.yaml", "dvc.lock", "data/rows.csv.dvc"])
def test_records_that_cannot_be_read_are_said_so(project: Path, records: str) -> None:
    Path(records).write_text("stages: 7\n", encoding="utf-8")
    with pytest.raises(EpisomeError, match="DVC cannot read its records"):
        verify.verify()


def test_a_record_of_dvc_2_is_not_judged_by_the_wrong_hash(project: Path) -> None:
    file = Path("data/rows.csv.dvc")
    file.write_text(file.read_text().replace("  hash: md5\n", ""), encoding="utf-8")
    with pytest.raises(EpisomeError, match=r"data/rows.csv.dvc: recorded by DVC 2 .*dvc commit"):
        verify.verify()


def test_outside_a_project_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(EpisomeError, match="DVC cannot read its records: you are not inside of a DVC repository"):
        verify.verify(tmp_path)
