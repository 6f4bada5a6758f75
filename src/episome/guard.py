"""What holds a retrain to its champion: EWC of ΔW, or what it is compared with, as `train.guard` says.

All are weighed by `train.ewc_lambda`. EWC and learning without forgetting are in nats per example, so that one λ means
the same of both; MAS and L2-SP are not, and what a λ of theirs does shows in the KL (`retraining`) alone. Unless
`train.memory` is ``full``, the champion's answers stand beside whichever guard it is, by `train.lwf_lambda`.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from episome import ewc, train
from episome.classifier import Classifier, Examples
from episome.learning import Train
from episome.objective import Memory
from episome.types import EpisomeError


def fisher(classifier: Classifier, examples: Examples, numbers: Train, seed: int) -> ewc.Fisher:
    """What mattered to a training, kept as its retrain will need it."""
    apart, rows = numbers.guard == "ewc_factors", numbers.fisher_rows
    state = train.fisher(classifier, examples, rows, seed, full=numbers.fisher == "full", apart=apart)
    return replace(state, mas=train.mas(classifier, examples, rows, seed)) if numbers.guard == "mas" else state


def memory(
    champion: Classifier, state: ewc.Fisher, fitting: Examples, numbers: Train, replayed: Examples | None = None
) -> Memory:
    """What a retrain remembers of its champion.

    Args:
        champion: as it is before anything is learned; its first tasks are those of `state`.
        state: its Fisher information, of all its versions.
        fitting: rows of the retrain.
        numbers: their guard says which memory.
        replayed: rows of the champion to learn beside them.

    Raises:
        EpisomeError: the guard is MAS, and the champion was trained under another.
    """
    given = answers(champion, fitting, len(state.head_bias)) if numbers.answers_lambda > 0 else None
    weighed = _importance(champion, state, numbers)
    prior = None if weighed is None else train.anchor(champion, weighed)
    return Memory(prior=prior, answers=given, replayed=replayed)


def _importance(champion: Classifier, state: ewc.Fisher, numbers: Train) -> ewc.Fisher | None:
    """What the guard weighs a distance to the champion by; None where it measures none."""
    if numbers.guard in ("none", "lwf"):
        return None
    if numbers.guard == "l2sp":
        return level(champion, state)
    if numbers.guard == "mas":
        if state.mas is None:
            raise EpisomeError("the champion's Fisher has no MAS beside it; train it with train.guard: mas too")
        return state.mas
    return state


def level(champion: Classifier, state: ewc.Fisher) -> ewc.Fisher:
    """L2-SP: weight 1 on everything, on the head's composition in the units that it is trained in."""
    alike = ewc.flat(state)
    composition = len(champion.head.scale)
    if composition:
        alike.head_weight[:, -composition:] = champion.head.scale**2
    return alike


def answers(champion: Classifier, rows: Examples, tasks: int) -> NDArray[np.float32]:
    """The champion's logits float32 [n, L]; NaN beyond its own tasks, and for a site task where a row has no centre."""
    logits = champion.logits(rows)
    logits[:, tasks:] = np.nan
    for k, task in enumerate(champion.tasks):
        if task.scope == "site":
            logits[rows.centres == 0, k] = np.nan
    return logits
