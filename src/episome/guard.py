"""What holds a retrain to its champion: EWC of ΔW, or what it is compared with, as `train.guard` says.

All are weighed by `train.ewc_lambda`. EWC and learning without forgetting are in nats per example, so that one λ means
the same of both; L2-SP has no unit of its own. SI and MAS are not here: they need what no prior keeps.
"""

import numpy as np
from numpy.typing import NDArray

from episome import ewc, train
from episome.classifier import Classifier, Examples
from episome.learning import Train
from episome.objective import EMPTY, Memory


def fisher(classifier: Classifier, examples: Examples, numbers: Train, seed: int) -> ewc.Fisher:
    """What mattered to a training, kept as its retrain will need it."""
    apart = numbers.guard == "ewc_factors"
    return train.fisher(classifier, examples, numbers.fisher_rows, seed, full=numbers.fisher == "full", apart=apart)


def memory(champion: Classifier, state: ewc.Fisher, fitting: Examples, numbers: Train) -> Memory:
    """What a retrain remembers of its champion.

    Args:
        champion: as it is before anything is learned; its first tasks are those of `state`.
        state: its Fisher information, of all its versions.
        fitting: rows of the retrain.
        numbers: their guard says which memory.
    """
    if numbers.guard == "none":
        return EMPTY
    if numbers.guard == "lwf":
        return Memory(answers=answers(champion, fitting, len(state.head_bias)))
    if numbers.guard == "l2sp":
        state = level(champion, state)
    return Memory(prior=train.anchor(champion, state))


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
