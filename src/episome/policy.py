"""Numbers and outcome of the transfer policy as frozen values; `episome.transfer` computes one from the other."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from episome.sources import Count, Frozen, Positive, Share

Band = Literal["near", "mid", "far"]
Route = Literal["direct", "progressive"]
Three = tuple[Positive, Positive, Positive]
ThreeShares = tuple[Share, Share, Share]
BANDS: tuple[Band, Band, Band] = ("near", "mid", "far")


class DistanceNumbers(Frozen):
    """What the distance between two species is taken from.

    Attributes:
        million_years: of divergence that make a distance of 1.
        newick: tree for the measure ``newick``; tips are scientific names, the height of a common ancestor is the
            distance.
        given: "first / second" → distance; goes before everything else.
    """

    measure: Literal["time", "neutral_half", "newick"]
    million_years: Positive
    newick: Path | None
    given: dict[str, float]

    @model_validator(mode="after")
    def _tree_where_asked(self) -> "DistanceNumbers":
        if (self.measure == "newick") != (self.newick is not None):
            raise ValueError(
                f"measure {self.measure!r} with newick {self.newick}; a tree belongs to the measure newick"
            )
        for pair, value in self.given.items():
            if len(species_of(pair)) != 2 or value < 0:
                raise ValueError(f"given: {pair!r}: {value}; wanted: 'first / second': a number of 0 or more")
        return self


class Transfer(Frozen):
    """Numbers of the policy; each triple is for near, mid and far.

    Attributes:
        mode: ``fixed`` trains every species by `train` alone, as if it had no distance.
        middles: distances at which ``interpolated`` takes the values of the table.
        learning_rate: of full fine-tuning.
        learning_rate_multiplier: adapter rate over full fine-tuning rate.
        swing: how far the rate may adapt to progress, as a share of it.
        frozen_share: adapted layers, from the lowest, that start frozen.
        batch: sequences of a step in the table; a step's token budget grows in proportion.
        batch_of_budget: sequences that `train.tokens_per_step` stands for.
        retention: shallow, middle and deep layers' share that should stay as it was; near, then far.
        route: ``direct`` trains as the rest says; ``progressive`` first gives an epoch to head and top layers.
            A route over further species is a chain of donors in params.yaml; `transfer.path` suggests one.
        check_epochs: epochs that a start from the donor and one from nothing are given before the better goes on;
            0 takes the donor unseen.
    """

    mode: Literal["interpolated", "step", "fixed"]
    distance: DistanceNumbers
    middles: Three
    learning_rate: Three
    learning_rate_multiplier: Positive
    swing: ThreeShares
    frozen_share: ThreeShares
    batch: tuple[Count, Count, Count]
    batch_of_budget: Count
    epochs: tuple[Count, Count, Count]
    retention: tuple[ThreeShares, ThreeShares]
    route: tuple[Route, Route, Route]
    check_epochs: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _something_may_move(self) -> "Transfer":
        if any(min(row) == 1 for row in self.retention):
            raise ValueError(
                f"retention: {self.retention}: a row of ones lets no layer learn; wanted: one below 1 in each"
            )
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything the policy decides for one pair.

    Attributes:
        learning_rate: of the adapter, multiplier included.
        lowest_rate, highest_rate: what it may adapt to.
        group_rates: of the shallow, middle and deep third of the layers, relative, mean 1.
        frozen_share: of the adapted layers, from the lowest; the highest frozen one thaws at each plateau.
        batch: sequences of a step.
        budget: of a step's tokens, relative to `train.tokens_per_step`.
    """

    target: str
    donor: str
    distance: float
    measure: str
    source: str
    band: Band
    learning_rate: float
    lowest_rate: float
    highest_rate: float
    group_rates: tuple[float, float, float]
    frozen_share: float
    batch: int
    budget: float
    epochs: int
    route: Route

    @property
    def swing(self) -> float:
        """How far the rate may adapt, as a share of it."""
        return self.highest_rate / self.learning_rate - 1

    def record(self) -> dict[str, Any]:
        """The plan as JSON has it, for the card and the MLflow run."""
        return {**asdict(self), "group_rates": list(self.group_rates)}


def species_of(pair: str) -> list[str]:
    """The names in "first / second"."""
    return [name.strip() for name in pair.split("/") if name.strip()]
