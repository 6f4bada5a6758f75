"""The grid of a study: every job once, distances dealt out anew, equal budgets, shares that contain each other."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from episome import grid, params
from episome.grid import Job
from episome.params import Params
from episome.studyparams import RowsAtMost, Study
from episome.types import EpisomeError
from tests.conftest import ROOT

TASKS = {
    "human_sim": ["promoter", "donor"],
    "mouse_sim": ["promoter", "donor"],
    "zebrafish_sim": ["promoter", "donor"],
    "fly_sim": ["donor"],
}
EVERY = ("scratch", "adapted", "zero_shot", "head_only", "frozen_probe", "full", "kmer")


def with_study(**changes: Any) -> Params:
    """The params of the demo with another study."""
    chosen = params.read(ROOT / "params.yaml")
    given = {"seeds": [1, 2, 3], "methods": EVERY, "policies": ["interpolated", "shuffled"], **changes}
    return chosen.model_copy(update={"study": Study.model_validate({**chosen.study.model_dump(), **given})})


def test_every_pair_seed_and_method_is_one_job() -> None:
    first, rest = grid.waves(with_study(curves={"shares": [], "pairs": []}), TASKS)
    assert {(job.method, job.share) for job in first} == {("scratch", 1.0)}
    assert len(first) == 4 * 3
    assert Counter(job.method for job in rest) == {
        "adapted": 12 * 3 * 2, "zero_shot": 12 * 3, "head_only": 12, "full": 12, "frozen_probe": 4, "kmer": 4
    }  # fmt: skip
    keys = [key for job in [*first, *rest] for key in job.keys]
    assert len(keys) == len(set(keys))
    (across,) = {job.tasks for job in rest if job.method == "zero_shot" and job.donor == "fly_sim"}
    assert across == ("donor",)


def test_a_pair_without_a_common_task_has_no_answer_without_training() -> None:
    chosen = with_study(seeds=[1], methods=["scratch", "zero_shot"], curves={"shares": [], "pairs": []})
    _, rest = grid.waves(chosen, {"human_sim": ["promoter"], "fly_sim": ["donor"]})
    assert rest == []


def test_curves_are_of_scratch_and_of_the_first_policy_on_their_pairs() -> None:
    pairs = [{"donor": "human_sim", "target": "mouse_sim"}, {"donor": "fly_sim", "target": "mouse_sim"}]
    curves = {"shares": [0.25, 1.0], "pairs": pairs}
    _, rest = grid.waves(with_study(seeds=[1], curves=curves), TASKS)
    found = [(job.method, job.donor, job.policy, job.share) for job in rest if job.share < 1]
    assert found == [
        ("scratch", "base", "", 0.25),
        ("adapted", "human_sim", "interpolated", 0.25),
        ("adapted", "fly_sim", "interpolated", 0.25),
    ]
    _, alone = grid.waves(with_study(seeds=[1], curves=curves, methods=["scratch"]), TASKS)
    assert [job.method for job in alone] == ["scratch"]
    _, without = grid.waves(with_study(seeds=[1], curves=curves), {"mouse_sim": ["donor"]})
    assert [job for job in without if job.share < 1] == []


def test_a_pair_of_an_unknown_species_is_named() -> None:
    curves = {"shares": [0.5], "pairs": [{"donor": "yeti", "target": "mouse_sim"}]}
    with pytest.raises(EpisomeError, match=r"study\.curves\.pairs: no species yeti"):
        grid.waves(with_study(curves=curves), TASKS)


def test_full_fine_tuning_is_not_for_the_published_base() -> None:
    chosen = with_study()
    published = chosen.model_copy(update={"base": chosen.base.model_copy(update={"size": "dnabert2"})})
    with pytest.raises(EpisomeError, match=r"'full' with base\.size dnabert2"):
        grid.waves(published, TASKS)


def test_a_job_says_what_it_is() -> None:
    job = Job(target="a", donor="b", method="adapted", policy="step", tasks=("x", "y"), share=0.5, seed=3)
    assert job.shown == "a from b: adapted (step), seed 3, 0.5 of the rows"
    assert job.keys == ["a-b-adapted-step-x-0.5-3", "a-b-adapted-step-y-0.5-3"]
    assert Job(target="a", method="kmer", tasks=("x",), seed=3).shown == "a: kmer, seed 3"


def test_dealt_distances_are_the_same_ones_elsewhere() -> None:
    given = grid.distances(with_study())
    for seed in range(30):
        dealt = grid.dealt(given, seed)
        assert dealt.keys() == given.keys()
        assert sorted(dealt.values()) == sorted(given.values())
        assert dealt != given
        assert dealt == grid.dealt(given, seed)


def test_no_pair_keeps_its_own_place() -> None:
    given = {("a", "b"): 0.1, ("a", "c"): 0.2, ("b", "c"): 0.3, ("a", "d"): 0.4}
    deals = [grid.dealt(given, seed) for seed in range(200)]
    assert not any(dealt[pair] == given[pair] for dealt in deals for pair in given)
    assert len({tuple(dealt.values()) for dealt in deals}) == 9  # every derangement of four
    assert all(grid.dealt({("a", "b"): 0.1, ("a", "c"): 0.2}, seed) for seed in range(5))


def test_deals_are_random_and_not_the_one_that_changes_most() -> None:
    given = grid.distances(with_study())
    deals = [tuple(grid.dealt(given, seed).values()) for seed in range(100)]
    assert len(set(deals)) > 20
    nearest = min(range(len(given)), key=list(given.values()).__getitem__)
    assert {dealt[nearest] for dealt in deals} == set(given.values()) - {min(given.values())}
    kept = [sum(a == b for a, b in zip(dealt, given.values(), strict=True)) for dealt in deals]
    assert min(kept) == 0 < max(kept)


def test_equal_distances_cannot_be_dealt_out() -> None:
    with pytest.raises(EpisomeError, match="three species or more whose distances differ"):
        grid.dealt({("a", "b"): 0.3, ("a", "c"): 0.3}, 0)
    with pytest.raises(EpisomeError, match="three species or more"):
        grid.dealt({("a", "b"): 0.3}, 0)


def test_plans_follow_the_policy() -> None:
    chosen = with_study()
    plans = {
        name: grid.plan(chosen, "mouse_sim", "human_sim", name, 1) for name in ("interpolated", "step", "shuffled")
    }
    near, step, shuffled = plans.values()
    assert near is not None
    assert step is not None
    assert shuffled is not None
    assert near.distance == step.distance == pytest.approx(0.2175)
    assert shuffled.distance > 1  # the only pair of that distance gets another's
    assert (shuffled.measure, shuffled.learning_rate > near.learning_rate) == ("shuffled", True)
    assert "seed 1" in shuffled.source
    assert grid.plan(chosen, "mouse_sim", "human_sim", "fixed", 1) is None


def test_a_training_from_nothing_gets_as_many_epochs_as_any_from_a_donor() -> None:
    chosen, donors = with_study(), [name for name in TASKS if name != "mouse_sim"]
    budget = grid.budget_epochs(chosen, "mouse_sim", donors, ("interpolated", "shuffled"), 1)
    for donor in donors:
        plan = grid.plan(chosen, "mouse_sim", donor, "interpolated", 1)
        assert plan is not None
        assert budget >= plan.epochs + 2 * chosen.transfer.check_epochs
    assert budget == max(chosen.transfer.epochs) + 2 * chosen.transfer.check_epochs
    assert grid.budget_epochs(chosen, "mouse_sim", [], (), 1) == chosen.train.epochs


def table(counts: dict[tuple[int, int], int], split: str = "train") -> pd.DataFrame:
    """Rows by their labels of two tasks."""
    labels = [labels for labels, count in counts.items() for _ in range(count)]
    rows = pd.DataFrame(labels, columns=["label_a", "label_b"]).astype("int8")
    rows["split"] = split
    return rows.assign(name=np.arange(len(rows)))


def test_shares_contain_each_other_and_keep_the_labels() -> None:
    rows = table({(0, -1): 40, (1, -1): 20, (-1, 1): 12, (-1, 0): 8})
    quarter, half, whole = (grid.part(rows, share, 5) for share in (0.25, 0.5, 1.0))
    assert set(quarter["name"]) < set(half["name"]) < set(whole["name"])
    assert whole["name"].tolist() == rows["name"].tolist()
    assert len(half) == 40
    for labels, count in Counter(zip(half["label_a"], half["label_b"], strict=True)).items():
        assert count == pytest.approx(
            40 * len(rows[(rows["label_a"] == labels[0]) & (rows["label_b"] == labels[1])]) / 80, abs=1
        )
    assert set(grid.part(rows, 0.25, 6)["name"]) != set(quarter["name"])


def test_a_study_uses_at_most_so_many_rows_of_each_split() -> None:
    rows = pd.concat(
        [table({(0, 0): 30, (1, 1): 30}), table({(0, 0): 5, (1, 1): 5}, "val"), table({(0, 1): 4}, "test")]
    )
    kept = grid.thinned(rows, RowsAtMost(train=20, val=100, test=2), 3)
    assert Counter(kept["split"]) == {"train": 20, "val": 10, "test": 2}
    assert Counter(kept.loc[kept["split"] == "train", "label_a"]) == {0: 10, 1: 10}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"methods": ["adapted"]}, "'scratch' is wanted"),
        ({"seeds": [1, 1]}, "names something twice"),
        ({"methods": ["scratch", "magic"]}, "Input should be 'adapted'"),
        ({"policies": []}, "at least 1 item"),
    ],
)
def test_a_study_that_cannot_be_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        with_study(**changes)


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*/params.yaml")), ids=lambda path: path.parent.name)
def test_the_examples_have_a_study_whose_distances_are_known(path: Path) -> None:
    chosen = params.read(path)
    tasks = {species: [task.name for task in chosen.tasks_of(species)] for species in chosen.species}
    first, _ = grid.waves(chosen, tasks)
    assert len(first) == len(chosen.species) * len(chosen.study.seeds)
    assert min(grid.distances(chosen).values()) > 0
