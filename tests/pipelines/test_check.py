"""The data gate: good rows pass, and each planted fault is named with its rule, its count and its rows."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from episome import audit, contract, dataset, params
from episome.limits import Check
from episome.sequence import reverse_complement
from episome.types import EpisomeError, Task
from pipelines import check, expectations, paths
from tests import check_limits, table_rows

WINDOW = 20
PROMOTER = Task(name="promoter", scope="window", window=WINDOW)
DONOR = Task(name="donor", scope="site", window=WINDOW, motif="GT")
TASKS = (PROMOTER, DONOR)
LIMITS = check_limits.limits()
MAX_TOKENS = 100


def random_rows(task: Task, names: tuple[str, ...] = ("promoter", "donor")) -> pd.DataFrame:
    """40 train, 10 val and 10 test rows of distinct random windows, half of them positive, a group each."""
    random = np.random.default_rng(len(task.name))
    sequences = ["".join(random.choice(list("ACGT"), WINDOW)) for _ in range(60)]
    if task.motif:
        sequences = [s[: WINDOW // 2] + task.motif + s[WINDOW // 2 + len(task.motif) :] for s in sequences]
    columns = {
        "sequence": sequences,
        "label": [i % 2 for i in range(60)],
        "species": "human",
        "contig": "1",
        "start": [i * 100 for i in range(60)],
        "end": [i * 100 + WINDOW for i in range(60)],
        "strand": "+",
        "split": ["train"] * 40 + ["val"] * 10 + ["test"] * 10,
        "group": [f"{task.name}{i}" for i in range(60)],
        "origin": "genome:test",
        "negative_kind": ["" if i % 2 else "decoy" for i in range(60)],
        "release": "none",
    }
    return table_rows.build(columns, task.name, names)


@pytest.fixture
def rows() -> pd.DataFrame:
    return pd.concat([random_rows(task) for task in TASKS], ignore_index=True)


def outcome_of(
    rows: pd.DataFrame, limits: Check = LIMITS, related: dict[str, list[str]] | None = None
) -> expectations.Outcome:
    asked = contract.rules("human", TASKS, limits, MAX_TOKENS)
    return expectations.validate(audit.columns(rows, TASKS, limits, related or {}), "human", asked)


def sequence_of(rows: pd.DataFrame, row: int) -> str:
    return str(rows.loc[row, "sequence"])


def failures_of(rows: pd.DataFrame) -> dict[tuple[str, str, str], dict[str, Any]]:
    return {(f["rule"], f["task"], f["split"]): f for f in outcome_of(rows).failures}


def test_good_rows_pass_every_rule(rows: pd.DataFrame) -> None:
    outcome = outcome_of(rows)
    assert outcome.passed
    assert outcome.failures == []
    assert {line["rule"] for line in outcome.rules} == {
        "alphabet",
        "model_length",
        "n_share",
        "species",
        "split",
        "label",
        "duplicates",
        "contradictions",
        "test_in_train",
        "val_in_train",
        "test_in_val",
        "group_overlap",
        "species_overlap",
        "shortcut_case",
        "shortcut_case_of_kind",
        "shortcut_n",
        "shortcut_length",
        "shortcut_gc",
        "length",
        "motif",
        "min_rows",
        "class_share",
    }


def test_a_letter_that_is_no_base_is_named_with_its_row(rows: pd.DataFrame) -> None:
    rows.loc[7, "sequence"] = "X" + sequence_of(rows, 7)[1:]
    failures = failures_of(rows)
    assert list(failures) == [("alphabet", "", "")]
    failure = failures["alphabet", "", ""]
    assert failure["count"] == 1
    assert failure["examples"] == [
        {
            "row": 7,
            "sequence": sequence_of(rows, 7),
            "labels": {"promoter": 1},
            "split": "train",
            "kind": "",
            "origin": "genome:test",
            "place": "1:700-720",
        }
    ]


def test_too_many_n_are_refused(rows: pd.DataFrame) -> None:
    rows.loc[3, "sequence"] = "NNN" + sequence_of(rows, 3)[3:]
    failure = failures_of(rows)["n_share", "promoter", ""]
    assert failure["observed"] == pytest.approx(0.15)
    assert [(example["row"], example["n_share"]) for example in failure["examples"]] == [(3, 0.15)]


def test_another_species_and_a_fourth_split_are_refused(rows: pd.DataFrame) -> None:
    rows.loc[0, "species"] = "mouse"
    rows.loc[1, "split"] = "holdout"
    assert set(failures_of(rows)) == {("species", "", ""), ("split", "", "")}


def test_a_window_of_the_wrong_length_is_refused(rows: pd.DataFrame) -> None:
    rows.loc[2, "sequence"] = sequence_of(rows, 2) + "A"
    assert list(failures_of(rows)) == [("length", "promoter", "")]


def test_a_site_without_its_motif_in_the_centre_is_refused(rows: pd.DataFrame) -> None:
    site = sequence_of(rows, 60)
    rows.loc[60, "sequence"] = site[: WINDOW // 2] + "CC" + site[WINDOW // 2 + 2 :]
    assert list(failures_of(rows)) == [("motif", "donor", "")]


@pytest.mark.parametrize("strand", [str, reverse_complement])
def test_a_test_row_on_either_strand_of_a_train_row_is_refused(
    rows: pd.DataFrame, strand: Callable[[str], str]
) -> None:
    rows.loc[55, "sequence"] = strand(sequence_of(rows, 1))
    failures = failures_of(rows)
    assert list(failures) == [("test_in_train", "promoter", "")]
    assert failures["test_in_train", "promoter", ""]["examples"][0]["row"] == 55


def test_the_same_sequence_in_another_task_is_no_overlap(rows: pd.DataFrame) -> None:
    rows.loc[55, "sequence"] = sequence_of(rows, 60)  # a donor row of train
    assert failures_of(rows) == {}


def test_a_homology_group_in_train_and_test_is_refused(rows: pd.DataFrame) -> None:
    rows.loc[55, "group"] = "promoter1"  # of a train row
    assert list(failures_of(rows)) == [("group_overlap", "promoter", "")]


def test_a_sequence_with_both_labels_counts_once(rows: pd.DataFrame) -> None:
    rows.loc[5, "sequence"] = sequence_of(rows, 4)
    failures = failures_of(rows)
    assert list(failures) == [("contradictions", "promoter", "")]
    assert failures["contradictions", "promoter", ""]["count"] == 1


def test_contradictions_within_the_limit_pass(rows: pd.DataFrame) -> None:
    rows.loc[5, "sequence"] = sequence_of(rows, 4)
    assert outcome_of(rows, LIMITS.model_copy(update={"max_contradictions": 1 / 59})).passed
    assert not outcome_of(rows, LIMITS.model_copy(update={"max_contradictions": 1 / 61})).passed


def test_the_same_locus_twice_is_a_duplicate(rows: pd.DataFrame) -> None:
    rows.loc[5, "start"], rows.loc[5, "end"] = 400, 420  # where row 4 is
    failures = failures_of(rows)
    assert list(failures) == [("duplicates", "promoter", "")]
    assert [example["row"] for example in failures["duplicates", "promoter", ""]["examples"]] == [4, 5]


def test_rows_without_a_locus_are_duplicates_by_sequence(rows: pd.DataFrame) -> None:
    rows = rows.assign(contig="", start=0, end=WINDOW)
    assert failures_of(rows) == {}
    rows.loc[6, "sequence"] = reverse_complement(sequence_of(rows, 4))
    assert list(failures_of(rows)) == [("duplicates", "promoter", "")]


def test_too_few_rows_and_a_lopsided_split_are_refused(rows: pd.DataFrame) -> None:
    failures = failures_of(rows.drop(index=range(52, 60)))
    assert list(failures) == [("min_rows", "promoter", "test")]
    assert failures["min_rows", "promoter", "test"]["observed"] == 2
    rows.loc[:39, "label_promoter"] = 1
    failures = failures_of(rows)
    assert list(failures) == [("class_share", "promoter", "train")]
    failure = failures["class_share", "promoter", "train"]
    assert failure["observed"] == 1.0
    assert [example["labels"] for example in failure["examples"]] == [{"promoter": 1}] * 5


def test_an_empty_split_is_refused(rows: pd.DataFrame) -> None:
    failures = failures_of(rows.drop(index=range(50, 60)))
    assert set(failures) == {("min_rows", "promoter", "test"), ("class_share", "promoter", "test")}


def test_data_docs_are_the_same_bytes_and_load_nothing(rows: pd.DataFrame, caplog: pytest.LogCaptureFixture) -> None:
    rows.loc[7, "sequence"] = "X" + sequence_of(rows, 7)[1:]
    page = outcome_of(rows).page
    assert page == outcome_of(rows).page
    assert sequence_of(rows, 7) in page
    assert "Data check of human: failed" in page
    assert "contradictions (donor): at most 0.0% of the sequences, either strand, carry both labels" in page
    assert "//" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "<script" not in page
    assert set(re.findall(r"""(?:src|href)=["'](.)""", page)) == {"#"}
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []  # GX logs what it cannot render


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder whose params are the repository's, with one species of two small tasks."""
    given = params.read(Path(__file__).parents[2] / "params.yaml")
    first = next(iter(given.species.values()))
    source = first.model_copy(
        update={"source": first.source.model_copy(update={"tasks": tuple(t.name for t in TASKS)})}
    )
    specs = {t.name: given.tasks[t.name].model_copy(update={"window": WINDOW}) for t in TASKS}
    small = given.model_copy(update={"tasks": specs, "species": {"human": source}, "check": LIMITS})
    monkeypatch.setattr(params, "read", lambda: small)
    monkeypatch.chdir(tmp_path)
    paths.windows("human").mkdir(parents=True)
    paths.homology().mkdir(parents=True)
    paths.relatives("human").write_text("{}")
    return tmp_path


def test_the_stage_writes_its_report_and_passes(
    project: Path, rows: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset.write(paths.windows("human") / "rows.parquet", rows)
    assert check.main("human") == 0
    report = json.loads((paths.check("human") / "result.json").read_text())
    assert (report["passed"], report["rows"], report["failures"]) == (True, 120, [])
    assert "rules hold on 120 rows" in capsys.readouterr().out
    assert (paths.check("human") / "docs" / "index.html").is_file()


def test_the_stage_stops_with_species_rule_count_and_row(
    project: Path, rows: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    rows.loc[7, "sequence"] = "X" + sequence_of(rows, 7)[1:]
    dataset.write(paths.windows("human") / "rows.parquet", rows)
    assert check.main("human") == 1
    said = capsys.readouterr().err
    assert "check human: rule alphabet failed: 1 rows; wanted: every base is A, C, G, T or N" in said
    assert f'row 7: {sequence_of(rows, 7)} labels={{"promoter": 1}} split=train' in said
    assert json.loads((paths.check("human") / "result.json").read_text())["passed"] is False


def test_relatives_that_were_never_looked_for_stop_the_stage(project: Path, rows: pd.DataFrame) -> None:
    dataset.write(paths.windows("human") / "rows.parquet", rows)
    paths.relatives("human").unlink()
    with pytest.raises(EpisomeError, match=r"human\.leaks\.json: no such file; run `dvc repro`"):
        check.main("human")


def test_the_report_says_how_well_each_shortcut_tells_the_classes_apart(project: Path, rows: pd.DataFrame) -> None:
    dataset.write(
        paths.windows("human") / "rows.parquet", rows.assign(lower_case=[i % 4 / 4 for i in range(len(rows))])
    )
    assert check.main("human") == 1
    report = json.loads((paths.check("human") / "result.json").read_text())
    assert report["shortcuts"]["promoter"]["lower_case"] == {"all negatives": 0.75}
    assert report["shortcuts"]["donor"]["n_share"] == {"all negatives": 0.5}
    assert [failure["observed"] for failure in report["failures"]] == [0.75, 0.75]


def test_a_shortcut_of_few_rows_is_not_judged_and_says_so(rows: pd.DataFrame) -> None:
    cased = rows.assign(lower_case=[float(i % 2) for i in range(len(rows))])
    few = outcome_of(cased, LIMITS.model_copy(update={"shortcut": LIMITS.shortcut.model_copy(update={"min_rows": 31})}))
    observed = {line["rule"]: line["observed"] for line in few.rules if line["task"] == "promoter"}
    assert few.passed
    assert observed["shortcut_case"] is None
    assert observed["group_overlap"] == 0.0
    assert observed["n_share"] == 0.0


def test_a_relative_that_has_left_params_is_held_against_nobody(project: Path, rows: pd.DataFrame) -> None:
    dataset.write(paths.windows("human") / "rows.parquet", rows)
    group = str(rows.loc[rows["split"] == "test", "group"].iloc[0])
    paths.relatives("human").write_text(json.dumps({group: ["mouse"]}))
    assert check.main("human") == 0
    paths.relatives("human").write_text(json.dumps({group: ["human", "mouse"]}))
    assert check.main("human") == 1
