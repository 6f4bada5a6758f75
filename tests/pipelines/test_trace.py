import gzip
import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from episome import __version__, bundle, shelf
from episome.answer import AdapterReceipt, Receipt
from episome.params import Params
from episome.shelf import Entry
from episome_cli.main import main
from pipelines import account, ledger, register, trace, tracking
from pipelines.dvclock import Stage
from pipelines.ledger import Move
from pipelines.trace import Asked
from tests.pipelines import project
from tests.pipelines.project import SPECIES

SHELF = Path("shelf")
FOLDER = Path("bundle") / SPECIES


@pytest.fixture(scope="module")
def promoted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose second version, held to the first, is the champion."""
    folder = tmp_path_factory.mktemp("promoted")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.delenv("EPISOME_SHELF", raising=False)
        settings = project.make(folder)
        patch.chdir(folder)
        first = enthrone(settings, None, "me", "first")
        project.train(Path(), seed=2, release="new-1")
        made = bundle.read_species_card(FOLDER)
        held = f"{SPECIES}-{first.bundle[:12]}"
        digest = bundle.write_card(FOLDER, replace(made, lineage=replace(made.lineage, prior=held)))
        project.write(Path(f"reports/gate/{SPECIES}.json"), project.report(digest, prior=held))
        enthrone(settings, first, "you", "better")
    return folder


def enthrone(settings: Params, before: Entry | None, actor: str, reason: str) -> Entry:
    """Register the workspace's bundle and make it the champion, as a promotion does."""
    version, card = register.register(SPECIES, settings), bundle.read_species_card(FOLDER)
    entry = Entry(
        bundle=shelf.publish(SHELF, FOLDER),
        base=shelf.publish(SHELF, Path("bundle/base")),
        version=str(version.number),
        git_commit=version.git_commit,
        gate=version.gate,
        data=card.lineage.data,
    )
    shelf.point(SHELF, SPECIES, entry)
    move = Move(
        actor=actor,
        action="promote",
        species=SPECIES,
        before=before,
        after=entry,
        prior=card.lineage.prior,
        reason=reason,
    )
    ledger.append(ledger.LEDGER, move)
    if before is not None:
        tracking.set_alias(SPECIES, "previous", int(before.version))
    tracking.set_alias(SPECIES, "champion", version.number)
    return entry


@pytest.fixture
def settings(promoted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """A copy of that project to work in; MLflow's artifacts stay where they are."""
    return project.enter(promoted, tmp_path / "project", monkeypatch)


def receipt(**changes: Any) -> Receipt:
    """What an answer of the champion carries."""
    entry = shelf.read(SHELF).species[SPECIES]
    stated = Receipt(
        tool=f"episome {__version__}",
        base=entry.base,
        adapter=AdapterReceipt(species=SPECIES, version=entry.version, bundle=entry.bundle),
        data=entry.data,
        git_commit=entry.git_commit,
        gate=entry.gate,
        provider="CPUExecutionProvider",
    )
    return replace(stated, **changes)


def run(*words: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main, ["trace", *words], input=stdin)


def test_everything_that_is_known_of_an_answer_is_printed(settings: Params) -> None:
    told = receipt()
    Path("answer.gff3").write_text("##gff-version 3\n# " + json.dumps({"simulated": True, **asdict(told)}) + "\n")
    done = run("answer.gff3")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    first = shelf.read(SHELF).species[SPECIES]
    (before, _) = (line.after for line in ledger.read(ledger.LEDGER))
    card = shelf.open_bundle(SHELF, first.bundle) / "card.json"
    adapter = json.loads(card.read_bytes())["files"]["adapter.safetensors"]
    held_to = f"{SPECIES}-{before.bundle[:12]}"
    assert lines[0] == f"{SPECIES} version 2 (champion, answers now, simulated)"
    for name, value in {
        "bundle": told.adapter.bundle,
        "adapter": adapter,
        "base": told.base,
        "data": f"{'d' * 64}  rows.parquet, sha256",
        "params": f"{'e' * 64}  sha256",
        "git commit": "none  changed or not is unknown",
        "gate report": f"{told.gate}  passed, 1 of 1 checks",
        "donor": "base: none, it starts from the base model",
        "releases": "none; added with it: new-1",
        "prior": held_to,
        "answered": f"by episome {__version__} on CPUExecutionProvider",
    }.items():
        assert f"  {name:<12}  {value}" in lines
    text = done.stdout
    for part in (
        "passed  beats_chance: fine",
        "  seed: 7",
        f"{held_to}: version 1, release none",
        "promote by you: version 1 → version 2  better",
        "Missing:\n  - dvc.lock at registration: there was none, or none of this bundle, so no data hashes",
    ):
        assert part in text
    assert "Doubts" not in text


def test_the_first_version_is_known_by_the_beginning_of_its_digest(settings: Params) -> None:
    (first, _) = (line.after.bundle for line in ledger.read(ledger.LEDGER))
    lines = run(first[:8]).stdout.splitlines()
    assert lines[0] == f"{SPECIES} version 1 (previous, simulated)"
    assert sum("  promote by " in line for line in lines) == 2, "the line that made it and the one that replaced it"
    assert "  prior         none: held to no champion" in lines


def test_machines_get_json_of_every_receipt(settings: Params) -> None:
    (first, _) = (line.after.bundle for line in ledger.read(ledger.LEDGER))
    other = replace(receipt(), adapter=AdapterReceipt(species=SPECIES, version="1", bundle=first))
    stdin = "".join(json.dumps({"receipt": asdict(each)}) + "\n" for each in (receipt(), other, receipt()))
    new, old = json.loads(run("-", "--json", stdin=stdin).stdout)
    assert (new["version"], old["version"]) == (2, 1)
    assert (new["aliases"], new["answers_now"], old["answers_now"]) == (["champion"], True, False)
    assert new["ancestors"] == [{"name": f"{SPECIES}-{first[:12]}", "version": 1, "release": "none"}]
    assert new["lineage"]["release"] == "new-1"
    assert new["receipt"] == asdict(receipt())
    assert new["gate"]["report"]["passed"]
    assert new["params"]["seed"] == str(settings.seed)
    assert [line["to"]["version"] for line in new["ledger"]] == ["2"]
    assert new["commands"] == []
    assert run("-", "--inputs", ".", stdin=stdin).exit_code == 1


def test_a_species_stands_for_its_champion(settings: Params) -> None:
    assert run(SPECIES).stdout == run(receipt().adapter.bundle).stdout
    assert "mouse_sim has no champion" in run("mouse_sim").stderr


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("0" * 64, "unknown receipt; neither the registry nor the shelf (shelf) nor the ledger"),
        ("answer.tsv", "answer.tsv: no such file, no species of params.yaml (human_sim, mouse_sim, fly_sim), and no"),
        ("params.yaml", "params.yaml: holds no receipt; wanted an answer of Episome"),
    ],
)
def test_what_is_unknown_is_told_in_a_line(settings: Params, word: str, said: str) -> None:
    done = run(word)
    assert (done.exit_code, done.stdout) == (1, "")
    assert said in done.stderr


def test_a_folder_without_a_registry_is_named_and_left_without(settings: Params) -> None:
    shutil.rmtree("registry")
    done = run("0" * 64)
    assert (
        "Error: no registry here (registry/mlflow.db); run from the project's root folder, or name one" in done.stderr
    )
    assert not Path("registry").exists()


def test_a_beginning_of_several_digests_is_not_guessed_at(settings: Params) -> None:
    for end in "01":
        (SHELF / "objects" / ("f" * 63 + end)).mkdir()
    assert f"2 bundles begin so: {'f' * 63}0, {'f' * 63}1; give more of it" in run("f" * 8).stderr


def test_what_the_receipt_says_otherwise_is_a_doubt(settings: Params) -> None:
    stated = replace(receipt(), data="0" * 64, gate="1" * 64, git_commit="2" * 40)
    found = trace.trace(Asked(bundle=stated.adapter.bundle, receipt=stated), settings)
    assert found.doubts == [
        f"commit: the receipt says {'2' * 40}, the records none",
        f"data: the receipt says {'0' * 64}, the records {'d' * 64}",
        f"gate report: judged again since the answer; the newest is {receipt().gate}",
    ]
    assert any(f"the gate report {'1' * 64}" in each for each in found.missing)


def test_the_gate_report_of_the_answer_is_found_after_a_newer_one(settings: Params) -> None:
    stated = receipt()
    report = Path(f"reports/gate/{SPECIES}.json")
    project.write(report, json.loads(report.read_bytes()) | {"passed": False})
    register.register(SPECIES, settings)
    found = trace.trace(Asked(bundle=stated.adapter.bundle, receipt=stated), settings)
    assert found.gate is not None
    assert found.gate["passed"]
    assert len(found.doubts) == 1
    without = trace.trace(Asked(bundle=stated.adapter.bundle), settings)
    assert without.gate is not None
    assert not without.gate["passed"]


def test_a_registry_that_lost_the_version_leaves_shelf_and_ledger(settings: Params) -> None:
    digest = receipt().adapter.bundle
    Path("registry/mlflow.db").unlink()
    assert tracking.versions(SPECIES) == (), "an empty registry in its place"
    lines = run(digest).stdout.splitlines()
    assert lines[0] == f"{SPECIES} no registered version (answers now, simulated)"
    assert "  git commit    missing (see below)" in lines
    assert any("the version: the registry has none of this bundle" in line for line in lines)
    assert any(line.startswith("  - prior human_sim-") for line in lines)
    shutil.rmtree(SHELF)
    lines = run(digest).stdout.splitlines()
    assert lines[0] == f"{SPECIES} no registered version (no alias)"
    assert "  adapter       missing (see below)" in lines
    assert any("the bundle's card: neither" in line for line in lines)


def test_a_ledger_that_does_not_verify_is_missing_and_not_believed(settings: Params) -> None:
    ledger.LEDGER.write_bytes(ledger.LEDGER.read_bytes().replace(b'"seq":1', b'"seq":2'))
    text = run(SPECIES).stdout
    assert "  ledger        no line about it" in text
    assert "ledger lines: registry/ledger.jsonl, line 1: the chain breaks here" in text


def test_a_packed_answer_is_read(settings: Params) -> None:
    Path("answer.bed.gz").write_bytes(gzip.compress(f"# {json.dumps(asdict(receipt()))}\n".encode()))
    assert run("answer.bed.gz").stdout.startswith(f"{SPECIES} version 2")


def test_the_donor_is_named_by_version_where_the_registry_has_the_adapter(
    settings: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = trace.trace(Asked(bundle=receipt().adapter.bundle), settings)
    assert found.card is not None
    found.card = replace(found.card, lineage=replace(found.card.lineage, donor="fly_sim"))
    started = {"adapters/fly_sim": "1.dir"}
    found.stages = (Stage(name=f"train@{SPECIES}", cmd="t", deps=started, outs={}, params={}),)
    trace._related(found, settings)
    assert found.donor is None
    assert found.missing[-1].startswith("the version of the donor fly_sim: no registered one has the adapter")
    (version, _) = tracking.versions(SPECIES)
    monkeypatch.setattr(tracking, "versions", lambda _: (version,))
    monkeypatch.setattr(trace, "_adapter", lambda _: "1.dir")
    trace._related(found, settings)
    assert found.donor == version.number
    assert "  donor         fly_sim, version 2" in account.words(found)
