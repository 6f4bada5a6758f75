"""Where a training stands, in one file that a killed run resumes from to the bit: safetensors, nothing unpickled.

A file belongs to one set of inputs, named by a fingerprint; for any other it is as if it were not there.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

_OPTIMISER, _NOW, _BEST = "optimiser", "now", "best"
_RANDOM = "random"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One moment of a training.

    Attributes:
        counters: epoch, step within it, scores and the like, as JSON has them.
        now: what is trained, by name.
        best: the same at the best epoch.
        optimiser: per parameter name, its moments and step count.
        random: state of torch's generator.
    """

    counters: dict[str, Any]
    now: dict[str, Tensor]
    best: dict[str, Tensor]
    optimiser: dict[str, dict[str, Tensor]]
    random: Tensor


def fingerprint(files: Iterable[Path], numbers: Mapping[str, Any]) -> str:
    """Name of a training's inputs: the bytes of its files, in this order, and its numbers as JSON."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    digest.update(json.dumps(numbers, sort_keys=True).encode())
    return digest.hexdigest()


def save(path: Path, standing: Standing, fingerprint: str) -> None:
    """Write atomically: a reader finds the old file or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {f"{_NOW}/{name}": value for name, value in standing.now.items()}
    tensors |= {f"{_BEST}/{name}": value for name, value in standing.best.items()}
    tensors |= {
        f"{_OPTIMISER}/{kind}/{name}": value
        for name, moments in standing.optimiser.items()
        for kind, value in moments.items()
    }
    tensors[_RANDOM] = standing.random
    beside = path.with_name(path.name + ".new")
    # Cloned, since safetensors refuses tensors that share memory, as a snapshot and its source may.
    copies = {name: value.detach().clone().contiguous() for name, value in tensors.items()}
    save_file(copies, beside, metadata={"fingerprint": fingerprint, "counters": json.dumps(standing.counters)})
    beside.replace(path)


def load(path: Path, fingerprint: str) -> Standing | None:
    """What `save` wrote for the same inputs; None where there is no such file or it is another training's."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as stream:
            about = stream.metadata() or {}
            if about.get("fingerprint") != fingerprint:
                return None
            names = stream.keys()
            tensors = {name: stream.get_tensor(name) for name in names}
    except SafetensorError:
        return None  # written by a machine that lost power: the training starts over
    optimiser: dict[str, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith(f"{_OPTIMISER}/"):
            _, kind, parameter = name.split("/", 2)
            optimiser.setdefault(parameter, {})[kind] = value
    return Standing(
        counters=json.loads(about["counters"]),
        now=_part(tensors, _NOW),
        best=_part(tensors, _BEST),
        optimiser=optimiser,
        random=tensors[_RANDOM].to(torch.uint8),
    )


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(f"{prefix}/"): value for name, value in tensors.items() if name.startswith(f"{prefix}/")}
