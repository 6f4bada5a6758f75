import gzip
from pathlib import Path

import pytest

from episome import gtf
from episome.gtf import GtfError, Transcript
from tests import tiny_genome


def parse(folder: Path, *lines: str) -> list[Transcript]:
    (folder / "genes.gtf").write_text("\n".join(lines) + "\n")
    return gtf.read(folder / "genes.gtf")


def exon(first: int, last: int, transcript: str = "t", *, gene: str = "g", strand: str = "+", more: str = "") -> str:
    return f'1\tx\texon\t{first}\t{last}\t.\t{strand}\t.\tgene_id "{gene}"; transcript_id "{transcript}";{more}'


def test_a_gene_on_each_strand_is_read_back_as_it_was_laid(tmp_path: Path) -> None:
    lines = tiny_genome.gtf_lines("a", "1", (1000, 2300), "+", "FAM1")
    lines += tiny_genome.gtf_lines("b", "1", (4000, 5300), "-")
    first, second = parse(tmp_path, "#!comment", "", *lines)
    assert (first.id, first.gene, first.strand) == ("aT", "a", "+")
    assert (first.family, first.biotype) == ("FAM1", "protein_coding")
    assert first.span == (1000, 2300)
    assert first.exons == ((1000, 1400), (1900, 2300))
    assert first.introns == ((1400, 1900),)
    assert first.cds == ((1100, 1400), (1900, 2201))
    assert second.exons == ((4000, 4400), (4900, 5300))
    assert second.cds == ((4099, 4400), (4900, 5200))
    assert second.family == ""
    # `tag` comes twice on every line; the second one counts too.
    assert first.canonical
    assert second.canonical


def test_files_with_exon_lines_only_and_unquoted_values_are_read(tmp_path: Path) -> None:
    came = parse(tmp_path, exon(101, 200, "n^1", more=" exon_number 1; level 2;"), exon(301, 400, "n^1"))
    assert [(t.id, t.exons, t.biotype, t.canonical) for t in came] == [("n^1", ((100, 200), (300, 400)), "", False)]


def test_touching_exons_become_one_and_order_does_not_matter(tmp_path: Path) -> None:
    (came,) = parse(tmp_path, exon(301, 400), exon(101, 200), exon(201, 300), exon(101, 200))
    assert came.exons == ((100, 400),)
    assert came.introns == ()


def test_a_packed_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "g").write_bytes(gzip.compress((exon(1, 9) + "\r\n").encode()))
    assert gtf.read(tmp_path / "g")[0].exons == ((0, 9),)


def test_the_representative_is_canonical_then_longest_coding_then_longest_then_first(tmp_path: Path) -> None:
    cds = exon(1, 30, "coding").replace("exon", "CDS", 1)
    lines = [exon(1, 300, "long"), exon(1, 90, "coding"), cds, exon(1, 300, "also")]
    came = parse(tmp_path, *lines)
    assert gtf.representative(came).id == "coding"
    assert gtf.representative([t for t in came if t.id != "coding"]).id == "also"
    came = parse(tmp_path, *lines, exon(1, 9, "chosen", more=' tag "MANE_Select";'))
    assert gtf.representative(came).id == "chosen"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 x exon 1 9", "line 1: 1 tab-separated columns; wanted: 9"),
        (exon(0, 9), "line 1: from '0' to '9'"),
        (exon(9, 1), "line 1: from '9' to '1'"),
        (exon(1, 9).replace("\t9\t", "\tx\t"), "line 1: from '1' to 'x'"),
        (exon(1, 9, strand="."), "line 1: strand '.'"),
        ("1\tx\texon\t1\t9\t.\t+\t.\tID=e1;Parent=t1", "line 1: no gene_id.*GFF3"),
        ('1\tx\texon\t1\t9\t.\t+\t.\tname "e"', "line 1: no gene_id"),
        ('1\tx\texon\t1\t9\t.\t+\t.\tgene_id "g";', "line 1: a exon without gene_id and transcript_id"),
        (exon(1, 9).replace("exon", "gene", 1), "no exon lines"),
        (exon(1, 9) + "\n" + exon(11, 19, strand="-"), "line 2: transcript 't' is on 1 - .* wanted: one place"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(GtfError, match=message):
        parse(tmp_path, line)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(GtfError, match="cannot be opened"):
        gtf.read(tmp_path / "nothing.gtf")
    (tmp_path / "cut").write_bytes(gzip.compress(exon(1, 9).encode())[:-9])
    with pytest.raises(GtfError, match="truncated"):
        gtf.read(tmp_path / "cut")
    (tmp_path / "binary").write_bytes(b"\xff\xff\n")
    with pytest.raises(GtfError, match="not UTF-8"):
        gtf.read(tmp_path / "binary")
