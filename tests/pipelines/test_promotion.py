import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from episome import bundle, shelf
from episome.bundle import BundleError
from episome.params import Params
from episome.runtime import Engine, Floats, Row
from episome.types import EpisomeError
from episome_cli import registry
from pipelines import doctor, ledger, paths, promotion, register, tracking
from pipelines.promotion import Outcome, PromotionRefusedError
from pipelines.registered import TrackingError
from tests import toy_bundles
from tests.pipelines import project
from tests.pipelines.project import SPECIES

SHELF = Path("shelf")
FORGETFUL = project.check(
    "retention", "promoter/none", passed=False, loss=0.31, message="promoter/none: it lost 0.310 MCC; 0.030 is allowed"
)


@pytest.fixture(scope="module")
def promoted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose first version was promoted."""
    folder = tmp_path_factory.mktemp("promoted")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.delenv("EPISOME_SHELF", raising=False)
        settings = project.make(folder)
        patch.chdir(folder)
        assert promote(settings).changed
    return folder


@pytest.fixture
def settings(promoted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """A copy of that project to work in; MLflow's artifacts of the first version stay where they are."""
    return project.enter(promoted, tmp_path / "project", monkeypatch)


def promote(settings: Params, **options: Any) -> Outcome:
    return promotion.promote(SPECIES, settings, actor="me", reason="test", **options)


def rollback(settings: Params) -> Outcome:
    return promotion.rollback(SPECIES, settings, actor="me", reason="oops")


def present() -> str:
    return shelf.read(SHELF).species[SPECIES].bundle


def compared(digest: str) -> str:
    return paths.prior_name(SPECIES, digest)


def held(digest: str) -> dict[str, str]:
    """What a gate report says of the champion it compared with."""
    return {"prior": compared(digest), "prior_bundle": digest}


def test_a_promotion_is_on_the_shelf_in_the_ledger_and_in_the_registry(settings: Params) -> None:
    (line,) = ledger.read(ledger.LEDGER)
    (version,) = tracking.versions(SPECIES)
    entry = shelf.read(SHELF).species[SPECIES]
    assert (entry.bundle, entry.version, entry.gate) == (version.bundle, "1", version.gate)
    shelf.open_bundle(SHELF, entry.bundle)
    shelf.open_bundle(SHELF, entry.base)
    assert (line.action, line.before, line.after, line.reason) == ("promote", None, entry, "test")
    assert tracking.champion(SPECIES) == version
    assert doctor.differences(settings) == ()


def test_the_champion_is_not_promoted_twice(settings: Params) -> None:
    generation = shelf.read(SHELF).generation
    assert not promote(settings).changed
    assert shelf.read(SHELF).generation == generation
    assert len(ledger.read(ledger.LEDGER)) == 1


def test_a_version_that_forgot_is_refused_with_suite_and_loss(settings: Params) -> None:
    champion = present()
    passed = project.check("golden", "")
    project.train(Path(), seed=2, **held(champion), passed=False, checks=[passed, FORGETFUL])
    with pytest.raises(
        PromotionRefusedError, match=r"retention: promoter/none: it lost 0\.310 MCC; 0\.030 is"
    ) as refused:
        promote(settings)
    assert "golden" not in str(refused.value), "only what failed is a reason"
    assert present() == champion
    assert len(ledger.read(ledger.LEDGER)) == 1
    named = tracking.champion(SPECIES)
    assert named is not None
    assert named.number == 1


@pytest.mark.parametrize("change", [{"passed": False}, {"checks": []}])
def test_a_report_without_a_passing_verdict_is_refused(settings: Params, change: dict[str, Any]) -> None:
    project.train(Path(), seed=2, **held(present()), **change)
    with pytest.raises(PromotionRefusedError, match="no passing verdict"):
        promote(settings)


def test_a_version_that_was_not_compared_with_the_champion_needs_a_word(settings: Params) -> None:
    new = project.train(Path(), seed=2)
    with pytest.raises(PromotionRefusedError, match=f"compared it with none, the champion is {compared(present())}"):
        promote(settings)
    assert promote(settings, uncompared=True).entry.bundle == new == present()
    assert ledger.read(ledger.LEDGER)[-1].prior == "none"


def test_a_version_that_was_compared_with_a_namesake_of_the_champion_is_refused(settings: Params) -> None:
    project.train(Path(), seed=2, prior=compared(present()), prior_bundle=present()[:12] + "0" * 52)
    with pytest.raises(PromotionRefusedError, match=f"the champion is {compared(present())}"):
        promote(settings)


def beside(name: str) -> Path:
    """Put a champion of another species on the shelf, on the same base; its bundle there."""
    base = Path("bundle/base")
    toy_bundles.write_species(base, Path("bundle") / name, toy_bundles.card(bundle.digest(base), name), seed=5)
    digest = shelf.publish(SHELF, Path("bundle") / name)
    entry = shelf.read(SHELF).species[SPECIES]
    shelf.point(SHELF, name, replace(entry, bundle=digest))
    return SHELF / "objects" / digest


def test_every_other_champion_is_asked_before_a_promotion(settings: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    beside("fly_sim")
    champion = present()
    project.train(Path(), seed=2, **held(champion))
    with monkeypatch.context() as broken:
        right = Engine.score

        def mixed_up(self: Engine, rows: Sequence[Row]) -> tuple[Floats, Floats]:
            logits, pooled = right(self, rows)
            return logits + np.float32(len(self.adapters) - 1), pooled

        broken.setattr(Engine, "score", mixed_up)
        with pytest.raises(PromotionRefusedError, match=r"with it on the shelf, answers of fly_sim differ"):
            promote(settings)
    assert present() == champion
    assert promote(settings).warnings == ()


def test_another_champion_that_does_not_load_hinders_nobody_and_is_named(settings: Params) -> None:
    head = beside("fly_sim") / "head.safetensors"
    head.chmod(0o644)
    head.write_bytes(b"x" + head.read_bytes()[1:])
    project.train(Path(), seed=2, **held(present()))
    (warning,) = promote(settings).warnings
    assert warning.startswith("fly_sim: not asked whether it answers as before: ")


def test_rollback_needs_no_registry_and_doctor_mends_it_later(
    settings: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = present()
    second = project.train(Path(), seed=2, **held(first))
    assert promote(settings).entry.version == "2"
    with monkeypatch.context() as away:
        away.setenv("MLFLOW_TRACKING_URI", "sqlite:////dev/null/mlflow.db")
        outcome = rollback(settings)
        assert present() == outcome.entry.bundle == first
        assert outcome.before is not None
        assert outcome.before.bundle == second
        assert "doctor --mend" in outcome.warnings[0]
        assert any("cannot be asked" in difference for difference in doctor.differences(settings))
    (difference,) = doctor.differences(settings)
    assert f"the shelf has version 1, bundle {first[:12]}; the alias champion names version 2" in difference
    assert doctor.differences(settings, mend=True) == ()
    with pytest.raises(EpisomeError, match="no champion before version 1"):
        rollback(settings)


def test_a_crash_before_the_shelf_moved_leaves_the_old_champion_and_a_way_on(
    settings: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = present()
    project.train(Path(), seed=2, **held(first))
    with monkeypatch.context() as crash:
        crash.setattr(shelf, "point", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            promote(settings)
    assert present() == first
    assert any("the ledger's last move is to version 2" in difference for difference in doctor.differences(settings))
    assert promote(settings).changed
    assert doctor.differences(settings) == ()
    assert rollback(settings).entry.bundle == first


def test_doctor_tells_of_an_alias_left_behind_and_of_one_that_only_looks_like_one(settings: Params) -> None:
    first = present()
    project.train(Path(), seed=2, **held(first))
    promote(settings)
    tracking.set_alias(SPECIES, "previous", None)
    tracking.set_alias(SPECIES, "Champion", 1)
    left, foreign = doctor.differences(settings)
    assert "the alias previous names no version, the champion before is version 1" in left
    assert "has an alias 'Champion', too, which Episome does not know" in foreign
    assert doctor.differences(settings, mend=True) == (foreign,)


def test_files_changed_inside_the_registry_are_refused(settings: Params, promoted: Path) -> None:
    new = project.train(Path(), seed=2, **held(present()), checks=[FORGETFUL])
    files = promoted / "registry/artifacts" / register.register(SPECIES, settings).run_id
    (head,) = files.rglob("head.safetensors")
    (report,) = files.rglob("gate-*.json")
    report.write_text(json.dumps(project.report(new, **held(present()))))
    with pytest.raises(PromotionRefusedError, match="its gate report was changed"):
        promote(settings)
    head.write_bytes(b"x" + head.read_bytes()[1:])
    with pytest.raises(BundleError, match=r"head\.safetensors.*the card says"):
        promote(settings)
    report.unlink()
    with pytest.raises(TrackingError, match="no longer holds gate-"):
        promote(settings)


def test_an_older_version_is_chosen_by_number_and_the_newest_without_a_workspace(settings: Params) -> None:
    first = present()
    second = project.train(Path(), seed=2)
    promote(settings, uncompared=True)
    assert promote(settings, number=1, uncompared=True).entry.bundle == first
    shutil.rmtree("bundle")
    assert promote(settings, uncompared=True).entry.bundle == second
    with pytest.raises(EpisomeError, match=r"version 9 is not registered; there are: 2, 1\."):
        promote(settings, number=9)
    with pytest.raises(EpisomeError, match="a version is not registered; there are: none"):
        promotion.promote("fly_sim", settings, actor="me", reason="")


def test_doctor_names_a_broken_bundle_and_a_rewritten_ledger(settings: Params) -> None:
    head = SHELF / "objects" / present() / "head.safetensors"
    head.chmod(0o644)
    head.write_bytes(b"x" + head.read_bytes()[1:])
    assert any("head.safetensors" in difference for difference in doctor.differences(settings))
    ledger.LEDGER.write_bytes(ledger.LEDGER.read_bytes().replace(b'"seq":1', b'"seq":2'))
    assert any("the chain breaks here" in difference for difference in doctor.differences(settings))
    found = doctor.differences(settings, mend=True)
    assert any("head.safetensors" in difference for difference in found)
    assert any("aliases could not be moved" in difference for difference in found)


def test_the_commands_say_what_happened(settings: Params) -> None:
    def run(command: Any, *words: str) -> Any:
        return CliRunner().invoke(command, words)

    assert "is the champion already" in run(registry.promote, SPECIES).stdout
    everything = run(registry.promote, "--all")
    assert isinstance(everything.exception, EpisomeError)
    assert "is the champion already" in everything.stdout
    assert "fly_sim: a version is not registered" in everything.stderr
    assert run(registry.promote).exit_code == 2
    assert "registry, ledger and shelf agree" in run(registry.doctor).stdout
    assert run(registry.ledger, "verify").stdout == f"1 lines, head {ledger.head(ledger.LEDGER)}\n"
    project.train(Path(), seed=2)
    assert "version 2" in run(registry.promote, SPECIES, "--uncompared").stdout
    assert "version 1" in run(registry.rollback, SPECIES).stdout
    tracking.set_alias(SPECIES, "champion", 2)
    unwell = run(registry.doctor)
    assert unwell.exit_code == 1
    assert "the alias champion names version 2" in unwell.stdout
    assert run(registry.doctor, "--mend").exit_code == 0
