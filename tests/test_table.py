import gzip
from pathlib import Path

import pytest

from episome import table
from episome.table import TableError


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_plain_packed_and_marked_files_give_the_same_lines(tmp_path: Path) -> None:
    text = "sequence,label\r\nACGT,1\r\nGG,0\r\n"
    (tmp_path / "plain").write_bytes(text.encode())
    (tmp_path / "packed").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "marked").write_bytes(b"\xef\xbb\xbf" + text.encode())
    for name in ("plain", "packed", "marked"):
        lines = list(table.read(tmp_path / name, ("sequence", "label")))
        assert [line.fields for line in lines] == [{"sequence": "ACGT", "label": "1"}, {"sequence": "GG", "label": "0"}]
        assert [line.place for line in lines] == [f"{name} line 2", f"{name} line 3"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "columns are none; wanted: sequence, label and perhaps group"),
        (b"sequence,y\nA,1\n", "columns are sequence, y; wanted"),
        (b"sequence,label,more\nA,1,2\n", "columns are sequence, label, more"),
        (b"sequence,label,label\nA,1,0\n", "columns are sequence, label, label"),
        (b"sequence,label\nA\n", "line 2: not as many fields"),
        (b"sequence,label\nA,1,2\n", "line 2: not as many fields"),
        (b'sequence,label\n"A,1\n', "not CSV"),
        (b"sequence,label\n\xff,1\n", "not UTF-8"),
        (gzip.compress(b"sequence,label\nA,1\n")[:-9], "truncated or damaged"),
        (b"\x1f\x8bxx", "truncated or damaged"),
    ],
)
def test_a_wrong_file_says_what_was_wanted(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "rows.csv").write_bytes(data)
    with pytest.raises(TableError, match=message):
        list(table.read(tmp_path / "rows.csv", ("sequence", "label"), ("group",)))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"rows\.csv: cannot be opened"):
        list(table.read(tmp_path / "rows.csv", ("sequence",)))


@pytest.mark.parametrize("text", ["2", "", "yes", "-1", "1.0"])
def test_a_label_is_zero_or_one(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "rows.csv", f"sequence,label\nA,{text}\n")
    (line,) = table.read(path, ("sequence", "label"))
    with pytest.raises(TableError, match=f"rows.csv line 2: label '{text}'; wanted: 0 or 1"):
        table.label(path, line)


def test_kmer_text_is_joined_and_a_bad_letter_named(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", "sequence,label\nACGTAC CGTACg,1\nAC-T,1\nacgu,0\nACG CG,1\n")
    kmers, gap, good, short = table.read(path, ("sequence", "label"))
    assert table.sequence(path, kmers, "n").sequence == "ACGTACG"
    with pytest.raises(TableError, match="line 3: character '-' at position 3"):
        table.sequence(path, gap, "n")
    assert table.sequence(path, good, "n").sequence == "ACGT"
    assert table.label(path, good) == 0
    with pytest.raises(TableError, match="line 5: k-mer 2 is 'CG'; wanted: 3 letters, as in the first, 'ACG'"):
        table.sequence(path, short, "n")


def test_tabs_separate_the_fields_of_a_tsv_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.tsv.gz"
    path.write_bytes(gzip.compress(b"sequence\tlabel\nA,C\t1\n"))
    assert table.header(path) == ("sequence", "label")
    (line,) = table.read(path, ("sequence", "label"))
    assert line.fields == {"sequence": "A,C", "label": "1"}


def test_a_header_may_be_missing_or_broken(tmp_path: Path) -> None:
    assert table.header(write(tmp_path / "empty.csv", "")) == ()
    with pytest.raises(TableError, match="not CSV"):
        table.header(write(tmp_path / "open.csv", '"sequence'))


def test_one_file_is_found_by_its_stem(tmp_path: Path) -> None:
    path = write(tmp_path / "dev.tsv.gz", "")
    assert table.find(tmp_path, "dev") == path
    write(tmp_path / "dev.csv", "")
    with pytest.raises(TableError, match=r"wanted one of dev\.csv, .*; there: dev\.csv and dev\.tsv\.gz"):
        table.find(tmp_path, "dev")
