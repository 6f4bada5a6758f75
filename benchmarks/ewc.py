"""What the Fisher information and the penalty of a retrain cost, and how much of the Fisher its factored form keeps.

    python benchmarks/ewc.py PROJECT [SPECIES]

PROJECT is a folder in which `dvc repro` has run (base, adapter and rows of SPECIES); nothing there is changed, and the
numbers of training are those of params.yaml here. Times are CPU seconds of one thread, so that other work counts for
little. With and without the penalty take turns step by step.
"""

import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from episome import classifier, composition, dataset, ewc, lora, model, objective, params, train
from episome.batches import mixed
from episome.classifier import Classifier, Examples
from episome.objective import Draw, Memory
from episome.params import Params

ROWS = 500
PARTS = 4  # of a step, as in training


def main(project: Path, species: str) -> None:
    """Print the table."""
    torch.set_num_threads(1)
    chosen = params.read()
    print("| | |\n|---|---|")
    for storage, size in sizes(chosen).items():
        say(f"state for the 117M shape, {storage}", f"{size / 1e6:.2f} MB")
    subject = classifier.load_classifier(project / "models/base", project / "adapters" / species)
    rows = dataset.read(project / "data/windows" / species / "rows.parquet")
    learn = rows[rows["split"] == "train"]
    learn = learn.sample(min(ROWS, len(learn)), random_state=0)
    fitting = subject.examples(learn)
    costs(subject, fitting, chosen)


def sizes(chosen: Params) -> dict[str, int]:
    """Bytes of the Fisher for DNABERT-2-117M's shape, from its configuration alone."""
    with torch.device("meta"):
        encoder = model.Encoder(model.Config())
        adapted = list(lora.layers(lora.attach(encoder, **chosen.lora.model_dump(), seed=0)))
    shapes = [(layer.b.shape[0], layer.a.shape[1]) for layer in adapted]
    factored = 4 * sum(m + n for m, n in shapes)
    name = f"{len(shapes)} layers (lora.targets: {chosen.lora.targets})"
    head = 4 * (2 * model.Config().hidden_size + composition.asked(chosen.head).size + 1)
    full = factored + 4 * sum(m * n for m, n in shapes)
    return {f"factored, {name}": factored, "full": full, "a task's row of the head": head}


def costs(subject: Classifier, fitting: Examples, chosen: Params) -> None:
    """Time of the Fisher and of the penalty, and the two ways to keep the Fisher."""
    count, tokens = len(fitting.encodings), sum(fitting.lengths)
    say("rows, tokens", f"{count}, {tokens}")
    train.fisher(subject, fitting, 40, 0)  # the first call is slower
    began = time.process_time()
    train.fisher(subject, fitting, count, 0)
    factored = time.process_time()
    state = train.fisher(subject, fitting, count, 0, full=True)
    took, took_full = factored - began, time.process_time() - factored
    numbers = chosen.train
    adapter, head = (numbers.ewc_lambda * weight for weight in ewc.steepest(state))
    stiff = f"{adapter * numbers.learning_rate:.2g}, {head * numbers.head_learning_rate:.2g}"
    say("λ · steepest weight · learning rate, of adapter, head", f"{stiff} (eased from {objective.STIFFEST:g} on)")
    whole = train.anchor(subject, state)
    anchors = {"none": None, "factored": replace(whole, fisher=replace(state, full={})), "full": whole}
    taken = steps(subject, fitting, chosen, anchors)
    plain = taken["none"]
    step = statistics.median(plain)
    epoch = sum(plain) * (len(plain) + 1) / len(plain)  # the first step was not counted
    say("step without penalty, CPU s", f"{step:.3f}")
    say("Fisher of the same rows, factored, full, in epochs", f"{took / epoch:.2f}, {took_full / epoch:.2f}")
    for name in ("factored", "full"):
        over = statistics.median(a / b for a, b in zip(taken[name], plain, strict=True))
        say(f"penalty, {name}, on top of a step", f"{100 * (over - 1):+.1f} %")
    agreement(subject, whole)


def say(what: str, value: str) -> None:
    """A row of the table."""
    print(f"| {what} | {value} |", flush=True)


def steps(
    subject: Classifier, fitting: Examples, chosen: Params, anchors: dict[str, ewc.Anchor | None]
) -> dict[str, list[float]]:
    """CPU seconds of training steps under each anchor in turn; the adapter moves away from where it was."""
    parameters = [p for p in subject.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=chosen.train.learning_rate)
    lesson = objective.lesson(fitting, chosen.train)
    order = mixed(fitting.lengths, chosen.train.tokens_per_step, PARTS, np.random.default_rng(0))
    taken: dict[str, list[float]] = {name: [] for name in anchors}
    subject.train()
    for number, at in enumerate(order):
        for name, anchor in anchors.items():
            began = time.process_time()
            optimiser.zero_grad(set_to_none=True)
            held = objective.held_back(subject, Memory(prior=anchor), chosen.train)
            if held.requires_grad:
                held.backward()
            objective.accumulate(subject, lesson, [Draw(rows=part) for part in at], chosen.train)
            optimiser.step()
            if number > 0:
                taken[name].append(time.process_time() - began)
    return taken


def agreement(subject: Classifier, anchor: ewc.Anchor) -> None:
    """Factored against full: the weights by themselves, and the penalty on the way that training has gone."""
    full, sums = anchor.fisher, replace(anchor.fisher, full={})
    exact, made = ({name: ewc.whole(state, name) for name in full.rows} for state in (full, sums))
    alike = [correlation(exact[name], made[name]) for name in exact]
    wrong = [float((made[name] - exact[name]).norm() / exact[name].norm()) for name in exact]
    say(
        "correlation of factored and full, a layer: median (lowest)",
        f"{statistics.median(alike):.3f} ({min(alike):.3f})",
    )
    say("relative error, a layer: median (highest)", f"{statistics.median(wrong):.2f} ({max(wrong):.2f})")
    together = [torch.cat([part[name].flatten() for name in exact]) for part in (exact, made)]
    say("correlation over all layers", f"{correlation(*together):.3f}")
    cost, real = [], []
    for layer in lora.layers(subject.encoder):
        moved = (layer.scale * layer.b @ layer.a - anchor.b[layer.name] @ anchor.a[layer.name]).detach() ** 2
        cost.append(float((made[layer.name] * moved).sum()))
        real.append(float((exact[layer.name] * moved).sum()))
    each = [a / b for a, b in zip(cost, real, strict=True)]
    say(
        "penalty, factored over full, where training went: all layers (lowest, highest layer)",
        f"{sum(cost) / sum(real):.2f} ({min(each):.2f}, {max(each):.2f})",
    )


def correlation(one: Tensor, other: Tensor) -> float:
    """Pearson's."""
    return float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1])


if __name__ == "__main__":
    given = dict(enumerate(sys.argv))
    main(Path(given[1]), given.get(2, "human_sim"))
