import difflib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from episome import bundle, feedback, params, shelf
from episome.feedback import Label
from episome.shelf import Entry
from episome.types import EpisomeError, Task
from episome_cli import feedback as curated
from episome_cli import retrain as command
from pipelines import child, journal, lock, paths, releases, retrain
from tests import micro
from tests.conftest import ROOT
from tests.pipelines import project
from tests.pipelines.project import SPECIES
from tests.toy_bundles import dna

TASKS = (
    Task(name="promoter", scope="window", window=300),
    Task(name="donor", scope="site", window=120, motif="GT"),
)
PROMOTER, DONOR = dna(1, 300), dna(2, 120)

# Stands in for the whole pipeline: checks that its inputs are there, and judges by the number of added rows: one
# passes, two never, three at the second rung of the ladder, four fail the leak check as well.
STAGE = """
import json, sys, yaml
from pathlib import Path
from episome import bundle
print("talking on stdout")
entry = yaml.safe_load(Path("params.yaml").read_text())["species"]["human_sim"]
rows = Path("releases", entry["release"], entry["release"] + ".csv").read_text().splitlines()
bundle.verify(Path("prior") / entry["prior"] / "champion")
added, train = len(rows) - 1, entry["train"]
if added > 4:
    sys.exit("too many rows")
passed = added == 1 or (added == 3 and train == {"ewc_lambda": 300.0, "interpolate": 0.5})
check = {"name": "retention", "suite": "donor/none", "passed": passed, "message": "donor/none: it lost 0.200 MCC"}
check |= {"loss": None if passed else 0.2, "low": None, "value": None}
leaks = {"name": "leaks", "suite": "", "passed": added < 4, "message": "seen", "loss": None, "low": None, "value": 0.1}
report = {"passed": passed, "bundle": "b", "prior": entry["prior"], "checks": [check, leaks]}
Path("report-human_sim.json").write_text(json.dumps(report))
for name in ("gate", "register"):
    Path("reports", name).mkdir(parents=True, exist_ok=True)
Path("reports/gate/human_sim.json").write_text(json.dumps(report))
number = len(list(Path().glob("version-*"))) + 1
Path(f"version-{number}").touch()
Path("reports/register/human_sim.json").write_text(json.dumps({"version": number}))
"""
PIPELINE = {
    "stages": {
        "register": {
            "foreach": "${species}",
            "do": {
                "cmd": "python stage.py ${key}",
                "deps": ["stage.py", "prior/${item.prior}", "releases/${item.release}"],
                "params": ["species.${key}"],
                "outs": [{"report-${key}.json": {"cache": False}}],
            },
        }
    }
}


def table(path: Path, *lines: str, header: str = "sequence,label,task") -> Path:
    path.write_text("\n".join((header, *lines)) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f"{PROMOTER},1,promotor", "line 2: task 'promotor' is none of this species; known: promoter, donor"),
        (f"{PROMOTER[:-1]}-,1,promoter", "line 2: .*300.*'-'|line 2: .*'-'.*300"),
        (f"{PROMOTER},2,promoter", "line 2: label '2'; wanted: 0 or 1"),
        (f"{PROMOTER},,promoter", "line 2: label ''; wanted: 0 or 1"),
        (f"{DONOR},1,promoter", "line 2: 120 bases; task promoter takes windows of exactly 300"),
        (f"{PROMOTER},1", "line 2: not as many fields"),
    ],
)
def test_a_wrong_row_is_refused_by_name(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(EpisomeError, match=said):
        releases.read(table(tmp_path / "new.csv", line), TASKS, ambiguous="n")


def test_a_file_that_is_no_table_of_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EpisomeError, match="cannot be opened"):
        releases.read(tmp_path / "missing.csv", TASKS, ambiguous="n")
    with pytest.raises(EpisomeError, match="a header and no rows"):
        releases.read(table(tmp_path / "empty.csv"), TASKS, ambiguous="n")
    with pytest.raises(EpisomeError, match="columns are sequence, label; wanted: sequence, label, task"):
        releases.read(table(tmp_path / "short.csv", header="sequence,label"), TASKS, ambiguous="n")


def test_a_sequence_with_both_labels_is_refused_on_either_strand(tmp_path: Path) -> None:
    path = table(tmp_path / "new.csv", "AACC,1,whole", "GGTT,0,whole")
    with pytest.raises(EpisomeError, match=r"line 3: label 0 for task whole, but new\.csv line 2 gives the same"):
        releases.read(path, (Task(name="whole", scope="sequence"),), ambiguous="n")


def test_rows_are_normalised_and_may_get_their_task_from_outside(tmp_path: Path) -> None:
    path = table(tmp_path / "new.csv", f"{DONOR.lower().replace('t', 'u')},1", header="sequence,label")
    (row,) = releases.read(path, TASKS, ambiguous="n", task="donor")
    assert (row.sequence, row.label, row.task) == (DONOR, 1, "donor")
    with pytest.raises(EpisomeError, match="--task donors: this species has no such task; known: promoter, donor"):
        releases.read(path, TASKS, ambiguous="n", task="donors")


def test_releases_accumulate_and_are_named_by_what_they_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = releases.read(table(tmp_path / "a.csv", f"{PROMOTER},1,promoter"), TASKS, ambiguous="n")
    header = "task,group,label,sequence"
    second = releases.read(table(tmp_path / "b.csv", f"donor,g1,0,{DONOR}", header=header), TASKS, ambiguous="n")
    one = releases.write(SPECIES, first, "none")
    two = releases.write(SPECIES, second, one)
    assert releases.write(SPECIES, first, "none") == one
    assert releases.write(SPECIES, second, one) == two != releases.write(SPECIES, second, "none")
    assert re.fullmatch(rf"{SPECIES}-[0-9a-f]{{12}}", one)
    assert {path.name for path in Path("releases", two).iterdir()} == {f"{one}.csv", f"{two}.csv"}
    assert Path("releases", two, f"{one}.csv").read_bytes() == Path("releases", one, f"{one}.csv").read_bytes()
    assert Path("releases", two, f"{two}.csv").read_text() == f"sequence,label,task,group\n{DONOR},0,donor,g1\n"
    with pytest.raises(EpisomeError, match="trained on exactly these rows already"):
        releases.write(SPECIES, first, two)
    shutil.rmtree(Path("releases", one))
    with pytest.raises(EpisomeError, match=f"release {one}, which is not here; `dvc checkout`"):
        releases.write(SPECIES, second, one)


def test_editing_params_changes_two_values_and_keeps_every_comment() -> None:
    before = (ROOT / "params.yaml").read_bytes()
    after = retrain.edited(before, SPECIES, {"prior": "p-1", "release": "r-1"}, {})
    changed = [(a, b) for a, b in zip(before.splitlines(), after.splitlines(), strict=True) if a != b]
    assert [b.split()[:2] for _, b in changed] == [[b"prior:", b"p-1"], [b"release:", b"r-1"]]
    assert all(a.split(b"#")[1] == b.split(b"#")[1] for a, b in changed)
    assert retrain.edited(after, SPECIES, {"prior": "none", "release": "none"}, {}).split() == before.split()
    climbed = retrain.edited(before, SPECIES, {}, {"ewc_lambda": 300.0, "memory": "none"})
    lines = [
        line for line in difflib.ndiff(before.decode().splitlines(), climbed.decode().splitlines()) if line[0] in "+-"
    ]
    assert [" ".join(line.split()) for line in lines] == [
        "- train: {} # overrides of `train` for this species alone",
        "+ train: # overrides of `train` for this species alone",
        "+ ewc_lambda: 300.0",
        "+ memory: none",
    ]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project under git and DVC with a champion on its shelf; its pipeline is the stage above."""
    folder = tmp_path_factory.mktemp("lab")
    project.make(folder)
    shutil.copyfile(ROOT / "params.yaml", folder / "params.yaml")
    base = shelf.publish(folder / "shelf", folder / "bundle/base")
    digest = shelf.publish(folder / "shelf", folder / "bundle" / SPECIES)
    sha = "a" * 64
    entry = Entry(bundle=digest, base=base, version="1", git_commit="none", gate=sha, data=sha)
    shelf.point(folder / "shelf", SPECIES, entry)
    project.track(folder, STAGE, PIPELINE)
    return folder


@pytest.fixture
def at_the_lab(lab: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(lab)
    monkeypatch.delenv("EPISOME_SHELF", raising=False)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(ROOT / "src"), str(ROOT))))
    shutil.copyfile(ROOT / "params.yaml", "params.yaml")
    return lab


@pytest.mark.slow
def test_a_retrain_tracks_its_inputs_runs_the_pipeline_and_says_the_verdict(
    at_the_lab: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    digest = shelf.read(Path("shelf")).species[SPECIES].bundle
    data = table(Path("a.csv"), f"{dna(61, 300)},1,promoter")  # rows of its own: what another test ran is not run again
    said = CliRunner().invoke(command.retrain, [SPECIES, "--data", str(data)])
    assert said.exception is None
    assert "passed  retention" in said.stdout
    assert f"Next: episome promote {SPECIES}" in said.stdout
    streams = capfd.readouterr()
    assert streams.out == ""
    assert "talking on stdout" in streams.err

    entry = params.read().of(SPECIES)
    assert entry.prior == paths.prior_name(SPECIES, digest)
    assert bundle.digest(paths.prior(entry.prior)) == digest
    assert Path(f"prior/{entry.prior}.dvc").is_file()
    assert Path(f"releases/{entry.release}.dvc").is_file()
    assert subprocess.run(["git", "check-ignore", "-q", f"prior/{entry.prior}"], check=False).returncode == 0


def kept(folder: Path = Path()) -> dict[str, Any]:
    """What is written about the last retrain."""
    found: dict[str, Any] = json.loads((folder / paths.retrain(SPECIES)).read_bytes())
    return found


@pytest.mark.slow
def test_a_refused_verdict_is_said_and_the_next_retrain_starts_from_the_champion_again(at_the_lab: Path) -> None:
    before = Path("params.yaml").read_bytes()
    two = table(Path("b.csv"), f"{PROMOTER},1,promoter", f"{DONOR},0,donor")
    said = CliRunner().invoke(command.retrain, [SPECIES, "--data", str(two), "--no-repair"])
    assert said.exception is None
    assert "FAILED  retention: donor/none: it lost 0.200 MCC" in said.stdout
    assert "attempt 2" not in said.stdout
    assert "Nothing more was tried: retrain.ladder was not to be tried" in said.stdout
    assert "will refuse it" in said.stdout
    assert "params.yaml is as it was before" in said.stdout
    assert Path("params.yaml").read_bytes() == before
    again = retrain.retrain(SPECIES, table(Path("c.csv"), f"{DONOR},1,donor"), params.read())
    assert [path.name for path in Path("releases", again.release).iterdir()] == [f"{again.release}.csv"]
    digest = shelf.read(Path("shelf")).species[SPECIES].bundle
    assert again.passed
    assert params.read().of(SPECIES).prior == again.prior == paths.prior_name(SPECIES, digest)


@pytest.mark.slow
def test_the_ladder_is_climbed_until_the_gate_passes_and_params_keep_what_it_took(at_the_lab: Path) -> None:
    rows = [f"{PROMOTER},1,promoter", f"{DONOR},0,donor", f"{dna(3, 300)},0,promoter"]
    said = CliRunner().invoke(command.retrain, [SPECIES, "--data", str(table(Path("m.csv"), *rows))])
    assert said.exception is None
    verdicts = re.findall(r"attempt (\d), version \d+, (.+): (passed|refused)", said.stdout)
    assert verdicts == [
        ("1", "params.yaml as it was", "refused"),
        ("2", "harder (ewc_lambda: 300.0)", "refused"),
        ("3", "halfway (ewc_lambda: 300.0, interpolate: 0.5)", "passed"),
    ]
    assert f"under species.{SPECIES}.train: halfway (ewc_lambda: 300.0, interpolate: 0.5)" in said.stdout
    assert params.read().of(SPECIES).train == {"ewc_lambda": 300.0, "interpolate": 0.5}
    assert (kept()["passed"], kept()["end"]) == (True, "")
    assert kept()["prior"] == params.read().of(SPECIES).prior
    assert [(each["train"], each["report"]["passed"]) for each in kept()["attempts"]] == [
        ({}, False),
        ({"ewc_lambda": 300.0}, False),
        ({"ewc_lambda": 300.0, "interpolate": 0.5}, True),
    ]
    versions = [each["version"] for each in kept()["attempts"]]
    assert versions == [versions[0], versions[0] + 1, versions[0] + 2]


@pytest.mark.slow
def test_a_ladder_that_mends_nothing_is_given_up_with_every_attempt_kept(at_the_lab: Path) -> None:
    micro.change(Path("params.yaml"), "species", SPECIES, "train", to={"ewc_lambda": 0})
    before = Path("params.yaml").read_bytes()
    two = table(Path("g.csv"), f"{PROMOTER},0,promoter", f"{DONOR},0,donor")
    done = retrain.retrain(SPECIES, two, params.read())
    assert (done.passed, done.end) == (False, "every rung of retrain.ladder was tried")
    assert [each.train for each in done.attempts] == [{}, {"interpolate": 0.5}], "ten times nothing is nothing"
    assert Path("params.yaml").read_bytes() == before
    checks = [each["report"]["checks"][0]["message"] for each in kept()["attempts"]]
    assert checks == ["donor/none: it lost 0.200 MCC"] * 2
    assert (kept()["passed"], kept()["end"]) == (False, done.end)


@pytest.mark.slow
def test_no_rung_is_tried_where_no_training_mends_the_refusal(at_the_lab: Path) -> None:
    rows = [f"{dna(seed, 300)},1,promoter" for seed in range(4)]
    done = retrain.retrain(SPECIES, table(Path("l.csv"), *rows), params.read())
    assert (len(done.attempts), done.end) == (1, "no training mends leaks")


@pytest.mark.slow
def test_labels_that_a_curator_sent_are_exported_and_retrained_on(at_the_lab: Path) -> None:
    task = params.read().task("promoter")
    label = Label(
        species=SPECIES,
        task=task.name,
        sequence=PROMOTER,
        key=feedback.key(PROMOTER, task),
        label=1,
        name=task.labels[1],
        curator="Barbara McClintock",
    )
    feedback.append(Path("labels"), [label], received="2026-01-01T00:00:00+00:00", max_bytes=1 << 20, timeout=10.0)
    exported = CliRunner().invoke(curated.feedback, ["export", SPECIES, "curated", "--file", "labels"])
    assert exported.exception is None, exported.output
    said = CliRunner().invoke(command.retrain, [SPECIES, "--data", "curated"])
    assert said.exception is None, said.output
    release = params.read().of(SPECIES).release
    written = Path("releases", release, f"{release}.csv").read_text(encoding="utf-8")
    assert written == f"sequence,label,task\n{PROMOTER},1,promoter\n"


@pytest.mark.slow
def test_a_pipeline_that_stops_leaves_params_as_they_were(at_the_lab: Path) -> None:
    before = Path("params.yaml").read_bytes()
    rows = [f"{dna(seed, 300)},1,promoter" for seed in range(5)]
    with pytest.raises(EpisomeError, match=f"`dvc repro register@{SPECIES}` stopped with exit status"):
        retrain.retrain(SPECIES, table(Path("d.csv"), *rows), params.read())
    assert Path("params.yaml").read_bytes() == before


def test_a_species_without_a_champion_cannot_be_retrained(at_the_lab: Path) -> None:
    path = table(Path("e.csv"), f"{DONOR},1,donor")
    with pytest.raises(EpisomeError, match=f"mouse_sim has no champion on shelf; there are: {SPECIES}"):
        retrain.retrain("mouse_sim", path, params.read())
    with pytest.raises(EpisomeError, match="no species 'dog'"):
        retrain.retrain("dog", path, params.read())


@pytest.mark.skipif(sys.platform != "linux", reason="the death signal is Linux's")
def test_the_pipeline_and_what_it_started_die_with_whoever_started_it() -> None:
    script = "from pipelines import child; child.run(['sh', '-c', 'sleep 600 & echo $$ $!; wait'])"
    path = os.pathsep.join((str(ROOT / "src"), str(ROOT)))
    with subprocess.Popen(
        [sys.executable, "-c", script], stderr=subprocess.PIPE, env=os.environ | {"PYTHONPATH": path}
    ) as parent:
        assert parent.stderr is not None
        started = [int(word) for word in parent.stderr.readline().split()]
        assert all(map(_runs, started))
        parent.send_signal(signal.SIGKILL)
    assert _left_of(started) == []


def test_a_program_answers_its_status_and_leaves_nothing_running(tmp_path: Path) -> None:
    said = tmp_path / "pid"
    assert child.run(["sh", "-c", f"sleep 600 & echo $! > {said}; exit 7"]) == 7
    assert _left_of([int(said.read_text())]) == []


def edited_by_a_retrain(folder: Path) -> tuple[bytes, bytes]:
    """params.yaml as a retrain found it and as it left it when it was killed; the folder is entered."""
    before = (ROOT / "params.yaml").read_bytes()
    (folder / "params.yaml").write_bytes(before)
    after = retrain.edited(before, SPECIES, {"prior": "p-1", "release": "r-1"}, {})
    journal.begin(SPECIES, after)
    return before, after


def test_what_a_killed_retrain_left_is_told_and_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert journal.unfinished() == ()
    before, after = edited_by_a_retrain(tmp_path)
    Path("prior/.new-x").mkdir(parents=True)
    assert Path("params.yaml").read_bytes() == after
    with lock.hold(journal.LOCK):
        assert journal.unfinished() == (), "it runs"
        journal.mend()
        assert Path("params.yaml").read_bytes() == after
    assert "a retrain was killed" in journal.unfinished()[0]
    journal.mend()
    assert Path("params.yaml").read_bytes() == before
    assert journal.unfinished() == ()
    assert [path.name for path in Path("prior").iterdir()] == []


def test_params_that_were_edited_after_the_kill_are_nobodys_to_restore(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _, after = edited_by_a_retrain(tmp_path)
    Path("params.yaml").write_bytes(after + b"# mine\n")
    with pytest.raises(EpisomeError, match=rf"a retrain of {SPECIES} was killed, and params\.yaml was edited since"):
        journal.settle()
    journal.end(keep=False)
    assert Path("params.yaml").read_bytes() == after + b"# mine\n"
    journal.JOURNAL.write_text("{}")
    with pytest.raises(EpisomeError, match="not the journal of a retrain"):
        journal.unfinished()


def _left_of(pids: list[int]) -> list[int]:
    """Those that still run after some seconds: a kernel takes its time to bury what was killed."""
    deadline = time.monotonic() + 10
    while (alive := [pid for pid in pids if _runs(pid)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return alive


def _runs(pid: int) -> bool:
    """Whether a process exists and is not just waiting to be buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
