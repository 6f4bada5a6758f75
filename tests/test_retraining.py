"""A retrain as one call: what it learns from under each memory, and the smallest λ that keeps within a KL budget."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from episome import coreset, ewc, guard, lora, objective, retraining, stacking, train
from episome.classifier import Classifier
from episome.curve import Curve
from episome.learning import Train
from episome.retraining import Champion, Done
from episome.types import EpisomeError
from tests.test_objective import Gradients, gradients, moved
from tests.test_train import base, numbers, same, split, state, toy_rows

__all__ = ["base"]

GUARDS = ("ewc", "ewc_factors", "mas", "l2sp", "lwf", "none")
NAIVE = {"guard": "none", "memory": "none", "lwf_lambda": 0.0}


def rows() -> pd.DataFrame:
    """Old rows, and new ones whose labels are turned round."""
    old, new = toy_rows(96, 0), toy_rows(64, 1)
    labels = ("label_whole", "label_site")
    turned = new.assign(**{name: np.where(new[name] < 0, -1, 1 - new[name]).astype("int8") for name in labels})
    return pd.concat([old.assign(release="none"), turned.assign(release="later")], ignore_index=True)


def few() -> pd.DataFrame:
    known = rows()
    return coreset.choose(known[(known["split"] == "train") & (known["release"] == "none")], 6, 0)


def champion(base: Path, chosen: Train) -> Champion:
    subject = moved(base)
    kept = guard.fisher(subject, split(subject, toy_rows(96, 0), "train"), chosen, 0)
    return Champion(classifier=subject, state=kept, releases=frozenset({"none"}), coreset=few())


def one_epoch(_name: str, events: Iterator[train.Step | train.Epoch]) -> Curve:
    """Follow to the end of the first epoch; the best epoch's weights, perhaps the champion's, would come back later."""
    curve = Curve()
    for event in events:
        curve.add(event)
        if isinstance(event, train.Epoch):
            break
    return curve


def retrained(base: Path, **changes: object) -> tuple[Champion, Done]:
    chosen = numbers(fisher_rows=20, **changes)
    start = champion(base, chosen)
    return start, retraining.retrain(start, rows(), chosen, seed=0, watch=one_epoch)


def test_every_memory_and_every_guard_makes_another_adapter(base: Path) -> None:
    seen = [
        state(retrained(base, guard="ewc", ewc_lambda=30.0, memory=name)[0].classifier) for name in ("full", "none")
    ]
    for name in GUARDS:
        begun, done = retrained(base, guard=name, ewc_lambda=30.0, memory="coreset")
        assert done.record["rows"] == {"new": 32, "old": 0, "replayed": len(few())}
        seen.append(state(begun.classifier))
    for k, one in enumerate(seen):
        assert not any(same(one, other) for other in seen[:k]), k


def test_without_weights_and_memory_it_is_naive_training_to_the_bit(base: Path) -> None:
    alone = moved(base)
    known = rows()
    new = known[known["release"] == "later"]
    fitting, judging = split(alone, new, "train"), split(alone, known, "val")
    stacking.condition(alone, fitting)
    one_epoch("naive", train.fit(alone, fitting, judging, numbers(), seed=0))
    for name in GUARDS:
        begun, _ = retrained(base, **NAIVE | {"guard": name, "ewc_lambda": 0.0})
        assert same(state(begun.classifier), state(alone)), name
    for change in ({"lwf_lambda": 1.0}, {"memory": "coreset"}, {"memory": "full"}):
        begun, _ = retrained(base, **NAIVE | change)
        assert not same(state(begun.classifier), state(alone)), change
    begun, _ = retrained(base, **NAIVE | {"memory": "coreset", "replay_share": 0.0})
    assert same(state(begun.classifier), state(alone))


def test_the_share_is_what_replayed_rows_count_in_a_step(base: Path) -> None:
    subject, chosen = moved(base), numbers(**NAIVE | {"memory": "coreset", "replay_share": 0.25})
    fitting, replayed = split(subject, toy_rows(96, 1), "train"), subject.examples(few())
    memory = guard.memory(subject, champion(base, numbers()).state, fitting, chosen, replayed)
    parts = [part for part in objective.lessons(fitting, memory, chosen) if part is not None]
    got: list[Gradients] = []
    alone: list[Gradients] = []
    for part, examples in zip(parts, (fitting, replayed), strict=True):
        assert part.examples is examples
        step = [objective.Draw(rows=np.arange(len(examples.encodings)))]
        for lesson, found in ((part, got), (objective.lesson(examples, chosen), alone)):
            subject.zero_grad()
            objective.accumulate(subject, lesson, step, chosen)
            found.append(gradients(subject))
    for share, weighed, plain in zip((0.75, 0.25), got, alone, strict=True):
        for name, gradient in plain.items():
            torch.testing.assert_close(weighed[name], share * gradient, atol=1e-7, rtol=1e-5)


def test_what_is_kept_for_the_next_counts_every_row_once(base: Path) -> None:
    known = rows()
    for name, learned in (("full", known), ("none", known[known["release"] == "later"])):
        begun, done = retrained(base, guard="ewc", ewc_lambda=1.0, memory=name)
        fresh = guard.fisher(begun.classifier, split(begun.classifier, learned, "train"), done.numbers, 0)
        wanted = fresh if name == "full" else ewc.accumulate(begun.state, fresh)
        for layer, row in wanted.rows.items():
            torch.testing.assert_close(done.state.rows[layer], row)


def measured(base: Path, subject: Classifier) -> float:
    """KL on the champion's own validation rows, row by row."""
    known = rows()
    asked = known[(known["release"] == "none") & (known["split"] == "val")]
    labels = asked[["label_whole", "label_site"]].to_numpy() >= 0
    old, new = (each.logits(each.examples(asked)).astype(np.float64) for each in (moved(base), subject))
    p, q = 1 / (1 + np.exp(-old)), 1 / (1 + np.exp(-new))
    kl = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    return float((kl * labels).sum() / len(asked))


@pytest.mark.parametrize("memory", ["coreset", "none"])
def test_the_smallest_weight_that_keeps_the_budget_is_found(base: Path, memory: str) -> None:
    grid = (1e-3, 1.0, 1e3)
    about = {"memory": memory, "ewc_lambda_grid": grid, "lwf_lambda": 0.0}
    loose, far = retrained(base, **about, ewc_kl_budget=1e-9)
    assert [each["ewc_lambda"] for each in far.trail] == list(grid)
    assert far.record["kl"] | {"value": 0} == {
        "budget": 1e-9, "how": "predicted" if memory == "none" else "measured", "value": 0, "kept": False,
    }  # fmt: skip
    assert far.numbers.ewc_lambda == grid[-1]
    kl = [each["kl"] for each in far.trail]
    assert kl[2] < kl[1] < kl[0]
    if memory == "coreset":
        assert kl[2] == pytest.approx(measured(base, loose.classifier), rel=1e-3)
    begun, done = retrained(base, **about, ewc_kl_budget=kl[1])
    assert done.trail == far.trail[:2]
    assert (done.numbers.ewc_lambda, done.record["kl"]["kept"]) == (1.0, True)
    given, plain = retrained(base, **about, ewc_kl_budget=None, ewc_lambda=1.0)
    assert same(state(given.classifier), state(begun.classifier))
    assert plain.trail == []
    assert "kl" not in plain.record


def test_a_search_that_was_killed_begins_no_weight_anew(base: Path, tmp_path: Path) -> None:
    chosen = numbers(epochs=2, fisher_rows=20, memory="none", ewc_lambda_grid=(0.1, 0.2), ewc_kl_budget=1e-30)
    taken: list[int] = []

    def keep(asked: Train) -> train.Keep:
        path = tmp_path / f"{asked.ewc_lambda:g}.safetensors"
        return train.Keep(path=path, fingerprint=str(asked.ewc_lambda), seconds=1e9)

    def killed(name: str, events: Iterator[train.Step | train.Epoch]) -> Curve:
        if taken:
            raise KeyboardInterrupt
        return watch(name, events)

    def watch(name: str, events: Iterator[train.Step | train.Epoch]) -> Curve:
        curve = retraining.followed(name, events)
        taken.append(len(curve.steps))
        return curve

    with pytest.raises(KeyboardInterrupt):
        retraining.retrain(champion(base, chosen), rows(), chosen, seed=0, watch=killed, keep=keep)
    resumed, whole = champion(base, chosen), champion(base, chosen)
    done = retraining.retrain(resumed, rows(), chosen, seed=0, watch=watch, keep=keep)
    assert taken[0] == taken[2] > taken[1] == 0
    assert retraining.retrain(whole, rows(), chosen, seed=0).trail == done.trail
    assert same(state(resumed.classifier), state(whole.classifier))


def test_without_rows_the_divergence_is_predicted_by_the_fisher(base: Path) -> None:
    begun, done = retrained(base, memory="none", guard="l2sp", ewc_kl_budget=1e9)
    layers = list(lora.layers(begun.classifier.encoder))
    before = train.anchor(moved(base), begun.state)
    wanted = ewc.penalty(layers, *begun.classifier.head.folded(), before).item()
    assert done.trail[0]["kl"] == pytest.approx(wanted, rel=1e-4)
    assert wanted > 0


def test_what_is_asked_for_and_not_there_is_named(base: Path) -> None:
    known, chosen = rows(), numbers(memory="coreset", ewc_kl_budget=0.02)
    start = champion(base, chosen)
    with pytest.raises(EpisomeError, match=r"no training row beyond the champion's releases \['none'\]"):
        retraining.prepare(start, known[known["release"] == "none"], chosen)
    without = Champion(classifier=start.classifier, state=start.state, releases=start.releases)
    with pytest.raises(EpisomeError, match="memory is coreset and no row of the champion came"):
        retraining.prepare(without, known, chosen)
    gone = known[~((known["release"] == "none") & (known["split"] == "val"))]
    with pytest.raises(EpisomeError, match="measured on validation rows of the champion's releases, and none is here"):
        retraining.prepare(start, gone, chosen)
    with pytest.raises(EpisomeError, match=r"no MAS beside it; train it with train\.guard: mas too"):
        retraining.prepare(start, known, numbers(guard="mas"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ewc_lambda_grid": (1.0, 1.0)}, r"ewc_lambda_grid: 1\.0, 1\.0; wanted: rising"),
        ({"ewc_lambda_grid": (2.0, 1.0)}, r"ewc_lambda_grid: 2\.0, 1\.0; wanted: rising"),
        ({"ewc_kl_budget": 0.02, "guard": "none"}, "chooses λ of a guard, and guard is none"),
        ({"replay_share": 1.0}, "less than 1"),
    ],
)
def test_numbers_that_no_retrain_can_follow_are_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Train.model_validate(numbers().model_dump() | change)
