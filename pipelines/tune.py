"""`python -m pipelines.tune SPECIES`: search learning rate × rank × λ on validation rows; prints YAML, writes nothing.

A fixed number of trainings (`tune` in params.yaml), proposed by a seeded tree-structured Parzen estimator (Bergstra et
al. 2011) and stopped early by successive halving (Jamieson & Talwalkar 2016). No stage of the pipeline: what it finds
counts once a person has put it into params.yaml. The score is the best of many on the same validation rows, so it is
too good; test rows are never looked at.
"""

import json
import sys
from dataclasses import dataclass
from typing import Any

import optuna
import pandas as pd
import torch
import yaml
from threadpoolctl import threadpool_limits

from episome import adapting, dataset, params, train
from episome.curve import Curve
from episome.learning import Tune
from episome.params import Params
from episome.types import EpisomeError
from pipelines import paths
from pipelines import train as stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search came to.

    Attributes:
        score: best mean validation AUROC.
        values: of the trial that has it, by the name under which params.yaml knows them.
        trials: begun.
        stopped: of them, stopped early.
    """

    score: float
    values: dict[str, float]
    trials: int
    stopped: int


def main(species: str) -> None:
    """Search and print."""
    chosen = params.read()
    torch.set_num_threads(chosen.compute.threads)
    torch.use_deterministic_algorithms(True)
    with threadpool_limits(chosen.compute.threads):
        print(text(species, chosen, search(chosen, species)))


def search(chosen: Params, species: str) -> Found:
    """The best numbers among `tune.trials` trainings; equal on one machine for equal params.

    Raises:
        EpisomeError: params.yaml has no section `tune`, or none of its ranks is possible here.
    """
    if chosen.tune is None:
        raise EpisomeError("params.yaml has no section `tune`; wanted: trials, learning_rate, rank, weights")
    space, ranks, weight = chosen.tune, possible(chosen, species, chosen.tune), weight_of(chosen, species)
    rows = dataset.read(stage.rows_of(species))

    def score(trial: optuna.Trial) -> float:
        low, high = space.learning_rate
        values: dict[str, Any] = {"learning_rate": trial.suggest_float("learning_rate", low, high, log=True)}
        if weight is not None:
            values[weight] = trial.suggest_categorical(weight, space.weights)
        return _train(
            trial, with_values(chosen, species, trial.suggest_categorical("rank", ranks), values), species, rows
        )

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=chosen.seed),
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2),
    )
    study.optimize(score, n_trials=space.trials)
    stopped = sum(trial.state is optuna.trial.TrialState.PRUNED for trial in study.trials)
    return Found(score=study.best_value, values=study.best_params, trials=len(study.trials), stopped=stopped)


def weight_of(chosen: Params, species: str) -> str | None:
    """Which λ is searched: the one that has something to hold to."""
    entry = chosen.of(species)
    if entry.prior != "none":
        return "ewc_lambda"
    return "retain_lambda" if entry.donor != "base" else None


def possible(chosen: Params, species: str, space: Tune) -> list[int]:
    """Ranks that the bank has room for, that alpha keeps its ratio at, and that the start fits into."""
    entry, own = chosen.of(species), chosen.lora
    least = 1
    if entry.prior != "none":
        least = own.rank  # the champion's factors are taken as they are
    elif entry.donor != "base" and entry.beside == "base":
        config = json.loads((paths.adapter(entry.donor) / "adapter_config.json").read_text(encoding="utf-8"))
        least = config["r"]
    fitting = [r for r in space.rank if least <= r <= chosen.export.bank_rank and r * own.alpha % own.rank == 0]
    if not fitting:
        raise EpisomeError(
            f"tune.rank: none of {list(space.rank)} is possible; wanted: {least} to {chosen.export.bank_rank} "
            f"(export.bank_rank), with lora.alpha × rank / {own.rank} a whole number"
        )
    return fitting


def with_values(chosen: Params, species: str, rank: int, values: dict[str, Any]) -> Params:
    """Params with the rank for all and the numbers for one species, checked like those of a file."""
    tree = chosen.model_dump()
    tree["lora"] |= {"rank": rank, "alpha": rank * chosen.lora.alpha // chosen.lora.rank}
    tree["transfer"]["check_epochs"] = 0  # every trial from the donor: the search compares numbers, not starts
    tree["species"][species]["train"] |= values
    return Params.model_validate(tree)


def _train(trial: optuna.Trial, chosen: Params, species: str, rows: pd.DataFrame) -> float:
    """Train once; the best mean validation AUROC.

    Raises:
        optuna.TrialPruned: it fell behind.
    """
    subject = adapting.fresh(chosen, species, paths.base(), chosen.seed)
    if chosen.of(species).prior == "none":
        ready = stage.started(chosen, species, subject, rows, stage.planned(chosen, species))
    else:
        ready = stage.continued(chosen, species, subject, rows)[0].ready
    begin, curve = ready.start, Curve()
    for event in train.fit(
        subject, ready.fitting, ready.judging, begin.numbers, seed=chosen.seed, pace=begin.pace, memory=begin.memory
    ):
        curve.add(event)
        if isinstance(event, train.Epoch):
            trial.report(curve.best, event.number + 1)
            if trial.should_prune():
                raise optuna.TrialPruned
    return curve.best


def text(species: str, chosen: Params, found: Found) -> str:
    """What to put into params.yaml."""
    numbers = {name: value for name, value in found.values.items() if name != "rank"}
    tree: dict[str, Any] = {"species": {species: {"train": chosen.of(species).train | numbers}}}
    rank = int(found.values["rank"])
    said = f"# best of {found.trials} trainings ({found.stopped} stopped early): validation AUROC {found.score:.4f}\n"
    if rank != chosen.lora.rank:
        said += "# lora is one for all species: with another rank every adapter is trained anew\n"
        tree = {"lora": {"rank": rank, "alpha": rank * chosen.lora.alpha // chosen.lora.rank}} | tree
    return said + yaml.safe_dump(tree, sort_keys=False)


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except EpisomeError as error:
        sys.exit(f"tune: {error}")
