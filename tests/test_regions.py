"""Regions are read from samtools' words and from BED, and each has its own way to count."""

import gzip
import os
import threading
from pathlib import Path

import pytest

from episome.regions import RegionError, joined, parse, read_bed


@pytest.mark.parametrize(
    ("text", "contig", "span"),
    [
        ("chr1:1-1", "chr1", (0, 1)),
        ("chr1:1,001-2,000", "chr1", (1000, 2000)),
        ("HLA-A*01:01:5-9", "HLA-A*01:01", (4, 9)),
    ],
)
def test_a_region_counts_from_one_with_both_ends_inside(text: str, contig: str, span: tuple[int, int]) -> None:
    assert parse(text) == (contig, span)


@pytest.mark.parametrize("text", ["chr1", "chr1:5", "chr1:5-", "chr1:-5", ":1-5", "chr1:a-b", "", "chr1:1-5 "])
def test_what_is_no_region_is_told_with_the_form_that_is_wanted(text: str) -> None:
    with pytest.raises(RegionError, match="wanted: contig:start-end, 1-based with both ends inside"):
        parse(text)


@pytest.mark.parametrize("text", ["chr1:0-5", "chr1:6-5", "chr1:,-5"])
def test_a_region_of_no_base_is_told(text: str) -> None:
    with pytest.raises(RegionError, match="1 or more, and not backwards"):
        parse(text)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_bed_counts_from_zero_and_its_other_lines_are_passed_over(tmp_path: Path, pack: type[bytes]) -> None:
    text = "track name=x\nbrowser hide all\n# words\n\nchr2\t5\t9\tname\t0\t+\r\nchr1\t0\t4\n"
    (tmp_path / "x.bed").write_bytes(pack(text.encode()))
    assert read_bed(tmp_path / "x.bed") == [("chr2", (5, 9)), ("chr1", (0, 4))]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chr1\t5\n", "line 1: 'chr1\\\\t5'; wanted: record id, start and end"),
        ("#\nchr1 5 9\n", "line 2: 'chr1 5 9'; wanted"),
        ("chr1\t-1\t9\n", "wanted: record id, start and end"),
        ("\t1\t9\n", "wanted: record id, start and end"),
        ("chr1\t9\t9\n", "line 1: from 9 to 9; wanted: an end after the start"),
        ("# nothing\n", "no interval"),
    ],
)
def test_a_wrong_bed_says_where(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "x.bed").write_text(text)
    with pytest.raises(RegionError, match=message):
        read_bed(tmp_path / "x.bed")


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_bed_comes_from_a_pipe_too(tmp_path: Path, pack: type[bytes]) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(pack(b"chr1\t0\t4\n"),))
    writer.start()
    assert read_bed(tmp_path / "pipe") == [("chr1", (0, 4))]
    writer.join()


def test_regions_are_joined_where_they_overlap_or_touch() -> None:
    asked = [("b", (5, 9)), ("a", (20, 30)), ("a", (0, 10)), ("a", (10, 15)), ("a", (2, 4)), ("a", (16, 18))]
    assert joined(asked) == {"a": [(0, 15), (16, 18), (20, 30)], "b": [(5, 9)]}
