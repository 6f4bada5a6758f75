"""Stage `report`: pictures, table and dashboard of a transfer study, from its runs and predictions alone."""

import sys
from functools import partial
from itertools import combinations
from pathlib import Path

from episome import params, species, study, transfer
from episome.params import Params
from episome.report import book
from episome.report.cells import Grid, Setting, cells
from episome.study import Run
from episome.types import EpisomeError


def main(source: Path, target: Path) -> None:
    """Write the report of the study in `source` into `target`."""
    chosen = params.read()
    runs = study.read(source / "runs.jsonl")
    worlds = {run.world for run in runs}
    if len(worlds) != 1:
        raise EpisomeError(f"{source}: runs of {len(worlds)} worlds ({', '.join(sorted(worlds))}); wanted: of one")
    known = setting(chosen, runs)
    grid = Grid(setting=known, cells=cells(runs, partial(study.load, source / "predictions"), known))
    target.mkdir(parents=True, exist_ok=True)
    for name, content in book.files(grid).items():
        (target / name).write_bytes(content)
    print(f"{known.world}: {len(runs)} runs; {target / 'dashboard.html'}")


def setting(chosen: Params, runs: list[Run]) -> Setting:
    """What params.yaml says of a study.

    Raises:
        EpisomeError: a species of the runs is not in params.yaml, or two species have no distance.
    """
    names = {key: entry.scientific_name for key, entry in chosen.species.items()}
    if unknown := {run.target for run in runs} - names.keys():
        raise EpisomeError(f"runs of {', '.join(sorted(unknown))}; under species in params.yaml: {', '.join(names)}")
    drift = {
        world.motif_divergence for world in chosen.world.values() if {run.target for run in runs} & {*world.species}
    }
    numbers = chosen.transfer.distance
    return Setting(
        world=runs[0].world,
        simulated=any(chosen.of(run.target).simulated for run in runs),
        # The one furthest from the published drift speaks for the study.
        motif_divergence=max(drift, key=lambda value: abs(value - 1), default=1.0),
        species=tuple(names),
        distances={(a, b): transfer.distance(names[a], names[b], numbers).value for a, b in combinations(names, 2)},
        near=species.NEAR,
        bootstrap=chosen.evaluate.bootstrap,
        confidence=chosen.evaluate.confidence,
        seed=chosen.seed,
    )


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    except EpisomeError as error:
        sys.exit(f"report: {error}")
