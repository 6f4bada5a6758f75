from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from episome import dataset
from episome.dataset import DatasetError
from tests import table_rows

COLUMNS = {
    "species": "toy",
    "contig": ["1", "1", ""],
    "start": [0, 4, 0],
    "end": [4, 8, 5],
    "strand": ["+", "-", "+"],
    "split": ["train", "val", "test"],
    "group": ["a", "b", "c"],
    "origin": "toy",
    "negative_kind": ["", "shifted", ""],
    "release": "none",
}


def rows() -> pd.DataFrame:
    first = {**COLUMNS, "sequence": ["ACGT", "GGGG", "ACGTN"], "label": [1, 0, 1]}
    second = {**COLUMNS, "sequence": ["TTTT", "CCCC", "TTTTN"], "label": [0, 0, 1]}
    names = ["promoter", "donor"]
    frames = [table_rows.build(first, "promoter", names), table_rows.build(second, "donor", names)]
    return pd.concat(frames, ignore_index=True)


def test_a_row_carries_the_labels_of_its_own_task_only() -> None:
    assert dataset.tasks(rows()) == ("promoter", "donor")
    assert rows()["label_promoter"].tolist() == [1, 0, 1, -1, -1, -1]
    assert rows()["label_donor"].tolist() == [-1, -1, -1, 0, 0, 1]


def test_what_is_written_is_read_and_equal_rows_are_equal_bytes(tmp_path: Path) -> None:
    # A '=' in the path would make a partitioned data set of it.
    folder = tmp_path / "a=b"
    folder.mkdir()
    dataset.write(folder / "rows.parquet", rows())
    came = dataset.read(folder / "rows.parquet")
    pd.testing.assert_frame_equal(came, rows())
    dataset.write(folder / "again.parquet", came)
    assert (folder / "again.parquet").read_bytes() == (folder / "rows.parquet").read_bytes()


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("split", "dev", "column 'split', row 1: 'dev'; wanted: one of 'train', 'val', 'test'"),
        ("strand", ".", "column 'strand', row 1"),
        ("label_donor", 2, "column 'label_donor', row 1"),
        ("group", None, "column 'group' has empty values, first in row 1"),
        ("sequence", "", "column 'sequence', row 1: ''; wanted: one base at least"),
        ("start", -1, "column 'start', row 1: -1; wanted: 0 or more"),
        ("end", 9, "column 'end', row 1: 9; wanted: start [+] length of the sequence"),
        ("lower_case", 1.5, "column 'lower_case', row 1: 1.5; wanted: a share, 0 to 1"),
        ("start", "here", "rows cannot be written"),
    ],
)
def test_a_wrong_value_is_named_on_writing(tmp_path: Path, column: str, value: object, message: str) -> None:
    wrong = rows()
    wrong[column] = wrong[column].astype(object)
    wrong.loc[1, column] = value  # type: ignore[call-overload]
    with pytest.raises(DatasetError, match=message):
        dataset.write(tmp_path / "rows.parquet", wrong)
    assert not (tmp_path / "rows.parquet").exists()


def test_a_wrong_row_is_counted_whatever_the_index_is(tmp_path: Path) -> None:
    wrong = rows().set_index(pd.Index([3] * 6))
    wrong["split"] = ["train", "val", "holdout", "train", "val", "test"]
    with pytest.raises(DatasetError, match="column 'split', row 2: 'holdout'"):
        dataset.write(tmp_path / "rows.parquet", wrong)


def test_missing_unknown_and_mistyped_columns_are_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    with pytest.raises(DatasetError, match="missing: strand; unknown: none"):
        dataset.write(path, rows().drop(columns="strand"))
    table = pa.Table.from_pandas(rows(), preserve_index=False)
    pq.write_table(table.append_column("gc", pa.array([0.5] * 6)), path)
    with pytest.raises(DatasetError, match="missing: none; unknown: gc"):
        dataset.read(path)
    wanted = dataset.schema(["promoter", "donor"])
    index = wanted.get_field_index("start")
    pq.write_table(table.cast(wanted.set(index, pa.field("start", pa.int32()))), path)
    with pytest.raises(DatasetError, match="column 'start' is int32; wanted: int64"):
        dataset.read(path)


def test_a_missing_file_or_one_that_is_no_parquet_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such file; run"):
        dataset.read(tmp_path / "rows.parquet")
    (tmp_path / "rows.parquet").write_text("sequence,label\n")
    with pytest.raises(DatasetError, match="not a Parquet file"):
        dataset.read(tmp_path / "rows.parquet")
