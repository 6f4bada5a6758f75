"""The stage `train` on a retrain: every guard and every memory reaches it, and what it was is written down."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from episome import coreset
from episome.types import EpisomeError
from pipelines import measurements, paths
from pipelines import train as stage
from tests import micro
from tests.pipelines import toy_training
from tests.pipelines.test_train_stage import digests

HUMAN = micro.SPECIES[0]
RETRAIN: dict[str, Any] = {"epochs": 3, "patience": 9, "learning_rate": 5.0e-3, "head_learning_rate": 2.0e-2}
NAIVE: dict[str, Any] = {"guard": "none", "memory": "none", "lwf_lambda": 0.0}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A toy project whose human is a champion that has new rows to learn."""
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    folder = toy_training.make(tmp_path_factory.mktemp("memory"), guard="mas", fisher_rows=60)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        stage.main(HUMAN)
        toy_training.champion(HUMAN)
        toy_training.release(HUMAN)
        yield folder
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(strict)


def retrained(folder: Path, **train: Any) -> tuple[str, dict[str, Any]]:
    """Hash of the adapter that a retrain under these numbers makes, and what the stage wrote about it."""
    toy_training.pin(HUMAN, **RETRAIN, **train)
    stage.main(HUMAN)
    assert not list((folder / "checkpoints").iterdir())
    return digests(folder, HUMAN)["adapter_model.safetensors"], toy_training.trained(folder, HUMAN)


def test_every_guard_and_every_memory_makes_another_adapter(trained: Path) -> None:
    changes: list[dict[str, Any]] = [
        NAIVE, NAIVE | {"lwf_lambda": 1.0}, NAIVE | {"memory": "full"}, NAIVE | {"memory": "coreset"},
        NAIVE | {"memory": "coreset", "lwf_lambda": 1.0},
        *(NAIVE | {"guard": guard, "ewc_lambda": 3.0} for guard in ("ewc", "mas", "l2sp", "lwf")),
        {"guard": "ewc", "memory": "full"}, {"guard": "ewc", "memory": "coreset"}, {"guard": "ewc", "memory": "none"},
    ]  # fmt: skip
    seen = []
    for change in changes:
        digest, about = retrained(trained, **change)
        start = about["transfer"]["start"]
        assert {name: start[name] for name in ("guard", "memory")} == {
            "memory": change["memory"],
            "guard": change["guard"],
        }
        assert about["releases"] == ["later", "none"]
        seen.append(digest)
    assert len(set(seen)) == len(seen)
    nothing = {"ewc_lambda": 0.0, "memory": "none", "lwf_lambda": 0.0}
    assert {retrained(trained, guard=guard, **nothing)[0] for guard in ("ewc", "mas", "l2sp", "lwf")} == {seen[0]}


def test_a_coreset_is_what_the_prior_keeps_and_not_what_params_ask_for_later(trained: Path) -> None:
    folder = toy_training.pin(HUMAN, memory="coreset", coreset_per_class=7)
    rows = coreset.read(folder, 7)
    _, about = retrained(trained, memory="coreset", coreset_per_class=7)
    assert about["transfer"]["start"]["rows"]["replayed"] == len(rows) == 28
    micro.change(Path("params.yaml"), "species", HUMAN, "train", "coreset_per_class", to=8)
    with pytest.raises(EpisomeError, match=r"chosen with coreset_per_class 7, params\.yaml has 8"):
        stage.main(HUMAN)
    toy_training.pin(HUMAN, memory="full")
    micro.change(Path("params.yaml"), "species", HUMAN, "train", "memory", to="coreset")
    with pytest.raises(EpisomeError, match="holds no coreset; `episome retrain` with"):
        stage.main(HUMAN)


def test_the_search_for_a_weight_is_told_and_logged(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grid = [0.01, 1.0, 3.0]
    digest, about = retrained(trained, guard="ewc", memory="none", ewc_lambda_grid=grid, ewc_kl_budget=1.0e-30)
    assert [each["ewc_lambda"] for each in about["trail"]] == grid
    assert "NOT kept, not even by the largest λ of train.ewc_lambda_grid" in capsys.readouterr().out
    nothing = trained / "nothing.json"
    nothing.write_text('{"tasks": {}, "checks": []}', encoding="utf-8")
    logged = list(measurements.of(paths.adapter(HUMAN) / "training.json", nothing, nothing))
    assert [value for name, value, _ in logged if name == "train.trail.ewc_lambda"] == grid
    assert ("train.trail.kl", about["trail"][2]["kl"], 2) in logged
    middle = about["trail"][1]["kl"]
    again, found = retrained(trained, guard="ewc", memory="none", ewc_lambda_grid=grid, ewc_kl_budget=middle)
    start = found["transfer"]["start"]
    assert start["ewc_lambda"] == 1.0
    assert start["kl"] == {"budget": middle, "how": "predicted", "kept": True, "value": middle}
    assert again != digest
    assert again == retrained(trained, guard="ewc", memory="none", ewc_lambda=1.0)[0]
