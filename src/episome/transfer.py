"""The transfer policy: how far a donor is decides how its adapter is carried over to a target species.

The study's table has three bands (near, mid, far): the further, the higher the rate, the fewer layers frozen, the
smaller the batch, the more epochs. ``step`` takes it as written; ``interpolated`` draws straight lines between the
middles of the bands, so that a species just beyond a border is not trained like one far beyond it. Its rates are for
full fine-tuning; adapters take them times `Transfer.learning_rate_multiplier`.

Sources: DESIGN of the transfer study as settled in this project's docs/transfer.md; layer retention after the same.
"""

from collections.abc import Sequence

import numpy as np

from episome import species
from episome.policy import BANDS, DistanceNumbers, Plan, Transfer, species_of
from episome.species import Distance
from episome.types import EpisomeError


def distance(target: str, donor: str, numbers: DistanceNumbers) -> Distance:
    """Distance between two scientific names.

    Raises:
        EpisomeError: a species or pair is unknown and no value is given for it.
    """
    for pair, value in numbers.given.items():
        if set(species_of(pair)) == {target, donor}:
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
    rate = round(at.of(numbers.learning_rate) * numbers.learning_rate_multiplier, 9)
    swing = at.of(numbers.swing)
    batch = at.of(numbers.batch)
    near, far = (np.array(row) for row in numbers.retention)
    kept = near + (far - near) * at.way
    rates = np.round((1 - kept) / (1 - kept).mean(), 6)
    return Plan(
        target=target,
        donor=donor,
        distance=round(apart.value, 6),
        measure=apart.measure,
        source=apart.source,
        band=apart.band,
        learning_rate=rate,
        lowest_rate=round(rate * (1 - swing), 9),
        highest_rate=round(rate * (1 + swing), 9),
        group_rates=(float(rates[0]), float(rates[1]), float(rates[2])),
        frozen_share=round(at.of(numbers.frozen_share), 6),
        batch=round(batch),
        budget=round(batch / numbers.batch_of_budget, 6),
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


def path(target: str, donor: str, between: Sequence[str], numbers: DistanceNumbers) -> list[str]:
    """Chain of donors from `donor` to `target` whose longest hop is shortest; of equal ones the fewest hops.

    Args:
        target: scientific name.
        donor: scientific name.
        between: scientific names that the chain may go over.
        numbers: what distances are taken from.

    Returns:
        Scientific names from donor to target, both included.
    """
    best = {donor: (0.0, 0, [donor])}
    names = [donor, *between, target]
    for _ in names:
        for a, (hop, count, chain) in list(best.items()):
            for b in names:
                if b not in chain:
                    found = (max(hop, distance(b, a, numbers).value), count + 1, [*chain, b])
                    best[b] = min(best.get(b, found), found)
    return best[target][2]
