"""Rows that a retrain may keep: few, spread over groups, the same in any order, and what their hashes say."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from episome import coreset, dataset
from episome.types import EpisomeError

TASKS = ("donor", "tis")
MOST = 5


def pool(n: int = 120, seed: int = 0) -> pd.DataFrame:
    """A third of the rows speak for one task, a third for the other and a third for both; one group has half of all."""
    rng = np.random.default_rng(seed)
    spoken = np.arange(n) % 3
    labels = {
        task: np.where(spoken == 1 - k, dataset.MISSING, rng.integers(0, 2, n)).tolist() for k, task in enumerate(TASKS)
    }
    columns = {
        "sequence": ["".join(rng.choice(list("ACGT"), 30)) for _ in range(n)], "species": "x", "contig": "", "start": 0,
        "end": [30] * n, "strand": "+", "split": "train", "gene": "", "release": "none", "origin": "toy",
        "group": ["large" if k % 2 else f"g{k % 24}" for k in range(n)], "negative_kind": "", "lower_case": 0.0,
    }  # fmt: skip
    return dataset.build(columns, labels, TASKS)


def of_class(rows: pd.DataFrame, task: str, label: int) -> pd.DataFrame:
    return rows[rows[dataset.label_column(task)] == label]


def test_no_class_of_a_task_has_more_than_its_share_and_none_has_less() -> None:
    rows, chosen = pool(), coreset.choose(pool(), MOST, 0)
    assert coreset.counts(chosen) == {task: [MOST, MOST] for task in TASKS}
    for task in TASKS:
        for label in (0, 1):
            known = set(of_class(rows, task, label)["sequence"])
            assert set(of_class(chosen, task, label)["sequence"]) < known
    every = coreset.choose(rows, len(rows), 0)
    assert sorted(coreset.hashes(every)) == sorted(coreset.hashes(rows))
    assert ((chosen[["label_donor", "label_tis"]] >= 0).any(axis=1)).all()


def test_groups_take_turns() -> None:
    rows = pool()
    for task in TASKS:
        for label in (0, 1):
            groups = of_class(rows, task, label)["group"]
            few = of_class(coreset.choose(rows, MOST, 0), task, label)["group"]
            assert groups.nunique() > MOST
            assert few.nunique() == len(few) == MOST
            more = of_class(coreset.choose(rows, groups.nunique() + 3, 0), task, label)["group"]
            assert set(more) == set(groups)


def test_it_depends_on_rows_and_seed_and_not_on_their_order() -> None:
    rows, chosen = pool(), coreset.choose(pool(), MOST, 0)
    turned = pd.concat([rows, rows.iloc[:20]]).sample(frac=1, random_state=1)  # equal rows count once
    pd.testing.assert_frame_equal(coreset.choose(turned, MOST, 0), chosen)
    assert set(coreset.choose(rows, MOST, 1)["sequence"]) != set(chosen["sequence"])


def test_a_hash_is_of_the_sequence_and_of_what_is_said_of_it() -> None:
    rows = pool()
    assert len(set(coreset.hashes(rows))) == len(rows)
    added = rows.assign(label_promoter=np.int8(dataset.MISSING), group="other")
    assert coreset.hashes(added) == coreset.hashes(rows)
    assert not set(coreset.hashes(rows.assign(label_donor=np.int8(1), label_tis=np.int8(1)))) >= set(
        coreset.hashes(rows)
    )


def test_what_is_written_is_read_back_and_nothing_else_is(tmp_path: Path) -> None:
    with pytest.raises(EpisomeError, match="holds no coreset"):
        coreset.read(tmp_path, MOST)
    chosen = coreset.choose(pool(), MOST, 0)
    digest = coreset.write(tmp_path, chosen, MOST, 0)
    assert coreset.write(tmp_path, chosen, MOST, 0) == digest
    pd.testing.assert_frame_equal(coreset.read(tmp_path, MOST), chosen)
    with pytest.raises(EpisomeError, match=r"coreset_per_class 5, params.yaml has 6; `episome retrain` chooses anew"):
        coreset.read(tmp_path, 6)
    dataset.write(tmp_path / coreset.ROWS, chosen.assign(label_tis=np.int8(1)))
    with pytest.raises(EpisomeError, match=r"its rows are not those that coreset\.json has the hashes of"):
        coreset.read(tmp_path, MOST)


def test_none_of_no_rows() -> None:
    assert coreset.choose(pool().iloc[:0], MOST, 0).empty
