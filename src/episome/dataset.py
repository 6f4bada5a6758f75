"""The rows a species is trained and judged on: one Parquet file, one schema, the same bytes every time."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from episome.types import LABEL, EpisomeError, Split

MISSING = -1

# Columns after the labels, in file order. Coordinates are 0-based half-open on the plus strand of the contig;
# a row that comes from no genome has contig "", start 0, end its length, strand "+", gene "". What the model never
# sees but could tell the classes apart by, had it been fed: `lower_case`, the share of soft-masked bases as they came.
_FIXED: dict[str, pa.DataType] = {
    "species": pa.string(),
    "contig": pa.string(),
    "start": pa.int64(),
    "end": pa.int64(),
    "strand": pa.string(),
    "split": pa.string(),
    "gene": pa.string(),
    "group": pa.string(),
    "origin": pa.string(),
    "negative_kind": pa.string(),
    "release": pa.string(),
    "lower_case": pa.float32(),
}


class DatasetError(EpisomeError):
    """Rows that do not have the columns, types or values that rows have."""


def label_column(task: str) -> str:
    """The column that holds a task's labels: 1, 0, or -1 where the row says nothing about the task."""
    return LABEL + task


def labelled(rows: pd.DataFrame, task: str) -> pd.DataFrame:
    """The rows that have a label of the task."""
    return rows[rows[label_column(task)] != MISSING]


def tasks(rows: pd.DataFrame) -> tuple[str, ...]:
    """Names of the tasks that rows have a label column for, in column order."""
    return tuple(str(name).removeprefix(LABEL) for name in rows.columns if str(name).startswith(LABEL))


def schema(task_names: Sequence[str]) -> pa.Schema:
    """The Arrow schema of rows with these tasks."""
    labels = [(label_column(name), pa.int8()) for name in task_names]
    return pa.schema([("sequence", pa.string()), *labels, *_FIXED.items()])


def build(columns: Mapping[str, Any], labels: Mapping[str, Sequence[int]], task_names: Sequence[str]) -> pd.DataFrame:
    """Rows that carry labels of some tasks; the labels of all other tasks are missing.

    Args:
        columns: ``sequence`` and every fixed column, as equally long lists or one value for all.
        labels: task → 1, 0 or -1 for each row.
        task_names: all tasks of the species, in the order of its head's columns.

    Returns:
        Rows in the order and with the types of `schema`.
    """
    count = len(columns["sequence"])
    values = {name: [v] * count if isinstance(v, str | int | float) else list(v) for name, v in columns.items()}
    for name in task_names:
        values[label_column(name)] = list(labels.get(name, [MISSING] * count))
    wanted = schema(task_names)
    return _frame(pa.table([pa.array(values[f.name], type=f.type) for f in wanted], schema=wanted))


def write(path: Path, rows: pd.DataFrame) -> None:
    """Write rows; equal rows give equal bytes.

    Raises:
        DatasetError: a column is missing, unknown or of the wrong type, or a value is out of its set.
    """
    wanted = schema(tasks(rows))
    _check_names([str(name) for name in rows.columns], wanted, str(path))
    try:
        table = pa.Table.from_pandas(rows, schema=wanted, preserve_index=False).replace_schema_metadata(None)
        # Equal rows may lie in unequal chunks, and chunks show in the bytes.
        table = table.combine_chunks()
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DatasetError(f"{path}: rows cannot be written: {error}") from error
    _check_values(rows, str(path))
    pq.write_table(table, path, compression="zstd", use_dictionary=True, write_statistics=False)


def read(path: Path) -> pd.DataFrame:
    """Read rows that `write` wrote.

    Raises:
        DatasetError: no such file, not Parquet, or a column is missing, unknown, of the wrong type,
            or has a value out of its set.
    """
    try:
        # Opened here, since a path with '=' in it would be taken for a partitioned data set.
        with path.open("rb") as stream:
            table = pq.read_table(stream)
    except FileNotFoundError as error:
        raise DatasetError(f"{path}: no such file; run `dvc repro` for this species' windows") from error
    except pa.ArrowInvalid as error:
        raise DatasetError(f"{path}: not a Parquet file: {error}") from error
    wanted = schema([n.removeprefix(LABEL) for n in table.schema.names if n.startswith(LABEL)])
    _check_names(table.schema.names, wanted, str(path))
    for field in wanted:
        came = table.schema.field(field.name).type
        if came != field.type:
            raise DatasetError(f"{path}: column {field.name!r} is {came}; wanted: {field.type}")
    rows = _frame(table)
    _check_values(rows, str(path))
    return rows


def _frame(table: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas()
    return frame


def _check_names(came: Sequence[str], wanted: pa.Schema, where: str) -> None:
    if list(came) == wanted.names:
        return
    missing = [name for name in wanted.names if name not in came]
    unknown = [name for name in came if name not in wanted.names]
    raise DatasetError(
        f"{where}: columns are {', '.join(came)}; missing: {', '.join(missing) or 'none'}; "
        f"unknown: {', '.join(unknown) or 'none'}; wanted in this order: {', '.join(wanted.names)}"
    )


def _check_values(rows: pd.DataFrame, where: str) -> None:
    empty = rows.isna()
    if empty.to_numpy().any():
        name = str(rows.columns[empty.any()][0])
        raise DatasetError(
            f"{where}: column {name!r} has empty values, first in row {_first(empty[name])}; none are wanted"
        )
    allowed: dict[str, tuple[Any, ...]] = {"split": get_args(Split), "strand": ("+", "-")}
    allowed |= {label_column(task): (MISSING, 0, 1) for task in tasks(rows)}
    for name, values in allowed.items():
        _refuse(rows, name, ~rows[name].isin(values), f"one of {', '.join(map(repr, values))}", where)
    length = rows["end"] - rows["start"]
    _refuse(rows, "sequence", rows["sequence"] == "", "one base at least", where)
    _refuse(rows, "start", rows["start"] < 0, "0 or more", where)
    _refuse(rows, "end", length != rows["sequence"].str.len(), "start + length of the sequence", where)
    _refuse(rows, "lower_case", ~rows["lower_case"].between(0, 1), "a share, 0 to 1", where)


def _refuse(rows: pd.DataFrame, name: str, wrong: pd.Series, wanted: str, where: str) -> None:
    if wrong.any():
        row = _first(wrong)
        raise DatasetError(f"{where}: column {name!r}, row {row}: {rows[name].iloc[row]!r}; wanted: {wanted}")


def _first(wrong: pd.Series) -> int:
    """Number of the first row, whatever the index is."""
    return int(wrong.to_numpy().argmax())
