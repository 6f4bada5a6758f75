"""What heirs share with their donors, in the report."""

from pathlib import Path

import pytest

from episome import looks
from episome.looks import Look
from episome.report import performance, values, words
from episome.study import StudyError
from tests import invented


def look(donor: str, target: str, seed: int, **values: float) -> Look:
    return Look(target=target, donor=donor, task="donor", seed=seed, values=values)


FOUND = (
    look("human", "mouse", 1, head_retention=0.9, key_overlap=0.4, head_before=0.8),
    look("human", "mouse", 2, head_retention=0.7, key_overlap=0.2, head_before=0.8),
    look("mouse", "mouse", 1, key_overlap=0.5),
)


def test_looks_are_read_as_they_were_written(tmp_path: Path) -> None:
    assert looks.read(tmp_path) == []
    looks.write(tmp_path, FOUND)
    assert looks.read(tmp_path) == [*FOUND]
    (tmp_path / looks.FILE).write_text("[{}]", encoding="utf-8")
    with pytest.raises(StudyError, match=r"inside\.json: .*run the study again"):
        looks.read(tmp_path)


def test_seeds_come_together_and_a_species_beside_itself_is_called_so() -> None:
    grid = invented.full(seeds=(1,), tasks=("donor",)).grid(looks=FOUND)
    data = performance.table(grid)
    kept = data[data["metric"] == "head_retention"].to_dict("records")
    assert [(line["donor"], line["target"], line["value"], line["seeds"]) for line in kept] == [
        ("human", "mouse", pytest.approx(0.8), 2)
    ]
    assert "head_before" not in set(data["metric"])
    panels = {panel.name: panel for panel in values.performance(grid).panels}
    assert "mouse, two seeds 0.500" in panels["donor-key-overlap"].words
    assert "0.800" in panels["donor-head-retention"].words
    assert "AUROC after" in panels["donor-head-retention"].caption


def test_heads_without_kmers_are_said_before_anything_else() -> None:
    study = invented.full(seeds=(1,), tasks=("donor",))
    assert any("encoder alone" in note for note in words.notes(study.grid(alone=True)))
    assert not any("encoder alone" in note for note in words.notes(study.grid()))
