"""A project folder in which the stage `train` runs in a second: a random base and toy rows whose answer is known."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from episome import dataset, model, tokenizer
from tests import micro
from tests.conftest import ROOT
from tests.test_train import SHAPE, toy_rows

TASKS = {"whole": "promoter", "site": "donor"}  # toy task → task of params.yaml


def make(folder: Path, **train: Any) -> Path:
    """Write params.yaml with `train` changed, base, zero adapter and windows of the three micro species."""
    params = micro.shrink(yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8")))
    params["tasks"]["promoter"]["window"], params["tasks"]["donor"]["window"] = 50, 40
    params["head"] |= {"composition_k": 0, "phased_codons": False, "site_reach": 0}  # the adapter must learn
    params["lora"] |= {"rank": 2, "alpha": 4}
    params["train"] |= {"epochs": 2, "tokens_per_step": 512, "learning_rate": 5.0e-3, **train}
    params["transfer"] |= {"epochs": [2, 2, 2], "batch": [32, 32, 32]}
    for entry in params["species"].values():
        entry["source"]["tasks"] = list(TASKS.values())
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    words = tokenizer.train(toy_rows()["sequence"], 40)
    shape = {name: getattr(SHAPE, name) for name in SHAPE.__slots__} | {"vocab_size": words.vocab_size}
    model.save(model.fresh(model.Config(**shape), 0), folder / "models/base")
    words.save(folder / "models/base/tokenizer.json")
    (folder / "adapters/base").mkdir(parents=True)
    (folder / "adapters/base/training.json").write_text(json.dumps({"zero": True}), encoding="utf-8")
    for seed, species in enumerate(micro.SPECIES):
        (folder / "data/windows" / species).mkdir(parents=True)
        dataset.write(folder / "data/windows" / species / "rows.parquet", rows_of(species, seed))
    return folder


def rows_of(species: str, seed: int) -> pd.DataFrame:
    """The toy rows as the stage `windows` would write them."""
    toy = toy_rows(160, seed)
    columns = {
        "sequence": toy["sequence"], "species": species, "contig": "", "start": np.zeros(len(toy), int),
        "end": toy["sequence"].str.len(), "strand": "+", "split": toy["split"], "gene": "", "group": toy["group"],
        "origin": "toy", "negative_kind": "", "release": "none", "lower_case": 0.0,
    }  # fmt: skip
    labels = {name: toy[f"label_{toy_name}"].tolist() for toy_name, name in TASKS.items()}
    return dataset.build(columns, labels, list(TASKS.values()))


def trained(folder: Path, species: str) -> dict[str, Any]:
    """What the stage wrote about a training."""
    about: dict[str, Any] = json.loads((folder / "adapters" / species / "training.json").read_text(encoding="utf-8"))
    return about
