"""What a training of the study cost, and its curve."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from episome import train
from episome.study import Epoch


@dataclass(slots=True, kw_only=True)
class Course:
    """What a training did, as it goes; tokens are counted without padding, curves are by task."""

    tokens_per_epoch: int = 0
    steps: int = 0
    epochs: int = 0
    curves: dict[str, tuple[Epoch, ...]] = field(default_factory=dict)
    began: float = field(default_factory=time.perf_counter)

    def check(self, _: str, events: Iterator[train.Step | train.Epoch]) -> float:
        """Run a short training that counts as effort but is no part of the curve."""
        seen = self._run(events)
        return max((float(np.mean(list(epoch.auroc.values()))) for epoch in seen), default=0.0)

    def follow(self, events: Iterator[train.Step | train.Epoch]) -> None:
        """Run the training proper."""
        for each in self._run(events):
            for task, value in each.auroc.items():
                one = Epoch(epoch=each.number, loss=each.loss, val_auroc=value)
                self.curves[task] = (*self.curves.get(task, ()), one)

    def extra(self) -> dict[str, float]:
        """Effort as a run's extra numbers."""
        return {"steps": self.steps, "tokens": self.epochs * self.tokens_per_epoch, "epochs": self.epochs}

    def _run(self, events: Iterator[train.Step | train.Epoch]) -> list[train.Epoch]:
        seen = []
        for event in events:
            if isinstance(event, train.Epoch):
                seen.append(event)
                self.epochs += 1
            else:
                self.steps += 1
        return seen
