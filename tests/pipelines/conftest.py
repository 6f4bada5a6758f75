"""A local host in Ensembl's layout, and projects before and after a first fetch from it."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from episome_cli.main import main
from tests import mirror
from tests.conftest import ROOT
from tests.mirror import Mirror
from tests.pipelines.fetching import settings, write_params


@pytest.fixture(scope="module")
def running() -> Iterator[Mirror]:
    with mirror.serve() as host:
        yield host


@pytest.fixture
def host(running: Mirror) -> Mirror:
    running.fill()
    return running


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
