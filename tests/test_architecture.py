"""The shape of the house: what a stage depends on is what it imports, and the service stays light."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import grimp
import pytest
import yaml

from episome.params import Params
from pipelines import paths

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("episome", "pipelines")
# Values, not behaviour: params.yaml's values are under `params` of each stage, and a path or a type computes nothing.
NEUTRAL = {
    "episome",
    "episome.gateparams",
    "episome.headparams",
    "episome.learning",
    "episome.limits",
    "episome.params",
    "episome.policy",
    "episome.rivalry",
    "episome.serveparams",
    "episome.sources",
    "episome.studyparams",
    "episome.types",
    "pipelines",
    "pipelines.paths",
}
TRAINING = (
    "torch",
    "transformers",
    "peft",
    "onnx",
    "mlflow",
    "great_expectations",
    "dvc",
    "pandas",
    "pyarrow",
    "sklearn",
    "scipy",
)


def stages() -> dict[str, dict[str, Any]]:
    """Stage name → its body, without the loop around it."""
    listed = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    return {name: body.get("do", body) for name, body in listed.items()}


@cache
def imports() -> grimp.ImportGraph:
    return grimp.build_graph(*PACKAGES, include_external_packages=False)


def file_of(module: str) -> str:
    """Path of a module from the project's root, as dvc.yaml writes it."""
    base = ROOT / ("src" if module.split(".")[0] == "episome" else "") / module.replace(".", "/")
    path = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
    return path.relative_to(ROOT).as_posix()


def missing_deps(name: str, body: dict[str, Any]) -> list[str]:
    """Files that the stage's module imports, directly or not, and that its deps do not cover."""
    match = re.match(r"python -m (pipelines\.\w+)", body["cmd"])
    assert match, f"stage {name}: {body['cmd']!r} does not start with `python -m pipelines.<stage>`"
    module = match[1]
    wanted = {module, *imports().find_upstream_modules(module)} - NEUTRAL
    files = sorted(file_of(each) for each in wanted)
    return [file for file in files if not any(file == dep or file.startswith(f"{dep}/") for dep in body["deps"])]


@pytest.mark.parametrize("name", list(stages()))
def test_a_stage_depends_on_every_module_it_imports(name: str) -> None:
    missing = missing_deps(name, stages()[name])
    assert not missing, f"dvc.yaml, stage {name}: deps lack {', '.join(missing)}"


@pytest.mark.parametrize("name", list(stages()))
def test_a_stage_depends_on_no_file_that_is_gone(name: str) -> None:
    code = [dep for dep in stages()[name]["deps"] if dep.startswith(("src/", "pipelines/"))]
    assert code
    assert [dep for dep in code if not (ROOT / dep).exists()] == []


# What a method of Params reads; an attribute is a section by its own name (species are read through `of`).
SECTIONS = Params.model_fields.keys() - {"species"}
READ_BY = {"of": {"species"}, "task": {"tasks"}, "tasks_of": {"tasks", "species"}, "train_of": {"train", "species"}}


@pytest.mark.parametrize("module", sorted({body["cmd"].split()[2] for body in stages().values()}))
def test_a_stage_names_every_section_of_params_that_it_reads(module: str) -> None:
    source = (ROOT / file_of(module)).read_text(encoding="utf-8")
    words = re.findall(r"\b(?:chosen|settings|given|known)\.(\w+)", source)
    read = set().union(*(READ_BY.get(word, {word} & SECTIONS) for word in words))
    bodies = [body for body in stages().values() if module in body["cmd"].split()]
    named = {key.split(".")[0] for body in bodies for key in body.get("params", ())}
    assert read or not named, f"{module}: this test does not see how it reads params.yaml"
    assert read <= named, f"dvc.yaml, {module}: params lack {', '.join(sorted(read - named))}"


def written(key: str) -> Iterator[str]:
    """Every output in dvc.yaml, for one species or world."""
    for body in stages().values():
        for out in (*body.get("outs", ()), *body.get("metrics", ())):
            yield re.sub(r"\$\{(key|item)\}", key, out if isinstance(out, str) else next(iter(out)))


def test_paths_and_the_pipeline_agree_on_every_output() -> None:
    of_species = (
        paths.genes,
        paths.windows,
        paths.check,
        paths.cards,
        paths.corpus,
        paths.adapter,
        paths.evaluation,
        paths.bundle,
        paths.gate,
        paths.registration,
        paths.study,
    )
    known = {paths.world("x"), paths.homology(), paths.base(), paths.adapter("base"), paths.bundle("base")}
    known |= {paths.baselines(), paths.baselines_page(), paths.report()}
    known |= {path("x") for path in of_species}
    assert {Path(out) for out in written("x")} == known


def test_coverage_leaves_out_exactly_the_modules_that_reach_torch() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    left_out = {entry.removeprefix("*/") for entry in settings["tool"]["coverage"]["run"]["omit"]}
    graph = grimp.build_graph("episome", include_external_packages=True)
    reach = set().union(
        *(graph.find_downstream_modules(vendor) for vendor in ("torch", "onnx") if vendor in graph.modules)
    )
    assert left_out == {file_of(module).removeprefix("src/") for module in reach}


def loaded_by(*modules: str) -> set[str]:
    """Top-level names in sys.modules after importing `modules` in a fresh interpreter."""
    code = f"import {', '.join(modules)}, sys; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    return set(done.stdout.split())


@pytest.mark.slow
def test_the_service_loads_no_training_library() -> None:
    loaded = loaded_by("serving.service")
    assert "onnxruntime" in loaded
    assert loaded.isdisjoint(TRAINING), f"serving.service loads {sorted(loaded.intersection(TRAINING))}"


@pytest.mark.slow
def test_the_command_starts_with_neither_training_nor_serving_libraries() -> None:
    loaded = loaded_by("episome_cli.main")
    heavy = loaded.intersection({*TRAINING, "bentoml", "fastapi", "onnxruntime"})
    assert not heavy, f"episome_cli.main loads {sorted(heavy)} before a command is known"


def test_no_notebook_is_in_the_repository() -> None:
    listed = subprocess.run(["git", "ls-files", "*.ipynb"], capture_output=True, text=True, cwd=ROOT, check=True)
    assert listed.stdout == ""
