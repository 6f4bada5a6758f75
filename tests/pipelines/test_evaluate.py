"""Evaluation of one task from logits whose quality is known, and its table."""

import numpy as np
import pandas as pd
import pytest

from episome import calibration
from episome.params import Evaluate
from pipelines import evaluate
from tests import table_rows

NUMBERS = Evaluate(bootstrap=60, confidence=0.95, baseline_k=2)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """200 train, 100 val and 100 test rows of random bases; two kinds of negatives; beside another task."""
    random = np.random.default_rng(0)
    n = 400
    labels = np.arange(n) % 2
    columns = {
        "sequence": ["".join(random.choice(list("ACGT"), 30)) for _ in range(n)],
        "label": labels.tolist(),
        "species": "human",
        "contig": "",
        "start": 0,
        "end": 30,
        "strand": "+",
        "split": ["train"] * 200 + ["val"] * 100 + ["test"] * 100,
        "group": [f"g{i // 2}" for i in range(n)],
        "origin": "toy",
        "negative_kind": ["" if i % 2 else ("near", "far")[i // 2 % 2] for i in range(n)],
        "release": "none",
    }
    asked = table_rows.build(columns, "donor", ["promoter", "donor"])
    return pd.concat([asked, table_rows.build(columns, "promoter", ["promoter", "donor"])], ignore_index=True)


@pytest.fixture(scope="module")
def logits(rows: pd.DataFrame) -> np.ndarray:
    """Too sure, shifted logits: far decoys are far below, near decoys overlap with positives; train is NaN."""
    random = np.random.default_rng(1)
    kinds = rows["negative_kind"].to_numpy()
    level = np.select([kinds == "far", kinds == "near"], [-6.0, 0.5], 2.0)
    answer = level + random.normal(0, 1.5, len(rows)) + 3
    return np.where(rows["split"] == "train", np.nan, 2 * answer).astype(np.float32)


def test_a_task_is_calibrated_on_val_and_scored_on_its_own_test_rows(rows: pd.DataFrame, logits: np.ndarray) -> None:
    result = evaluate.evaluated(rows, logits, "donor", NUMBERS, seed=7)
    assert (result["val"]["n"], result["test"]["n"], result["test"]["groups"]) == (100, 100, 50)
    assert result["test"]["mcc"]["value"] > 0.5
    assert abs(result["baseline"]["mcc"]["value"]) < 0.3
    own = (rows["label_donor"] >= 0).to_numpy() & (rows["split"] == "val").to_numpy()
    labels = rows["label_donor"].to_numpy()[own]
    assert result["temperature"] == calibration.temperature(logits[own], labels)
    calibrated = calibration.sigmoid(logits[own], result["temperature"])
    assert result["threshold"] == calibration.threshold(calibrated, labels)


def test_decoys_are_told_apart_by_kind(rows: pd.DataFrame, logits: np.ndarray) -> None:
    kinds = evaluate.evaluated(rows, logits, "donor", NUMBERS, seed=7)["negative_kinds"]
    assert {kind: result["n"] for kind, result in kinds.items()} == {"far": 25, "near": 25}
    assert kinds["far"]["auroc"] > 0.99
    assert 0.5 < kinds["near"]["auroc"] < 0.95


def test_a_second_evaluation_is_the_same(rows: pd.DataFrame, logits: np.ndarray) -> None:
    first = evaluate.evaluated(rows, logits, "donor", NUMBERS, seed=7)
    assert evaluate.evaluated(rows, logits, "donor", NUMBERS, seed=7) == first


def test_the_table_has_the_model_beside_its_baseline(rows: pd.DataFrame, logits: np.ndarray) -> None:
    result = evaluate.evaluated(rows, logits, "donor", NUMBERS, seed=7)
    head, columns, model, baseline = evaluate.table("human", {"donor": result}).splitlines()
    assert head == "human, test rows"
    assert columns.split()[:3] == ["task", "who", "n"]
    assert model.split()[:3] == ["donor", "model", "100"]
    assert baseline.split()[:3] == ["donor", "k-mers", "100"]
    assert f"{result['test']['mcc']['value']:.3f}" in model
    assert len(model) == len(baseline) == len(columns)
