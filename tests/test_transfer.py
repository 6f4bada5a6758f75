"""The transfer policy: its table, what lies between its entries, and who could be a donor."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from episome import params, transfer
from episome.policy import DistanceNumbers, Plan, Transfer
from episome.species import SpeciesError
from episome.types import EpisomeError
from tests.conftest import ROOT

HUMAN, MOUSE, FISH, FLY = "Homo sapiens", "Mus musculus", "Danio rerio", "Drosophila melanogaster"


def numbers(**changes: Any) -> Transfer:
    """The policy of the project, with changes."""
    raw = params.read(ROOT / "params.yaml").transfer.model_dump()
    return Transfer.model_validate({**raw, **changes})


def at(distance: float, **changes: Any) -> Plan:
    """The plan at a distance."""
    given_distance = {**numbers().distance.model_dump(), "given": {"a / b": distance}}
    return transfer.plan("a", "b", numbers(distance=given_distance, **changes))


@pytest.mark.parametrize(
    ("distance", "rate", "frozen", "batch", "epochs"),
    [(0.1, 1e-5, 0.35, 64, 3), (0.5, 2e-5, 0.25, 32, 4), (1.0, 2e-5, 0.25, 32, 4), (1.7, 3e-5, 0.15, 16, 5)],
)
def test_step_takes_the_table_as_written(distance: float, rate: float, frozen: float, batch: int, epochs: int) -> None:
    plan = at(distance, mode="step", learning_rate_multiplier=10)
    assert plan.learning_rate == pytest.approx(rate * 10)
    assert (plan.frozen_share, plan.batch, plan.epochs) == (frozen, batch, epochs)


def test_interpolation_meets_the_table_at_the_middles_and_is_flat_beyond() -> None:
    for middle, distance in ((0.25, 0.0), (0.25, 0.25), (0.75, 0.75), (1.25, 1.25), (1.25, 9.0)):
        stepped, plan = at(middle, mode="step"), at(distance)
        assert plan.learning_rate == pytest.approx(stepped.learning_rate)
        assert (plan.frozen_share, plan.batch, plan.epochs) == (stepped.frozen_share, stepped.batch, stepped.epochs)


@settings(deadline=None)  # params.yaml is read for each example
@given(st.floats(0, 3), st.floats(0, 3))
def test_further_means_faster_freer_and_longer(one: float, other: float) -> None:
    near, far = at(min(one, other)), at(max(one, other))
    assert near.learning_rate <= far.learning_rate
    assert near.frozen_share >= far.frozen_share
    assert near.budget >= far.budget
    assert near.epochs <= far.epochs
    for plan in (near, far):
        assert plan.lowest_rate < plan.learning_rate < plan.highest_rate
        assert sum(plan.group_rates) == pytest.approx(3, abs=1e-5)
        assert plan.group_rates[0] < plan.group_rates[2]


def test_a_plan_says_where_its_distance_is_from() -> None:
    plan = transfer.plan(MOUSE, HUMAN, numbers())
    assert plan.record()["distance"] == pytest.approx(87 / 400)
    assert plan.record()["band"] == "near"
    assert "TimeTree" in plan.record()["source"]
    assert transfer.plan(FISH, HUMAN, numbers()).route == "progressive"
    assert plan.swing == pytest.approx(0.2)


def test_a_policy_that_is_off_makes_no_plan() -> None:
    with pytest.raises(EpisomeError, match="'fixed'"):
        transfer.plan(MOUSE, HUMAN, numbers(mode="fixed"))


def measured(**changes: Any) -> DistanceNumbers:
    """What distances are taken from."""
    return DistanceNumbers.model_validate({**numbers().distance.model_dump(), **changes})


def test_a_value_of_ones_own_goes_before_tree_and_table(tmp_path: Path) -> None:
    own = tmp_path / "own.nwk"
    own.write_text("(Homo_sapiens:0.7,Mus_musculus:0.7);")
    assert transfer.distance(HUMAN, MOUSE, measured(measure="newick", newick=own)).value == pytest.approx(0.7)
    assert transfer.distance(HUMAN, MOUSE, measured(measure="neutral_half")).value == pytest.approx(0.2512)
    given_values = measured(measure="newick", newick=own, given={"Mus musculus / Homo sapiens": 0.3})
    assert transfer.distance(HUMAN, MOUSE, given_values).measure == "given"
    assert transfer.distance(HUMAN, MOUSE, given_values).value == 0.3


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"measure": "newick"}, "a tree belongs to the measure newick"),
        ({"newick": "tree.nwk"}, "a tree belongs to the measure newick"),
        ({"given": {"Homo sapiens": 1.0}}, "'first / second'"),
        ({"given": {"a / b": -1.0}}, "0 or more"),
    ],
)
def test_contradictory_numbers_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        measured(**changes)


def test_the_nearest_donor_comes_first_and_the_unknown_is_left_out() -> None:
    donors = {"fly": FLY, "mouse": MOUSE, "human": HUMAN, "yeti": "Yeti yeti"}
    assert [key for key, _ in transfer.nearest("Rattus norvegicus", donors, measured())] == ["mouse", "human", "fly"]
    with pytest.raises(SpeciesError, match="Yeti yeti"):
        transfer.nearest(HUMAN, {"yeti": "Yeti yeti"}, measured())
    with pytest.raises(EpisomeError, match="no donor is registered"):
        transfer.nearest(HUMAN, {}, measured())


def test_a_chain_of_donors_shortens_the_longest_hop() -> None:
    hops = {"a / b": 0.9, "a / m": 0.4, "m / b": 0.5, "a / n": 0.2, "n / m": 0.1, "n / b": 2.0}
    assert transfer.path("b", "a", ["m"], measured(given=hops)) == ["a", "m", "b"]
    # the hop m-b is the longest whichever way: the shorter chain is taken
    assert transfer.path("b", "a", ["m", "n"], measured(given=hops)) == ["a", "m", "b"]
    assert transfer.path(FISH, HUMAN, ["Gallus gallus", MOUSE], measured()) == [HUMAN, FISH]


def test_a_plan_becomes_training_numbers_under_those_of_the_species() -> None:
    chosen = params.read(ROOT / "params.yaml")
    plan = transfer.plan(MOUSE, HUMAN, chosen.transfer)
    planned = chosen.train_of("mouse_sim", plan)
    assert (planned.learning_rate, planned.epochs) == (plan.learning_rate, plan.epochs)
    assert planned.tokens_per_step == round(chosen.train.tokens_per_step * plan.budget)
    own = chosen.species["mouse_sim"].model_copy(update={"train": {"epochs": 9}})
    changed = chosen.model_copy(update={"species": {**chosen.species, "mouse_sim": own}})
    assert changed.train_of("mouse_sim", plan).epochs == 9


def test_retention_that_lets_no_layer_learn_is_refused() -> None:
    with pytest.raises(ValidationError, match="a row of ones lets no layer learn"):
        numbers(retention=[[1, 1, 1], [0.6, 0.5, 0.4]])
