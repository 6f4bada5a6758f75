"""Lists of checksums as hosts write them, and the BSD checksum against coreutils."""

import random
import subprocess
from pathlib import Path

import pytest

from pipelines import published
from pipelines.published import PublishedError, Stated

SIZES = [0, 1, 1023, 1024, 1025, 70_001, (1 << 20) + 1]


def test_the_bsd_checksum_of_known_bytes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"ACGT\n")
    assert published.bsd_sum(path) == "12370 1"


@pytest.mark.parametrize("size", SIZES)
def test_the_bsd_checksum_is_that_of_coreutils(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(random.Random(size).randbytes(size))
    wanted = subprocess.run(["sum", path], capture_output=True, text=True, check=True).stdout.split()[:2]
    assert published.bsd_sum(path).split() == wanted


def test_bytes_of_255_overflow_as_in_coreutils(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"\xff" * 5000)
    wanted = subprocess.run(["sum", path], capture_output=True, text=True, check=True).stdout.split()[:2]
    assert published.bsd_sum(path).split() == wanted


@pytest.mark.parametrize(
    ("line", "name", "stated"),
    [
        ("00439 799942 Bos.dna.fa.gz", "Bos.dna.fa.gz", Stated(method="sum", value="00439 799942")),
        ("  439   799942\tBos.dna.fa.gz", "Bos.dna.fa.gz", Stated(method="sum", value="00439 799942")),
        (f"{'Ab' * 16}  hg38.fa.gz", "hg38.fa.gz", Stated(method="md5", value="ab" * 16)),
        (f"{'ab' * 16} *./hg38.fa.gz", "hg38.fa.gz", Stated(method="md5", value="ab" * 16)),
        (f"{'ab' * 32}  hg38.fa.gz", "hg38.fa.gz", Stated(method="sha256", value="ab" * 32)),
    ],
)
def test_a_line_of_each_layout_is_read(line: str, name: str, stated: Stated) -> None:
    assert published.read(f"\n{line}\r\n", "list") == {name: stated}


def test_a_file_is_hashed_by_the_method_stated(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"ACGT\n")
    for method, tool in (("md5", "md5sum"), ("sha256", "sha256sum")):
        wanted = subprocess.run([tool, path], capture_output=True, text=True, check=True).stdout.split()[0]
        (stated,) = published.read(f"{wanted}  file", "list").values()
        assert (stated.method, stated.of(path)) == (method, wanted)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("00439 799942 a.fa\n<html>\n", "list: line 2 is no checksum: '<html>'"),
        (f"{'ab' * 10}  a.fa\n", "line 1 is no checksum"),
        (f"{'ab' * 20}  a.fa\n", "line 1 is no checksum"),
        ("\n \n", "list: holds no checksum"),
    ],
)
def test_what_is_no_list_is_refused(text: str, says: str) -> None:
    with pytest.raises(PublishedError, match=says):
        published.read(text, "list")
