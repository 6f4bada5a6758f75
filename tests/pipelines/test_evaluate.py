"""Evaluation of one task from logits whose quality is known, and its table."""

import numpy as np
import pandas as pd
import pytest

from episome import calibration
from episome.params import BestCut, Evaluate, FloorCut
from episome.types import Task
from pipelines import evaluate
from tests import table_rows

NUMBERS = Evaluate(bootstrap=60, confidence=0.95, baseline_k=2, threshold=BestCut(rule="mcc"))
DONOR = Task(name="donor", scope="site", window=30, motif="GT")


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
    result = evaluate.evaluated(rows, logits, DONOR, NUMBERS, seed=7)
    assert (result["val"]["n"], result["test"]["n"], result["test"]["groups"]) == (100, 100, 50)
    assert result["test"]["mcc"]["value"] > 0.5
    assert abs(result["baseline"]["mcc"]["value"]) < 0.3
    own = (rows["label_donor"] >= 0).to_numpy() & (rows["split"] == "val").to_numpy()
    labels = rows["label_donor"].to_numpy()[own]
    assert result["temperature"] == calibration.temperature(logits[own], labels)
    calibrated = calibration.sigmoid(logits[own], result["temperature"])
    assert result["threshold"] == calibration.threshold(calibrated, labels)


def test_the_threshold_follows_the_rule_and_reliability_covers_the_test_rows(
    rows: pd.DataFrame, logits: np.ndarray
) -> None:
    rule = FloorCut(rule="precision", at_least=0.9)
    result = evaluate.evaluated(rows, logits, DONOR, NUMBERS.model_copy(update={"threshold": rule}), seed=7)
    assert result["threshold"] > evaluate.evaluated(rows, logits, DONOR, NUMBERS, seed=7)["threshold"]
    assert result["val"]["precision"]["value"] >= 0.9
    assert sum(part["n"] for part in result["reliability"]) == 100


def test_decoys_are_told_apart_by_kind(rows: pd.DataFrame, logits: np.ndarray) -> None:
    kinds = evaluate.evaluated(rows, logits, DONOR, NUMBERS, seed=7)["negative_kinds"]
    assert set(kinds) == {"model", "kmer", "pwm"}
    for found in kinds.values():
        assert {kind: (result["positives"], result["negatives"]) for kind, result in found.items()} == {
            "far": (50, 25),
            "near": (50, 25),
        }
    assert kinds["model"]["far"]["auroc"]["value"] > 0.99
    near = kinds["model"]["near"]
    assert 0.5 < near["auroc"]["low"] < near["auroc"]["value"] < 0.95
    assert near["mcc"]["low"] < near["mcc"]["value"] < near["mcc"]["high"]
    assert kinds["kmer"]["far"]["auroc"]["value"] < 0.75


def test_a_task_without_a_fixed_length_says_that_it_has_no_matrix(rows: pd.DataFrame, logits: np.ndarray) -> None:
    result = evaluate.evaluated(rows, logits, Task(name="donor", scope="sequence"), NUMBERS, seed=7)
    assert result["pwm"] == {"absent": "no position-weight matrix: the task has no fixed length, hence no positions"}
    assert set(result["negative_kinds"]) == {"model", "kmer"}
    page = evaluate.table("human", {"donor": result})
    assert result["pwm"]["absent"] in page
    assert page.splitlines()[-1].split()[-1] == "–"


def test_a_second_evaluation_is_the_same(rows: pd.DataFrame, logits: np.ndarray) -> None:
    first = evaluate.evaluated(rows, logits, DONOR, NUMBERS, seed=7)
    assert evaluate.evaluated(rows, logits, DONOR, NUMBERS, seed=7) == first


def test_the_table_has_the_model_beside_its_baselines(rows: pd.DataFrame, logits: np.ndarray) -> None:
    result = evaluate.evaluated(rows, logits, DONOR, NUMBERS, seed=7)
    head, columns, model, kmers, matrix, _, kinds, *rest = evaluate.table("human", {"donor": result}).splitlines()
    assert head == "human, test rows"
    assert columns.split()[:3] == ["task", "who", "n"]
    for line, who in ((model, "model"), (kmers, "k-mers"), (matrix, "matrix")):
        assert line.split()[:3] == ["donor", who, "100"]
        assert len(line) == len(columns)
    assert f"{result['test']['mcc']['value']:.3f}" in model
    assert f"{result['pwm']['mcc']['value']:.3f}" in matrix
    assert "brier" not in result["pwm"]
    assert kinds.split()[:3] == ["task", "positives", "against"]
    by_kind, near = rest[:2], rest[4:]
    assert [line.split()[:3] for line in by_kind] == [["donor", "far", "25"], ["donor", "near", "25"]]
    assert rest[3].split()[:2] == ["task", "8-mers"]
    assert [int(line.split()[4]) for line in near] == [part["n"] for part in result["nearness"]]
    assert f"{result['negative_kinds']['pwm']['far']['auroc']['value']:.3f}" == by_kind[0].split()[-1]


def test_scores_are_told_by_how_near_a_test_row_is_to_training(rows: pd.DataFrame, logits: np.ndarray) -> None:
    parts = evaluate.evaluated(rows, logits, DONOR, NUMBERS, seed=7)["nearness"]
    assert sum(part["n"] for part in parts) == 100
    assert [part["from"] for part in parts] == sorted(part["from"] for part in parts)
    assert all({"model", "kmer"} <= part.keys() or part["absent"] for part in parts)
    known = rows.copy()
    copied = known["sequence"].to_numpy(copy=True)
    test = np.flatnonzero((rows["split"] == "test").to_numpy() & (rows["label_donor"] >= 0).to_numpy())[:40]
    train = np.flatnonzero((rows["split"] == "train").to_numpy() & (rows["label_donor"] >= 0).to_numpy())[:40]
    copied[test] = copied[train]
    known["sequence"] = copied
    last = evaluate.evaluated(known, logits, DONOR, NUMBERS, seed=7)["nearness"][-1]
    assert (last["from"], last["to"], last["n"]) == (1.0, 1.0, 40)


def test_both_strands_of_a_task_without_a_strand_are_averaged(rows: pd.DataFrame, logits: np.ndarray) -> None:
    assert "both_strands" not in evaluate.evaluated(rows, logits, DONOR, NUMBERS, seed=7)
    same = evaluate.evaluated(rows, logits, DONOR, NUMBERS, seed=7, turned=logits)
    assert same["both_strands"] == same["test"]
    noise = np.random.default_rng(5).normal(0, 4, len(rows)).astype(np.float32)
    worse = evaluate.evaluated(rows, logits + noise, DONOR, NUMBERS, seed=7, turned=logits - noise)
    assert worse["both_strands"]["auroc"] == same["test"]["auroc"]
    assert worse["test"]["auroc"]["value"] < same["test"]["auroc"]["value"]
