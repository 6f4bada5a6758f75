"""Rows and base of the retrain streams: a simulated human and fly, four real species, one small base.

    python benchmarks/streams_world.py DATA [FOLDER] [GENES]

DATA holds csorf_lenmatched/ and promoter300/, as `make labelled` takes it. The project's own stages write FOLDER
(build/streams unless told) from the numbers of params.yaml and of examples/labelled, but for what stands here: GENES
genes a simulated genome (1,500 unless told), the tasks promoter and tis of both, and a base small enough that a
retrain takes seconds. What is in FOLDER is written over.
"""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import yaml

from benchmarks.clock import timed
from episome import params
from pipelines import base, corpus, genes, homology, windows, world

SIMULATED, TASKS = ("human_sim", "fly_sim"), ("promoter", "tis")
MINI = {"vocab_size": 48, "hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 128}
PRETRAIN = {"epochs": 1, "max_sequences": 20_000}


def main(data: Path, folder: Path, count: int) -> None:
    """Run the stages below `folder`, with the time that each took."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    numbers = merged(count)
    shutil.copytree(data, folder / "data/labelled", dirs_exist_ok=True)
    (folder / "releases/none").mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    Path("params.yaml").write_text(yaml.safe_dump(numbers, sort_keys=False), encoding="utf-8")
    species = list(params.read().species)
    timed("world", world.run, "demo")
    for each in species:
        timed(f"genes {each}", genes.main, each)
    timed("homology", homology.main)
    for each in species:
        timed(f"windows {each}", windows.main, each)
        timed(f"corpus {each}", corpus.main, each)
    timed("base", base.main)


def merged(count: int) -> Any:
    """Numbers of params.yaml for the simulated species and of examples/labelled for the real ones."""
    chosen, labelled = (
        yaml.safe_load(Path(file).read_text(encoding="utf-8"))
        for file in ("params.yaml", "examples/labelled/params.yaml")
    )
    chosen["world"]["demo"] |= {"genes": count, "species": list(SIMULATED)}
    simulated = {name: chosen["species"][name] | {"donor": "base"} for name in SIMULATED}
    for entry in simulated.values():
        entry["source"] |= {"tasks": list(TASKS)}
    chosen["species"] = simulated | labelled["species"]
    chosen["tasks"] |= labelled["tasks"]
    chosen["base"]["species"] = list(chosen["species"])
    chosen["base"]["mini"] |= MINI
    chosen["base"]["pretrain"] |= PRETRAIN
    chosen["study"]["curves"]["pairs"] = []
    chosen["compute"]["threads"] = 1
    return chosen


if __name__ == "__main__":
    given = dict(enumerate(sys.argv))
    main(Path(given[1]), Path(given.get(2, "build/streams")), int(given.get(3, 1500)))
