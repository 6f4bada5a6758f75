"""The smallest world that still passes every stage, for tests of the pipeline itself; its scores mean nothing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

SPECIES = ("human_sim", "mouse_sim", "fly_sim")  # the mouse starts from the human's adapter, the others from none
GENES = 60


def shrink(params: dict[str, Any], species: Sequence[str] = SPECIES, genes: int = GENES) -> dict[str, Any]:
    """Params of the embedded world with few genes, few steps and few resamples; changes `params` and returns it."""
    params["world"] = {"demo": params["world"]["demo"] | {"genes": genes, "species": list(species)}}
    params["species"] = {name: params["species"][name] for name in species}
    for name in species:  # so few promoters teach nothing, and what is no better than chance is not promoted
        params["species"][name]["source"]["tasks"] = ["donor"]
    params["base"]["species"] = ["human_sim"]
    params["base"]["mini"] |= {"vocab_size": 128, "hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64}
    params["base"]["pretrain"] |= {"epochs": 1, "max_sequences": 200}
    params["compute"]["threads"] = 1  # a second one waits longer for matrices so small than it works on them
    params["check"]["min_rows"] = {"train": 20, "val": 4, "test": 4}
    # rates of its own: what these tests show must not hang on how the demo is tuned
    params["train"] |= {"epochs": 1, "fisher_rows": 20, "learning_rate": 2.0e-3, "head_learning_rate": 2.0e-3}
    params["evaluate"]["bootstrap"] = 50
    params["study"] |= {"seeds": [7], "curves": {"shares": [0.5], "pairs": []}, "probe_rows": 20, "workers": 1}
    params["gate"] |= {"bootstrap": 50, "min_rows": 4}
    return params


def write(path: Path, species: Sequence[str] = SPECIES, genes: int = GENES) -> None:
    """Shrink a params.yaml in place."""
    params = shrink(yaml.safe_load(path.read_text(encoding="utf-8")), species, genes)
    path.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")


def change(path: Path, *keys: str, to: Any) -> None:
    """Set one value in a params.yaml."""
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    place = params
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = to
    path.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
