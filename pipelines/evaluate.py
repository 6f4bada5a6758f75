"""Stage `evaluate`: calibrate on validation rows, score the test rows with intervals, beside two baselines."""

import json
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from episome import baseline, calibration, dataset, metrics, nearness, params, pwm
from episome.params import Evaluate
from episome.sequence import reverse_complement
from episome.train import load_classifier, predict
from episome.types import EpisomeError, Task
from pipelines import paths


def main(species: str) -> None:
    """Write reports/evaluate/<species>.json and print the model beside its baselines."""
    chosen = params.read()
    torch.set_num_threads(chosen.compute.threads)
    torch.use_deterministic_algorithms(True)
    with threadpool_limits(chosen.compute.threads):
        rows = dataset.read(paths.windows(species) / "rows.parquet")
        classifier = load_classifier(paths.base(), paths.adapter(species))
        logits = np.zeros((len(rows), len(classifier.tasks)), np.float32)
        held_out = (rows["split"] != "train").to_numpy()
        logits[held_out] = predict(classifier, rows[held_out])
        free = chosen.train.strand_free
        turned = None
        if {task.name for task in classifier.tasks} & {*free}:
            other = rows.assign(sequence=rows["sequence"].map(reverse_complement))
            turned = np.zeros_like(logits)
            turned[held_out] = predict(classifier, other[held_out])
        tasks = {
            task.name: evaluated(
                rows,
                logits[:, column],
                task,
                chosen.evaluate,
                chosen.seed,
                turned=turned[:, column] if turned is not None and task.name in free else None,
            )
            for column, task in enumerate(classifier.tasks)
        }
    report = {"species": species, "tasks": tasks}
    path = paths.evaluation(species)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(table(species, tasks))


def evaluated(
    rows: pd.DataFrame,
    logits: NDArray[np.float32],
    task: Task,
    numbers: Evaluate,
    seed: int,
    *,
    turned: NDArray[np.float32] | None = None,
) -> dict[str, Any]:
    """Calibration, scores and baselines of one task.

    Args:
        rows: of the species, all splits.
        logits: float32[rows] of this task; those of train rows are not looked at.
        task: whose labels; without a window it has no position-weight matrix.
        numbers: bootstrap, confidence, the model's threshold rule (baselines keep their own: k-mers 0.5, the matrix its
            best MCC on validation) and the baseline's k.
        seed: of the bootstrap.
        turned: float32[rows], logits of the reverse complements, for a task that asks for no strand: their mean with
            `logits` is scored too, as ``both_strands``.
    """
    labels = rows[dataset.label_column(task.name)].to_numpy()
    train, val, test = ((labels >= 0) & (rows["split"] == split).to_numpy() for split in ("train", "val", "test"))
    temperature, probabilities, threshold = _calibrated(logits, labels, val, numbers)
    score = partial(metrics.evaluate, bootstrap=numbers.bootstrap, confidence=numbers.confidence, seed=seed)
    groups = rows["group"].to_numpy()
    scored = {"model": (probabilities[test], threshold)}
    for name, fitted in baseline.fit(rows[train], rows[val], task, numbers.baseline_k).items():
        scored[name] = fitted.score(list(rows["sequence"][test])), fitted.threshold
    overall = {name: score(labels[test], values, groups[test], threshold=cut) for name, (values, cut) in scored.items()}
    averaged = {}
    if turned is not None:
        _, both, cut = _calibrated((logits + turned) / 2, labels, val, numbers)
        averaged["both_strands"] = score(labels[test], both[test], groups[test], threshold=cut)
    return {
        "temperature": temperature,
        "threshold": threshold,
        "reliability": metrics.reliability(labels[test], probabilities[test]).table(),
        "val": score(labels[val], probabilities[val], groups[val], threshold=threshold),
        "test": overall["model"],
        "baseline": overall["kmer"],
        "pwm": _without_probabilities(overall["pwm"]) if "pwm" in overall else {"absent": pwm.ABSENT},
        "negative_kinds": {
            name: baseline.against_kinds(rows[test], labels[test], values, cut, numbers, seed)
            for name, (values, cut) in scored.items()
        },
        "nearness": _by_nearness(rows[train], rows[test], labels[test], scored, score),
        **averaged,
    }


def _calibrated(
    logits: NDArray[np.floating], labels: NDArray[Any], val: NDArray[np.bool_], numbers: Evaluate
) -> tuple[float, NDArray[np.float64], float]:
    """Temperature, probabilities of all rows and threshold, from the validation rows."""
    temperature = calibration.temperature(logits[val], labels[val])
    probabilities = calibration.sigmoid(logits, temperature)
    return temperature, probabilities, calibration.threshold_by(numbers.threshold, probabilities[val], labels[val])


def _by_nearness(
    train: pd.DataFrame,
    test: pd.DataFrame,
    labels: NDArray[Any],
    scored: Mapping[str, tuple[NDArray[np.float64], float]],
    score: Callable[..., dict[str, Any]],
) -> list[dict[str, Any]]:
    """Scores by quarters of the test rows, those farthest from any training row first; see `nearness.nearest`."""
    shares = nearness.nearest(list(test["sequence"]), list(train["sequence"]))
    groups, found = test["group"].to_numpy(), []
    for low, high, part in nearness.quarters(shares):
        line: dict[str, Any] = {"from": low, "to": high, "n": int(part.sum())}
        if len(np.unique(labels[part])) < 2:
            found.append(line | {"absent": "rows of one class"})
            continue
        for name, (values, cut) in scored.items():
            scores = score(labels[part], values[part], groups[part], threshold=cut)
            line[name] = {key: scores[key] for key in ("mcc", "auroc")}
        found.append(line)
    return found


def _without_probabilities(scores: dict[str, Any]) -> dict[str, Any]:
    """A matrix gives bits: what speaks of probabilities means nothing for it."""
    return {name: value for name, value in scores.items() if name not in {"brier", "ece", "ece_debiased"}}


def table(species: str, tasks: dict[str, Any]) -> str:
    """The test scores as lines of text: model and baselines of each task, then AUROC against each kind of negative."""
    lines = [f"{'task':<22}{'who':<10}{'n':>7}  {'MCC [interval]':<26}{'AUROC':>7}{'AUPRC':>7}"]
    for name, result in tasks.items():
        for who, scores in (("model", result["test"]), ("k-mers", result["baseline"]), ("matrix", result["pwm"])):
            if "absent" in scores:
                lines.append(f"{name:<22}{who:<10}{'':>7}  {scores['absent']}")
                continue
            mcc = scores["mcc"]
            interval = f"{mcc['value']:.3f} [{mcc['low']:.3f}, {mcc['high']:.3f}]"
            areas = f"{scores['auroc']['value']:>7.3f}{scores['auprc']['value']:>7.3f}"
            lines.append(f"{name:<22}{who:<10}{scores['n']:>7}  {interval:<26}{areas}")
    return f"{species}, test rows\n" + "\n".join([*lines, "", *_kinds(tasks), "", *_near(tasks)])


def _near(tasks: dict[str, Any]) -> list[str]:
    lines = [f"{'task':<22}{'8-mers a train row has':<24}{'rows':>9}  {'model':>7}{'k-mers':>8}{'matrix':>8}  (AUROC)"]
    for name, result in tasks.items():
        for part in result["nearness"]:
            areas = [part[who]["auroc"]["value"] if who in part else None for who in ("model", "kmer", "pwm")]
            shown = "".join("       –" if area is None else f"{area:>8.3f}" for area in areas)
            lines.append(f"{name:<22}{part['from']:.2f} to {part['to']:<16.2f}{part['n']:>9} {shown}")
    return lines


def _kinds(tasks: dict[str, Any]) -> list[str]:
    lines = [f"{'task':<22}{'positives against':<24}{'negatives':>9}  {'model':>7}{'k-mers':>8}{'matrix':>8}  (AUROC)"]
    for name, result in tasks.items():
        by_kind = result["negative_kinds"]
        for kind, model in by_kind["model"].items():
            areas = [by_kind[who][kind]["auroc"]["value"] if who in by_kind else None for who in ("kmer", "pwm")]
            shown = "".join("       –" if area is None else f"{area:>8.3f}" for area in areas)
            lines.append(f"{name:<22}{kind:<24}{model['negatives']:>9}  {model['auroc']['value']:>7.3f}{shown}")
    return lines


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except EpisomeError as error:
        sys.exit(f"evaluate: {error}")
