"""Stage `report`: pictures, table and dashboard of a transfer study, from its runs and predictions alone."""

import json
import sys
from dataclasses import replace
from itertools import combinations
from pathlib import Path

from episome import looks, params, species, study, transfer
from episome.headparams import Head
from episome.params import Params
from episome.policy import DistanceNumbers
from episome.report import book
from episome.report.cells import Grid, Setting, cells
from episome.study import Run
from episome.transferscores import Pair
from episome.types import EpisomeError

_ALONE = Head(composition_k=0, phased_codons=False, site_reach=0)


def main(source: Path, target: Path) -> None:
    """Write the report of the study in `source` into `target`.

    Args:
        source: holds ``runs.jsonl``, ``predictions/`` and ``study.json``, or folders that do.
        target: made if need be.
    """
    chosen = params.read()
    found = {run.key: (folder, run) for folder in _folders(source) for run in study.read(folder / "runs.jsonl")}
    runs = [run for _, run in found.values()]
    left_out: dict[str, str] = {}
    for folder in _folders(source):
        left_out |= json.loads((folder / "study.json").read_text(encoding="utf-8"))["left_out"]
    known = replace(
        setting(chosen, runs, left_out), looks=tuple(look for each in _folders(source) for look in looks.read(each))
    )
    grid = Grid(setting=known, cells=cells(runs, lambda run: study.load(found[run.key][0] / "predictions", run), known))
    target.mkdir(parents=True, exist_ok=True)
    for name, content in book.files(grid).items():
        (target / name).write_bytes(content)
    print(f"{known.world}: {len(runs)} runs; {target / 'dashboard.html'}")


def _folders(source: Path) -> list[Path]:
    """Where runs are: the folder itself, or those in it.

    Raises:
        EpisomeError: nowhere.
    """
    if (source / "runs.jsonl").is_file():
        return [source]
    inside = sorted(path.parent for path in source.glob("*/runs.jsonl"))
    if not inside:
        raise EpisomeError(f"{source}: no runs.jsonl in it or in a folder of it; `dvc repro study` writes them")
    return inside


def setting(chosen: Params, runs: list[Run], left_out: dict[str, str]) -> Setting:
    """What params.yaml says of a study.

    Raises:
        EpisomeError: runs of no world or of two, or a species that is not in params.yaml.
    """
    worlds = {run.world for run in runs}
    if len(worlds) != 1:
        raise EpisomeError(f"runs of {len(worlds)} worlds ({', '.join(sorted(worlds))}); wanted: of one")
    names = {key: entry.scientific_name for key, entry in chosen.species.items()}
    if unknown := {run.target for run in runs} - names.keys():
        raise EpisomeError(f"runs of {', '.join(sorted(unknown))}; under species in params.yaml: {', '.join(names)}")
    drift = {
        world.motif_divergence for world in chosen.world.values() if {run.target for run in runs} & {*world.species}
    }
    distances, lacking = _distances(names, chosen.transfer.distance)
    return Setting(
        world=runs[0].world,
        simulated=any(chosen.of(run.target).simulated for run in runs),
        # The one furthest from the published drift speaks for the study.
        motif_divergence=max(drift, key=lambda value: abs(value - 1), default=1.0),
        species=tuple(names),
        distances=distances,
        unknown=lacking,
        near=species.NEAR,
        left_out=left_out,
        alone=any(run.grid == "full" for run in runs) and chosen.study.head == _ALONE,
        bootstrap=chosen.evaluate.bootstrap,
        confidence=chosen.evaluate.confidence,
        seed=chosen.seed,
    )


def _distances(names: dict[str, str], numbers: DistanceNumbers) -> tuple[dict[Pair, float], dict[Pair, str]]:
    """Of every two species, by key, and why some have none."""
    found, unknown = dict[Pair, float](), dict[Pair, str]()
    for a, b in combinations(names, 2):
        try:
            found[a, b] = transfer.distance(names[a], names[b], numbers).value
        except species.SpeciesError as error:
            unknown[a, b] = str(error)
    return found, unknown


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    except EpisomeError as error:
        sys.exit(f"report: {error}")
