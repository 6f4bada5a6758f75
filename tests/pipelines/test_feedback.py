"""Curated labels become a release: the same bytes for the same labels, and the readers of releases take it."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from episome import dataset, params, release
from episome import feedback as store
from episome.feedback import FeedbackError, Label
from episome.sequence import reverse_complement
from episome.types import EpisomeError
from episome_cli.main import main
from pipelines import feedback, releases, retrain
from tests.conftest import ROOT
from tests.toy_bundles import dna

SETTINGS = params.read(ROOT / "params.yaml")
SPECIES = "human_sim"


def said(seed: int, label: int = 1, curator: str = "Ada", task: str = "promoter", **more: Any) -> Label:
    chosen = SETTINGS.task(task)
    bases = dna(seed, chosen.window or 100)
    if chosen.motif:
        half = (chosen.window or 0) // 2
        bases = bases[:half] + chosen.motif + bases[half + len(chosen.motif) :]
    values: dict[str, Any] = {
        "species": SPECIES,
        "task": task,
        "sequence": bases,
        "key": store.key(bases, chosen),
        "label": label,
        "name": chosen.labels[label],
        "curator": curator,
    }
    return Label(**values | more)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "labels.sqlite"


def add(file: Path, *labels: Label) -> None:
    store.append(file, labels, received="2026-11-22T12:00:00+00:00", max_bytes=10_000_000, timeout=20)


def export(file: Path, folder: Path, **how: Any) -> tuple[dict[str, Any], list[str]]:
    manifest = feedback.export(SPECIES, folder, SETTINGS, file, **how)
    assert json.loads((folder / "manifest.json").read_bytes()) == manifest
    data = (folder / "labels.csv").read_bytes()
    assert manifest["data"]["sha256"] == hashlib.sha256(data).hexdigest()
    header, *lines = data.decode().splitlines()
    assert header == "sequence,label,task"
    assert len(lines) == manifest["data"]["rows"] == manifest["rows"]["written"]
    return manifest, lines


def test_an_export_is_what_the_readers_of_releases_take(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(file, said(1), said(2, 0), said(3, task="donor"), said(4, 0, "Bo", "tis"), said(1, species="mouse_sim"))
    manifest, lines = export(file, tmp_path / "new")
    assert (manifest["species"], manifest["after"], manifest["last_id"]) == (SPECIES, 0, 4)
    assert manifest["labels"] == {
        "donor": {"donor": 1},
        "promoter": {"background": 1, "promoter": 1},
        "tis": {"decoy": 1},
    }
    assert manifest["curators"] == {"Ada": 3, "Bo": 1}
    assert manifest["contradictions"] == {"policy": "exclude", "ids": []}
    tasks = SETTINGS.tasks_of(SPECIES)
    table = feedback.dataset(tmp_path / "new", SPECIES)
    rows = releases.read(table, tasks, ambiguous="n")
    assert [f"{row.sequence},{row.label},{row.task}" for row in rows] == lines
    names = [task.name for task in tasks]
    known = {"species": SPECIES, "contig": "", "start": 0, "end": 300, "strand": "+", "split": ["test"], "gene": ""}
    known |= {"group": ["g"], "origin": "genome", "negative_kind": "", "release": "none", "lower_case": 0.0}
    source = dataset.build({"sequence": [dna(99, 300)], **known}, {"promoter": [1]}, names)
    loaded, report = release.load(
        tmp_path / "new",
        source,
        tasks,
        species=SPECIES,
        windows=SETTINGS.windows,
        homology=SETTINGS.homology,
        seed=7,
    )
    assert (report["kept"], len(loaded)) == (4, 4)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EpisomeError, match="human_sim has no champion"):  # so its rows were read
        retrain.retrain(SPECIES, tmp_path / "new", SETTINGS)


def test_the_same_labels_give_the_same_bytes_wherever_they_are(file: Path, tmp_path: Path) -> None:
    labels = [said(1), said(2, 0), said(3, task="donor")]
    add(file, *labels)
    for each in labels:
        add(tmp_path / "other.sqlite", each)
    export(file, tmp_path / "a")
    export(tmp_path / "other.sqlite", tmp_path / "b")
    for name in ("labels.csv", "manifest.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    export(file, tmp_path / "a")
    add(file, said(9))
    with pytest.raises(FeedbackError, match="is there and holds something else"):
        export(file, tmp_path / "a")
    assert not list(tmp_path.glob(".new-*"))


def test_what_several_say_is_written_once_and_what_they_deny_each_other_not_at_all(file: Path, tmp_path: Path) -> None:
    add(file, said(1), said(1, curator="Bo"), said(2), said(2, 0, "Bo"), said(3), said(2, 1, "Cy"))
    manifest, lines = export(file, tmp_path / "new")
    assert [line.split(",")[0] for line in lines] == [said(1).sequence, said(3).sequence]
    counts = {
        "read": 6,
        "written": 2,
        "repeated": 1,
        "contradictory": 3,
        "superseded": 0,
        "exported_before": 0,
        "unfit": 0,
    }
    assert manifest["rows"] == counts
    assert manifest["contradictions"] == {"policy": "exclude", "ids": [[3, 4, 6]]}


def test_the_newest_may_settle_a_contradiction(file: Path, tmp_path: Path) -> None:
    add(file, said(1), said(1, 0), said(2, 0), said(2, 1, "Bo"), said(2, 1, "Cy"))
    manifest, lines = export(file, tmp_path / "new", contradictions="newest")
    assert lines == [f"{said(1).sequence},0,promoter", f"{said(2).sequence},1,promoter"]
    assert (manifest["rows"]["superseded"], manifest["rows"]["repeated"]) == (2, 1)
    assert manifest["contradictions"]["ids"] == [[1, 2], [3, 4, 5]]
    assert len(releases.read(tmp_path / "new/labels.csv", SETTINGS.tasks_of(SPECIES), ambiguous="n")) == 2


def test_the_next_export_begins_after_the_last(file: Path, tmp_path: Path) -> None:
    add(file, said(1), said(2))
    first, _ = export(file, tmp_path / "one")
    with pytest.raises(FeedbackError, match=r"0 labels of human_sim after id 2 in .*: none to write; no rows"):
        export(file, tmp_path / "two", after=first["last_id"])
    add(file, said(3), said(1, curator="Bo"), said(2, 0, "Bo"))
    manifest, lines = export(file, tmp_path / "two", after=first["last_id"])
    assert [line.split(",")[0] for line in lines] == [said(3).sequence]
    rows = manifest["rows"]
    assert (rows["read"], rows["exported_before"], rows["contradictory"]) == (3, 1, 1)
    assert manifest["contradictions"]["ids"] == [[2, 5]]
    assert manifest["last_id"] == 5
    newest, lines = export(file, tmp_path / "three", after=first["last_id"], contradictions="newest")
    assert lines[1:] == [f"{said(2).sequence},0,promoter"]
    add(file, said(2, 1, "Cy"))
    _, lines = export(file, tmp_path / "four", after=newest["last_id"], contradictions="newest")
    assert lines == [f"{said(2).sequence},1,promoter"]


def test_what_no_longer_fits_its_task_is_left_out_and_said(file: Path, tmp_path: Path) -> None:
    short = said(1, sequence=dna(1, 299), key="k")
    add(file, short, said(2, task="contains_tss"), said(3, name="enhancer"))
    with pytest.raises(FeedbackError, match="none to write; 3 unfit"):
        export(file, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_strands_that_a_release_cannot_tell_apart_are_left_out(file: Path, tmp_path: Path) -> None:
    forward = SETTINGS.model_copy(
        update={
            "tasks": SETTINGS.tasks | {"promoter": SETTINGS.tasks["promoter"].model_copy(update={"strands": "forward"})}
        }
    )
    turned = reverse_complement(said(1).sequence)
    add(file, said(1), said(1, 0, sequence=turned, key=store.key(turned, forward.task("promoter"))), said(2))
    manifest = feedback.export(SPECIES, tmp_path / "new", forward, file)
    assert manifest["contradictions"]["ids"] == [[1, 2]]
    releases.read(tmp_path / "new/labels.csv", forward.tasks_of(SPECIES), ambiguous="n")


def test_a_folder_that_is_no_export_of_this_species_is_refused(file: Path, tmp_path: Path) -> None:
    with pytest.raises(FeedbackError, match="no export of feedback"):
        feedback.dataset(tmp_path, SPECIES)
    add(file, said(1))
    export(file, tmp_path / "new")
    with pytest.raises(EpisomeError, match="labels of 'human_sim' came, wanted those of 'mouse_sim'"):
        retrain.retrain("mouse_sim", tmp_path / "new", SETTINGS)
    data = tmp_path / "new/labels.csv"
    data.write_text(data.read_text().replace(",1,", ",0,"))
    with pytest.raises(FeedbackError, match=r"the manifest says .*; it was changed since"):
        feedback.dataset(tmp_path / "new", SPECIES)
    manifest = tmp_path / "new/manifest.json"
    manifest.write_text(manifest.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(FeedbackError, match="an export of another format"):
        feedback.dataset(tmp_path / "new", SPECIES)


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ["feedback", *words])


def test_the_command_counts_and_exports(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tree = yaml.safe_load((ROOT / "params.yaml").read_text())
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(tree))
    add(file, said(1), said(2, 0), said(2, 0, "Bo"))
    off = run("list")
    assert off.exit_code == 1
    assert "serve.feedback in params.yaml is null" in off.output
    assert run("list", "--file", str(file)).output.splitlines() == [
        "human_sim\tpromoter\tbackground\t2\t1\t2",
        "human_sim\tpromoter\tpromoter\t1\t1\t1",
    ]
    tree["serve"]["feedback"] = {"file": str(file), "max_rows": 8, "max_store_bytes": 1_000_000}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(tree))
    done = run("export", SPECIES, "out")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[1:] == [
        f"Next: episome retrain {SPECIES} --data out",
        "The export after this one: --after 3",
    ]
    assert "     1 repeated" in done.stderr
    assert run("export", "yeti", "out2").exit_code == 1
    assert "none to write" in run("export", SPECIES, "out2", "--after", "3").output
