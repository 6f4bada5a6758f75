"""What a training looked like, step by step and epoch by epoch, as its record keeps it."""

from dataclasses import dataclass, field
from typing import Any

from episome import train


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Events of one training, rounded to six places."""

    steps: list[dict[str, float]] = field(default_factory=list)
    epochs: list[dict[str, Any]] = field(default_factory=list)

    def add(self, event: train.Step | train.Epoch) -> None:
        """Keep one event."""
        if isinstance(event, train.Step):
            step = {"step": event.number, "loss": round(event.loss, 6), "penalty": round(event.penalty, 6)}
            if event.auxiliary is not None:
                step["auxiliary"] = round(event.auxiliary, 6)
            self.steps.append(step)
        else:
            scores = {task: round(value, 6) for task, value in event.auroc.items()}
            loss = round(event.loss, 6)
            self.epochs.append({"epoch": event.number, "loss": loss, "auroc": scores, "best": event.best})

    @property
    def best(self) -> float:
        """The best epoch's validation AUROC, mean over tasks; 0 before the first."""
        means = [sum(epoch["auroc"].values()) / len(epoch["auroc"]) for epoch in self.epochs]
        return round(max(means, default=0.0), 6)

    def record(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"steps": self.steps, "epochs": self.epochs, "best": self.best}
