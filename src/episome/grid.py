"""The runs of a transfer study: which trainings there are, on which rows, under which plan, with which budget."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations, permutations, product

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from episome import dataset, study, transfer
from episome.params import Params
from episome.policy import Plan
from episome.studyparams import Method, Policy, RowsAtMost
from episome.types import EpisomeError

Tasks = Mapping[str, Sequence[str]]
"""Species key → the tasks that its rows hold."""

ONE_SEED: tuple[Method, ...] = ("kmer", "frozen_probe")
"""Hang on no seed by design: done for the first one, and standing for all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One training, or one donor's answer: a run for each of its tasks.

    Attributes:
        target: species key.
        donor: species key, or ``base``.
        tasks: of the target, for ``zero_shot`` those that the donor knows too.
        share: of the target's training rows.
    """

    target: str
    donor: str = "base"
    method: Method
    policy: Policy = ""
    tasks: tuple[str, ...]
    share: float = 1.0
    seed: int

    @property
    def keys(self) -> list[str]:
        """Keys of its runs, one a task."""
        about = asdict(self)
        tasks = about.pop("tasks")
        return [study.key(**about, task=task) for task in tasks]

    @property
    def shown(self) -> str:
        """For people."""
        start = "" if self.donor == "base" else f" from {self.donor}"
        policy, share = f" ({self.policy})" if self.policy else "", f", {self.share:.4g} of the rows"
        return f"{self.target}{start}: {self.method}{policy}, seed {self.seed}{share if self.share < 1 else ''}"


def waves(chosen: Params, tasks: Tasks) -> tuple[list[Job], list[Job]]:
    """All jobs: first those whose adapters are donors, then the others, which may run in any order.

    What no seed changes (k-mers, the linear probe) is done for the first seed alone.

    Raises:
        EpisomeError: full fine-tuning of the 117M base is among the methods, or a pair of the curves is unknown.
    """
    numbers = chosen.study
    if "full" in numbers.methods and chosen.base.size == "dnabert2":
        raise EpisomeError(
            "study.methods: 'full' with base.size dnabert2: every run would train 117 million weights, 1.9 GB of them "
            "with gradients and AdamW's two moments, and back-propagate to the lowest layer; `full` is there for the "
            "mini base: take it out of study.methods in params.yaml"
        )
    first, rest = list[Job](), list[Job]()
    for seed in numbers.seeds:
        for target, own in tasks.items():
            first.append(Job(target=target, method="scratch", tasks=tuple(own), seed=seed))
            rest += [
                Job(target=target, method=method, tasks=tuple(own), seed=seed)
                for method in numbers.methods
                if method not in {"scratch", "adapted", "zero_shot"}
                and (method not in ONE_SEED or seed == numbers.seeds[0])
            ]
        for target, donor in permutations(tasks, 2):
            rest += _pair(chosen, target, donor, tasks, seed)
    return first, [*dict.fromkeys([*rest, *_curves(chosen, tasks)])]


def _pair(chosen: Params, target: str, donor: str, tasks: Tasks, seed: int) -> list[Job]:
    jobs, numbers = list[Job](), chosen.study
    known = tuple(task for task in tasks[target] if task in tasks[donor])
    if "zero_shot" in numbers.methods and known:
        jobs.append(Job(target=target, donor=donor, method="zero_shot", tasks=known, seed=seed))
    if "adapted" in numbers.methods:
        jobs += [
            Job(target=target, donor=donor, method="adapted", policy=policy, tasks=tuple(tasks[target]), seed=seed)
            for policy in numbers.policies
        ]
    return jobs


def _curves(chosen: Params, tasks: Tasks) -> list[Job]:
    """Jobs on a share of the rows; a pair whose rows are missing is left out."""
    jobs, numbers = list[Job](), chosen.study
    for pair in numbers.curves.pairs:
        if unknown := {pair.donor, pair.target} - chosen.species.keys():
            raise EpisomeError(f"study.curves.pairs: no species {', '.join(sorted(unknown))} in params.yaml")
        there = {pair.donor, pair.target} <= tasks.keys()
        for share, seed in product(numbers.curves.shares if there else (), numbers.seeds):
            own = tuple(tasks[pair.target])
            scratch = Job(target=pair.target, method="scratch", tasks=own, share=share, seed=seed)
            jobs.append(scratch)
            if "adapted" in numbers.methods:
                jobs.append(replace(scratch, donor=pair.donor, method="adapted", policy=numbers.policies[0]))
    return [job for job in jobs if job.share < 1]


def plan(chosen: Params, target: str, donor: str, policy: Policy, seed: int) -> Plan | None:
    """What a policy says about a pair; None for ``fixed``.

    Args:
        chosen: params, whose `transfer.mode` is not looked at.
        target: species key.
        donor: species key.
        policy: mode; ``shuffled`` is ``interpolated`` at another pair's distance.
        seed: deals out the distances.

    Raises:
        EpisomeError: a distance is unknown, or the distances cannot be dealt out.
    """
    if policy == "fixed":
        return None
    names = chosen.of(target).scientific_name, chosen.of(donor).scientific_name
    numbers = chosen.transfer.model_copy(update={"mode": "step" if policy == "step" else "interpolated"})
    if policy != "shuffled":
        return transfer.plan(*names, numbers)
    given = {" / ".join(pair): value for pair, value in dealt(distances(chosen), seed).items()}
    dealt_out = numbers.model_copy(update={"distance": numbers.distance.model_copy(update={"given": given})})
    said = f"control: distances dealt out anew among the pairs, seed {seed}"
    return replace(transfer.plan(*names, dealt_out), measure="shuffled", source=said)


def distances(chosen: Params) -> dict[tuple[str, str], float]:
    """Distance of every two species, by scientific names."""
    names = sorted({entry.scientific_name for entry in chosen.species.values()})
    return {(a, b): transfer.distance(a, b, chosen.transfer.distance).value for a, b in combinations(names, 2)}


def dealt(distances: Mapping[tuple[str, str], float], seed: int) -> dict[tuple[str, str], float]:
    """The distances dealt out anew: a random permutation without a fixed place that gives some pair another value.

    Drawn by `seed`, all such permutations alike. Pairs as far apart as each other may exchange their equal values, so
    a pair may keep its value: a deal that changed as many as can be would be nearly the same one for every seed.

    Raises:
        EpisomeError: all distances are equal, so that no deal changes anything.
    """
    values = np.array(list(distances.values()))
    if len(np.unique(values)) < 2:
        raise EpisomeError(
            f"distances {sorted(set(values.tolist()))} of {len(values)} pairs cannot be dealt out anew; the policy "
            "`shuffled` of study.policies wants three species or more whose distances differ"
        )
    rng, places = np.random.default_rng(seed), np.arange(len(values))
    order = places
    while (order == places).any() or (values[order] == values).all():
        order = rng.permutation(len(values))  # more than one in eight will do, whatever the values
    return dict(zip(distances, values[order].tolist(), strict=True))


def budget_epochs(chosen: Params, target: str, donors: Sequence[str], policies: Sequence[Policy], seed: int) -> int:
    """Epochs granted to a training from nothing: the most that any adapted run of that target gets, check included.

    An epoch is every training row once, whatever the step size, so equal epochs are equal training tokens. The check
    trains from the donor and from nothing, and both count.
    """
    most = chosen.train_of(target).epochs
    for donor in donors:
        for policy in policies:
            most = max(most, chosen.train_of(target, plan(chosen, target, donor, policy, seed)).epochs)
    return most + (2 * chosen.transfer.check_epochs if donors else 0)


def ranked(rows: pd.DataFrame, seed: int) -> NDArray[np.int64]:
    """Positions of rows in an order whose every beginning holds each combination of labels in its share.

    A smaller beginning is part of a larger one, so that a learning curve adds rows and exchanges none.
    """
    labels = rows[[dataset.label_column(task) for task in dataset.tasks(rows)]].to_numpy()
    strata = np.unique(labels, axis=0, return_inverse=True)[1].ravel()
    rng, at = np.random.default_rng(seed), np.empty(len(rows))
    for stratum in np.unique(strata):
        members = rng.permutation(np.flatnonzero(strata == stratum))
        at[members] = (np.arange(len(members)) + rng.uniform(size=len(members))) / len(members)
    return np.argsort(at, kind="stable")


def thinned(rows: pd.DataFrame, most: RowsAtMost, seed: int) -> pd.DataFrame:
    """The rows of a species that a study uses; `seed` is that of params.yaml, so that all runs have the same."""
    kept = []
    for split, count in most.model_dump().items():
        inside = rows[rows["split"] == split]
        kept.append(inside.iloc[np.sort(ranked(inside, seed)[:count])])
    return pd.concat(kept)


def part(rows: pd.DataFrame, share: float, seed: int) -> pd.DataFrame:
    """A share of training rows, in their order; shares of one seed contain each other."""
    count = max(1, round(len(rows) * share))
    return rows.iloc[np.sort(ranked(rows, seed)[:count])]
