"""The search for numbers: a fixed budget, the same answer twice, YAML that params accept, nothing written."""

from pathlib import Path

import pytest
import yaml

from episome import params, presets
from episome.types import EpisomeError
from pipelines import train as stage
from pipelines import tune
from tests import micro
from tests.pipelines.test_train_stage import FLY, HUMAN, MOUSE, project

__all__ = ["project"]

SPACE = {"trials": 3, "learning_rate": [1.0e-4, 1.0e-2], "rank": [1, 2, 4], "weights": [0.0, 10.0]}


@pytest.mark.slow
def test_three_trainings_give_yaml_for_params_and_leave_everything_as_it_was(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    micro.change(project / "params.yaml", "tune", to=SPACE)
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    capsys.readouterr()
    tune.main(MOUSE)
    said = capsys.readouterr().out
    printed = said[said.index("# best of 3 trainings") :]
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before
    tree = yaml.safe_load(printed)
    numbers = tree["species"][MOUSE]["train"]
    assert numbers.keys() == {"learning_rate", "retain_lambda"}
    assert 1e-4 <= numbers["learning_rate"] <= 1e-2
    assert tree.get("lora", {"rank": 2, "alpha": 4}) in ({"rank": 2, "alpha": 4}, {"rank": 4, "alpha": 8})
    tune.main(MOUSE)
    assert capsys.readouterr().out.endswith(printed)
    path = project / "params.yaml"
    path.write_text(yaml.safe_dump(presets.merge(yaml.safe_load(path.read_text(encoding="utf-8")), tree)))
    found = params.read(path).train_of(MOUSE)
    assert found.learning_rate == numbers["learning_rate"]
    stage.main(MOUSE)


@pytest.mark.slow
def test_what_cannot_be_searched_is_refused_and_only_what_holds_is(project: Path) -> None:
    chosen = params.read()
    assert tune.weight_of(chosen, MOUSE) == "retain_lambda"
    assert tune.weight_of(chosen, HUMAN) is None
    micro.change(project / "params.yaml", "species", FLY, "prior", to="fly-1")
    assert tune.weight_of(params.read(), FLY) == "ewc_lambda"
    micro.change(project / "params.yaml", "tune", to=SPACE | {"rank": [1, 16]})
    with pytest.raises(EpisomeError, match=r"tune\.rank: none of \[1, 16\] is possible; wanted: 2 to 8"):
        tune.search(params.read(), MOUSE)
    micro.change(project / "params.yaml", "tune", to=None)
    with pytest.raises(EpisomeError, match="no section `tune`"):
        tune.search(params.read(), MOUSE)
