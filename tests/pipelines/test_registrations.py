"""Registrations from many processes at once: every bundle becomes one version, in a registry that was empty before."""

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from episome import bundle
from pipelines import register, tracking
from pipelines.registered import Version
from tests.pipelines import forks, project
from tests.pipelines.project import SPECIES

PROCESSES, EACH = 8, 50
FIRST = 2  # of each process's: what the empty registry gets


@pytest.mark.slow
def test_400_registrations_from_8_processes_give_400_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first few meet an empty registry; the others, in processes of their own, one that is filled."""
    project.make(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for start, end in ((0, FIRST), (FIRST, EACH)):
        assert not start or tracking.known()
        processes = [forks.SERVER.Process(target=many, args=(tmp_path, lane, start, end)) for lane in range(PROCESSES)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0] * PROCESSES
        found = tracking.versions(SPECIES)
        assert sorted(each.number for each in found) == list(range(1, PROCESSES * end + 1))
    assert Counter(each.bundle for each in found) == Counter(
        bundle.digest(tmp_path / f"lane-{lane}" / str(number) / SPECIES)
        for lane in range(PROCESSES)
        for number in range(EACH)
    )
    assert whole(found[0], tmp_path / "newest")
    assert whole(found[-1], tmp_path / "oldest")


def many(folder: Path, lane: int, start: int, end: int) -> None:
    """Register bundles that differ in what their cards say of the seed, one after another."""
    os.chdir(folder)
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    files = register.files(SPECIES)
    for number in range(start, end):
        own = Path(f"lane-{lane}", str(number), SPECIES)
        own.mkdir(parents=True)
        for path in files.bundle.iterdir():
            (own / path.name).write_bytes(path.read_bytes())
        card = bundle.read_species_card(files.bundle)
        bundle.write_card(own, replace(card, lineage=replace(card.lineage, seed=1000 * (lane + 1) + number)))
        tracking.register(SPECIES, replace(files, bundle=own), {"seed": number}, {}, "many")


def whole(version: Version, folder: Path) -> bool:
    """Whether the registry gives back what was registered."""
    folder.mkdir()
    files = tracking.download(version, folder)
    bundle.verify(files.bundle)
    return bundle.digest(files.bundle) == version.bundle
