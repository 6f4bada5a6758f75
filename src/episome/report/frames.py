"""Lines of the report's tables and the tables that they make."""

from typing import Any

import pandas as pd

from episome.report.cells import Cell
from episome.transferscores import Score

NUMBERS = ("value", "low", "high", "seed_sd", "n", "seeds")
_MORE = {"distance", "at_least", "at_most", "from_nothing", "p", "p_holm", "p_seeds", "p_seeds_smallest", "gain"}


def score(found: Score) -> dict[str, Any]:
    """Of a line: a number, or why there is none."""
    return {"value": found.value, "reason": found.reason}


def auroc(cell: Cell) -> dict[str, Any]:
    """Of a line: AUROC of a cell, its interval and spread, and how many runs the check sent back to nothing."""
    area = cell.auroc
    numbers = (area.value, area.low, area.high, cell.seed_sd, cell.n, len(cell.runs))
    back = sum(run.start == "nothing" for run in cell.runs)
    return dict(zip(NUMBERS, numbers, strict=True)) | {"reason": "", "from_nothing": back}


def who(cell: Cell) -> dict[str, Any]:
    """Of a line: whose it is."""
    return {"task": cell.task, "target": cell.target, "donor": cell.donor, "method": cell.method}


def of(lines: list[dict[str, Any]], columns: tuple[str, ...]) -> pd.DataFrame:
    """The table of these lines in their order, with these columns first."""
    made = pd.DataFrame(lines, columns=pd.Index(list(dict.fromkeys([*columns, *(k for line in lines for k in line)]))))
    numbers = [name for name in made.columns if name in NUMBERS or name in _MORE]
    return made.astype(dict.fromkeys(numbers, "float64"))


def lines(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The lines of a table, one dict each."""
    return [{str(name): value for name, value in line.items()} for line in table.to_dict("records")]
