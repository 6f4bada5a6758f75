"""How well k-mers and weight matrices of one simulated species answer for another, on a world of many genes.

    python benchmarks/simulated_transfer.py [GENES] [FOLDER]

Simulates the four genomes of params.yaml with GENES genes (1,500 unless told), makes rows for donor, acceptor, tis and
promoter with the project's own stages, and runs the stage `baselines` on them. Whatever is in FOLDER (build/transfer
unless told) is written over. No adapter is trained.
"""

import os
import sys
from pathlib import Path

import yaml

from benchmarks.clock import timed
from episome import params
from pipelines import baselines, genes, homology, windows, world

TASKS = ("donor", "acceptor", "tis", "promoter")


def main(count: int, folder: Path) -> None:
    """Run the stages below `folder`, with the time that each took."""
    chosen = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    (name,) = chosen["world"]
    chosen["world"][name]["genes"] = count
    for entry in chosen["species"].values():
        entry["source"]["tasks"] = list(TASKS)
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    Path("params.yaml").write_text(yaml.safe_dump(chosen, sort_keys=False), encoding="utf-8")
    species = list(params.read().species)
    timed("world", world.run, name)
    for each in species:
        timed(f"genes {each}", genes.main, each)
    timed("homology", homology.main)
    for each in species:
        timed(f"windows {each}", windows.main, each)
    timed("baselines", baselines.main)


if __name__ == "__main__":
    given = dict(enumerate(sys.argv))
    main(int(given.get(1, 1500)), Path(given.get(2, "build/transfer")))
