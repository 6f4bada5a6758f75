"""A project folder in which the stage `train` runs in a second: a random base and toy rows whose answer is known."""

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from episome import bundle, composition, dataset, drift, lora, model, params, tokenizer
from episome.bundle import CalibratedTask, Golden
from episome.types import Task
from pipelines import paths, prior
from tests import micro, toy_bundles
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


def champion(species: str) -> Path:
    """What is trained in the working folder, as a bundle that a retrain can start from."""
    chosen, folder = params.read(), paths.bundle(species)
    folder.mkdir(parents=True)
    shutil.copyfile(paths.adapter(species) / lora.WEIGHTS, folder / "adapter.safetensors")
    for name in ("head.safetensors", "fisher.safetensors"):
        shutil.copyfile(paths.adapter(species) / name, folder / name)
    drift.save(folder / "drift.npz", drift.fit([toy_bundles.dna(0, 300)]))
    tasks = tuple(map(_calibrated, chosen.tasks_of(species)))
    golden = Golden(sequence="ACGT", centre=None, logits=tuple(0.0 for _ in tasks))
    bundle.write_golden(folder / "golden.json", (golden,) * 4)
    card = toy_bundles.card("a" * 64, species, rank=chosen.lora.rank, tasks=tasks)
    factors = replace(card.lora, alpha=float(chosen.lora.alpha))
    bundle.write_card(folder, replace(card, composition=composition.asked(chosen.head), lora=factors))
    return folder


def release(species: str) -> None:
    """Add rows that the champion has not seen and gets wrong, so many that validation asks for what they say."""
    table = paths.windows(species) / "rows.parquet"
    later = pd.concat([rows_of(species, seed) for seed in (98, 99)]).assign(release="later")
    for name in map(dataset.label_column, TASKS.values()):
        later[name] = later[name].where(later[name] < 0, 1 - later[name])
    dataset.write(table, pd.concat([dataset.read(table), later], ignore_index=True))


def pin(species: str, **train: Any) -> Path:
    """Hold the species to its champion from now on, under numbers of its own; what is pinned."""
    micro.change(Path("params.yaml"), "species", species, "train", to=train)
    name = prior.pin(species, paths.bundle(species), params.read())
    micro.change(Path("params.yaml"), "species", species, "prior", to=name)
    return paths.pinned(name)


def _calibrated(task: Task) -> CalibratedTask:
    return CalibratedTask(**asdict(task), threshold=0.5, temperature=1.0)


def trained(folder: Path, species: str) -> dict[str, Any]:
    """What the stage wrote about a training."""
    about: dict[str, Any] = json.loads((folder / "adapters" / species / "training.json").read_text(encoding="utf-8"))
    return about
