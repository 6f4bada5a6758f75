"""Stage `train`: one species' adapter and head, from its donor, or from its champion when a prior is named."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch
from rich.progress import Progress
from safetensors.torch import load_file
from threadpoolctl import threadpool_limits

from episome import bundle, classifier, dataset, ewc, lora, model, params, stacking, tokenizer, train
from episome.classifier import Classifier, Composition
from episome.params import Params
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
    """Base, adapter started from the donor's where there is one, and an empty head."""
    encoder = model.load(paths.base())
    adapter = lora.attach(encoder, **chosen.lora.model_dump(), seed=chosen.seed)
    subject = Classifier(
        adapter,
        encoder.config.hidden_size,
        tokenizer.Tokenizer.load(paths.base() / "tokenizer.json"),
        chosen.tasks_of(species),
        Composition(k=chosen.head.composition_k, phased=chosen.head.phased_codons),
    )
    donor = chosen.of(species).donor
    if donor != "base":
        lora.load_factors(adapter, paths.adapter(donor) / lora.WEIGHTS, scale=chosen.lora.alpha / chosen.lora.rank)
    return subject


def _fresh(chosen: Params, species: str, subject: Classifier, rows: pd.DataFrame) -> None:
    """Composition first, then adapter and head on what composition cannot explain."""
    numbers = chosen.train_of(species)
    learn, judge = rows[rows["split"] == "train"], rows[rows["split"] == "val"]
    fitting, judging = subject.examples(learn), subject.examples(judge)
    correction = stacking.fit_composition(
        subject, fitting, judging, learn["group"].to_numpy(str), numbers.composition_inverse_penalty
    )
    events = train.fit(subject, replace(fitting, offset=correction), judging, numbers, seed=chosen.seed)
    record = _watch(species, events)
    stacking.stack(subject, judging)
    state = train.fisher(subject, fitting, numbers.fisher_rows, chosen.seed)
    _write(chosen, species, subject, state, record | {"releases": sorted(set(rows["release"]))})


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
    events = train.fit(subject, fitting, judging, numbers, seed=chosen.seed, anchor=held)
    record = _watch(species, events)
    fresh = train.fisher(subject, fitting, numbers.fisher_rows, chosen.seed)
    state = ewc.accumulate(held.fisher, fresh)
    _write(chosen, species, subject, state, record | {"releases": sorted({*known, *rows["release"]})})


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


def _watch(species: str, events: Iterator[train.Step | train.Epoch]) -> dict[str, object]:
    """Show training to a person at a terminal and keep its curve for the record."""
    steps: list[dict[str, float]] = []
    epochs: list[dict[str, object]] = []
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
    return {"steps": steps, "epochs": epochs}


def _write(chosen: Params, species: str, subject: Classifier, state: ewc.Fisher, record: dict[str, object]) -> None:
    about = {"species": species, "donor": chosen.of(species).donor, "prior": chosen.of(species).prior}
    folder = paths.adapter(species)
    classifier.save(subject, folder, about | {"release": chosen.of(species).release, "seed": chosen.seed} | record)
    ewc.save(state, folder / "fisher.safetensors")


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except EpisomeError as error:
        sys.exit(f"train: {error}")
