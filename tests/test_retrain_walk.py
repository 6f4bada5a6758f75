"""A guarded retrain, whole, on a small world that is learned: good labels make a champion, turned ones are refused."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pandas as pd
import pytest

from episome import bundle, classifier, dataset, genome, metrics, params, shelf, simulate
from episome.shelf import Champions
from episome.sources import GenomeSource
from tests import lonely, micro

pytestmark = pytest.mark.slow

HUMAN = "human_sim"
GENES = 120  # 744 rows for donor sites, 112 of them for the test
OTHER_SEED = 8  # another simulated genome of the same species: sequences that the first one does not have
LEARNING_RATE = 2.0e-2
STRONG = 1.0e3
REPLAY = {"memory": "coreset", "coreset_per_class": 20}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A retrain and the promotion asked for after it.

    Attributes:
        retrain: what `episome retrain` did.
        report: the gate report.
        registered: version and bundle that it registered.
        promote: what `episome promote` did.
        before: champions before it.
        after: champions after it.
        known: AUROC on the source's test rows.
    """

    retrain: CompletedProcess[str]
    report: Mapping[str, Any]
    registered: Mapping[str, Any]
    promote: CompletedProcess[str]
    before: Champions
    after: Champions
    known: float


def suites(report: Mapping[str, Any], name: str = "retention") -> dict[str, Mapping[str, Any]]:
    """Comparisons with the champion in a gate report by suite: what it knew (``retention``) or not (``gain``)."""
    return {check["suite"]: check for check in report["checks"] if check["name"] == name}


def attempt(project: Path, data: Path) -> Attempt:
    """Retrain on a CSV file, once, then ask for promotion."""
    before = shelf.read(project / "shelf")
    retrained = lonely.run(project, "episome", "retrain", HUMAN, "--data", str(data), "--no-repair")
    assert retrained.returncode == 0, f"{retrained.stdout}\n{retrained.stderr[-4000:]}"
    return Attempt(
        retrain=retrained,
        report=said(project, "gate"),
        registered=said(project, "register"),
        promote=lonely.run(project, "episome", "promote", HUMAN),
        before=before,
        after=shelf.read(project / "shelf"),
        known=known(project),
    )


def known(project: Path) -> float:
    """How well the adapter that is in the project ranks the source's test rows; no threshold has a say in it."""
    rows = dataset.read(project / "data/windows" / HUMAN / "rows.parquet")
    rows = rows[(rows["split"] == "test") & (rows["release"] == "none")]
    trained = classifier.load_classifier(project / "models/base", project / "adapters" / HUMAN)
    return metrics.auroc(rows["label_donor"], classifier.predict(trained, rows)[:, 0])


def said(project: Path, stage: str) -> Mapping[str, Any]:
    """The report of a stage on the species."""
    found: Mapping[str, Any] = json.loads((project / "reports" / stage / f"{HUMAN}.json").read_bytes())
    return found


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the working tree with one species, its donor sites learned and its first version promoted."""
    folder = lonely.copy(tmp_path_factory.mktemp("retrain") / "episome")
    numbers = folder / "params.yaml"
    micro.write(numbers, [HUMAN], GENES)
    micro.change(numbers, "train", "epochs", to=3)
    micro.change(numbers, "train", "fisher_rows", to=200)
    micro.change(numbers, "gate", "min_rows", to=20)
    micro.change(numbers, "gate", "bootstrap", to=500)
    micro.change(numbers, "gate", "max_loss_mcc", to=0.2)  # 112 rows cannot rule out less
    micro.change(numbers, "gate", "max_probe_loss_mcc", to=0.4)
    micro.change(numbers, "gate", "max_flips", to=0.5)
    micro.change(numbers, "gate", "max_ece_increase", to=0.5)
    lonely.repro(folder)
    done = lonely.run(folder, "episome", "promote", HUMAN)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def unseen(project: Path, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Rows for donor sites of another genome of the species."""
    known = params.read(project / "params.yaml")
    (other,) = simulate.world(genes=GENES, seed=OTHER_SEED, species=[HUMAN])
    folder = tmp_path_factory.mktemp("unseen")
    simulate.write(other, folder)
    source = known.of(HUMAN).source.model_copy(update={"folder": folder})
    assert isinstance(source, GenomeSource)
    rows, _, _ = genome.load(
        source,
        known.tasks_of(HUMAN),
        species=HUMAN,
        origin="unseen",
        windows=known.windows,
        families={},
        seed=OTHER_SEED,
    )
    return rows


@pytest.fixture(scope="module")
def added(project: Path, unseen: pd.DataFrame) -> Attempt:
    """A retrain on a quarter of the unseen rows, labels as they are."""
    rows = unseen.iloc[::4]
    data = pd.DataFrame({"sequence": rows["sequence"], "label": rows["label_donor"], "task": "donor"})
    data.to_csv(project / "new.csv", index=False)
    return attempt(project, project / "new.csv")


@pytest.fixture(scope="module")
def mended(project: Path, unseen: pd.DataFrame, added: Attempt) -> Mapping[str, Any]:
    """A retrain that learns to tell two marks apart, under a gate that takes half of its change, and a way back.

    What it came to, and what params.yaml said of the species' training afterwards.
    """
    rows, marks = unseen.iloc[1::4], ("ACTG" * 8, "AGTC" * 8)
    labels = [i % 2 for i in range(len(rows))]
    data = pd.DataFrame(
        {
            "sequence": [marks[label] + text[32:] for label, text in zip(labels, rows["sequence"], strict=True)],
            "label": labels,
            "task": "donor",
            "split": [("train", "val", "test")[i // 2 % 3] for i in range(len(rows))],
        }
    )
    data.to_csv(project / "marked.csv", index=False)
    fast = {"learning_rate": 5.0e-3, "head_learning_rate": 2.0e-2, "epochs": 8, "patience": 8, "ewc_lambda": 0.0}
    micro.change(project / "params.yaml", "species", HUMAN, "train", to=fast)
    alone, usual = climbed(project, project / "marked.csv"), params.read(project / "params.yaml").gate.max_kl
    micro.change(project / "params.yaml", "gate", "max_kl", to=values(alone["attempts"][0])["kl"] / 2)
    found = climbed(project, project / "marked.csv", back={"interpolate": 0.2})
    micro.change(project / "params.yaml", "gate", "max_kl", to=usual)
    return found


@pytest.fixture(scope="module")
def turned(project: Path, unseen: pd.DataFrame, added: Attempt, mended: Mapping[str, Any]) -> Attempt:
    """A retrain on the others with every label turned round, fast and held by nothing.

    Most rows that choose the epoch are turned as well; the old ones would vote for the champion.
    """
    rows = unseen.drop(unseen.index[::4])
    sides = ["train", "val", "val", "train", "val", "test"]
    data = pd.DataFrame(
        {
            "sequence": rows["sequence"],
            "label": 1 - rows["label_donor"],
            "task": "donor",
            "split": [sides[i % len(sides)] for i in range(len(rows))],
        }
    )
    data.to_csv(project / "turned.csv", index=False)
    train_with(project, ewc_lambda=0.0)
    return attempt(project, project / "turned.csv")


@pytest.fixture(scope="module")
def given_up(project: Path, turned: Attempt) -> Mapping[str, Any]:
    """The same turned labels once more; old rows beside them, then a strong penalty as well, for a ladder."""
    return climbed(project, project / "turned.csv", replay=REPLAY, strong={"ewc_lambda": STRONG})


@pytest.fixture(scope="module")
def held(project: Path, given_up: Mapping[str, Any]) -> float:
    """What is still known after the turned labels were learned under that penalty."""
    return known(project)


def climbed(project: Path, data: Path, **ladder: Mapping[str, Any]) -> Mapping[str, Any]:
    """Retrain with these rungs: what is kept of all attempts, and the species' `train` in params.yaml afterwards."""
    micro.change(project / "params.yaml", "retrain", "ladder", to=ladder)
    done = lonely.run(project, "episome", "retrain", HUMAN, "--data", str(data))
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-4000:]}"
    found: dict[str, Any] = json.loads((project / "reports/retrain" / f"{HUMAN}.json").read_bytes())
    return found | {"said": done.stdout, "params": params.read(project / "params.yaml").of(HUMAN).train}


def values(attempted: Mapping[str, Any]) -> dict[str, float]:
    """What each check of an attempt measured."""
    return {check["name"]: check["value"] for check in attempted["report"]["checks"]}


def train_with(project: Path, *, ewc_lambda: float) -> None:
    # Long enough that what the head has learned letter by letter about a site can turn round; and with no old row.
    numbers = {"learning_rate": LEARNING_RATE, "head_learning_rate": LEARNING_RATE, "epochs": 12, "patience": 12}
    numbers |= {"ewc_lambda": ewc_lambda, "lwf_lambda": 0.0}
    micro.change(project / "params.yaml", "species", HUMAN, "train", to={**numbers, "memory": "none"})


def test_added_labels_yield_a_registered_challenger(added: Attempt) -> None:
    champion = added.before.species[HUMAN]
    assert (champion.version, added.registered["version"]) == ("1", 2)
    assert added.registered["bundle"] == added.report["bundle"] != champion.bundle
    assert added.report["prior"] == f"{HUMAN}-{champion.bundle[:12]}"
    (release,) = suites(added.report, "gain")
    assert re.fullmatch(rf"donor/{HUMAN}-[0-9a-f]{{12}}", release)
    assert set(suites(added.report)) == {"donor/none"}
    for said in ("retention: donor/none", f"gain: {release}"):
        assert f"{said}: MCC " in added.retrain.stdout


def test_a_challenger_that_kept_what_was_known_is_promoted(added: Attempt) -> None:
    assert added.report["passed"], added.report
    assert f"Next: episome promote {HUMAN}" in added.retrain.stdout
    assert added.promote.returncode == 0, added.promote.stderr
    assert added.after.species[HUMAN].version == "2"
    assert added.after.species[HUMAN].bundle == added.report["bundle"]


def test_a_ladder_leads_a_retrain_that_answers_otherwise_back_to_its_champion(mended: Mapping[str, Any]) -> None:
    first, last = mended["attempts"]
    assert "kl" in {check["name"] for check in first["report"]["checks"] if not check["passed"]}
    assert (first["rung"], last["rung"], last["train"]) == ("", "back", {"interpolate": 0.2})
    assert last["report"]["passed"], [check for check in last["report"]["checks"] if not check["passed"]]
    assert mended["passed"]
    assert last["version"] == first["version"] + 1
    assert 0 < values(last)["kl"] < 0.5 * values(first)["kl"]
    assert mended["params"]["interpolate"] == 0.2
    assert "params.yaml keeps what it took" in mended["said"]


def test_a_ladder_that_cannot_mend_gives_up_and_keeps_every_attempt(
    turned: Attempt, given_up: Mapping[str, Any]
) -> None:
    first, replayed, last = given_up["attempts"]
    assert first["report"]["bundle"] == turned.report["bundle"], "the same inputs make the same version"
    assert [each["version"] - turned.registered["version"] for each in (first, replayed, last)] == [0, 1, 2]
    assert not given_up["passed"]
    assert given_up["end"] == "every rung of retrain.ladder was tried"
    assert f"Nothing more was tried: {given_up['end']}" in given_up["said"]
    assert (replayed["train"], last["train"]) == (REPLAY, REPLAY | {"ewc_lambda": STRONG})
    assert (given_up["params"]["memory"], given_up["params"]["ewc_lambda"]) == ("none", 0)
    bundles = [each["report"]["bundle"] for each in (first, replayed, last)]
    assert len(set(bundles)) == 3, "each rung makes another version"


def test_turned_labels_are_refused_with_suite_and_loss(added: Attempt, turned: Attempt) -> None:
    assert not turned.report["passed"]
    assert f"`episome promote {HUMAN}` will refuse it" in turned.retrain.stdout
    assert turned.promote.returncode != 0
    old, first = suites(added.report), suites(added.report, "gain")
    assert set(suites(turned.report)) == {*old, *first}
    for suite, check in suites(turned.report).items():
        assert check["loss"] > 0.2
        assert f"retention: {suite}: MCC" in turned.promote.stderr
        assert f"lost {check['loss']:.3f} MCC" in turned.promote.stderr


def test_a_refused_version_changes_no_champion(turned: Attempt, project: Path) -> None:
    assert turned.registered["version"] == 5
    assert turned.after == turned.before
    champion = turned.after.species[HUMAN]
    assert champion.version == "2"
    assert bundle.digest(shelf.open_bundle(project / "shelf", champion.bundle)) == champion.bundle
    assert lonely.run(project, "episome", "doctor").returncode == 0


def test_a_strong_penalty_forgets_less_on_the_same_labels(added: Attempt, turned: Attempt, held: float) -> None:
    assert added.known - held < 0.5 * (added.known - turned.known)
