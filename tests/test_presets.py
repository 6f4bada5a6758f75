"""Presets: values of params.yaml and nothing beside them."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from episome import params, presets
from episome.types import EpisomeError
from episome_cli.main import main
from tests.conftest import ROOT

SCENARIOS = (
    "gene_function", "evolution", "annotation", "clinical", "large_scale", "lab", "rare_species", "mixed",
)  # fmt: skip


def leaves(tree: dict[str, Any], above: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Path → value of all that is no map, or is a rule."""
    found: dict[tuple[str, ...], Any] = {}
    for key, value in tree.items():
        deeper = isinstance(value, dict) and "rule" not in value
        found |= leaves(value, (*above, key)) if deeper else {(*above, key): value}
    return found


def at(tree: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def test_every_scenario_of_the_study_is_there() -> None:
    assert tuple(presets.presets()) == SCENARIOS


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("file", ["params.yaml", "examples/labelled/params.yaml", "examples/genomes/params.yaml"])
def test_a_printed_preset_is_accepted_and_sets_what_it_says(tmp_path: Path, name: str, file: str) -> None:
    plain = yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))
    said = yaml.safe_load(presets.text(name))
    merged = presets.merge(plain, said)
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(merged), encoding="utf-8")
    chosen = params.read(path).model_dump(mode="json")
    set_by_it = leaves(said)
    assert all(at(chosen, where) == value for where, value in set_by_it.items())
    assert any(at(plain, where) != value for where, value in set_by_it.items())
    kept = leaves(plain).keys() - set_by_it.keys()
    assert all(leaves(merged)[where] == at(plain, where) for where in kept)


def test_the_command_prints_one_or_names_all_and_refuses_the_rest() -> None:
    run = CliRunner().invoke
    printed = run(main, ["preset", "clinical"])
    assert yaml.safe_load(printed.output) == presets.presets()["clinical"].params
    assert [line.split()[0] for line in run(main, ["preset"]).output.splitlines()] == list(SCENARIOS)
    refused = run(main, ["preset", "clinic"])
    assert refused.exit_code != 0
    assert "no preset 'clinic'; known: gene_function" in refused.output
    with pytest.raises(EpisomeError, match="no preset"):
        presets.text("")
