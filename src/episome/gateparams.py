"""When a version may be promoted, and what a retrain tries after a refusal: `gate` and `retrain` of params.yaml."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from episome.sources import Count, Frozen, Name, Share

Weight = Annotated[float, Field(ge=0)]


class Gate(Frozen):
    """When a version counts as no good, as having forgotten, or as answering otherwise.

    Attributes:
        max_loss_mcc: MCC an old suite may lose, by the lower confidence bound of the change.
        max_probe_loss_mcc: the same of a linear probe on the encoder's states; None: told, and no reason to refuse.
        probe_rows: rows at most that such a probe is fitted on, and as many to choose its penalty.
        min_gain_mcc: MCC that rows new to the champion must gain, refused where the upper confidence bound is below;
            None: told, and no reason to refuse.
        min_over_baseline_mcc: MCC by which a task must be better than k-mers alone; None: told likewise.
        confidence: one-sided, of those bounds.
        bootstrap: draws of homology groups.
        min_rows: fewest test rows of a suite.
        max_ece_increase: calibration error that old rows may gain.
        max_kl: nats by which answers to golden sequences may diverge, in the mean.
        max_flips: share of golden sequences that may be called otherwise.
        max_leak: share of test rows whose very sequence training or calibration saw.
    """

    max_loss_mcc: Weight
    max_probe_loss_mcc: Weight | None
    probe_rows: Count
    min_gain_mcc: float | None
    min_over_baseline_mcc: float | None
    confidence: Share
    bootstrap: Count
    min_rows: Count
    max_ece_increase: Share
    max_kl: Weight
    max_flips: Share
    max_leak: Share


Rung = Annotated[dict[str, Any], Field(min_length=1)]
"""Values of `train` by key; ``{times: x}`` multiplies the present one."""


class Retrain(Frozen):
    """What `episome retrain` does after a refusal.

    Attributes:
        ladder: what is tried, by name, one training each, until the gate passes; every rung is on top of those before.
    """

    ladder: dict[Name, Rung]


def climbed(train: Mapping[str, Any], rung: Rung) -> dict[str, Any]:
    """The values that a rung changes.

    Args:
        train: all values of `train` as they are without it.
        rung: of `Retrain.ladder`.

    Raises:
        ValueError: a key is not of `train`, or what is to be multiplied is no number.
    """
    found = {}
    for key, wanted in rung.items():
        if key not in train:
            raise ValueError(f"{key!r} is no key of train; known: {', '.join(train)}")
        value = wanted
        if isinstance(wanted, Mapping) and {*wanted} == {"times"}:
            factors = (train[key], wanted["times"])
            if any(isinstance(each, bool) or not isinstance(each, int | float) for each in factors):
                raise ValueError(f"{key}: {factors[0]!r} times {factors[1]!r}; wanted two numbers")
            value = factors[0] * factors[1]
        if value != train[key]:
            found[key] = value
    return found
