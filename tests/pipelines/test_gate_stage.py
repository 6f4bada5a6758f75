"""The gate on toy bundles: rows are labelled by what a version calls, so who keeps what is known beforehand."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file

from episome import bundle, calibration, dataset, params
from episome.bundle import CalibratedTask
from episome.runtime import Engine, Row
from pipelines import gate, paths
from tests import micro, table_rows, toy_bundles
from tests.pipelines import project

SPECIES = project.SPECIES
ROWS = 40
HEAD = "head.safetensors"


def windows(task: CalibratedTask) -> list[str]:
    """160 random windows of a task, with its motif where it has one."""
    assert task.window is not None
    half, motif = task.window // 2, task.motif or ""
    drawn = [toy_bundles.dna(number, task.window) for number in range(5000, 5160)]
    return [bases[:half] + motif + bases[half + len(motif) :] for bases in drawn]


def logits(folder: Path) -> list[np.ndarray]:
    """Logits of each task's windows."""
    engine = Engine(paths.bundle("base"), threads=1)
    adapter = engine.add(folder)
    answers = []
    for column, task in enumerate(adapter.card.tasks):
        assert task.window is not None
        centre = task.window // 2 if task.scope == "site" else None
        rows = [Row(sequence=bases, slot=adapter.slot, centre=centre) for bases in windows(task)]
        answers.append(engine.score(rows)[0][:, column])
    engine.close()
    return answers


def balance(folder: Path) -> None:
    """Set a toy bundle's thresholds so that it calls half of the windows."""
    card = bundle.read_species_card(folder)
    middles = [float(calibration.sigmoid(np.median(found), 30.0)) for found in logits(folder)]
    tasks = [replace(t, threshold=m, temperature=30.0) for t, m in zip(card.tasks, middles, strict=True)]
    bundle.write_card(folder, replace(card, tasks=tuple(tasks)))


def called(folder: Path, release: str = "none", flip: float = 0.0) -> pd.DataFrame:
    """Test rows labelled by what the bundle in `folder` calls, half and half for each task; a share is mislabelled."""
    random = np.random.default_rng(len(release))
    card = bundle.read_species_card(folder)
    frames = []
    for task, found in zip(card.tasks, logits(folder), strict=True):
        order = np.argsort(found, kind="stable")
        chosen = [windows(task)[at] for at in (*order[: ROWS // 2], *order[-ROWS // 2 :])]
        labels = np.repeat([0, 1], ROWS // 2)
        labels = np.where(random.random(ROWS) < flip, 1 - labels, labels)
        columns = {
            "sequence": chosen,
            "label": labels.tolist(),
            "species": SPECIES,
            "contig": "",
            "start": 0,
            "end": [len(bases) for bases in chosen],
            "strand": "+",
            "split": "test",
            "group": [f"{release}{i}" for i in range(ROWS)],
            "origin": "toy",
            "negative_kind": ["" if label else "decoy" for label in labels],
            "release": release,
        }
        frames.append(table_rows.build(columns, task.name, [one.name for one in card.tasks]))
    return pd.concat(frames, ignore_index=True)


LEAKS = ("test_in_train", "val_in_train", "test_in_val", "group_overlap", "species_overlap")


def data_check(**observed: float) -> dict[str, Any]:
    """What stage check writes: leaks as observed, all else well."""
    rules = [{"rule": name, "passed": True, "observed": observed.get(name, 0.0)} for name in LEAKS]
    return {"passed": True, "failures": [], "rules": [{"rule": "alphabet", "passed": True, "observed": None}, *rules]}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a toy bundle that calls its own rows right, and a passed data check."""
    folder = tmp_path_factory.mktemp("gate") / "project"
    project.make(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        balance(paths.bundle(SPECIES))
        write_rows(called(paths.bundle(SPECIES)))
    project.write(folder / paths.check(SPECIES) / "result.json", data_check())
    return folder


@pytest.fixture
def lab(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that project, as the working folder."""
    folder = tmp_path / "project"
    shutil.copytree(finished, folder)
    monkeypatch.chdir(folder)
    return folder


def write_rows(rows: pd.DataFrame) -> None:
    paths.windows(SPECIES).mkdir(parents=True, exist_ok=True)
    dataset.write(paths.windows(SPECIES) / "rows.parquet", rows)


def held_to(**lineage: Any) -> Path:
    """Keep the bundle as the champion, its lineage changed, and name it as prior in params.yaml; its folder."""
    fresh = Path("prior/fresh")
    shutil.copytree(paths.bundle(SPECIES), fresh)
    card = bundle.read_species_card(fresh)
    bundle.write_card(fresh, replace(card, lineage=replace(card.lineage, **lineage)))
    name = paths.prior_name(SPECIES, bundle.digest(fresh))
    micro.change(Path("params.yaml"), "species", SPECIES, "prior", to=name)
    paths.pinned(name).mkdir()
    return fresh.rename(paths.prior(name))


def judged() -> dict[str, Any]:
    """Run the stage; its report."""
    gate.main(SPECIES)
    report: dict[str, Any] = json.loads(paths.gate(SPECIES).read_text())
    assert report["passed"] == all(check["passed"] for check in report["checks"])
    return report


def failed(report: dict[str, Any]) -> list[tuple[str, str]]:
    return [(check["name"], check["suite"]) for check in report["checks"] if not check["passed"]]


def test_without_a_prior_data_golden_and_chance_are_checked(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = judged()
    assert [(check["name"], check["suite"]) for check in report["checks"]] == [
        ("data", ""),
        ("leaks", ""),
        ("golden", ""),
        ("beats_chance", "promoter"),
        ("baseline", "promoter"),
        ("beats_chance", "donor"),
        ("baseline", "donor"),
        ("champion", ""),
        ("isolation", ""),
    ]
    assert "no champion to compare with" in report["checks"][7]["message"]
    assert "no other adapter" in report["checks"][8]["message"]
    assert report["prior_bundle"] is None
    assert report["limits"] == params.read().gate.model_dump(mode="json")
    assert report["passed"]
    assert (report["species"], report["prior"]) == (SPECIES, "none")
    assert report["bundle"] == bundle.digest(paths.bundle(SPECIES))
    assert report["checks"][3]["low"] == 1
    assert "pass  beats_chance: promoter: MCC 1.000 on 40 rows" in capsys.readouterr().out


def test_k_mers_that_are_nearly_as_good_are_told_or_refused_as_params_say(lab: Path) -> None:
    told = {check["suite"]: check for check in judged()["checks"] if check["name"] == "baseline"}
    assert {task: (check["passed"], check["value"]) for task, check in told.items()} == {
        "promoter": (True, 0.75),
        "donor": (True, 0.75),
    }
    assert "promoter: MCC 1.000 where k-mers alone have 0.250 on the same 40 rows" in told["promoter"]["message"]
    micro.change(Path("params.yaml"), "gate", "min_over_baseline_mcc", to=0.8)
    assert failed(judged()) == [("baseline", "promoter"), ("baseline", "donor")]


def test_a_failed_data_check_fails_the_gate(lab: Path) -> None:
    failures = [{"rule": "split_overlap"}, {"rule": "alphabet"}]
    project.write(paths.check(SPECIES) / "result.json", data_check() | {"passed": False, "failures": failures})
    report = judged()
    assert failed(report) == [("data", "")]
    assert report["checks"][0]["message"].startswith("data check failed: alphabet, split_overlap")


def test_golden_answers_that_differ_fail_the_gate(lab: Path) -> None:
    path = paths.bundle(SPECIES) / "golden.json"
    first, *others = bundle.read_golden(path)
    bundle.write_golden(path, (replace(first, logits=tuple(value + 1 for value in first.logits)), *others))
    bundle.write_card(paths.bundle(SPECIES), bundle.read_species_card(paths.bundle(SPECIES)))
    report = judged()
    assert failed(report) == [("golden", "")]
    assert "golden answer 0" in report["checks"][2]["message"]


def test_a_guessing_task_fails_the_gate(lab: Path) -> None:
    write_rows(called(paths.bundle(SPECIES), flip=0.5))
    assert failed(judged()) == [("beats_chance", "promoter"), ("beats_chance", "donor")]


def test_a_version_equal_to_its_champion_passes(lab: Path) -> None:
    prior = held_to()
    report = judged()
    assert report["passed"]
    assert report["prior"] == prior.parent.name
    assert report["prior_bundle"] == bundle.digest(prior)
    drift = [
        (c["name"], c["suite"], c["value"]) for c in report["checks"] if c["name"] in {"calibration", "kl", "flips"}
    ]
    assert drift == [
        ("calibration", "promoter", 0),
        ("calibration", "donor", 0),
        ("kl", "promoter", 0),
        ("flips", "promoter", 0),
        ("kl", "donor", 0),
        ("flips", "donor", 0),
    ]
    kept = [check for check in report["checks"] if check["name"] == "retention"]
    assert [(check["suite"], check["loss"], check["low"]) for check in kept] == [
        ("promoter/none", 0, 0),
        ("donor/none", 0, 0),
    ]


def test_a_version_that_forgot_fails_with_suite_and_loss(lab: Path) -> None:
    prior = held_to()
    project.train(lab, seed=2, prior=prior.parent.name)
    balance(paths.bundle(SPECIES))
    report = judged()
    forgotten = [check for check in report["checks"] if check["name"] == "retention"]
    assert [check["suite"] for check in forgotten] == ["promoter/none", "donor/none"]
    assert {name for name, _ in failed(report)} >= {"retention", "flips"}
    for check in forgotten:
        assert not check["passed"]
        assert check["loss"] > 0.3
        assert f"lost {check['loss']:.3f} MCC" in check["message"]


def test_rows_the_champion_never_saw_are_no_old_suite(lab: Path) -> None:
    held_to()
    old = called(paths.bundle(SPECIES))
    new = called(paths.bundle(SPECIES), release="added", flip=0.3)
    write_rows(pd.concat([old, new], ignore_index=True))
    checks = [(check["name"], check["suite"]) for check in judged()["checks"] if "/" in check["suite"]]
    assert checks == [
        ("retention", "promoter/none"),
        ("gain", "promoter/added"),
        ("retention", "donor/none"),
        ("gain", "donor/added"),
    ]


def test_new_rows_that_are_answered_worse_are_refused_unless_params_ask_for_no_gain(lab: Path) -> None:
    prior = held_to()
    old = called(paths.bundle(SPECIES))
    write_rows(pd.concat([old, called(paths.bundle(SPECIES), release="added")], ignore_index=True))
    project.train(lab, seed=2, prior=prior.name)
    balance(paths.bundle(SPECIES))
    assert {("gain", "promoter/added"), ("gain", "donor/added")} <= {*failed(judged())}
    micro.change(Path("params.yaml"), "gate", "min_gain_mcc", to=None)
    report = judged()
    assert "gain" not in {name for name, _ in failed(report)}
    assert all(check["loss"] > 0.3 for check in report["checks"] if check["name"] == "gain")


def told_by_states(folder: Path) -> pd.DataFrame:
    """Rows on all sides of the split, labelled by one number of the states that a bundle's encoder makes of them."""
    engine = Engine(paths.bundle("base"), threads=1)
    adapter = engine.add(folder)
    frames = []
    for task in adapter.card.tasks:
        assert task.window is not None
        centre = task.window // 2 if task.scope == "site" else None
        prepared = [engine.prepare(bases, centre) for bases in windows(task)]
        # A site's own state is the second half; a window has none, and [CLS] would be in its place.
        told = engine.states(prepared, adapter.slot)[:, toy_bundles.SHAPE.hidden_size if task.scope == "site" else 0]
        order = np.argsort(told, kind="stable")
        chosen = np.stack([order[:60], order[-60:]], axis=1).ravel()
        columns = {
            "sequence": [windows(task)[at] for at in chosen],
            "label": [0, 1] * 60,
            "species": SPECIES,
            "contig": "",
            "start": 0,
            "end": task.window,
            "strand": "+",
            "split": np.resize(np.repeat(["train", "train", "val", "test"], 2), 120),
            "group": [str(at) for at in chosen],
            "origin": "toy",
            "negative_kind": ["decoy", ""] * 60,
            "release": "none",
        }
        frames.append(table_rows.build(columns, task.name, [one.name for one in adapter.card.tasks]))
    engine.close()
    return pd.concat(frames, ignore_index=True)


def probed() -> dict[str, dict[str, Any]]:
    """What the stage says of the probes."""
    return {check["suite"]: check for check in judged()["checks"] if check["name"] == "probe"}


def test_a_head_that_moved_is_no_loss_to_the_probe_and_another_encoder_is(lab: Path) -> None:
    prior = held_to()
    write_rows(told_by_states(prior))
    folder = paths.bundle(SPECIES)
    rng, head = np.random.default_rng(5), load_file(folder / HEAD)
    save_file({name: rng.standard_normal(v.shape).astype(np.float32) for name, v in head.items()}, folder / HEAD)
    toy_bundles.write_golden(paths.bundle("base"), folder, bundle.read_species_card(folder))
    bundle.write_card(folder, replace(bundle.read_species_card(folder), tolerance=1e-4))
    assert {task: (check["passed"], check["loss"], check["n"]) for task, check in probed().items()} == {
        "promoter": (True, 0, 30),
        "donor": (True, 0, 30),
    }
    project.train(lab, seed=2, prior=prior.name)
    for check in probed().values():
        assert not check["passed"]
        assert check["loss"] > 0.1
    micro.change(Path("params.yaml"), "gate", "max_probe_loss_mcc", to=None)
    assert all(check["passed"] and check["limit"] is None for check in probed().values())


def test_a_probe_learns_from_as_many_rows_as_params_say_and_from_the_champions_alone(lab: Path) -> None:
    prior = held_to()
    rows = told_by_states(prior)
    write_rows(rows)
    alone = probed()
    new = rows.assign(release="added")
    for column in ("label_promoter", "label_donor"):
        new[column] = new[column].where(new[column] < 0, 1 - new[column])
    write_rows(pd.concat([rows, new], ignore_index=True))
    assert probed() == alone
    micro.change(Path("params.yaml"), "gate", "probe_rows", to=1)
    assert all("no rows of both labels in train, val; 1 training" in check["message"] for check in probed().values())


def test_each_release_of_the_champion_is_a_suite_and_none_may_vanish(lab: Path) -> None:
    held_to(releases=("none", "first", "second"))
    rows = [called(paths.bundle(SPECIES)), called(paths.bundle(SPECIES), release="first")]
    write_rows(pd.concat(rows, ignore_index=True))
    report = judged()
    assert failed(report) == [("releases", "")]
    assert "second" in next(check["message"] for check in report["checks"] if check["name"] == "releases")
    suites = {check["suite"] for check in report["checks"] if check["name"] == "retention"}
    assert suites == {"promoter/none", "promoter/first", "donor/none", "donor/first"}


def test_a_task_that_the_champion_answered_may_not_go(lab: Path) -> None:
    held_to()
    shutil.rmtree(paths.bundle(SPECIES))
    base = paths.bundle("base")
    card = toy_bundles.card(bundle.digest(base), SPECIES, tasks=toy_bundles.TASKS[:1])
    toy_bundles.write_species(base, paths.bundle(SPECIES), card, seed=1)
    assert ("tasks", "donor") in failed(judged())


def test_a_champion_that_does_not_verify_fails_the_gate(lab: Path) -> None:
    prior = held_to()
    (prior / "head.safetensors").write_bytes(b"")
    assert failed(judged()) == [("champion", "")]


def test_a_champion_of_another_name_fails_the_gate(lab: Path) -> None:
    prior = held_to()
    other = f"{SPECIES}-{'0' * 12}"
    prior.parent.rename(paths.pinned(other))
    micro.change(Path("params.yaml"), "species", SPECIES, "prior", to=other)
    report = judged()
    assert failed(report) == [("prior", "")]
    assert f"which would be {prior.parent.name}" in next(c["message"] for c in report["checks"] if c["name"] == "prior")


def test_a_sequence_that_training_saw_fails_the_gate_and_related_ones_are_told(lab: Path) -> None:
    project.write(paths.check(SPECIES) / "result.json", data_check(group_overlap=0.03))
    leaks = judged()["checks"][1]
    assert leaks["passed"]
    assert "group_overlap 0.0300" in leaks["message"]
    project.write(paths.check(SPECIES) / "result.json", data_check(test_in_train=0.01))
    report = judged()
    assert failed(report) == [("leaks", "")]
    assert (report["checks"][1]["value"], report["checks"][1]["limit"]) == (0.01, 0.0)
    micro.change(Path("params.yaml"), "gate", "max_leak", to=0.02)
    assert judged()["passed"]


def test_leaks_that_nobody_looked_for_fail_the_gate(lab: Path) -> None:
    report = data_check()
    report["rules"] = [rule for rule in report["rules"] if rule["rule"] != "species_overlap"]
    project.write(paths.check(SPECIES) / "result.json", report)
    assert failed(judged()) == [("leaks", "")]


def test_a_donors_answers_are_the_same_to_the_bit(lab: Path) -> None:
    base = paths.bundle("base")
    toy_bundles.write_species(base, paths.bundle("fly_sim"), toy_bundles.card(bundle.digest(base), "fly_sim"), seed=9)
    micro.change(Path("params.yaml"), "species", SPECIES, "donor", to="fly_sim")
    (isolation,) = [check for check in judged()["checks"] if check["name"] == "isolation"]
    assert isolation["passed"]
    assert isolation["message"].startswith("4 answers of fly_sim are equal to the bit")


def test_small_releases_are_judged_in_a_pool(lab: Path) -> None:
    held_to(releases=("none", "first"))
    rows = pd.concat([called(paths.bundle(SPECIES)), called(paths.bundle(SPECIES), release="first")], ignore_index=True)
    few = rows[(rows["release"] == "none") | (rows.groupby(["release", "origin", "label_donor"]).cumcount() < 1)]
    write_rows(few.reset_index(drop=True))
    report = judged()
    assert report["passed"]
    kept = {check["suite"]: check for check in report["checks"] if check["name"] == "retention"}
    assert list(kept) == ["promoter/none", "promoter/pool(first+none)", "donor/none", "donor/pool(first+none)"]
    assert kept["donor/pool(first+none)"]["n"] == ROWS + 2
    assert "alone too few to tell (gate.min_rows 4): first (2 rows)" in kept["donor/pool(first+none)"]["message"]


def test_an_old_release_with_training_rows_and_no_test_row_fails(lab: Path) -> None:
    held_to(releases=("none", "first"))
    first = called(paths.bundle(SPECIES), release="first")
    first["split"] = "train"
    write_rows(pd.concat([called(paths.bundle(SPECIES)), first], ignore_index=True))
    assert failed(judged()) == [("retention", "promoter/first"), ("retention", "donor/first")]


def test_a_release_that_never_spoke_of_a_task_is_no_suite_of_it(lab: Path) -> None:
    held_to(releases=("none", "first"))
    first = called(paths.bundle(SPECIES), release="first")
    write_rows(pd.concat([called(paths.bundle(SPECIES)), first[first["label_donor"] >= 0]], ignore_index=True))
    report = judged()
    assert report["passed"]
    suites = [check["suite"] for check in report["checks"] if check["name"] == "retention"]
    assert suites == ["promoter/none", "donor/first", "donor/none"]


def test_a_task_whose_old_rows_are_all_gone_fails(lab: Path) -> None:
    held_to()
    rows = called(paths.bundle(SPECIES))
    write_rows(rows[rows["label_donor"] >= 0].reset_index(drop=True))
    broken = failed(judged())
    assert ("retention", "promoter/none") in broken
    assert ("beats_chance", "promoter") in broken


def test_a_version_that_shouts_is_not_calibrated_and_one_that_turns_calls_flips(lab: Path) -> None:
    held_to()
    write_rows(called(paths.bundle(SPECIES), flip=0.2))
    card = bundle.read_species_card(paths.bundle(SPECIES))
    loud = [replace(task, temperature=0.05, threshold=0.5) for task in card.tasks]
    bundle.write_card(paths.bundle(SPECIES), replace(card, tasks=tuple(loud)))
    report = judged()
    assert {("calibration", "promoter"), ("calibration", "donor")} <= {*failed(report)}
    for check in report["checks"]:
        if check["name"] in {"calibration", "kl", "flips"}:
            assert check["passed"] == (check["value"] <= check["limit"])
    assert any(check["value"] > 0.05 for check in report["checks"] if check["name"] == "kl")
