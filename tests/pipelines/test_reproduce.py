"""Rebuilding in a small lab: its pipeline is one stage that makes an adapter from DVC-tracked data and a seed."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from episome import bundle, params
from episome_cli.main import main
from pipelines import dvclock, origin, recipe, register, reproduce, trace, tracking
from pipelines.reproduce import ReproduceError
from pipelines.trace import Asked, Trace
from tests import micro
from tests.conftest import ROOT
from tests.pipelines import project
from tests.pipelines.project import SPECIES

# Stands in for the whole pipeline; what lies in LAB_WEATHER is the input that nobody recorded.
STAGE = """
import os, shutil, sys, zlib
from pathlib import Path
import numpy as np
import yaml
from safetensors.numpy import save_file
from episome import bundle
species = sys.argv[1]
folder = Path("bundle", species)
shutil.copytree("template", folder, dirs_exist_ok=True)
seed = yaml.safe_load(Path("params.yaml").read_text())["seed"]
labels, weather = zlib.crc32(Path("data/labels/rows.csv").read_bytes()), len(os.environ.get("LAB_WEATHER", ""))
drawn = np.random.default_rng([seed, labels, weather])
save_file({"a": drawn.standard_normal(8).astype(np.float32)}, folder / "adapter.safetensors")
bundle.write_card(folder, bundle.read_species_card(folder))
"""
PIPELINE = {
    "stages": {
        "export": {
            "foreach": [SPECIES],
            "do": {
                "cmd": "python pipelines/stage.py ${item}",
                "deps": ["pipelines/stage.py", "template", "data/labels", "data/genome"],
                "params": ["seed"],
                "outs": ["bundle/${item}"],
            },
        }
    }
}
ALIEN = "0123456789" * 4


def git(*words: str) -> str:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    return subprocess.run(["git", *identity, *words], capture_output=True, text=True, check=True).stdout.strip()


def dvc(*words: str) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run([sys.executable, "-m", "dvc", *words, "-q"], check=True, env=os.environ | {"PATH": path})


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project under git and DVC whose one version is registered; params.yaml was changed after the commit."""
    folder = tmp_path_factory.mktemp("lab") / "project"
    project.make(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.delenv("EPISOME_SHELF", raising=False)
        Path("bundle", SPECIES).rename("template")
        for name, text in {
            "pipelines/stage.py": STAGE,
            "dvc.yaml": yaml.safe_dump(PIPELINE),
            "data/labels/rows.csv": "sequence,label\nACGT,1\n",
            ".gitignore": "/bundle/\n/registry/\n/shelf/\n/reports/\n/adapters/\n",
        }.items():
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_text(text, encoding="utf-8")
        git("init", "--quiet")
        dvc("init")
        shutil.copyfile(ROOT / ".dvc/config", ".dvc/config")
        dvc("add", "data/labels")
        git("add", "--all")
        git("commit", "--quiet", "-m", "lab")
        project.write(Path("data/genome/genome.fa"), "ACGT")  # as `episome data fetch` leaves it, not committed yet
        dvc("add", "data/genome/genome.fa")
        Path("data/genome/sha256sums.txt").write_text("0 genome.fa\n", encoding="utf-8")
        micro.change(Path("params.yaml"), "seed", to=11)
        Path("data/labels.dvc").write_bytes(Path("data/labels.dvc").read_bytes() + b"meta: {by: hand}\n")
        dvc("repro")
        gate = project.report(bundle.digest(Path("bundle") / SPECIES))
        project.write(Path(f"reports/gate/{SPECIES}.json"), gate)
        register.main(SPECIES)
    return folder


@pytest.fixture
def at_the_lab(lab: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(lab)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("EPISOME_SHELF", raising=False)
    return lab


@pytest.fixture
def found(at_the_lab: Path) -> Trace:
    """What is known of the version; changed by a test, it is that test's."""
    (version,) = tracking.versions(SPECIES)
    return trace.trace(Asked(bundle=version.bundle), params.read())


def run(*words: str) -> Result:
    return CliRunner().invoke(main, words)


def stamps(folder: Path) -> dict[str, int]:
    """When every file of the workspace, of git and of DVC's cache was last written."""
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    passing = {"tmp", "registry", "index"}  # DVC's locks, MLflow's journal, what git status refreshes
    return {str(each): (folder / each).stat().st_mtime_ns for each in files if not passing & {*each.parts}}


def kept(version_run: str, name: str) -> Path:
    return Path("registry/artifacts", version_run, "artifacts/origin", name)


@pytest.mark.slow
def test_recorded_commit_params_and_data_give_the_same_adapter_and_touch_nothing(
    at_the_lab: Path, found: Trace
) -> None:
    assert found.card is not None
    before, state = stamps(at_the_lab), git("status", "--porcelain")
    done = run("reproduce", found.bundle[:12])
    assert done.exit_code == 0, done.output
    sha256 = found.card.files["adapter.safetensors"]
    assert done.stdout.splitlines() == [
        f"{SPECIES}: equal: adapter sha256 {sha256}",
        "  and so is every other file of the bundle",
    ]
    assert stamps(at_the_lab) == before
    assert git("status", "--porcelain") == state


@pytest.mark.slow
def test_other_params_give_another_adapter_and_the_stage_is_named(at_the_lab: Path, found: Trace) -> None:
    assert found.version is not None
    assert found.card is not None
    path = kept(found.version.run_id, "workspace/params.yaml")
    before = path.read_bytes()
    micro.change(path, "seed", to=12)
    done = run("reproduce", found.bundle)
    path.write_bytes(before)
    assert done.exit_code == 1
    verdict, again, *rest = done.stdout.splitlines()
    assert verdict == f"{SPECIES}: DIFFERENT: recorded adapter sha256 {found.card.files['adapter.safetensors']}"
    assert again.split()[-1] != verdict.split()[-1]
    assert len(again.split()[-1]) == 64
    assert rest == [f"  other output: export@{SPECIES}, given what differs: params.yaml"]


@pytest.mark.slow
def test_what_nobody_recorded_is_to_blame_where_everything_given_is_the_same(
    found: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_WEATHER", "rain")
    found.state = dict(found.state or {}) | {"packages": dict((found.state or {})["packages"]) | {"torch": "1.0"}}
    done = reproduce.reproduce(found)
    assert not done.equal
    *_, blame, package = done.words()
    assert blame == f"  other output: export@{SPECIES}, given the same"
    assert package.startswith("  other package: torch 1.0 → ")


@pytest.mark.slow
def test_other_code_or_data_than_were_used_are_refused_by_name(found: Trace, at_the_lab: Path) -> None:
    (stage,) = found.stages
    deps: Mapping[str, str] = {**stage.deps, "pipelines/stage.py": "0" * 32, "data/lost": "1" * 32}
    found.stages = (replace(stage, deps=deps),)
    with pytest.raises(ReproduceError) as refused:
        reproduce.reproduce(found)
    said = str(refused.value).splitlines()
    assert said[1] == "  - data/lost is neither in the commit nor tracked by DVC then (`dvc add`)"
    assert said[2].startswith("  - pipelines/stage.py is ")
    assert said[2].endswith(f" there, it was {'0' * 32}")
    assert len(said) == 3


def test_a_commit_that_is_not_here_is_refused(found: Trace) -> None:
    assert found.recipe is not None
    found.recipe = replace(found.recipe, commit=ALIEN)
    with pytest.raises(ReproduceError, match=f"registered at commit {ALIEN}, which is not in this repository"):
        reproduce.reproduce(found)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (["params.yaml", "src/episome/train.py", "x.dvc"], "not commit [0-9a-f]{40}: src/episome/train.py differed"),
        (None, "whether files differed from commit [0-9a-f]{40} was not recorded"),
    ],
)
def test_a_tree_with_other_changes_than_are_recorded_is_refused(found: Trace, changed: Any, said: str) -> None:
    found.state = {"changed": changed}
    with pytest.raises(ReproduceError, match=said):
        reproduce.reproduce(found)


@pytest.mark.parametrize("part", ["*.dir", "*"])
def test_data_that_left_the_cache_are_refused_by_name(found: Trace, tmp_path: Path, part: str) -> None:
    (md5,) = (value for path, value in dvclock.inputs(found.stages).items() if path == "data/labels")
    cache = Path(".dvc/cache/files/md5")
    listed = cache / md5[:2] / md5[2:]
    (row,) = json.loads(listed.read_bytes())
    victim = listed if part == "*.dir" else cache / row["md5"][:2] / row["md5"][2:]
    victim.rename(tmp_path / "away")
    try:
        with pytest.raises(ReproduceError, match=r"not in DVC's cache \(.*/\.dvc/cache\): data/labels; `dvc fetch`"):
            reproduce.reproduce(found)
    finally:
        (tmp_path / "away").rename(victim)


def test_a_version_that_was_registered_without_its_origin_is_traced_and_not_rebuilt(
    at_the_lab: Path, found: Trace, tmp_path: Path
) -> None:
    assert found.version is not None
    folder = kept(found.version.run_id, "")
    folder.rename(tmp_path / "away")
    try:
        told = run("trace", found.bundle)
        refused = run("reproduce", found.bundle)
        inputs = run("trace", found.bundle, "--inputs", str(tmp_path))
    finally:
        (tmp_path / "away").rename(folder)
    assert told.exit_code == 0
    assert "Missing:\n  - params.yaml, dvc.lock and packages at registration: it was registered without" in told.stdout
    assert "Commands" not in told.stdout
    for each in (refused, inputs):
        assert each.exit_code == 1
        assert "it was registered without them" in each.stderr


def test_the_commands_are_printed_as_a_shell_takes_them(found: Trace, at_the_lab: Path, tmp_path: Path) -> None:
    assert found.card is not None
    told = run("trace", found.bundle).stdout.split("Commands that rebuild it")[1].splitlines()[1:]
    assert [line.strip() for line in told] == [
        f"git clone --quiet --no-checkout --shared {at_the_lab} rebuilt",
        f"git -C rebuilt checkout --quiet --detach {git('rev-parse', 'HEAD')}",
        f"episome trace {found.bundle} --inputs rebuilt",
        "cd rebuilt",
        f"dvc remote add --quiet --local --default project {at_the_lab / '.dvc/cache'}",
        "dvc pull --quiet data/genome/genome.fa.dvc data/labels.dvc",
        f"PYTHONPATH=src:. HF_HUB_OFFLINE=1 dvc repro --force export@{SPECIES}",
        f"sha256sum bundle/{SPECIES}/adapter.safetensors  # recorded: {found.card.files['adapter.safetensors']}",
    ]
    assert run("trace", found.bundle, "--inputs", str(tmp_path)).exit_code == 0
    assert (tmp_path / "data/genome/sha256sums.txt").is_file()
    assert (tmp_path / "params.yaml").read_bytes() == Path("params.yaml").read_bytes()
    assert (tmp_path / "data/labels.dvc").read_bytes() == Path("data/labels.dvc").read_bytes()


@pytest.mark.slow
def test_a_shell_that_runs_the_printed_commands_gets_the_recorded_adapter(at_the_lab: Path, found: Trace) -> None:
    assert found.recipe is not None
    bin_folder = Path(sys.executable).parent
    environment = os.environ | {
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT))),
    }
    script = "\n".join(recipe.lines(found.recipe))
    try:
        done = subprocess.run(["bash", "-euc", script], env=environment, capture_output=True, text=True, check=False)
    finally:
        shutil.rmtree("rebuilt", ignore_errors=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"{found.recipe.adapter}  bundle/{SPECIES}/adapter.safetensors"


def test_registration_says_what_differed_from_the_commit(found: Trace) -> None:
    assert found.state is not None
    assert found.version is not None
    assert found.state["changed"] == ["data/labels.dvc", "params.yaml"]
    assert found.version.dirty == "yes"
    assert found.state["packages"]["numpy"]
    line = next(line for line in run("trace", found.bundle).stdout.splitlines() if "git commit" in line)
    assert line.endswith("changed: data/labels.dvc, params.yaml; recorded")


def test_a_lock_of_another_bundle_is_not_kept(at_the_lab: Path) -> None:
    card = Path("bundle", SPECIES, "card.json")
    before = card.read_bytes()
    assert {"dvc.lock", "workspace/data/labels.dvc"} < {*origin.record(SPECIES)}
    card.write_bytes(before + b" ")
    try:
        assert {*origin.record(SPECIES)} == {"state.json", "workspace/params.yaml"}
    finally:
        card.write_bytes(before)


def test_dvc_and_we_hash_a_folder_alike(found: Trace) -> None:
    (stage,) = found.stages
    for path in ("template", "pipelines/stage.py", "data/labels", "data/genome"):
        assert dvclock.digest(Path(path)) == stage.deps[path]
    assert dvclock.digest(Path("nowhere")) is None
