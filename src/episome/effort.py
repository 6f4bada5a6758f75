"""What a training of the study cost, and its curve."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import psutil

from episome import train
from episome.study import Epoch

_EVERY = 0.05
"""Seconds between two looks at the memory."""


@dataclass(slots=True, kw_only=True)
class Cost:
    """What a stretch of work took: filled when `measured` ends.

    Attributes:
        seconds: wall clock.
        cpu_seconds: of all threads of the process.
        mean_bytes: resident size of the process, mean of looks 0.05 s apart.
        peak_bytes: the largest of them. What earlier work of the process has not given back counts in both.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    mean_bytes: float = 0.0
    peak_bytes: int = 0

    def extra(self) -> dict[str, float]:
        """What a run has no field of its own for."""
        return {"cpu_seconds": self.cpu_seconds, "mean_bytes": self.mean_bytes}


@contextmanager
def measured() -> Iterator[Cost]:
    """Measure what is done inside; nothing else may work in this process meanwhile."""
    cost, process, over = Cost(), psutil.Process(), threading.Event()
    seen = [process.memory_info().rss]

    def look() -> None:
        while not over.wait(_EVERY):
            seen.append(process.memory_info().rss)

    watcher = threading.Thread(target=look, daemon=True)
    began, worked = time.perf_counter(), time.process_time()
    watcher.start()
    try:
        yield cost
    finally:
        cost.seconds, cost.cpu_seconds = time.perf_counter() - began, time.process_time() - worked
        over.set()
        watcher.join()
        seen.append(process.memory_info().rss)
        cost.mean_bytes, cost.peak_bytes = float(np.mean(seen)), max(seen)


@dataclass(slots=True, kw_only=True)
class Course:
    """What a training did, as it goes; tokens are counted without padding, curves are by task."""

    tokens_per_epoch: int = 0
    steps: int = 0
    epochs: int = 0
    curves: dict[str, tuple[Epoch, ...]] = field(default_factory=dict)

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
