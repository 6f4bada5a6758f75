"""Test MCC and AUROC, and seconds to fit, of every rival on published labelled sets, as a Markdown table.

    OMP_NUM_THREADS=1 python benchmarks/rivals.py FOLDER [SPECIES]

FOLDER holds csorf_lenmatched/ and promoter300/ (`make labelled` uses the same); SPECIES is zebrafish unless told. One
seed, that of params.yaml. The sets' own splits, no row screened out.
"""

import sys
from pathlib import Path

import pandas as pd
import torch

from episome import metrics, params
from episome.dataset import label_column
from episome.rivals import roster
from episome.types import Task

SETS = {
    "csorf_lenmatched": Task(name="csorf", scope="sequence", strands="forward"),
    "promoter300": Task(name="promoter", scope="window", window=300),
}


def rows(folder: Path, task: Task) -> list[pd.DataFrame]:
    """Training, validation and test rows of a set."""
    return [
        pd.read_csv(folder / f"{stem}.csv.gz").rename(columns={"label": label_column(task.name)})
        for stem in ("train", "dev", "test")
    ]


def main(folder: Path, species: str) -> None:
    """Print a line for each set and rival."""
    torch.set_num_threads(1)
    chosen = params.read()
    print("| set | rival | train / val / test rows | MCC | AUROC | epochs | seconds |\n|---|---|---|---|---|---|---|")
    for name, task in SETS.items():
        learn, judge, test = rows(folder / name / species, task)
        labels = test[label_column(task.name)].to_numpy()
        for rival in roster.NAMES:
            fitted = roster.fit(rival, learn, judge, task, seed=chosen.seed, numbers=chosen)
            scores = fitted.score(list(test["sequence"]))
            mcc, area = metrics.mcc(labels, scores, fitted.threshold), metrics.auroc(labels, scores)
            sizes = f"{len(learn)} / {len(judge)} / {len(test)}"
            epochs = len(fitted.curve) or "–"
            line = (
                f"| {name} {species} | {rival} | {sizes} | {mcc:.3f} | {area:.3f} | {epochs} | {fitted.seconds:.0f} |"
            )
            print(line, flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("benchmarks/rivals.py FOLDER [SPECIES]: FOLDER holds csorf_lenmatched/ and promoter300/")
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "zebrafish")
