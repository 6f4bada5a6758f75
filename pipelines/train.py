"""Stage `train`: one species' adapter and head, from its donor, or from its champion when a prior is named."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from rich.progress import Progress
from threadpoolctl import threadpool_limits

from episome import (
    adapting,
    blend,
    checkpoint,
    classifier,
    coreset,
    dataset,
    ewc,
    guard,
    heir,
    lora,
    params,
    retraining,
    stacking,
    train,
    transfer,
)
from episome.adapting import Donor, Ready
from episome.classifier import Classifier
from episome.curve import Curve
from episome.learning import Train
from episome.params import Params
from episome.policy import Plan
from episome.types import EpisomeError
from pipelines import paths


def main(species: str) -> None:
    """Train one species and write adapters/<species>."""
    chosen = params.read()
    torch.set_num_threads(chosen.compute.threads)
    torch.use_deterministic_algorithms(True)
    with threadpool_limits(chosen.compute.threads):
        rows = dataset.read(rows_of(species))
        subject = adapting.fresh(chosen, species, paths.base(), chosen.seed)
        train_it = _fresh if chosen.of(species).prior == "none" else _retrain
        train_it(chosen, species, subject, rows)


def _fresh(chosen: Params, species: str, subject: Classifier, rows: pd.DataFrame) -> None:
    """Composition first, then adapter and head on what composition cannot explain, as the transfer policy plans it."""
    plan = planned(chosen, species)
    ready = started(chosen, species, subject, rows, plan)
    begin, fitting, judging = ready.start, ready.fitting, ready.judging
    keep = _keep(chosen, species, begin.numbers)
    events = train.fit(
        subject, fitting, judging, begin.numbers, seed=chosen.seed, pace=begin.pace, memory=begin.memory, keep=keep
    )
    curve = _watch(species, events)
    stacking.stack(subject, judging)
    if begin.numbers.balance != "none" and subject.composition.size == 0:  # with one part only, nothing was weighed
        stacking.level(subject, judging)
    state = guard.fisher(subject, fitting, begin.numbers, chosen.seed)
    transferred = {"plan": plan.record() if plan else None, "start": ready.record}
    about = {"releases": sorted(set(rows["release"])), "transfer": transferred}
    _write(chosen, species, subject, state, curve.record() | about)
    keep.path.unlink(missing_ok=True)


def started(chosen: Params, species: str, subject: Classifier, rows: pd.DataFrame, plan: Plan | None) -> Ready:
    """A training from the donor or from nothing, about to begin."""
    numbers = chosen.train_of(species)
    prepared = stacking.prepare(subject, rows[rows["split"] == "train"], rows[rows["split"] == "val"], numbers)

    def watch(name: str, events: Iterator[train.Step | train.Epoch]) -> float:
        return _watch(f"{species} from {name}", events).best

    donor = _donor(chosen, species, plan)
    return adapting.ready(subject, prepared, chosen, numbers, donor, watch, seed=chosen.seed)


def planned(chosen: Params, species: str) -> Plan | None:
    """What the policy says about this donor; None without a donor, or where the policy is switched off."""
    donor = chosen.of(species).donor
    if donor == "base" or chosen.transfer.mode == "fixed":
        return None
    plan = transfer.plan(chosen.of(species).scientific_name, _called(donor), chosen.transfer)
    print(f"{species}: {plan.distance:.2f} from {donor} ({plan.band}), {plan.route}, rate {plan.learning_rate:.1e}")
    return plan


def _donor(chosen: Params, species: str, plan: Plan | None) -> Donor | None:
    """Adapter and numbers to start from, mixed with the donor beside it, and its rows where they are trained on too."""
    entry, numbers = chosen.of(species), chosen.train_of(species, plan)
    if entry.donor == "base":
        return None
    mixture = None
    if entry.beside != "base":
        scale = chosen.lora.alpha / chosen.lora.rank
        sources = []
        for name in (entry.donor, entry.beside):
            apart = transfer.distance(entry.scientific_name, _called(name), chosen.transfer.distance)
            factors = lora.read(paths.adapter(name))
            sources.append(blend.Source(factors=factors, scale=scale, distance=apart.value))
        mixture = blend.blend(sources, chosen.lora.rank)
    rows = dataset.read(rows_of(entry.donor)) if numbers.joint_lambda > 0 else None
    folder = paths.adapter(entry.donor)
    return Donor(name=entry.donor, folder=folder, plan=plan, numbers=numbers, mixture=mixture, rows=rows)


def _called(donor: str) -> str:
    """Scientific name that a donor was trained under."""
    name: str = json.loads((paths.adapter(donor) / classifier.TRAINING).read_text(encoding="utf-8"))["scientific_name"]
    return name


def rows_of(species: str) -> Path:
    """The table of one species' rows."""
    return paths.windows(species) / "rows.parquet"


def _keep(chosen: Params, species: str, numbers: Train) -> train.Keep:
    """A checkpoint named by all that this training depends on."""
    entry, base = chosen.of(species), paths.base()
    files = [rows_of(species), base / "model.safetensors", base / "tokenizer.json"]
    before = [paths.adapter(entry.donor), paths.adapter(entry.beside)]
    name = species
    if entry.prior != "none":
        before.append(paths.pinned(entry.prior))
        name = f"{species}@{numbers.ewc_lambda:g}"  # one each: a search for λ that was killed begins none anew
    for folder in before:
        files += sorted(path for path in folder.rglob("*") if path.is_file())
    if numbers.joint_lambda > 0 and entry.donor != "base":
        files.append(rows_of(entry.donor))
    sections = {"seed", "lora", "head", "transfer", "compute", "tasks"}
    about = {**chosen.model_dump(mode="json", include=sections), "train": numbers.model_dump(mode="json")}
    return train.Keep(
        path=paths.checkpoint(name),
        fingerprint=checkpoint.fingerprint(files, about),
        seconds=chosen.train.checkpoint_seconds,
    )


def _retrain(chosen: Params, species: str, subject: Classifier, rows: pd.DataFrame) -> None:
    """Continue the champion on rows it has not seen, held to what it knew as `train.guard` and `train.memory` say."""
    asked, known = continued(chosen, species, subject, rows)
    kept: list[train.Keep] = []

    def keep(numbers: Train) -> train.Keep:
        kept.append(_keep(chosen, species, numbers))
        return kept[-1]

    def watch(name: str, events: Iterator[train.Step | train.Epoch]) -> Curve:
        return _watch(f"{species} {name}", events)

    done = retraining.run(asked, seed=chosen.seed, watch=watch, keep=keep)
    if (kl := done.record.get("kl")) is not None:
        verdict = "keeps" if kl["kept"] else "NOT kept, not even by the largest λ of train.ewc_lambda_grid:"
        print(f"{species}: λ {done.numbers.ewc_lambda:g}, budget {kl['budget']:g} nats {verdict} {kl['value']:.4f}")
    trail = [{"step": number, **each} for number, each in enumerate(done.trail)]
    about = {"releases": sorted({*known, *rows["release"]}), "transfer": {"plan": None, "start": done.record}}
    _write(chosen, species, subject, done.state, done.curve.record() | about | {"trail": trail})
    for each in kept:
        each.path.unlink(missing_ok=True)


def continued(
    chosen: Params, species: str, subject: Classifier, rows: pd.DataFrame
) -> tuple[retraining.Retrain, set[str]]:
    """A retrain from the champion about to begin, and the releases that the champion has seen."""
    numbers = chosen.train_of(species)
    if unused := [name for name in ("retain_lambda", "distil_lambda", "joint_lambda") if getattr(numbers, name)]:
        print(f"{species}: a retrain is held to its champion by ewc_lambda alone; not used: {', '.join(unused)}")
    name = chosen.of(species).prior
    known = heir.take_over(subject, paths.prior(name), species)
    champion = retraining.Champion(
        classifier=subject,
        state=ewc.load(paths.prior(name) / ewc.FILE),
        releases=frozenset(known),
        coreset=coreset.read(paths.pinned(name), numbers.coreset_per_class) if numbers.memory == "coreset" else None,
    )
    return retraining.prepare(champion, rows, numbers), known


def _watch(species: str, events: Iterator[train.Step | train.Epoch]) -> Curve:
    """Show training to a person at a terminal and keep its curve for the record."""
    curve = Curve()
    with Progress(disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task(f"train {species}", total=None)
        for event in events:
            curve.add(event)
            if isinstance(event, train.Step):
                progress.update(bar, total=event.total, completed=event.number + 1)
            else:
                shown = ", ".join(f"{task} {value:.3f}" for task, value in event.auroc.items())
                print(f"{species} epoch {event.number}: loss {event.loss:.4f}, validation AUROC {shown}", flush=True)
    return curve


def _write(chosen: Params, species: str, subject: Classifier, state: ewc.Fisher, record: dict[str, Any]) -> None:
    entry = chosen.of(species)
    about = {"species": species, "scientific_name": entry.scientific_name, "donor": entry.donor, "prior": entry.prior}
    folder = paths.adapter(species)
    about |= {"beside": entry.beside, "release": entry.release}
    classifier.save(subject, folder, about | {"seed": chosen.seed} | record)
    ewc.save(state, folder / ewc.FILE)


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except EpisomeError as error:
        sys.exit(f"train: {error}")
