"""The transfer policy: how far a donor is decides how its adapter is carried over to a target species.

The study's table has three bands (near, mid, far): the further, the higher the rate, the fewer layers frozen, the
smaller the batch, the more epochs. ``step`` takes it as written; ``interpolated`` draws straight lines between the
middles of the bands, so that a species just beyond a border is not trained like one far beyond it. Its rates are for
full fine-tuning; adapters take them times `Transfer.learning_rate_multiplier`.

Sources: DESIGN of the transfer study as settled in this project's docs/transfer.md; layer retention after the same.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import model_validator

from episome import species
from episome.sources import Count, Frozen, Positive, Share
from episome.species import Band, Distance
from episome.types import EpisomeError

Route = Literal["direct", "progressive", "multi_stage"]
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
            if len(_pair(pair)) != 2 or value < 0:
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
        route: how the adapter gets from donor to target.
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

    def record(self) -> dict[str, Any]:
        """The plan as JSON has it, for the card and the MLflow run."""
        return {**asdict(self), "group_rates": list(self.group_rates)}


def distance(target: str, donor: str, numbers: DistanceNumbers) -> Distance:
    """Distance between two scientific names.

    Raises:
        EpisomeError: a species or pair is unknown and no value is given for it.
    """
    for pair, value in numbers.given.items():
        if set(_pair(pair)) == {target, donor}:
            return Distance(value=value, measure="given", source="params.yaml, transfer.distance.given")
    if numbers.newick is not None:
        return species.by_newick(target, donor, numbers.newick)
    if numbers.measure == "neutral_half":
        return species.by_neutral_half(target, donor)
    return species.by_time(target, donor, numbers.million_years)


def plan(target: str, donor: str, numbers: Transfer) -> Plan:
    """What the policy says about carrying the adapter of `donor` over to `target`.

    Args:
        target: scientific name.
        donor: scientific name.
        numbers: the policy; its mode must not be ``fixed``.

    Raises:
        EpisomeError: their distance is unknown, or the policy is switched off.
    """
    if numbers.mode == "fixed":
        raise EpisomeError("transfer.mode is 'fixed': no plan is made; wanted: interpolated or step")
    apart = distance(target, donor, numbers.distance)
    at = _Table(apart, numbers)
    rate = at.of(numbers.learning_rate) * numbers.learning_rate_multiplier
    swing = at.of(numbers.swing)
    batch = at.of(numbers.batch)
    near, far = (np.array(row) for row in numbers.retention)
    kept = near + (far - near) * at.way
    rates = (1 - kept) / (1 - kept).mean()
    return Plan(
        target=target,
        donor=donor,
        distance=round(apart.value, 6),
        measure=apart.measure,
        source=apart.source,
        band=apart.band,
        learning_rate=rate,
        lowest_rate=rate * (1 - swing),
        highest_rate=rate * (1 + swing),
        group_rates=(float(rates[0]), float(rates[1]), float(rates[2])),
        frozen_share=at.of(numbers.frozen_share),
        batch=round(batch),
        budget=batch / numbers.batch_of_budget,
        epochs=round(at.of(numbers.epochs)),
        route=numbers.route[BANDS.index(apart.band)],
    )


class _Table:
    """Reads triples of the policy at one distance."""

    def __init__(self, apart: Distance, numbers: Transfer) -> None:
        self.step = numbers.mode == "step"
        self.index = BANDS.index(apart.band)
        self.value = apart.value
        self.middles = numbers.middles

    def of(self, triple: tuple[float, float, float]) -> float:
        """The band's entry, or the one between the bands' middles; flat beyond the outer ones."""
        return float(triple[self.index]) if self.step else float(np.interp(self.value, self.middles, triple))

    @property
    def way(self) -> float:
        """0 where it is near, 1 where it is far."""
        return self.of((0.0, 0.5, 1.0))


def nearest(target: str, donors: dict[str, str], numbers: DistanceNumbers) -> list[tuple[str, Distance]]:
    """Donors by distance, the nearest first; those without a known distance are left out.

    Args:
        target: scientific name.
        donors: species key → scientific name.
        numbers: what the distance is taken from.

    Raises:
        EpisomeError: none of them has a known distance to the target.
    """
    found, last = [], None
    for key, name in donors.items():
        try:
            found.append((key, distance(target, name, numbers)))
        except species.SpeciesError as error:
            last = error
    if not found:
        raise last or EpisomeError(f"no donor is registered that {target!r} could start from")
    return sorted(found, key=lambda pair: (pair[1].value, pair[0]))


def _pair(text: str) -> list[str]:
    return [name.strip() for name in text.split("/") if name.strip()]
