"""Faults planted into copies of the five real genome folders: each is caught, and named by what it is."""

import gzip
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from episome import annotation
from episome.types import EpisomeError
from tests.hand_count import FOLDERS, annotation_of, plain_fasta, read


@pytest.fixture(scope="module", params=FOLDERS)
def folder(request: pytest.FixtureRequest, shared: Path) -> Path:
    return shared / "data" / "genomes" / str(request.param)


def spoilt(folder: Path, to: Path, genes: Callable[[list[str]], list[str]]) -> Path:
    """A copy of a folder whose annotation lines went through `genes`, each split into its columns."""
    shutil.copy(folder / "genome.fa.gz", to / "genome.fa.gz")
    came = annotation_of(folder)
    lines = gzip.decompress(came.read_bytes()).decode().splitlines()
    made = [line if line.startswith("#") else "\t".join(genes(line.split("\t"))) for line in lines]
    (to / came.name).write_bytes(gzip.compress("\n".join(made).encode(), 1))
    return to


def columns(change: Callable[[list[str]], dict[int, object]]) -> Callable[[list[str]], list[str]]:
    def changed(row: list[str]) -> list[str]:
        new = change(row)
        return [str(new.get(number, value)) for number, value in enumerate(row)]

    return changed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda row: {6: {"+": "-", "-": "+"}.get(row[6], row[6])}, "They fit on the other strand"),
        (lambda row: {3: int(row[3]) + 1, 4: int(row[4]) + 1}, r"They fit with every position moved by -1"),
        (lambda row: {3: int(row[3]) - 1, 4: int(row[4]) - 1}, r"moved by \+1 \(are they 0-based\?\)"),
        (lambda row: {3: int(row[3]) - 1}, r"exon starts by \+1 \(are starts 0-based"),
    ],
    ids=["strand", "plus one", "minus one", "starts"],
)
def test_a_spoilt_annotation_is_caught_and_named(
    folder: Path, tmp_path: Path, change: Callable[[list[str]], dict[int, object]], message: str
) -> None:
    with pytest.raises(EpisomeError, match=message):
        read(spoilt(folder, tmp_path, columns(change)))


def test_other_names_of_contigs_are_caught_in_no_time(folder: Path, tmp_path: Path) -> None:
    def other(row: list[str]) -> dict[int, object]:
        return {0: row[0].removeprefix("chr") if row[0].startswith("chr") else f"chr{row[0]}"}

    began = time.monotonic()
    with pytest.raises(EpisomeError) as caught:
        read(spoilt(folder, tmp_path, columns(other)))
    assert time.monotonic() - began < 60
    names = list(plain_fasta(folder / "genome.fa.gz"))
    assert f"FASTA: {', '.join(names[:5])}" in str(caught.value)
    strange = {line for name in names for line in other([name]).values()}
    told = str(caught.value).partition("Annotation only: ")[2].partition(". FASTA")[0]
    assert set(re.sub(r" and \d+ more", "", told).split(", ")) <= strange
    assert "`aliases:`" in str(caught.value)


def test_one_broken_line_is_named_by_its_number(folder: Path, tmp_path: Path) -> None:
    seen = []

    def broken(row: list[str]) -> list[str]:
        seen.append(row)
        return row[:4] + row[5:] if len(seen) == 40 else row

    spoilt(folder, tmp_path, broken)
    lines = gzip.decompress(annotation_of(tmp_path).read_bytes()).decode().splitlines()
    number = next(i for i, line in enumerate(lines, start=1) if not line.startswith("#") and line.count("\t") == 7)
    with pytest.raises(EpisomeError, match=f"line {number}: 8 tab-separated columns"):
        read(tmp_path)


def test_lines_and_line_ends_that_come_twice_change_nothing(folder: Path, tmp_path: Path) -> None:
    """Duplicate records of an annotation say nothing new, and CRLF is a line end."""
    for name in ("genome.fa.gz", annotation_of(folder).name):
        text = gzip.decompress((folder / name).read_bytes())
        twice = text if name == "genome.fa.gz" else text + text
        (tmp_path / name).write_bytes(gzip.compress(twice.replace(b"\n", b"\r\n"), 1))
    assert read(tmp_path) == read(folder)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda text: text + text[: text.find(b"\n>") + 1 or None], "share the id"),
        (lambda text: text[text.index(b"\n") + 1 :], "wanted: a '>id' line first"),
        (lambda _: b"", "no record; wanted: FASTA"),
    ],
    ids=["twice", "headerless", "empty"],
)
def test_a_spoilt_fasta_is_caught_and_named(
    folder: Path, tmp_path: Path, spoil: Callable[[bytes], bytes], message: str
) -> None:
    shutil.copy(annotation_of(folder), tmp_path)
    text = gzip.decompress((folder / "genome.fa.gz").read_bytes())
    (tmp_path / "genome.fa.gz").write_bytes(gzip.compress(spoil(text), 1))
    with pytest.raises(EpisomeError, match=rf"genome\.fa\.gz: .*{message}"):
        read(tmp_path)


@pytest.mark.parametrize("cut", ["genome.fa.gz", "genes"])
def test_a_truncated_file_is_caught_and_named(folder: Path, tmp_path: Path, cut: str) -> None:
    for path in (folder / "genome.fa.gz", annotation_of(folder)):
        data = path.read_bytes()
        (tmp_path / path.name).write_bytes(data[: len(data) // 2] if path.name.startswith(cut) else data)
    with pytest.raises(EpisomeError, match=rf"{cut}.* is truncated or damaged"):
        read(tmp_path)


def test_an_annotation_that_ends_beyond_the_genome_is_caught_and_named(folder: Path, tmp_path: Path) -> None:
    shutil.copy(annotation_of(folder), tmp_path)
    last = max(annotation.read(annotation_of(folder)).transcripts, key=lambda t: t.span[1])
    plain = plain_fasta(folder / "genome.fa.gz")
    plain[last.contig] = plain[last.contig][: last.span[1] - 1]
    text = "".join(f">{name}\n{sequence}\n" for name, sequence in plain.items())
    (tmp_path / "genome.fa.gz").write_bytes(gzip.compress(text.encode(), 1))
    with pytest.raises(EpisomeError, match=f"ends at {last.span[1]} on '{last.contig}', which has {last.span[1] - 1}"):
        read(tmp_path)
