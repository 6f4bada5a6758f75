"""What is pinned for a retrain: the champion, and as many rows of its as `train.memory` allows, anew each time."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from episome import bundle, coreset, dataset, params
from episome.types import EpisomeError
from pipelines import paths, prior
from tests import micro, table_rows
from tests.pipelines import project
from tests.pipelines.project import SPECIES
from tests.toy_bundles import dna

TASKS = ("promoter", "donor")


@pytest.fixture(autouse=True)
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a champion, its rows and those of a release it has not seen."""
    project.make(tmp_path)
    monkeypatch.chdir(tmp_path)
    write_rows(of_release("none"), of_release("later"))
    return tmp_path


def of_release(name: str, tasks: Sequence[str] = TASKS) -> pd.DataFrame:
    """Forty rows for each task, half of them positive, one in four not for training."""
    frames = []
    for task in tasks:
        columns = {
            "sequence": [dna(1000 * sum(map(ord, name + task)) + k, 40) for k in range(40)],
            "label": [k % 2 for k in range(40)],
            "species": SPECIES, "contig": "", "start": 0, "end": [40] * 40, "strand": "+", "origin": "toy",
            "split": [("train", "train", "train", "val")[k % 4] for k in range(40)], "negative_kind": "",
            "group": [f"{task}{k // 3}" for k in range(40)], "release": name,
        }  # fmt: skip
        frames.append(table_rows.build(columns, task, tasks))
    return pd.concat(frames, ignore_index=True)


def write_rows(*frames: pd.DataFrame) -> None:
    paths.windows(SPECIES).mkdir(parents=True, exist_ok=True)
    dataset.write(paths.windows(SPECIES) / "rows.parquet", pd.concat(frames, ignore_index=True))


def pinned(memory: str, per_class: int = 4) -> Path:
    """Pin the bundle of the project; the folder."""
    micro.change(
        Path("params.yaml"), "species", SPECIES, "train", to={"memory": memory, "coreset_per_class": per_class}
    )
    return paths.pinned(prior.pin(SPECIES, paths.bundle(SPECIES), params.read()))


def inside(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("memory", ["full", "none"])
def test_no_row_is_pinned_unless_a_coreset_is_asked_for(memory: str) -> None:
    folder = pinned(memory)
    assert inside(folder) == {"champion"}
    assert bundle.digest(folder / "champion") == bundle.digest(paths.bundle(SPECIES))
    assert folder.name == paths.prior_name(SPECIES, bundle.digest(paths.bundle(SPECIES)))


def test_a_coreset_is_of_what_the_champion_was_trained_on() -> None:
    folder = pinned("coreset")
    rows = coreset.read(folder, 4)
    trained = of_release("none")
    trained = trained[trained["split"] == "train"]
    assert coreset.counts(rows) == {task: [4, 4] for task in TASKS}
    assert set(coreset.hashes(rows)) < set(coreset.hashes(trained))
    before = (folder / coreset.ROWS).read_bytes(), (folder / coreset.ABOUT).read_bytes()
    write_rows(of_release("later"), of_release("none").sample(frac=1, random_state=0))
    shutil.rmtree(folder)
    assert pinned("coreset") == folder
    assert ((folder / coreset.ROWS).read_bytes(), (folder / coreset.ABOUT).read_bytes()) == before


def test_what_dvc_has_is_looked_at_again_where_other_rows_are_kept() -> None:
    folder = pinned("coreset")
    tracked = folder.with_name(f"{folder.name}.dvc")
    for memory, per_class, fresh in (
        ("coreset", 4, False),
        ("coreset", 6, True),
        ("none", 6, True),
        ("full", 1, False),
    ):
        tracked.touch()
        assert pinned(memory, per_class) == folder
        assert tracked.exists() is not fresh, (memory, per_class)
        if memory == "coreset":
            assert coreset.counts(coreset.read(folder, per_class)) == {task: [per_class] * 2 for task in TASKS}
    assert inside(folder) == {"champion"}
    assert not list(Path("prior").glob(".new-*"))


def test_rows_that_are_gone_come_from_the_champions_own_prior() -> None:
    first = pinned("coreset")
    kept = coreset.read(first, 4)
    champion = paths.bundle(SPECIES)
    card = bundle.read_species_card(champion)
    lineage = replace(card.lineage, prior=first.name, releases=("none", "later"))
    bundle.write_card(champion, replace(card, lineage=lineage))
    tasks = (*TASKS, "tis")  # added since
    write_rows(of_release("later", tasks))
    rows = coreset.read(pinned("coreset", 100), 100)
    assert dataset.tasks(rows) == tasks
    old = rows[rows["release"] == "none"]
    assert sorted(coreset.hashes(old)) == sorted(coreset.hashes(kept))
    assert len(rows) == len(kept) + 3 * 30
    shutil.rmtree(first)
    with pytest.raises(EpisomeError, match="trained on none, of which no row is here to keep"):
        pinned("coreset")


def test_another_bundle_under_the_name_is_refused() -> None:
    folder = pinned("none")
    card = bundle.read_species_card(folder / "champion")
    bundle.write_card(folder / "champion", replace(card, taxon_id=2))
    with pytest.raises(EpisomeError, match=r"holds the bundle .*, the champion is .*; remove that folder"):
        pinned("none")
