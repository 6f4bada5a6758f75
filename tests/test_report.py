"""The report's numbers against ones computed here from invented predictions, and what it says where there are none."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from episome import curves
from episome.curves import Learning
from episome.report import book, checks, drawing, frames, matrices, performance, scores, words
from episome.report.cells import Cell, Grid, interval, over_seeds
from episome.study import Predictions
from episome.transferscores import undefined
from episome.types import EpisomeError
from tests import invented
from tests.invented import DISTANCES, Study


@pytest.fixture(scope="module")
def study() -> Study:
    return invented.full()


@pytest.fixture(scope="module")
def grid(study: Study) -> Grid:
    return study.grid()


def areas(study: Study, **about: Any) -> list[float]:
    """AUROC of the runs that are asked for, by scikit-learn."""
    asked = {"share": 1.0, **about}
    chosen = [run for run in study.runs if all(getattr(run, name) == value for name, value in asked.items())]
    stored = [study.predictions[run.key] for run in chosen]
    return [roc_auc_score(each.labels, each.probabilities) for each in stored]


def only(frame: pd.DataFrame, **about: Any) -> dict[str, Any]:
    for name, value in about.items():
        frame = frame[frame[name] == value]
    (line,) = frames.lines(frame)
    return line


def test_the_matrix_holds_means_over_seeds_and_losses(study: Study, grid: Grid) -> None:
    frame = scores.matrix(grid)
    assert len(frame) == 2 * (12 + 12 + 4 + 12)
    for target in invented.SPECIES:
        scratch = np.mean(areas(study, method="scratch", task="donor", target=target))
        about = {"method": "adapted", "policy": "interpolated", "task": "donor", "target": target}
        adapted = {d: np.mean(areas(study, **about, donor=d)) for d in invented.SPECIES if d != target}
        top = max(scratch, *adapted.values())
        assert only(frame, task="donor", panel="scratch", target=target)["value"] == pytest.approx(scratch)
        for donor, value in adapted.items():
            cell = only(frame, task="donor", panel="adapted", donor=donor, target=target)
            assert cell["value"] == pytest.approx(value)
            assert (cell["n"], cell["seeds"]) == (invented.ROWS, 3)
            loss = only(frame, task="donor", panel="performance_loss", donor=donor, target=target)
            assert loss["value"] == pytest.approx((top - value) / (top - 0.5))
            assert loss["low"] <= loss["value"] <= loss["high"]


def test_an_interval_is_that_of_the_mean_over_seeds_on_drawn_groups(study: Study, grid: Grid) -> None:
    cell = grid.of("donor", "adapted")["human", "mouse"]
    stored = [study.predictions[run.key] for run in cell.runs]
    names = sorted(set(stored[0].groups))
    members = [[i for i, group in enumerate(stored[0].groups) if group == name] for name in names]
    random = np.random.default_rng(1).integers(len(names), size=(60, len(names)))
    drawn = []
    for groups in random:
        rows = [i for group in groups for i in members[group]]
        drawn.append(np.mean([roc_auc_score(each.labels[rows], each.probabilities[rows]) for each in stored]))
    assert [cell.auroc.low, cell.auroc.high] == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=1e-6)


def test_correlation_with_distance_is_spearmans_and_says_what_it_could_have_found(study: Study, grid: Grid) -> None:
    frame = scores.by_distance(grid)
    part = frame[(frame["task"] == "donor") & (frame["method"] == "adapted")]
    assert sorted(part["distance"].unique()) == sorted(set(DISTANCES.values()))
    found = scores.correlations(grid)["donor", "adapted"]
    assert found.rho == pytest.approx(spearmanr(part["distance"], part["value"]).statistic)
    assert found.smallest == pytest.approx(2 / 24)


def test_the_table_has_every_method_and_its_gain_over_scratch(study: Study, grid: Grid) -> None:
    frame = scores.table(grid)
    assert set(frame["method"]) == set(words.METHODS)
    line = only(frame, task="donor", target="mouse", method="kmer")
    own, scratch = (
        areas(study, method="kmer", task="donor", target="mouse"),
        areas(study, method="scratch", task="donor", target="mouse"),
    )
    assert line["gain"] == pytest.approx(own[0] - np.mean(scratch))
    signs = np.array(np.meshgrid(*[[1, -1]] * 3)).reshape(3, -1).T
    means = signs @ (own[0] - np.array(scratch))
    assert line["p_seeds"] == pytest.approx(np.mean(np.abs(means) >= abs(means[0]) - 1e-12))
    assert line["p_seeds_smallest"] == 0.25
    part = frame[(frame["task"] == "donor") & (frame["target"] == "mouse") & frame["p"].notna()]
    ordered = part.sort_values("p")
    stepped = np.minimum(np.maximum.accumulate(ordered["p"].to_numpy() * np.arange(len(part), 0, -1)), 1)
    assert ordered["p_holm"].tolist() == pytest.approx(stepped.tolist())


def test_efficiencies_data_and_layers_are_in_the_metrics(study: Study, grid: Grid) -> None:
    frame = performance.table(grid)
    loss = only(scores.matrix(grid), task="donor", panel="performance_loss", donor="fly", target="human")["value"]
    about = {"task": "donor", "donor": "fly", "target": "human"}
    assert only(frame, metric="transfer_efficiency", **about)["value"] == pytest.approx(1 - loss)
    assert only(frame, metric="cka", at="deep", **about)["value"] == pytest.approx(0.98 - 0.172 - 0.12)
    own = np.mean(areas(study, task="donor", target="human", method="scratch"))
    others = np.mean(areas(study, task="donor", target="human", method="zero_shot"))
    assert only(frame, metric="species_specificity", task="donor", target="human")["value"] == pytest.approx(
        own - others
    )
    learned = []
    for given in ({"method": "scratch"}, {"method": "adapted", "policy": "interpolated", "donor": "human"}):
        shares = (125, 250, 500, 1000)
        points = [(s, a) for s in shares for a in areas(study, target="mouse", task="donor", share=s / 1000, **given)]
        learned.append(Learning(rows=[s for s, _ in points], scores=[a for _, a in points]))
    expected = curves.data_efficiency(learned[0], learned[1], learned[0].top())
    found = only(frame, metric="data_efficiency", task="donor", donor="human", target="mouse")
    assert found["value"] == pytest.approx(expected.value, nan_ok=True) if expected.value else pd.isna(found["value"])


def pair(**changes: float) -> Grid:
    """One near pair with these noises of its methods."""
    made = Study(species=("human", "mouse"), tasks=("donor",))
    about: dict[str, Any] = {"target": "mouse", "task": "donor"}
    made.add(changes["scratch"], **about, method="scratch")
    made.add(changes["adapted"], **about, method="adapted", donor="human", policy="interpolated", start="donor")
    for name, noise in changes.items():
        if name == "shuffled":
            made.add(noise, **about, method="adapted", donor="human", policy="shuffled")
        elif name == "kmer":
            made.add(noise, **about, method="kmer")
        elif name.startswith("half_"):
            given = {"donor": "human", "policy": "interpolated"} if name == "half_adapted" else {}
            made.add(noise, **about, **given, method=name.removeprefix("half_"), share=0.5)
    return made.grid(simulated=False)


def test_what_holds_and_what_does_not_is_computed() -> None:
    good = pair(scratch=5, adapted=1, shuffled=6, kmer=6, half_scratch=9, half_adapted=2)
    assert [check.held for check in checks.all_of(good)] == [True] * 4
    bad = pair(scratch=2, adapted=6, shuffled=2, kmer=1, half_scratch=2.1, half_adapted=8)
    found = checks.all_of(bad)
    assert [check.held for check in found] == [False] * 4
    assert found[0].failures[0].startswith("task donor, human → mouse: -0.")
    assert "as good, as far as these runs tell" in found[1].failures[0]
    assert found[0].words == "holds in 0 of 1"


def test_what_nobody_measured_is_neither_held_nor_failed() -> None:
    bare = pair(scratch=3, adapted=3)
    found = checks.all_of(bare)
    assert [check.held for check in found[1:]] == [None] * 3
    open_one = pair(scratch=1, adapted=9, half_scratch=1.2, half_adapted=9.5)
    near = checks.near_pairs_save(open_one)
    assert near.held is False
    assert "at most" in near.failures[0]


def test_a_near_pair_whose_curve_ends_too_early_is_left_open() -> None:
    made = Study(species=("human", "mouse"), tasks=("donor",))
    about: dict[str, Any] = {"target": "mouse", "task": "donor", "method": "adapted", "donor": "human"}
    for share in (0.5, 1.0):
        made.add(2.0, **about, share=share, policy="interpolated")
    found = checks.near_pairs_save(made.grid())
    assert (found.held, "no run from nothing on mouse" in found.words) == (None, True)


def test_a_near_pair_whose_bounds_lie_on_both_sides_is_left_open(monkeypatch: pytest.MonkeyPatch) -> None:
    for score, held in (
        (undefined("short", at_least=1.5), None),
        (undefined("short", at_least=2.5), True),
        (undefined("short", at_most=3.0), None),
    ):
        monkeypatch.setattr(performance, "data_efficiency", lambda *_, score=score: {("human", "mouse"): score})
        assert checks.near_pairs_save(pair(scratch=3, adapted=3)).held is held


def test_one_pair_and_one_seed_are_called_what_they_are() -> None:
    grid = pair(scratch=3, adapted=2)
    assert grid.marks == ("reduced grid",)
    assert grid.gaps == ["human: no run", "task donor: 1 seed, 3 wanted for a claim"]
    frame = scores.matrix(grid)
    missing = only(frame, panel="zero_shot", donor="human", target="mouse")
    assert pd.isna(missing["value"])
    assert missing["reason"] == "human has not learnt donor"
    assert pd.isna(only(frame, panel="adapted", donor="human", target="mouse")["seed_sd"])
    assert scores.table(grid)["p_seeds"].isna().all()


def test_a_missing_cell_says_why() -> None:
    made = invented.full(seeds=(1, 2, 3), species=("human", "mouse", "fly"), tasks=("donor",))
    made.runs = [r for r in made.runs if (r.target, r.donor) != ("human", "fly")]
    assert made.grid().why_missing("donor", "adapted", ("fly", "human")) == "not run"
    assert made.grid().gaps == ["task donor: 5 of 6 ordered pairs"]
    made.runs = [replace(run, grid="reduced") for run in made.runs if run.target != "mouse"]
    grid = made.grid(left_out={"mouse": "no rows"})
    assert grid.why_missing("donor", "adapted", ("fly", "human")) == "not part of the reduced grid"
    assert grid.why_missing("donor", "adapted", ("human", "mouse")) == "no rows"
    assert grid.why_missing("donor", "adapted", ("mouse", "human")) == "no rows"
    assert grid.gaps[:2] == ["the pipeline's own adapters were judged", "mouse: no rows"]


def test_a_scratch_run_that_is_missing_leaves_its_gains_open() -> None:
    made = Study(species=("human", "mouse"), tasks=("donor",))
    made.add(2.0, target="mouse", task="donor", method="adapted", donor="human", policy="step", curve=())
    grid = made.grid()
    assert only(scores.matrix(grid), panel="scratch", target="mouse")["reason"] == "not run"
    assert scores.table(grid)["gain"].isna().all()
    assert checks.not_worse(grid).held is None
    assert grid.policy == "step"
    (stability,) = [line for line in frames.lines(scores.convergence(grid)) if line["metric"] == "stability"]
    assert stability["reason"].startswith("0 epochs are too few")


def test_runs_that_do_not_belong_together_are_refused() -> None:
    made = Study(species=("human", "mouse"), tasks=("donor",))
    with pytest.raises(EpisomeError, match="no run; a report wants one"):
        made.grid()
    made.add(2.0, target="mouse", task="donor", method="scratch", seed=1)
    made.runs *= 2
    with pytest.raises(EpisomeError, match="stands there twice"):
        made.grid()
    made.runs.pop()
    made.add(2.0, target="mouse", task="donor", method="cnn", seed=1)
    stored = made.predictions[made.runs[-1].key]
    made.predictions[made.runs[-1].key] = Predictions(
        labels=1 - stored.labels, probabilities=stored.probabilities, groups=stored.groups
    )
    with pytest.raises(EpisomeError, match=r"mouse-base-scratch.* other test rows"):
        made.grid()
    made.add(2.0, target="dragon", task="donor", method="cnn", seed=1)
    with pytest.raises(EpisomeError, match="runs of dragon; wanted: human, mouse"):
        made.grid()
    with pytest.raises(EpisomeError, match="no distance of elf and orc"):
        invented.setting().distance(("elf", "orc"))


def only_cell(made: Study, method: str) -> Cell:
    (found,) = [cell for cell in made.grid().cells if cell.method == method]
    return found


def test_an_adapted_run_of_one_seed_stands_for_no_other_seed() -> None:
    made = Study(species=("human", "mouse"), tasks=("donor",))
    for seed in (1, 2, 3):
        made.add(5.0, target="mouse", task="donor", method="scratch", seed=seed)
    made.add(1.0, target="mouse", task="donor", method="adapted", donor="human", policy="interpolated", seed=2)
    made.add(1.0, target="mouse", task="donor", method="kmer", seed=1)
    frame = scores.table(made.grid())
    kmer, scratch = only_cell(made, "kmer"), only_cell(made, "scratch")
    there, back = over_seeds(kmer, scratch), over_seeds(scratch, kmer)
    assert there is not None
    assert back is not None
    assert there.p == back.p
    # one difference and its opposite: nothing can be said; three would give 0.25
    assert only(frame, method="adapted")["p_seeds_smallest"] == 1
    assert only(frame, method="kmer")["p_seeds_smallest"] == 0.25


def test_pairs_without_a_distance_are_left_out_with_their_reason() -> None:
    why = "no divergence time of fly is known"
    gaps = {(other, "fly"): why for other in ("human", "mouse", "zebrafish")}
    grid = invented.full().grid(
        distances={pair: value for pair, value in DISTANCES.items() if "fly" not in pair}, unknown=gaps
    )
    assert grid.setting.measured == ("human", "mouse", "zebrafish")
    frame = scores.by_distance(grid)
    about = {"task": "donor", "method": "adapted", "donor": "fly", "target": "human"}
    assert pd.isna(only(frame, **about)["value"])
    assert only(frame, **about)["reason"] == why
    assert scores.correlations(grid)["donor", "adapted"].species == 3
    adjusted = performance.table(grid)
    adjusted = adjusted[adjusted["metric"] == "distance_adjusted_efficiency"]
    assert only(adjusted, task="donor", donor="fly", target="human")["reason"] == why
    assert pd.notna(only(adjusted, task="donor", donor="mouse", target="human")["value"])
    sheet = matrices.distance(grid)
    assert f"Without a distance: human, fly: {why}" in sheet.panels[0].caption
    assert f"fly → human: missing ({why})" in sheet.panels[0].words
    assert all(drawing.svg(panel, grid.marks).svg for panel in sheet.panels)


def test_a_study_without_any_distance_is_reported_all_the_same() -> None:
    made = invented.full(species=("human", "mouse"), tasks=("donor",))
    grid = made.grid(distances={}, unknown={("human", "mouse"): "no tree"})
    assert grid.setting.measured == ("human",)
    found = checks.near_pairs_save(grid)
    assert (found.held, "human → mouse: no tree" in found.words) == (None, True)
    assert scores.correlations(grid)["donor", "adapted"].rho is None
    assert book.files(grid)["dashboard.html"]


def test_draws_without_a_class_give_no_interval() -> None:
    found = interval(0.5, np.full(3, np.nan), 0.95)
    assert (found.low, found.high) == (None, None)


def test_seeds_that_two_methods_do_not_share_are_not_tested() -> None:
    made = Study(species=("human", "mouse"), tasks=("donor",))
    for method, seeds in (("scratch", (1, 2)), ("cnn", (3, 4))):
        for seed in seeds:
            made.add(2.0, target="mouse", task="donor", method=method, seed=seed)
    line = only(scores.table(made.grid()), method="cnn")
    assert pd.isna(line["p_seeds"])
    assert pd.notna(line["p"])
