"""Faults that a lab may bring, planted one at a time and taken through the stages: each is caught and named.

Faults of single files (swapped strand, offset, contig names, broken lines, cut or empty files) stop the stage
`windows` and have their tests beside the module that reads the file.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from episome import dataset, params
from episome.params import Params, Species, TaskSpec
from episome.sequence import reverse_complement
from episome.sources import LabelledSource
from pipelines import check, genes, homology, paths, windows
from tests.check_limits import limits
from tests.conftest import ROOT

Row = tuple[str, int]
Sides = dict[str, list[Row]]
BASES = 120
COUNTS = {"train": 60, "dev": 20, "test": 20}


def drawn(seed: int) -> Sides:
    """Random sequences, every other one a positive."""
    random = np.random.default_rng(seed)
    return {
        side: [("".join(random.choice(list("ACGT"), BASES)), i % 2) for i in range(count)]
        for side, count in COUNTS.items()
    }


def mutated(sequence: str, every: int = 15) -> str:
    """The sequence with one base in `every` changed: alike, not equal."""
    return "".join("CGTA"["ACGT".index(base)] if i % every == 0 else base for i, base in enumerate(sequence))


def write(species: str, sides: Sides) -> None:
    folder = Path("sets") / species / "orf"
    folder.mkdir(parents=True, exist_ok=True)
    for side, rows in sides.items():
        lines = [f"{sequence},{label}" for sequence, label in rows]
        (folder / f"{side}.csv").write_text("\n".join(["sequence,label", *lines]) + "\n")


@dataclass
class Project:
    """Two species, `lab` and `cousin`, with a labelled set each that has nothing wrong with it."""

    sets: dict[str, Sides]
    params: Params

    def change(self, part: str, **values: Any) -> None:
        self.params = self.params.model_copy(update={part: getattr(self.params, part).model_copy(update=values)})


def entry(name: str, like: Species) -> Species:
    source = LabelledSource(
        kind="labelled", folder=Path("sets") / name, sets={"orf": "orf"}, licence="CC0-1.0", citation="us"
    )
    return like.model_copy(update={"simulated": False, "donor": "base", "source": source})


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The project in its root folder, with params of its own."""
    given = params.read(ROOT / "params.yaml")
    like = given.species["human_sim"]
    own = {
        "tasks": {"orf": TaskSpec(scope="sequence", labels=("noncoding", "coding"))},
        "species": {name: entry(name, like) for name in ("lab", "cousin")},
        "check": limits(min_rows={"train": 40, "val": 10, "test": 10}),
    }
    project = Project({"lab": drawn(1), "cousin": drawn(2)}, given.model_copy(update=own))
    project.change("homology", method="numpy")
    monkeypatch.setattr(params, "read", lambda: project.params)
    monkeypatch.chdir(tmp_path)
    return project


def made(sets: dict[str, Sides]) -> None:
    """The stages up to the rows of both species."""
    for species, sides in sets.items():
        write(species, sides)
        genes.main(species)
    homology.main()
    for species in sets:
        windows.main(species)


def planted(fault: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """A fault in the rows of `lab` themselves, as a stage with a mistake in it would leave them."""
    path = paths.windows("lab") / "rows.parquet"
    dataset.write(path, fault(dataset.read(path)))


def copied(rows: pd.DataFrame, of: int, to: int, strand: Callable[[str], str] = str) -> pd.DataFrame:
    """The rows with one row's sequence, of a strand, and label at another."""
    sequences, labels = rows["sequence"].tolist(), rows["label_orf"].tolist()
    sequences[to], labels[to] = strand(sequences[of]), labels[of]
    return rows.assign(sequence=sequences, label_orf=labels)


def report(species: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((paths.windows(species) / "report.json").read_text())
    return found


def caught(capsys: pytest.CaptureFixture[str], *rules: str) -> list[dict[str, Any]]:
    """The failures of `lab`, of exactly these rules, also told on stderr with their rows; `cousin` goes on."""
    capsys.readouterr()
    assert check.main("lab") == 1
    said = capsys.readouterr().err
    result = json.loads((paths.check("lab") / "result.json").read_text())
    failures: list[dict[str, Any]] = result["failures"]
    assert (result["species"], result["passed"]) == ("lab", False)
    assert [failure["rule"] for failure in failures] == list(rules)
    for failure in failures:
        assert f"check lab: rule {failure['rule']} (orf) failed: {failure['count']} rows" in said
        for row in failure["examples"]:
            assert f"row {row['row']}: {row['sequence']} labels=" in said
    assert check.main("cousin") == 0
    return failures


def places(examples: Iterable[dict[str, Any]]) -> list[int]:
    return [example["row"] for example in examples]


def test_nothing_wrong_is_nothing_said(lab: Project) -> None:
    made(lab.sets)
    assert [check.main(species) for species in lab.sets] == [0, 0]


def test_duplicate_records(lab: Project, capsys: pytest.CaptureFixture[str]) -> None:
    lab.sets["lab"]["train"] += [lab.sets["lab"]["train"][0], (reverse_complement(lab.sets["lab"]["train"][1][0]), 1)]
    made(lab.sets)  # an importer keeps the first and counts the others
    found = report("lab")["sets"]["orf"]
    assert found["dropped"]["repeated"] == {"train": 2, "val": 0, "test": 0}
    assert found["kept"]["train"] == 60
    planted(lambda rows: pd.concat([rows, rows.iloc[[7]]]))
    (failure,) = caught(capsys, "duplicates")
    assert failure["count"] == 2
    assert places(failure["examples"]) == [7, 100]


def test_a_train_row_reverse_complemented_into_test(lab: Project, capsys: pytest.CaptureFixture[str]) -> None:
    sequence, label = lab.sets["lab"]["train"][5]
    lab.sets["lab"]["test"].append((reverse_complement(sequence), label))
    made(lab.sets)  # an importer leaves it to the test side
    found = report("lab")["sets"]["orf"]
    assert found["dropped"]["held_out"] == {"train": 1, "val": 0, "test": 0}
    assert found["overlap"]["train/test"]["rows"] == 1
    planted(lambda rows: copied(rows, 3, 85, reverse_complement))
    (failure,) = caught(capsys, "test_in_train")
    assert failure["count"] == 1
    assert [(row["row"], row["test_in_train"]) for row in failure["examples"]] == [(85, "row 3")]


def test_a_val_row_in_train_and_a_test_row_in_val(lab: Project, capsys: pytest.CaptureFixture[str]) -> None:
    made(lab.sets)
    planted(lambda rows: copied(copied(rows, 3, 61), 63, 85, reverse_complement))
    val, test = caught(capsys, "val_in_train", "test_in_val")
    assert (val["count"], test["count"]) == (1, 1)
    assert [(row["row"], row["val_in_train"]) for row in val["examples"]] == [(61, "row 3")]
    assert [(row["row"], row["test_in_val"]) for row in test["examples"]] == [(85, "row 63")]


def test_a_near_copy_of_a_train_row_in_test(lab: Project, capsys: pytest.CaptureFixture[str]) -> None:
    sequence, label = lab.sets["lab"]["train"][5]
    lab.sets["lab"]["test"][4] = (reverse_complement(mutated(sequence)), label)
    made(lab.sets)
    (failure,) = caught(capsys, "group_overlap")
    assert (failure["count"], places(failure["examples"])) == (1, [84])
    rows = dataset.read(paths.windows("lab") / "rows.parquet")
    assert failure["examples"][0]["group"] == rows.loc[5, "group"]


def test_orthologues_across_the_split(lab: Project, capsys: pytest.CaptureFixture[str]) -> None:
    sequence, label = lab.sets["cousin"]["train"][8]
    lab.sets["lab"]["test"][6] = (mutated(sequence), label)
    made(lab.sets)
    (failure,) = caught(capsys, "species_overlap")
    assert failure["count"] == 1
    assert [(row["row"], row["species_overlap"]) for row in failure["examples"]] == [(86, "cousin")]


def test_both_labels_on_the_two_strands(lab: Project, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = [f"{reverse_complement(sequence)},{1 - label},orf" for sequence, label in lab.sets["lab"]["train"][:2]]
    paths.release("june").mkdir(parents=True)
    (paths.release("june") / "june.csv").write_text("\n".join(["sequence,label,task", *wrong]) + "\n")
    species = lab.params.species | {"lab": lab.params.species["lab"].model_copy(update={"release": "june"})}
    lab.params = lab.params.model_copy(update={"species": species})
    made(lab.sets)
    assert report("lab")["release"]["contradicts_source"]["rows"] == 2
    (failure,) = caught(capsys, "contradictions")
    assert (failure["count"], places(failure["examples"])) == (2, [0, 1])
    assert "either strand, carry both labels" in failure["wanted"]


def negatives(sides: Sides, change: Callable[[str], str]) -> Sides:
    return {side: [(s if label else change(s), label) for s, label in rows] for side, rows in sides.items()}


@pytest.mark.parametrize(
    ("rule", "shown", "change", "there", "elsewhere"),
    [
        pytest.param("shortcut_case", "lower_case", str.lower, 1.0, 0.0, id="lower-case negatives"),
        pytest.param("shortcut_length", "bases", lambda s: s[:90], 90, 120, id="length-separated classes"),
        pytest.param("shortcut_n", "n_share", lambda s: s[:-3] + "NNN", 0.025, 0.0, id="negatives with N"),
    ],
)
def test_classes_that_anything_but_biology_tells_apart(
    lab: Project, capsys: pytest.CaptureFixture[str], rule: str, shown: str, change: Callable[[str], str],
    there: float, elsewhere: float,
) -> None:  # fmt: skip
    lab.sets["lab"] = negatives(lab.sets["lab"], change)
    made(lab.sets)
    (failure,) = caught(capsys, rule)
    assert (failure["count"], failure["observed"]) == (100, 1.0)
    assert f"AUROC of at most 0.{'70' if rule == 'shortcut_case' else '60'}" in failure["wanted"]
    told = [(row["labels"]["orf"], row["kind"], row[shown]) for row in failure["examples"]]
    assert told == [(0, "noncoding", there)] * 3 + [(1, "", elsewhere)] * 2


def test_classes_that_gc_tells_apart(lab: Project, capsys: pytest.CaptureFixture[str]) -> None:
    lab.sets["lab"] = negatives(lab.sets["lab"], lambda s: s.replace("G", "A", 12))
    made(lab.sets)
    (failure,) = caught(capsys, "shortcut_gc")
    assert failure["observed"] > 0.9
    values = [row["gc"] for row in failure["examples"]]
    assert max(values[:3]) < 0.4 < 0.55 < min(values[3:])
    lab.change("check", tasks={"orf": {"shortcut": {"gc": 1.0}}})  # who knows it may say so, for that task
    assert check.main("lab") == 0
