"""Other adapters' answers to the bit, and an engine that mixes adapters up, which is found out."""

from pathlib import Path

import numpy as np
import pytest

from episome import isolation
from episome.bundle import BundleError
from episome.runtime import Engine, Floats, Row
from tests import toy_bundles

NAMES = ("human_sim", "mouse_sim", "fly_sim")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base with three species; the fly has one task, the others two."""
    folder = tmp_path_factory.mktemp("isolation")
    digest = toy_bundles.write_base(folder / "base")
    for seed, name in enumerate(NAMES, start=1):
        card = toy_bundles.card(digest, name, tasks=toy_bundles.TASKS[: 1 if name == "fly_sim" else 2])
        toy_bundles.write_species(folder / "base", folder / name, card, seed)
    return folder


def tried(home: Path, newcomer: str, *others: str) -> isolation.Isolation:
    return isolation.tried(home / "base", {name: home / name for name in others}, home / newcomer, threads=1)


def test_no_answer_changes_when_an_adapter_joins(home: Path) -> None:
    found = tried(home, "human_sim", "mouse_sim", "fly_sim")
    assert (found.answers, found.changed, found.untested) == (8, (), {})
    check = isolation.check(found, ["mouse_sim", "fly_sim"])
    assert check.passed
    assert check.message == "8 answers of mouse_sim, fly_sim are equal to the bit with this version and without"


def test_more_tasks_than_the_others_have_change_nothing(home: Path) -> None:
    assert tried(home, "human_sim", "fly_sim").changed == ()


def test_a_last_bit_is_found(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = Engine.score

    def mixed_up(self: Engine, rows: list[Row]) -> tuple[Floats, Floats]:
        logits, pooled = right(self, rows)
        if len(self.adapters) == 3:
            logits[-1, 0] = np.nextafter(logits[-1, 0], np.float32(np.inf))
        return logits, pooled

    monkeypatch.setattr(Engine, "score", mixed_up)
    found = tried(home, "human_sim", "mouse_sim", "fly_sim")
    assert found.changed == ("mouse_sim", "fly_sim")
    check = isolation.check(found, ["mouse_sim", "fly_sim"])
    assert not check.passed
    assert "answers of mouse_sim differ in a bit" in check.message


def test_only_runs_shared_with_the_newcomer_are_enough_to_fail(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = Engine.score

    def leaking(self: Engine, rows: list[Row]) -> tuple[Floats, Floats]:
        logits, pooled = right(self, rows)
        if len({row.slot for row in rows}) > 1:
            pooled += 1
        return logits, pooled

    monkeypatch.setattr(Engine, "score", leaking)
    assert tried(home, "human_sim", "mouse_sim").changed == ("mouse_sim",)


def test_another_that_does_not_load_is_named(home: Path, tmp_path: Path) -> None:
    found = isolation.tried(home / "base", {"gone": tmp_path}, home / "human_sim", threads=1)
    assert list(found.untested) == ["gone"]
    check = isolation.check(found, ["gone"])
    assert not check.passed
    assert "gone does not load" in check.message


def test_a_newcomer_that_does_not_load_is_an_error(home: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError):
        isolation.tried(home / "base", {"fly_sim": home / "fly_sim"}, tmp_path, threads=1)


def test_nobody_there_is_said_and_passes(home: Path) -> None:
    check = isolation.check(tried(home, "human_sim"), [])
    assert check.passed
    assert "no other adapter among the inputs" in check.message
