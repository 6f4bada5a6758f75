"""How much of a test MCC is the luck of its threshold, as a Markdown table of every evaluated species and task.

Run as ``python benchmarks/thresholds.py`` in a workspace that `dvc repro evaluate` has filled; it only reads.

Columns: MCC at the threshold that the validation rows gave; the 5 to 95 % range of that over 1,000 redraws of the
validation rows, each with a threshold of its own; MCC at 0.5; the best MCC that any threshold has on the test rows,
which nobody could have known. The same of the k-mer baseline, which calls at 0.5.
"""

import json

import numpy as np
import torch
from numpy.typing import NDArray

from episome import baseline, calibration, dataset, metrics, params
from episome.params import Params
from episome.train import load_classifier, predict
from pipelines import paths

DRAWS = 1000


def luck(
    judged: NDArray[np.float64],
    answers: NDArray[np.int8],
    asked: NDArray[np.float64],
    labels: NDArray[np.int8],
    seed: int,
) -> tuple[float, float]:
    """5 and 95 % of the test MCC over thresholds from redrawn validation rows."""
    rng = np.random.default_rng(seed)
    found: list[float] = []
    while len(found) < DRAWS:
        drawn = rng.integers(len(answers), size=len(answers))
        if len(np.unique(answers[drawn])) == 2:
            found.append(metrics.mcc(labels, asked, calibration.threshold(judged[drawn], answers[drawn])))
    low, high = np.quantile(found, [0.05, 0.95])
    return float(low), float(high)


def best(values: NDArray[np.float64], labels: NDArray[np.int8]) -> float:
    """MCC at the threshold that suits these very rows best."""
    return metrics.mcc(labels, values, calibration.threshold(values, labels))


def lines(species: str, chosen: Params) -> list[str]:
    """A line per task."""
    rows = dataset.read(paths.windows(species) / "rows.parquet")
    classifier = load_classifier(paths.base(), paths.adapter(species))
    report = json.loads(paths.evaluation(species).read_bytes())["tasks"]
    found = []
    for column, task in enumerate(classifier.tasks):
        labelled = dataset.labelled(rows, task.name)
        parts = {split: labelled[labelled["split"] == split] for split in ("train", "val", "test")}
        answers, labels = (parts[split][dataset.label_column(task.name)].to_numpy() for split in ("val", "test"))
        judged, asked = (
            calibration.sigmoid(predict(classifier, parts[split])[:, column], report[task.name]["temperature"])
            for split in ("val", "test")
        )
        low, high = luck(judged, answers, asked, labels, chosen.seed)
        kmers = baseline.kmer(parts["train"], parts["val"], task=task.name, k=chosen.evaluate.baseline_k)
        counted = kmers.score(list(parts["test"]["sequence"]))
        model = metrics.mcc(labels, asked, report[task.name]["threshold"])
        found.append(
            f"| {species} | {task.name} | {len(answers)} / {len(labels)} | {model:.3f} | {low:.3f} to {high:.3f} | "
            f"{metrics.mcc(labels, asked, 0.5):.3f} | {best(asked, labels):.3f} | "
            f"{metrics.mcc(labels, counted, 0.5):.3f} | {best(counted, labels):.3f} |"
        )
    return found


def main() -> None:
    """Print the table."""
    chosen = params.read()
    torch.set_num_threads(chosen.compute.threads)
    print("| species | task | val / test rows | MCC | with other validation rows | at 0.5 | best possible |", end="")
    print(" k-mers | k-mers, best possible |\n|---|---|---|---|---|---|---|---|---|")
    for species in chosen.species:
        if paths.evaluation(species).is_file():
            print("\n".join(lines(species, chosen)), flush=True)


if __name__ == "__main__":
    main()
