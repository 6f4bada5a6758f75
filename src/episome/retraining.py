"""A retrain, whole: the champion learns new rows, held to what it knew, with what `train.memory` leaves it of the old.

One call for whoever has a champion and rows at hand; the stage `train` makes the same one. λ of the guard is given, or
found from a KL budget: the smallest on a grid under which the answers stay as near the champion's as is asked.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch

from episome import ewc, guard, heir, lora, objective, stacking, start, train
from episome.adapting import Ready
from episome.classifier import Classifier, Examples
from episome.curve import Curve
from episome.dataset import MISSING, label_column
from episome.learning import Train
from episome.pace import STEADY
from episome.start import Start
from episome.types import EpisomeError

Watch = Callable[[str, Iterator[train.Step | train.Epoch]], Curve]
"""Runs a training under a name to its end and answers its curve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Champion:
    """What a retrain starts from.

    Attributes:
        classifier: adapter and head; a retrain changes them.
        state: Fisher information that `guard.fisher`, or the retrain before, answered; of its first tasks.
        releases: that it was trained on.
        coreset: what `coreset.choose` chose of their training rows, for ``train.memory: coreset``.
    """

    classifier: Classifier
    state: ewc.Fisher
    releases: frozenset[str]
    coreset: pd.DataFrame | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrain:
    """A retrain about to begin.

    Attributes:
        champion: its classifier is as the champion was.
        ready: rows and weights that it begins with.
        anchor: the champion, weighed by its Fisher information, whatever the guard.
        proof: validation rows of the champion's own releases; None where its answers may not be asked.
        answers: the champion's logits of them.
    """

    champion: Champion
    ready: Ready
    anchor: ewc.Anchor
    proof: Examples | None
    answers: torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a retrain came to; the classifier holds its weights.

    Attributes:
        numbers: that it was trained with, the λ that was found in them.
        curve: of that training.
        state: Fisher information to keep for the next retrain.
        trail: every λ tried with its KL in nats per example; empty without a budget.
        record: what it began with and what λ was found how, as JSON has it.
    """

    numbers: Train
    curve: Curve
    state: ewc.Fisher
    trail: list[dict[str, float]]
    record: dict[str, Any]


def followed(_name: str, events: Iterator[train.Step | train.Epoch]) -> Curve:
    """A `Watch` that shows nothing."""
    curve = Curve()
    for event in events:
        curve.add(event)
    return curve


def retrain(
    champion: Champion,
    rows: pd.DataFrame,
    numbers: Train,
    *,
    seed: int,
    watch: Watch = followed,
    keep: Callable[[Train], train.Keep] | None = None,
) -> Done:
    """Train a champion on in place.

    Args:
        champion: what it starts from.
        rows: of the species: columns ``sequence``, ``split``, ``release`` and labels. Training rows of releases that
            the champion does not have are the new ones; test rows are not looked at.
        numbers: guard, memory and λ among them.
        seed: of the training and of the rows that the Fisher information is taken on.
        watch: follows each training.
        keep: where a training under these numbers writes down how far it is.

    Raises:
        EpisomeError: nothing to learn, nothing to measure on, or a part of what `numbers` ask for did not come.
    """
    return run(prepare(champion, rows, numbers), seed=seed, watch=watch, keep=keep)


def prepare(champion: Champion, rows: pd.DataFrame, numbers: Train) -> Retrain:
    """Everything that a retrain depends on, as `retrain` says."""
    subject, old, learn = champion.classifier, rows["release"].isin(champion.releases), rows["split"] == "train"
    if not (learn & ~old).any():
        raise EpisomeError(
            f"no training row beyond the champion's releases {sorted(champion.releases)}; nothing to learn"
        )
    own = rows[learn] if numbers.memory == "full" else rows[learn & ~old]
    fitting, judging = stacking.examples(subject, own, numbers), subject.examples(rows[rows["split"] == "val"])
    stacking.condition(subject, fitting)
    replayed = _replayed(champion, numbers)
    memory = guard.memory(subject, champion.state, fitting, numbers, replayed)
    begin = Start(name="prior", weights=start.weights(subject), numbers=numbers, pace=STEADY, memory=memory)
    new, whole = int((learn & ~old).sum()), len(own)
    about = {"new": new, "old": whole - new, "replayed": 0 if replayed is None else replayed.own}
    record = {"from": "prior", "memory": numbers.memory, "guard": numbers.guard, "rows": about}
    proof = _proof(champion, rows[old & (rows["split"] == "val")], numbers)
    return Retrain(
        champion=champion,
        ready=Ready(start=begin, fitting=fitting, judging=judging, record=record),
        anchor=train.anchor(subject, champion.state),
        proof=proof,
        answers=torch.zeros(0) if proof is None else torch.from_numpy(subject.logits(proof)),
    )


def run(
    asked: Retrain, *, seed: int, watch: Watch = followed, keep: Callable[[Train], train.Keep] | None = None
) -> Done:
    """Train under the λ that is given, or under one after another until the KL budget is kept."""
    champion, subject, ready = asked.champion, asked.champion.classifier, asked.ready
    numbers, budget = ready.start.numbers, ready.start.numbers.ewc_kl_budget
    trail: list[dict[str, float]] = []
    curve = Curve()
    for weight in (numbers.ewc_lambda,) if budget is None else numbers.ewc_lambda_grid:
        start.put(subject, ready.start)
        numbers = numbers.model_copy(update={"ewc_lambda": weight})
        at, memory = keep(numbers) if keep else None, ready.start.memory
        events = train.fit(subject, ready.fitting, ready.judging, numbers, seed=seed, memory=memory, keep=at)
        curve = watch(f"λ {weight:g}", events)
        lost = heir.retreat(subject, ready.start.weights, numbers.interpolate)
        if numbers.balance != "none":
            stacking.level(subject, ready.judging)
        if budget is not None:
            trail.append({"ewc_lambda": weight, "kl": strayed(asked)})
            if trail[-1]["kl"] <= budget:
                break
    fresh = guard.fisher(subject, ready.fitting, numbers, seed)
    # With every row before it, what was found holds the past already; added to the prior's it would count twice.
    state = fresh if numbers.memory == "full" else ewc.accumulate(champion.state, fresh, numbers.fisher_decay)
    record = ready.record | {"ewc_lambda": numbers.ewc_lambda, "interpolate": numbers.interpolate, "cut_off": lost}
    if budget is not None:
        how, value = "predicted" if asked.proof is None else "measured", trail[-1]["kl"]
        record["kl"] = {"budget": budget, "how": how, "value": value, "kept": value <= budget}
    return Done(numbers=numbers, curve=curve, state=state, trail=trail, record=record)


def strayed(asked: Retrain) -> float:
    """KL(champion ‖ what its classifier is now) in nats per example, summed over the labels that an example has.

    Measured on the champion's validation rows. Where no row of its may be asked, ½ Σ F (ΔW − ΔW*)² predicts it, by the
    Fisher information of all versions so far together: rather too much than too little.
    """
    subject = asked.champion.classifier
    if asked.proof is None:
        with torch.no_grad():
            return float(ewc.penalty(lora.layers(subject.encoder), *subject.head.folded(), asked.anchor))
    there = torch.from_numpy(asked.proof.labels != MISSING)[:, : len(asked.anchor.head_bias)]
    known = there.shape[1]
    now = torch.from_numpy(subject.logits(asked.proof))
    parted = objective.divergence(asked.answers[:, :known], now[:, :known]) * there
    return float(parted.double().sum() / len(there))


def _replayed(champion: Champion, numbers: Train) -> Examples | None:
    if numbers.memory != "coreset" or numbers.replay_share == 0:
        return None
    if champion.coreset is None or champion.coreset.empty:
        raise EpisomeError("train.memory is coreset and no row of the champion came; `episome retrain` pins them")
    return stacking.examples(champion.classifier, champion.coreset, numbers)


def _proof(champion: Champion, held_out: pd.DataFrame, numbers: Train) -> Examples | None:
    """Rows that a KL is measured on; None where there is no budget, or no row of the champion may be asked."""
    if numbers.ewc_kl_budget is None or numbers.memory == "none":
        return None
    tasks = champion.classifier.tasks[: len(champion.state.head_bias)]
    columns = [name for task in tasks if (name := label_column(task.name)) in held_out]
    asked = held_out[(held_out[columns] != MISSING).any(axis=1)]
    if asked.empty:
        raise EpisomeError(
            "train.ewc_kl_budget is measured on validation rows of the champion's releases, and none is here; "
            "set it to null, or train.memory to none, where it is predicted"
        )
    return champion.classifier.examples(asked)
