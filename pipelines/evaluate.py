"""Stage `evaluate`: calibrate on validation rows, score the test rows with intervals, beside a k-mer baseline."""

import json
import sys
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from episome import baseline, calibration, dataset, metrics, params
from episome.params import Evaluate
from episome.train import load_classifier, predict
from episome.types import EpisomeError
from pipelines import paths


def main(species: str) -> None:
    """Write reports/evaluate/<species>.json and print the model beside its baseline."""
    chosen = params.read()
    torch.set_num_threads(chosen.compute.threads)
    torch.use_deterministic_algorithms(True)
    with threadpool_limits(chosen.compute.threads):
        rows = dataset.read(paths.windows(species) / "rows.parquet")
        classifier = load_classifier(paths.base(), paths.adapter(species))
        logits = np.zeros((len(rows), len(classifier.tasks)), np.float32)
        held_out = (rows["split"] != "train").to_numpy()
        logits[held_out] = predict(classifier, rows[held_out])
        tasks = {
            task.name: evaluated(rows, logits[:, column], task.name, chosen.evaluate, chosen.seed)
            for column, task in enumerate(classifier.tasks)
        }
    report = {"species": species, "tasks": tasks}
    path = paths.evaluation(species)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(table(species, tasks))


def evaluated(
    rows: pd.DataFrame, logits: NDArray[np.float32], task: str, numbers: Evaluate, seed: int
) -> dict[str, Any]:
    """Calibration, scores and baseline of one task.

    Args:
        rows: of the species, all splits.
        logits: float32[rows] of this task; those of train rows are not looked at.
        task: name.
        numbers: bootstrap, confidence and the baseline's k.
        seed: of the bootstrap.
    """
    labels = rows[dataset.label_column(task)].to_numpy()
    parts = {split: (labels >= 0) & (rows["split"] == split).to_numpy() for split in ("train", "val", "test")}
    val, test = parts["val"], parts["test"]
    temperature = calibration.temperature(logits[val], labels[val])
    probabilities = calibration.sigmoid(logits, temperature)
    threshold = calibration.threshold(probabilities[val], labels[val])
    score = partial(metrics.evaluate, bootstrap=numbers.bootstrap, confidence=numbers.confidence, seed=seed)
    kmer = baseline.kmer(*(rows[part] for part in parts.values()), task=task, k=numbers.baseline_k)
    groups = rows["group"].to_numpy()
    return {
        "temperature": temperature,
        "threshold": threshold,
        "val": score(labels[val], probabilities[val], groups[val], threshold=threshold),
        "test": score(labels[test], probabilities[test], groups[test], threshold=threshold),
        "baseline": score(labels[test], kmer, groups[test], threshold=0.5),
        "negative_kinds": _negative_kinds(rows[test], labels[test], probabilities[test]),
    }


def _negative_kinds(
    rows: pd.DataFrame, labels: NDArray[np.int8], probabilities: NDArray[np.float64]
) -> dict[str, dict[str, float]]:
    """AUROC of all positives against each kind of negative: which decoys still fool the model."""
    answer = {}
    for kind in sorted(set(rows["negative_kind"][labels == 0])):
        among = (labels == 1) | (rows["negative_kind"] == kind).to_numpy()
        area = metrics.auroc(labels[among], probabilities[among])
        answer[kind] = {"n": int((among & (labels == 0)).sum()), "auroc": round(area, 6)}
    return answer


def table(species: str, tasks: dict[str, Any]) -> str:
    """The test scores as lines of text, a row for the model and one for the baseline of each task."""
    lines = [f"{'task':<22}{'who':<10}{'n':>7}  {'MCC [interval]':<26}{'AUROC':>7}{'AUPRC':>7}"]
    for name, result in tasks.items():
        for who, scores in (("model", result["test"]), ("k-mers", result["baseline"])):
            mcc = scores["mcc"]
            interval = f"{mcc['value']:.3f} [{mcc['low']:.3f}, {mcc['high']:.3f}]"
            areas = f"{scores['auroc']['value']:>7.3f}{scores['auprc']['value']:>7.3f}"
            lines.append(f"{name:<22}{who:<10}{scores['n']:>7}  {interval:<26}{areas}")
    return f"{species}, test rows\n" + "\n".join(lines)


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except EpisomeError as error:
        sys.exit(f"evaluate: {error}")
