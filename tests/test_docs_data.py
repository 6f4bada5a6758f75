"""The examples of docs/data.md are read from the page as a lab would copy them."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter

from episome import sets
from episome.params import TaskSpec
from episome.sources import GenomeSource, Source
from episome.types import Task
from tests import table_rows
from tests.conftest import ROOT

PAGE = (ROOT / "docs/data.md").read_text(encoding="utf-8")
LABELS = PAGE.split("\n## Your own labels\n")[1].split("\n## ")[0]
LAYOUTS = {part.splitlines()[0]: part for part in LABELS.split("\n### ")[1:] if "source:" in part}
FILE = re.compile(r"^`([^`\n]+)`\n\n```\w+\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PARAMS = re.compile(r"^```yaml\n(tasks:.*?)^```$", re.DOTALL | re.MULTILINE)
ROW = re.compile(r"^\| ([ACGTN]+) \| (\w+) \| (.*) \|$", re.MULTILINE)


def load(part: str) -> tuple[list[tuple[Any, ...]], dict[str, Any]]:
    """Rows and report of an example whose files lie in the working directory."""
    (text,) = PARAMS.findall(part)
    given = yaml.safe_load(text)
    source = TypeAdapter[Any](Source).validate_python(given["source"])
    assert not isinstance(source, GenomeSource)
    tasks = [Task(name=name, **TaskSpec(**given["tasks"][name]).model_dump()) for name in source.task_names]
    rows, report = sets.load(source, tasks, species="lab", windows=table_rows.windows(), seed=7)
    columns = ["sequence", "split", *(f"label_{task.name}" for task in tasks)]
    return [tuple(row) for row in rows[columns].to_numpy().tolist()], report


def test_the_page_shows_four_layouts() -> None:
    assert len(LAYOUTS) == 4


@pytest.mark.parametrize("name", LAYOUTS)
def test_an_example_becomes_the_rows_beside_it(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path, text in FILE.findall(LAYOUTS[name]):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text)
    rows, report = load(LAYOUTS[name])
    wanted = [(s, split, *map(int, labels.split(" | "))) for s, split, labels in ROW.findall(LAYOUTS[name])]
    assert rows == wanted
    found = report["sets"].values() if "sets" in report else [report]
    stated = set(re.findall(r"^\| `(\w+)` \|", LABELS, re.MULTILINE))
    for part in found:
        assert set(part["dropped"]) <= stated
        assert sum(part["read"].values()) == len(wanted) + sum(sum(d.values()) for d in part["dropped"].values())
