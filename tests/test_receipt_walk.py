"""A receipt's whole way on a micro world: trained, registered, answered, traced out of the answer, made again."""

import json
from pathlib import Path
from typing import Any

import pytest

from episome import fasta, params, shelf, simulate
from episome.shelf import Entry
from tests import lonely, micro

pytestmark = pytest.mark.slow

HUMAN = "human_sim"
GENOME = Path("data/genomes/human")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the working tree with one species from a genome that DVC tracks, registered and on the shelf."""
    folder = lonely.copy(tmp_path_factory.mktemp("receipt") / "episome")
    numbers = folder / "params.yaml"
    micro.write(numbers, [HUMAN])
    micro.change(numbers, "world", to={})
    micro.change(numbers, "species", HUMAN, "source", "folder", to=str(GENOME))
    (human,) = simulate.world(genes=micro.GENES, seed=7, species=[HUMAN])
    simulate.write(human, folder / GENOME)
    assert lonely.run(folder, "dvc", "add", "--quiet", str(GENOME)).returncode == 0
    lonely.repro(folder, f"register@{HUMAN}")
    return folder


@pytest.fixture(scope="module")
def registered(project: Path) -> dict[str, Any]:
    """What the stage registered."""
    found: dict[str, Any] = json.loads((project / f"reports/register/{HUMAN}.json").read_bytes())
    return found


@pytest.fixture(scope="module")
def answer(project: Path, registered: dict[str, Any]) -> Path:
    """An answer of that version on a piece of its genome, kept as BED."""
    place = project / params.read(project / "params.yaml").registry.shelf
    base, digest = (shelf.publish(place, project / "bundle" / name) for name in ("base", HUMAN))
    card = json.loads((project / "bundle" / HUMAN / "card.json").read_bytes())
    entry = Entry(
        bundle=digest,
        base=base,
        version=str(registered["version"]),
        git_commit="none",
        gate=registered["gate"],
        data=card["lineage"]["data"],
    )
    shelf.point(place, HUMAN, entry)
    piece = next(iter(fasta.read(project / GENOME / "genome.fa.gz"))).sequence[:500]
    (project / "asked.fa").write_text(f">piece\n{piece}\n", encoding="ascii")
    done = lonely.run(
        project, "episome", "annotate", "-s", HUMAN, "-f", "bed", "--report", "all", "-o", "answer.bed", "asked.fa"
    )
    assert done.returncode == 0, done.stderr
    return project / "answer.bed"


def stamps(project: Path) -> dict[str, int]:
    """When every file of the workspace and of DVC's cache was last written."""
    files = [path.relative_to(project) for path in project.rglob("*") if path.is_file()]
    passing = {".git", "tmp", "__pycache__", "registry"}  # git's index, DVC's locks, bytecode, MLflow's journal
    return {str(each): (project / each).stat().st_mtime_ns for each in files if not passing & {*each.parts}}


def test_an_answer_is_traced_to_its_data_and_commands(project: Path, answer: Path, registered: dict[str, Any]) -> None:
    done = lonely.run(project, "episome", "trace", "--json", str(answer))
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)
    card = json.loads((project / "bundle" / HUMAN / "card.json").read_bytes())
    assert (found["species"], found["version"], found["simulated"]) == (HUMAN, registered["version"], True)
    assert found["adapter"] == card["files"]["adapter.safetensors"]
    assert list(found["data"]["inputs"]) == [str(GENOME), "prior/none", "releases/none"]
    assert found["data"]["pins"] == [f"{GENOME}.dvc"]
    assert found["params"]["train.epochs"] == "1"
    assert found["registered_with"]["changed"] == ["params.yaml"]
    assert found["commands"][-2] == f"PYTHONPATH=src:. HF_HUB_OFFLINE=1 dvc repro --force export@{HUMAN}"
    assert found["missing"] == []
    assert [doubt.split(":")[0] for doubt in found["doubts"]] == ["commit"], "the shelf's entry above states none"


def test_the_adapter_is_made_again_to_the_same_sha256(project: Path, answer: Path) -> None:
    card = json.loads((project / "bundle" / HUMAN / "card.json").read_bytes())
    before = stamps(project)
    done = lonely.run(project, "episome", "reproduce", str(answer))
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-4000:]}"
    assert done.stdout.splitlines() == [
        f"{HUMAN}: equal: adapter sha256 {card['files']['adapter.safetensors']}",
        "  and so is every other file of the bundle",
    ]
    assert "Running stage 'train@human_sim'" in done.stderr
    assert "is cached" not in done.stderr
    assert stamps(project) == before
    assert lonely.tried(project) == ""
