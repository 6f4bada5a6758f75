"""Stage `train`: one species' adapter and head, from its donor, or from its champion when a prior is named."""

import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from rich.progress import Progress
from safetensors.torch import load_file
from threadpoolctl import threadpool_limits

from episome import bundle, classifier, dataset, ewc, lora, model, params, stacking, start, tokenizer, train, transfer
from episome.classifier import Classifier, Composition, Examples
from episome.learning import Train
from episome.objective import Memory
from episome.pace import STEADY, Pace
from episome.params import Params
from episome.policy import Plan
from episome.start import Start
from episome.types import EpisomeError
from pipelines import paths


def main(species: str) -> None:
    """Train one species and write adapters/<species>."""
    chosen = params.read()
    torch.set_num_threads(chosen.compute.threads)
    torch.use_deterministic_algorithms(True)
    with threadpool_limits(chosen.compute.threads):
        rows = dataset.read(paths.windows(species) / "rows.parquet")
        subject = _classifier(chosen, species)
        if chosen.of(species).prior == "none":
            _fresh(chosen, species, subject, rows)
        else:
            _retrain(chosen, species, subject, rows)


def _classifier(chosen: Params, species: str) -> Classifier:
    """Base, a fresh adapter, and an empty head."""
    encoder = model.load(paths.base())
    adapter = lora.attach(encoder, **chosen.lora.model_dump(), seed=chosen.seed)
    return Classifier(
        adapter,
        encoder.config.hidden_size,
        tokenizer.Tokenizer.load(paths.base() / "tokenizer.json"),
        chosen.tasks_of(species),
        Composition(k=chosen.head.composition_k, phased=chosen.head.phased_codons),
    )


def _fresh(chosen: Params, species: str, subject: Classifier, rows: pd.DataFrame) -> None:
    """Composition first, then adapter and head on what composition cannot explain, as the transfer policy plans it."""
    plan = _plan(chosen, species)
    learn, judge = rows[rows["split"] == "train"], rows[rows["split"] == "val"]
    fitting, judging = subject.examples(learn), subject.examples(judge)
    offset = stacking.fit_composition(
        subject, fitting, judging, learn["group"].to_numpy(str), chosen.train.composition_inverse_penalty
    )
    fitting = replace(fitting, offset=offset)
    chosen_start, started = _start(chosen, species, subject, plan, fitting, judging)
    numbers, speed = chosen_start.numbers, chosen_start.pace
    keep = _keep(chosen, species, numbers)
    events = train.fit(subject, fitting, judging, numbers, seed=chosen.seed, pace=speed, keep=keep)
    record = _watch(species, events)
    stacking.stack(subject, judging)
    state = train.fisher(subject, fitting, numbers.fisher_rows, chosen.seed)
    transferred = {"plan": plan.record() if plan else None, "start": started}
    _write(
        chosen, species, subject, state, record | {"releases": sorted(set(rows["release"])), "transfer": transferred}
    )
    keep.path.unlink(missing_ok=True)


def _plan(chosen: Params, species: str) -> Plan | None:
    """What the policy says about this donor; None without a donor, or where the policy is switched off."""
    donor = chosen.of(species).donor
    if donor == "base" or chosen.transfer.mode == "fixed":
        return None
    about = json.loads((paths.adapter(donor) / classifier.TRAINING).read_text(encoding="utf-8"))
    plan = transfer.plan(chosen.of(species).scientific_name, about["scientific_name"], chosen.transfer)
    print(f"{species}: {plan.distance:.2f} from {donor} ({plan.band}), {plan.route}, rate {plan.learning_rate:.1e}")
    return plan


def _start(
    chosen: Params, species: str, subject: Classifier, plan: Plan | None, fitting: Examples, judging: Examples
) -> tuple[Start, dict[str, Any]]:
    """Put the donor's adapter on `subject`, unless starting from nothing does better; answers it and a record."""
    donor, epochs = chosen.of(species).donor, chosen.transfer.check_epochs
    fresh = Start(name="nothing", weights=start.weights(subject), numbers=chosen.train_of(species), pace=STEADY)
    if donor == "base":
        return fresh, {"from": "nothing"}
    lora.load_factors(subject.encoder, paths.adapter(donor) / lora.WEIGHTS, scale=chosen.lora.alpha / chosen.lora.rank)
    speed = STEADY if plan is None else _pace(plan)
    given = Start(name=donor, weights=start.weights(subject), numbers=chosen.train_of(species, plan), pace=speed)
    if epochs == 0:
        return given, {"from": donor}

    def watch(name: str, events: Iterator[train.Step | train.Epoch]) -> float:
        best: float = _watch(f"{species} from {name}", events)["best"]
        return best

    better, scores = start.better(subject, (given, fresh), fitting, judging, epochs, watch, seed=chosen.seed)
    return better, {"from": better.name, "validation_auroc": scores, "epochs": epochs}


def _pace(plan: Plan) -> Pace:
    return Pace(
        group_rates=plan.group_rates,
        frozen_share=plan.frozen_share,
        swing=plan.swing,
        top_first=plan.route == "progressive",
    )


def _keep(chosen: Params, species: str, numbers: Train) -> train.Keep:
    """A checkpoint named by all that this training depends on."""
    donor, base = paths.adapter(chosen.of(species).donor), paths.base()
    files = [paths.windows(species) / "rows.parquet", base / "model.safetensors", base / "tokenizer.json"]
    files += sorted(path for path in donor.iterdir() if path.is_file())
    digest = hashlib.sha256()
    for path in files:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    sections = {"seed", "lora", "head", "transfer", "compute", "tasks"}
    about = {**chosen.model_dump(mode="json", include=sections), "train": numbers.model_dump(mode="json")}
    digest.update(json.dumps(about, sort_keys=True).encode())
    return train.Keep(
        path=paths.checkpoint(species), fingerprint=digest.hexdigest(), seconds=chosen.train.checkpoint_seconds
    )


def _retrain(chosen: Params, species: str, subject: Classifier, rows: pd.DataFrame) -> None:
    """Continue the champion on rows it has not seen, held to what it knew by EWC in ΔW space."""
    numbers = chosen.train_of(species)
    prior = paths.prior(chosen.of(species).prior)
    known = _start_from(subject, prior, species)
    learn = rows[(rows["split"] == "train") & ~rows["release"].isin(known)]
    if learn.empty:
        raise EpisomeError(
            f"{species}: no training row beyond the champion's releases {sorted(known)}; nothing to learn"
        )
    fitting, judging = subject.examples(learn), subject.examples(rows[rows["split"] == "val"])
    stacking.condition(subject, fitting)
    held = train.anchor(subject, ewc.load(prior / "fisher.safetensors"))
    events = train.fit(subject, fitting, judging, numbers, seed=chosen.seed, memory=Memory(prior=held))
    record = _watch(species, events)
    fresh = train.fisher(subject, fitting, numbers.fisher_rows, chosen.seed)
    state = ewc.accumulate(held.fisher, fresh)
    about = {"releases": sorted({*known, *rows["release"]}), "transfer": {"plan": None, "start": {"from": "prior"}}}
    _write(chosen, species, subject, state, record | about)


def _start_from(subject: Classifier, prior: Path, species: str) -> set[str]:
    """Load the champion in `prior` into `subject`; answers the releases it has seen."""
    card = bundle.verify(prior)
    if not isinstance(card, bundle.Card) or card.species != species:
        raise EpisomeError(f"{prior}: not a bundle of {species!r}; `episome retrain {species}` writes the right one")
    head = load_file(prior / "head.safetensors")
    order = [task.name for task in card.tasks]
    if order != [task.name for task in subject.tasks[: len(order)]]:
        raise EpisomeError(
            f"{prior}: its head's tasks are {order}, params.yaml has {[task.name for task in subject.tasks]}; "
            "tasks may be added behind the old ones only"
        )
    own = subject.composition
    if (card.composition.k, card.composition.phased) != (own.k, own.phased):
        raise EpisomeError(
            f"{prior}: its head sees {card.composition}, params.yaml gives {own}; "
            "a retrain keeps the champion's head.composition_k and head.phased_codons"
        )
    lora.load_factors(subject.encoder, prior / "adapter.safetensors", scale=card.lora.alpha / card.lora.rank)
    subject.head.fill(head["weight"], head["bias"])
    return set(card.lineage.releases)


def _watch(species: str, events: Iterator[train.Step | train.Epoch]) -> dict[str, Any]:
    """Show training to a person at a terminal and keep its curve for the record."""
    steps: list[dict[str, float]] = []
    epochs: list[dict[str, Any]] = []
    with Progress(disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task(f"train {species}", total=None)
        for event in events:
            if isinstance(event, train.Step):
                progress.update(bar, total=event.total, completed=event.number + 1)
                steps.append({"step": event.number, "loss": round(event.loss, 6), "penalty": round(event.penalty, 6)})
            else:
                scores = {task: round(value, 6) for task, value in event.auroc.items()}
                epochs.append(
                    {"epoch": event.number, "loss": round(event.loss, 6), "auroc": scores, "best": event.best}
                )
                shown = ", ".join(f"{task} {value:.3f}" for task, value in scores.items())
                print(f"{species} epoch {event.number}: loss {event.loss:.4f}, validation AUROC {shown}", flush=True)
    best = max((float(np.mean(list(epoch["auroc"].values()))) for epoch in epochs), default=0.0)
    return {"steps": steps, "epochs": epochs, "best": round(best, 6)}


def _write(chosen: Params, species: str, subject: Classifier, state: ewc.Fisher, record: dict[str, object]) -> None:
    entry = chosen.of(species)
    about = {"species": species, "scientific_name": entry.scientific_name, "donor": entry.donor, "prior": entry.prior}
    folder = paths.adapter(species)
    classifier.save(subject, folder, about | {"release": entry.release, "seed": chosen.seed} | record)
    ewc.save(state, folder / "fisher.safetensors")


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except EpisomeError as error:
        sys.exit(f"train: {error}")
