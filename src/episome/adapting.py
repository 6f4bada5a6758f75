"""A species' training made ready: composition fitted, and adapter set to its donor's or to nothing.

The stage `train` and the transfer study both begin here, so that what the study measures is what the platform does.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from episome import composition, ewc, lora, model, stacking, start, tokenizer, train
from episome.blend import Blend
from episome.classifier import Classifier, Examples
from episome.learning import Train
from episome.objective import Memory
from episome.pace import STEADY, Pace
from episome.params import Params
from episome.policy import Plan
from episome.start import Start
from episome.types import EpisomeError, Task

Watch = Callable[[str, Iterator[train.Step | train.Epoch]], float]
"""Runs a training under a name and answers its best mean validation AUROC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Donor:
    """Whose adapter a training may start from, and how it goes on from there.

    Attributes:
        name: species key.
        folder: its adapter.
        plan: what the policy says about it; None where the policy is switched off.
        numbers: of the training under the plan.
        mixture: of its adapter with others, which then is the start instead of it.
        rows: its own rows, where `Train.joint_lambda` asks for them.
    """

    name: str
    folder: Path
    plan: Plan | None
    numbers: Train
    mixture: Blend | None = None
    rows: pd.DataFrame | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A training about to begin.

    Attributes:
        start: what the classifier is set to, and how to train from there.
        fitting: training rows, with the offset that composition leaves.
        judging: validation rows.
        record: what it starts from and what the check found, as JSON has it.
    """

    start: Start
    fitting: Examples
    judging: Examples
    record: dict[str, Any]


def fresh(chosen: Params, species: str, base: Path, seed: int) -> Classifier:
    """Base, an adapter that changes nothing, and an empty head of the species' tasks."""
    return untaught(chosen, chosen.tasks_of(species), base, seed)


def untaught(chosen: Params, tasks: Sequence[Task], base: Path, seed: int) -> Classifier:
    """Base, an adapter that changes nothing, and an empty head of `tasks`."""
    encoder = model.load(base)
    adapter = lora.attach(encoder, **chosen.lora.model_dump(), seed=seed)
    return Classifier(
        adapter,
        encoder.config.hidden_size,
        tokenizer.Tokenizer.load(base / "tokenizer.json"),
        tasks,
        composition.asked(chosen.head),
    )


def ready(
    subject: Classifier,
    rows: tuple[Examples, Examples],
    chosen: Params,
    numbers: Train,
    donor: Donor | None,
    watch: Watch,
    *,
    seed: int,
) -> Ready:
    """Put the donor's adapter on `subject`, unless starting from nothing does better (`start.better`).

    Args:
        subject: as `fresh` made and `stacking.prepare` left it.
        rows: what `stacking.prepare` answered.
        chosen: params.
        numbers: of a training from nothing.
        donor: None starts from nothing.
        watch: for the short trainings of the check.
        seed: of those trainings.

    Raises:
        EpisomeError: the donor's adapter does not fit, or what its numbers ask to keep of it is missing.
    """
    fitting, judging = rows
    nothing = Start(name="nothing", weights=start.weights(subject), numbers=numbers, pace=STEADY)
    if donor is None:
        return Ready(start=nothing, fitting=fitting, judging=judging, record={"from": "nothing"})
    about = _put(subject, donor, scale=chosen.lora.alpha / chosen.lora.rank)
    speed = STEADY if donor.plan is None else pace_of(donor.plan)
    remembered = memory(subject, donor, fitting)
    given = Start(name=donor.name, weights=start.weights(subject), numbers=donor.numbers, pace=speed, memory=remembered)
    epochs = chosen.transfer.check_epochs
    if epochs == 0:
        return Ready(start=given, fitting=fitting, judging=judging, record={"from": donor.name} | about)
    better, scores = start.better(subject, (given, nothing), fitting, judging, epochs, watch, seed=seed)
    record = {"from": better.name, "validation_auroc": scores, "epochs": epochs} | about
    return Ready(start=better, fitting=fitting, judging=judging, record=record)


def memory(subject: Classifier, donor: Donor, fitting: Examples) -> Memory:
    """What the donor's numbers ask to keep of it; `subject` is at the start that the donor gives."""
    numbers, held, rows = donor.numbers, None, None
    if numbers.retain_lambda > 0:
        held = train.anchor(subject, ewc.importance(ewc.load(donor.folder / ewc.FILE)))
    if numbers.joint_lambda > 0:
        if donor.rows is None:
            raise EpisomeError(
                f"joint training (train.joint_lambda: {numbers.joint_lambda}) needs the rows of {donor.name}; none came"
            )
        rows = stacking.beside(subject, donor.rows, numbers)
    states = subject.pooled(fitting) if numbers.distil_lambda > 0 else None
    return Memory(donor=held, states=states, rows=rows)


def _put(subject: Classifier, donor: Donor, *, scale: float) -> dict[str, Any]:
    """Set the adapter to the donor's, or to its mixture; answers what the record says of the mixture."""
    if donor.mixture is None:
        lora.load_factors(subject.encoder, donor.folder / lora.WEIGHTS, scale=scale)
        return {}
    lora.fill(subject.encoder, donor.mixture.factors, scale=1.0, said=f"the mixture with {donor.name}")
    return {"mixture": {"weights": list(donor.mixture.weights), "lost": donor.mixture.lost}}


def pace_of(plan: Plan) -> Pace:
    """What a plan asks of the optimiser."""
    return Pace(
        group_rates=plan.group_rates,
        frozen_share=plan.frozen_share,
        swing=plan.swing,
        top_first=plan.route == "progressive",
    )
