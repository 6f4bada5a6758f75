"""params.yaml at the door: what is wrong is refused by name, before anything is trained."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from episome import params
from episome.types import EpisomeError
from tests.conftest import ROOT

Tree = dict[str, Any]


def changed(folder: Path, change: Callable[[Tree], object]) -> Path:
    """The project's params.yaml with one change."""
    tree = copy.deepcopy(yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8")))
    change(tree)
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
    return path


def fly(**values: Any) -> Callable[[Tree], object]:
    """A change of one species."""
    return lambda tree: tree["species"]["fly_sim"].update(values)


def rungs(**ladder: Tree) -> Callable[[Tree], object]:
    """Another ladder."""
    return lambda tree: tree.update(retrain={"ladder": ladder})


def test_a_rung_is_on_top_of_those_before_it_and_of_the_species_own_numbers(tmp_path: Path) -> None:
    ladder = rungs(a={"ewc_lambda": {"times": 10}}, b={"guard": "ewc", "epochs": 5}, c={"ewc_lambda": {"times": 0.5}})
    path = changed(tmp_path, lambda tree: (ladder(tree), fly(train={"ewc_lambda": 2.0})(tree)))
    chosen = params.read(path)
    assert chosen.ladder_of("fly_sim") == {"a": {"ewc_lambda": 20.0}, "b": {"epochs": 5}, "c": {"ewc_lambda": 10.0}}
    assert chosen.ladder_of("human_sim")["a"] == {"ewc_lambda": 10 * chosen.train.ewc_lambda}
    none = params.read(changed(tmp_path, lambda tree: (ladder(tree), fly(train={"ewc_lambda": 0})(tree))))
    assert none.ladder_of("fly_sim") == {"a": {}, "b": {"epochs": 5}, "c": {}}


@pytest.mark.parametrize("path", [ROOT / "params.yaml", ROOT / "examples/labelled/params.yaml"])
def test_the_params_of_the_project_are_read(path: Path) -> None:
    chosen = params.read(path)
    for species in chosen.species:
        assert chosen.tasks_of(species)
        assert chosen.train_of(species).clip_norm == chosen.train.clip_norm


def test_a_species_overrides_training_numbers_for_itself_alone(tmp_path: Path) -> None:
    chosen = params.read(changed(tmp_path, fly(train={"epochs": 1})))
    assert chosen.train_of("fly_sim") == chosen.train.model_copy(update={"epochs": 1})
    assert chosen.train_of("human_sim") == chosen.train


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tree: tree.update(sede=7), r"sede: Extra inputs"),
        (lambda tree: tree.pop("seed"), r"seed: Field required"),
        (lambda tree: tree["gate"].update(confidence=1.5), r"gate\.confidence: .*less than or equal to 1"),
        (rungs(a={"lambda": 3}), r"retrain\.ladder\.a: 'lambda' is no key of train; known: learning_rate"),
        (rungs(a={"epochs": 2}, b={"guard": {"times": 2}}), r"ladder\.b: guard: 'ewc' times 2; wanted two numbers"),
        (
            rungs(a={"interpolate": {"times": 3}}),
            r"ladder\.a: species\.human_sim\.train: interpolate: .*less than or equal",
        ),
        (rungs(a={}), r"retrain\.ladder\.a: .*at least 1"),
        (lambda tree: tree["windows"]["split"].update(train=0.8), r"windows\.split: .*add up to 1\.1"),
        (lambda tree: tree["lora"].update(rank=16), r"lora\.rank: 16 does not fit export\.bank_rank, 8"),
        (lambda tree: tree["base"].update(species=["yeti"]), r"base\.species: yeti is no species here"),
        (lambda tree: tree["species"].update(base=tree["species"]["fly_sim"]), r"species\.base: that name"),
        (
            lambda tree: tree["check"]["tasks"].update(exon={"max_n_share": 0.1}),
            r"check\.tasks: exon is not under tasks; known: promoter, donor",
        ),
        (
            lambda tree: tree["check"]["tasks"].update(donor={"shortcut": {"GC": 0.9}}),
            r"check: .*tasks\.donor: shortcut\.GC: Extra inputs are not permitted",
        ),
        (fly(donor="yeti"), r"species\.fly_sim\.donor: 'yeti' is no species here; known: base, human_sim"),
        (fly(donor="fly_sim"), r"species\.fly_sim\.donor: fly_sim from fly_sim never comes to the base"),
        (fly(beside="yeti", donor="human_sim"), r"species\.fly_sim\.beside: 'yeti' is no species here; known: base"),
        (fly(beside="human_sim"), r"species\.fly_sim\.beside: 'human_sim' beside the donor 'base'; wanted: another"),
        (fly(beside="human_sim", donor="human_sim"), r"'human_sim' beside the donor 'human_sim'"),
        (
            fly(beside="fly_sim", donor="human_sim"),
            r"species\.fly_sim\.beside: fly_sim from fly_sim never comes to the base",
        ),
        (fly(train={"reverse_complement_share": 0.5}), r"species\.fly_sim\.train: .*strand_free names no task"),
        (lambda tree: tree["tune"].update(learning_rate=[1.0, 0.1]), r"tune: .*learning_rate: 1\.0 to 0\.1; wanted"),
        (
            fly(train={"auxiliary": {"targets": ["gc", "at"], "weight": 0.1}}),
            r"species\.fly_sim\.train: auxiliary\.targets\.1: .*'gc', 'cpg' or 'orf'",
        ),
        (
            fly(train={"auxiliary": {"targets": ["gc", "gc"], "weight": 0.1}}),
            r"species\.fly_sim\.train: auxiliary: .*targets: gc, gc; wanted: each once",
        ),
        (fly(train={"balance": "both"}), r"species\.fly_sim\.train: balance: .*'none', 'weights' or 'sampling'"),
        (fly(train={"learing_rate": 1}), r"species\.fly_sim\.train: learing_rate: Extra inputs"),
        (fly(train={"epochs": -1}), r"species\.fly_sim\.train: epochs: .*greater than or equal to 0"),
        (
            fly(source={"kind": "genome", "folder": "x", "tasks": ["exon"], "licence": "CC0", "citation": "us"}),
            r"species\.fly_sim\.source: task 'exon' is not under tasks; known: promoter, donor",
        ),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, change: Callable[[Tree], object], said: str) -> None:
    with pytest.raises(EpisomeError, match=f"(?s)params.yaml: .*{said}"):
        params.read(changed(tmp_path, change))


def test_donors_in_a_circle_are_refused(tmp_path: Path) -> None:
    def circle(tree: Tree) -> None:
        tree["species"]["human_sim"]["donor"] = "mouse_sim"

    with pytest.raises(EpisomeError, match="human_sim from mouse_sim from human_sim never comes to the base"):
        params.read(changed(tmp_path, circle))


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    chosen = params.read(ROOT / "params.yaml")
    with pytest.raises(EpisomeError, match=r"no species 'yeti'.*; known: human_sim, "):
        chosen.of("yeti")
    with pytest.raises(EpisomeError, match=r"no task 'exon'.*; known: promoter, donor"):
        chosen.task("exon")


def test_a_missing_file_and_no_yaml_are_said(tmp_path: Path) -> None:
    with pytest.raises(EpisomeError, match="no such file; run from the project's root"):
        params.read(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("seed: [")
    with pytest.raises(EpisomeError, match="not YAML"):
        params.read(tmp_path / "params.yaml")
