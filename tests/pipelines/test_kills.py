"""SIGKILL at any moment of `promote` and `retrain`: what is left is the old state or the new one, and a way on."""

import json
import random
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from episome import bundle, generation, params, shelf
from episome.shelf import Entry
from pipelines import doctor, journal, ledger, paths, register, tracking
from tests.conftest import ROOT
from tests.pipelines import forks, project
from tests.pipelines.project import SPECIES
from tests.toy_bundles import dna

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")]

PROMOTIONS, RETRAINS = 15, 15  # kills
IN_A_ROW = 3  # of the same command, before it is let run to its end
SHELF = Path("shelf")


class Killer:
    """Runs one command after another, each killed at a random moment of the time that they take."""

    def __init__(self, folder: Path, kills: int, seconds: float) -> None:
        self.folder, self.kills, self.seconds = folder, kills, seconds
        self.killed = self.tried = self.in_a_row = 0
        self._chance = random.Random(kills)

    def strike(self, *words: str) -> bool:
        """Run a command and kill it, unless it ends before; whether it was killed."""
        assert self.tried < 12 * self.kills, f"only {self.killed} of {self.tried} came in time"
        ended = forks.command(self.folder, *words, kill_after=self._chance.uniform(0, self.seconds))
        assert ended.code in {0, forks.KILLED}, ended.said
        self.tried += 1
        if ended.code == 0:
            self.seconds *= 0.8
            self.in_a_row = IN_A_ROW
            return False
        self.seconds *= 1.2  # so that moments reach to the end of the command, however busy the machine is
        self.killed += 1
        self.in_a_row = self.in_a_row % IN_A_ROW + 1
        return True

    def done(self, midway: object) -> bool:
        """Whether it was killed often enough, once at least midway, and the last command may be let run to its end.

        How soon a moment midway is drawn depends on the machine; after three times as many kills it is not waited for.
        """
        return self.relents and self.killed >= (self.kills if midway else 3 * self.kills)

    @property
    def relents(self) -> bool:
        """Whether the same command may be let run to its end now."""
        return self.in_a_row in {0, IN_A_ROW}


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Which bundle each record says is the champion; the ledger's is the last move's."""

    answers: Entry
    lines: int
    last: Entry
    alias: str

    @property
    def agree(self) -> bool:
        """Whether they say the same."""
        return self.answers == self.last and self.answers.bundle == self.alias


def state() -> State:
    lines, named = ledger.read(ledger.LEDGER), tracking.champion(SPECIES)
    assert named is not None
    return State(answers=shelf.read(SHELF).species[SPECIES], lines=len(lines), last=lines[-1].after, alias=named.bundle)


def serves() -> str:
    """Digest of the bundle that a service loads from the shelf, golden answers and all."""
    loaded = generation.load(SHELF, shelf.read(SHELF), threads=1, allow_simulated=True, before=generation.EMPTY)
    digest = loaded.residents[SPECIES].entry.bundle
    generation.retire(loaded, [])
    return digest


@pytest.fixture
def at_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with two promotions, which is entered."""
    folder = tmp_path / "project"
    project.make(folder)
    monkeypatch.chdir(folder)
    for name in ("MLFLOW_TRACKING_URI", "EPISOME_SHELF"):
        monkeypatch.delenv(name, raising=False)
    for seed in (1, 2):
        project.train(folder, seed=seed)
        assert forks.command(folder, "promote", SPECIES, "--uncompared").code == 0
    return folder


def test_a_promotion_killed_at_any_moment_leaves_the_old_champion_or_the_new_one(at_work: Path) -> None:
    call = ("promote", SPECIES, "--uncompared")
    project.train(at_work, seed=3)
    killer = Killer(at_work, PROMOTIONS, forks.command(at_work, *call).seconds)
    left: set[tuple[bool, bool, bool]] = set()
    while not killer.done(len(left) > 1):
        if killer.relents:
            before, new = state(), project.train(at_work, seed=100 + killer.tried)
        killer.strike(*call)
        now = state()
        left.add((now.answers.bundle == new, now.last.bundle == new, now.alias == new))
        assert serves() == now.answers.bundle
        assert {now.answers.bundle, now.alias, now.last.bundle} <= {before.answers.bundle, new}
        assert now.last.bundle == new or now == before, "nothing moves that the ledger does not say"
        assert now.alias != new or now.answers.bundle == new, "aliases follow the shelf"
        assert (doctor.differences(params.read()) == ()) <= now.agree
        if killer.relents:
            assert forks.command(at_work, *call).code == 0
            now = state()
            assert (now.answers.bundle, now.agree) == (new, True)
            assert doctor.differences(params.read()) == ()
    assert len(left) > 1, f"all kills came before or after everything: {left}"
    assert forks.command(at_work, "rollback", SPECIES).code == 0
    assert state().answers == before.answers


def test_of_two_promotions_at_once_one_wins_and_the_other_is_told(at_work: Path) -> None:
    champion = state().answers.bundle
    held = {"prior": paths.prior_name(SPECIES, champion), "prior_bundle": champion}
    for seed in (3, 4):
        project.train(at_work, seed=seed, **held)
        assert register.register(SPECIES, params.read()).number == seed
    ended = forks.at_once(at_work, *(("promote", SPECIES, "--version", str(number)) for number in (3, 4)))
    won, told = sorted(ended, key=lambda each: each.code)
    assert (won.code, told.code) == (0, 1)
    assert "the gate compared it with" in told.said
    assert len(ledger.read(ledger.LEDGER)) == 3


# Stands in for training and registration; quick, and it takes a moment.
STAGE = """
import json, sys, time, yaml
from pathlib import Path
name = sys.argv[1]
entry = yaml.safe_load(Path("params.yaml").read_text())["species"]["human_sim"]
if name == "train":
    time.sleep(0.3)
    Path("trained.json").write_text(json.dumps(entry))
else:
    assert json.loads(Path("trained.json").read_text()) == entry
    check = {"name": "retention", "suite": "donor/none", "passed": True, "message": "fine"}
    report = {"passed": True, "bundle": "b", "prior": entry["prior"], "checks": [check]}
    for name, content in (("gate", report), ("register", {"version": 2})):
        Path("reports", name).mkdir(parents=True, exist_ok=True)
        Path("reports", name, "human_sim.json").write_text(json.dumps(content))
"""
PIPELINE = {
    "stages": {
        "train": {
            "cmd": "python stage.py train",
            "deps": ["stage.py", "prior/${species.human_sim.prior}", "releases/${species.human_sim.release}"],
            "params": ["species.human_sim"],
            "outs": ["trained.json"],
        },
        "register": {
            "foreach": [SPECIES],
            "do": {
                "cmd": "python stage.py register",
                "deps": ["stage.py", "trained.json"],
                "params": ["species.human_sim"],
                "metrics": [{f"reports/{name}/{SPECIES}.json": {"cache": False}} for name in ("gate", "register")],
            },
        },
    }
}


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project under git and DVC with a champion and a pipeline of two small stages, which is entered."""
    folder = tmp_path / "lab"
    project.make(folder)
    shutil.copyfile(ROOT / "params.yaml", folder / "params.yaml")
    base = shelf.publish(folder / SHELF, folder / "bundle/base")
    digest = shelf.publish(folder / SHELF, folder / "bundle" / SPECIES)
    shelf.point(
        folder / SHELF,
        SPECIES,
        Entry(bundle=digest, base=base, version="1", git_commit="none", gate=digest, data=digest),
    )
    project.track(folder, STAGE, PIPELINE)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("EPISOME_SHELF", raising=False)
    return folder


def new_labels(number: int) -> tuple[str, ...]:
    """A retrain on one label that no retrain before has seen."""
    path = Path(f"labels-{number}.csv")
    path.write_text(f"sequence,label,task\n{dna(number, 300)},1,promoter\n", encoding="utf-8")
    return "retrain", SPECIES, "--data", str(path)


def whole(champion: bytes) -> None:
    """Whatever of a retrain is there is there wholly, and the champion is untouched."""
    assert (SHELF / "champions.json").read_bytes() == champion
    for folder in filter(Path.is_dir, Path("prior").glob(f"{SPECIES}-*")):
        bundle.verify(paths.prior(folder.name))
    for folder in filter(Path.is_dir, Path("releases").glob(f"{SPECIES}-*")):
        assert (folder / f"{folder.name}.csv").read_text(encoding="utf-8").endswith("promoter\n")


def through() -> bool:
    """Whether the retrain that params.yaml names came to its end: rows, training, verdict and record are its own."""
    entry = params.read().of(SPECIES)
    assert entry.release != "none"
    record = json.loads(paths.retrain(SPECIES).read_bytes())
    return (
        Path(f"releases/{entry.release}.dvc").is_file()
        and json.loads(Path("trained.json").read_bytes())["release"] == entry.release
        and json.loads(paths.gate(SPECIES).read_bytes())["prior"] == entry.prior
        and (record["prior"], record["release"], record["passed"]) == (entry.prior, entry.release, True)
    )


def test_a_retrain_killed_at_any_moment_leaves_params_as_they_were_or_says_so_and_runs_again(lab: Path) -> None:
    champion = (SHELF / "champions.json").read_bytes()
    killer = Killer(lab, RETRAINS, forks.command(lab, *new_labels(1)).seconds)
    told = 0
    while not killer.done(told):
        if killer.relents:
            call, before = new_labels(100 + killer.tried), journal.PARAMS.read_bytes()
        others = forks.working_in(lab)
        killed = killer.strike(*call)
        assert forks.left_in(lab, others) == {}
        whole(champion)
        if killed:
            unfinished = journal.unfinished()
            assert journal.PARAMS.read_bytes() == before or unfinished or through()
            told += bool(unfinished)
        if killer.relents:
            assert forks.command(lab, *call).code == 0
            assert journal.PARAMS.read_bytes() != before
            assert through()
            assert journal.unfinished() == ()
            assert list(lab.glob("**/.new-*")) == []
    assert told > 0, "no kill came while params.yaml was changed"
