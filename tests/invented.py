"""INVENTED runs of a transfer study, for tests of its report alone: no model was trained and nothing was measured.

Scores of a row are its label plus noise; the farther the donor, the more noise. Nothing of this is a result.
"""

from collections.abc import Sequence
from itertools import permutations
from typing import Any
from zlib import crc32

import numpy as np

from episome import metrics
from episome.report.cells import Grid, Setting, cells
from episome.study import Epoch, Predictions, Run

SPECIES = ("human", "mouse", "zebrafish", "fly")
TASKS = ("donor", "promoter")
DISTANCES = {
    ("human", "mouse"): 0.22, ("human", "zebrafish"): 1.07, ("human", "fly"): 1.72, ("mouse", "zebrafish"): 1.07,
    ("mouse", "fly"): 1.72, ("zebrafish", "fly"): 1.72,
}  # fmt: skip
ROWS, GROUPS = 160, 40
_THIRDS = {"shallow": 0.0, "middle": 0.05, "deep": 0.12}


def setting(**changes: Any) -> Setting:
    given: dict[str, Any] = {
        "world": "invented", "simulated": True, "motif_divergence": 1.0, "species": SPECIES, "distances": DISTANCES,
        "near": 0.5, "left_out": {}, "bootstrap": 60, "confidence": 0.95, "seed": 1,
    }  # fmt: skip
    return Setting(**{**given, **changes})


class Study:
    """Runs and what they predicted, by key."""

    def __init__(self, species: Sequence[str] = SPECIES, tasks: Sequence[str] = TASKS) -> None:
        self.species, self.tasks = species, tasks
        self.runs: list[Run] = []
        self.predictions: dict[str, Predictions] = {}

    def add(self, noise: float, **about: Any) -> None:
        """One run whose scores have that much noise."""
        given: dict[str, Any] = {"world": "invented", "donor": "base", "policy": "", "share": 1.0, "seed": 1}
        given |= {"seconds": 100.0 + 10 * noise, "peak_bytes": 900_000_000, "curve": curve(noise), "test": {}} | about
        labels = (np.arange(ROWS) % 2).astype(np.int8)
        random = np.random.default_rng(hash_of(given))
        probabilities = 1 / (1 + np.exp(-(4 * labels - 2 + noise * random.normal(size=ROWS))))
        groups = [f"g{i % GROUPS // 2}-{i // 80}" for i in range(ROWS)]
        given["test"] = metrics.evaluate(
            labels, probabilities, groups, threshold=0.5, bootstrap=50, confidence=0.95, seed=1
        )
        run = Run(**given)
        self.runs.append(run)
        self.predictions[run.key] = Predictions(labels=labels, probabilities=probabilities, groups=groups)

    def grid(self, **changes: Any) -> Grid:
        known = setting(**{"species": tuple(self.species), **changes})
        return Grid(setting=known, cells=cells(self.runs, lambda run: self.predictions[run.key], known))


def hash_of(given: dict[str, Any]) -> int:
    """The same in every process, as hash() of text is not."""
    names = ("target", "donor", "method", "policy", "task", "share", "seed")
    return crc32("/".join(str(given[name]) for name in names).encode())


def curve(noise: float, epochs: int = 6) -> tuple[Epoch, ...]:
    best = 1 - 0.08 * noise
    return tuple(
        Epoch(epoch=e, loss=0.3 + 0.05 * noise + 0.4 * 0.5**e, val_auroc=best - 0.25 * 0.35**e) for e in range(epochs)
    )


def full(seeds: Sequence[int] = (1, 2, 3), species: Sequence[str] = SPECIES, tasks: Sequence[str] = TASKS) -> Study:
    """Every ordered pair, all methods, learning curves between the first two species."""
    made = Study(species, tasks)
    for task in tasks:
        for seed in seeds:
            _alone(made, task, seed)
            for target, donor in permutations(species, 2):
                _pair(made, task, seed, (target, donor))
            for target, donor in permutations(species[:2]):
                _shares(made, task, seed, (target, donor))
        for target in species:
            for method, more in (("kmer", 0.9), ("frozen_probe", 1.5), ("word2vec_nb", 2.2)):
                made.add(_EASE[task] + more, target=target, method=method, task=task, seed=seeds[0], curve=())
    return made


_EASE = {"donor": 2.4, "promoter": 3.2}


def _alone(made: Study, task: str, seed: int) -> None:
    for target in made.species:
        for method, more in (("scratch", 0.0), ("head_only", 2.0), ("full", 0.3), ("cnn", 1.2), ("lstm", 1.9)):
            made.add(_EASE[task] + more + 0.1 * seed, target=target, method=method, task=task, seed=seed)


def _pair(made: Study, task: str, seed: int, pair: tuple[str, str]) -> None:
    """The adapted run is better than nothing where the donor is near, and worse where it is far."""
    target, donor = pair
    apart = setting().distance(pair)
    about: dict[str, Any] = {"target": target, "donor": donor, "task": task, "seed": seed}
    made.add(_EASE[task] + 1.6 * apart, **about, method="zero_shot", seconds=None, curve=())
    inside = {f"cka_{third}": 0.98 - 0.1 * apart - less for third, less in _THIRDS.items()}
    inside |= {f"weight_change_{third}": 0.02 + 0.02 * apart + less / 4 for third, less in _THIRDS.items()}
    inside["tokens"] = 1e6
    inside["check_donor"] = 0.9 - 0.1 * apart
    noise = _EASE[task] - 0.7 + 0.5 * apart + 0.1 * seed
    about |= {
        "method": "adapted",
        "plan": {"distance": apart},
        "start": "donor",
        "curve": curve(noise, 4 + (apart > 1)),
    }
    made.add(noise, **about, policy="interpolated", extra=inside)
    made.add(noise + 0.2, **about, policy="shuffled")


def _shares(made: Study, task: str, seed: int, pair: tuple[str, str]) -> None:
    target, donor = pair
    for share in (0.125, 0.25, 0.5):
        lack = 0.9 * np.log2(1 / share)
        part: dict[str, Any] = {"target": target, "task": task, "seed": seed, "share": share}
        made.add(_EASE[task] + lack, **part, method="scratch")
        made.add(_EASE[task] - 0.6 + lack / 3, **part, method="adapted", donor=donor, policy="interpolated")
