import gzip
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from episome.fasta import FastaError, Record, read, read_all


def parse(data: bytes) -> list[Record]:
    return list(read(io.BytesIO(data)))


records = st.dictionaries(
    st.text("abcXYZ019_.|-", min_size=1, max_size=12), st.text("ACGTNacgtu", min_size=1, max_size=80), min_size=1
)


@given(records, st.sampled_from(["\n", "\r\n"]), st.integers(1, 90), st.booleans())
def test_what_is_written_is_read(written: dict[str, str], newline: str, width: int, packed: bool) -> None:
    lines = []
    for name, sequence in written.items():
        lines += [f">{name} some words", *(sequence[i : i + width] for i in range(0, len(sequence), width))]
    data = (newline.join(lines) + newline).encode()
    came = parse(gzip.compress(data) if packed else data)
    assert [(r.id, r.description, r.sequence) for r in came] == [(n, "some words", s) for n, s in written.items()]


ANYTHING = st.binary(max_size=200) | st.lists(
    st.sampled_from([b">a", b">b x", b">", b"AC-G1", b"\r", b"\n", b" ", b"#"])
).map(b"".join)


@given(ANYTHING, st.booleans(), st.integers(0, 40))
def test_any_bytes_are_records_or_an_error_that_says_what_is_wrong(data: bytes, packed: bool, cut: int) -> None:
    data = gzip.compress(data)[: -cut or None] if packed else data
    found: list[Record] = []
    said = ""
    try:
        found = parse(data)
    except FastaError as error:
        said = str(error)
    ids = [record.id for record in found]
    assert bool(found) != said.startswith("input: ")
    assert len(set(ids)) == len(ids)
    assert all(ids)


def test_several_sources_are_one_and_their_ids_differ(tmp_path: Path) -> None:
    (tmp_path / "one.fa").write_text(">a\nAC\n")
    found = list(read_all([tmp_path / "one.fa", io.BytesIO(b">b\nGT\n>c\nA\n")]))
    assert [(record.id, record.sequence) for record in found] == [("a", "AC"), ("b", "GT"), ("c", "A")]
    with pytest.raises(FastaError, match=r"one\.fa and input have a record 'a' each; ids must differ"):
        list(read_all([tmp_path / "one.fa", io.BytesIO(b">b\nGT\n>a\nA\n")]))


def test_a_path_is_read_whatever_its_suffix(tmp_path: Path) -> None:
    (tmp_path / "packed.fa").write_bytes(gzip.compress(b">a\nAC\nGT\n"))
    assert list(read(tmp_path / "packed.fa")) == [Record(id="a", description="", sequence="ACGT")]


def test_the_sequence_is_left_as_it_came() -> None:
    assert parse(b">a\tb c\nacgu-1\n") == [Record(id="a", description="b c", sequence="acgu-1")]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no record"),
        (b"ACGT\n", "line 1.*'>'"),
        (b">a\nA\n>b\nC\n>a\nG\n", "records 1 and 3 share the id 'a'"),
        (b">a\nA\n>\nC\n", "record 2 has no id"),
        (b">a\nA\n> b\nC\n", "record 2 has no id"),
        (b">a\n\xff\xfe\n", "byte 0xff is no ASCII"),
        (gzip.compress(b">a\n" + bytes(range(65, 91)) * 500)[:-20], "truncated or damaged"),
        (gzip.compress(b">a\nACGT\n")[:-4] + b"oops", "truncated or damaged"),
        (b"\x1f\x8bnot gzip", "truncated or damaged"),
    ],
)
def test_a_wrong_file_says_where(data: bytes, message: str) -> None:
    with pytest.raises(FastaError, match=message):
        parse(data)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FastaError, match=r"nothing\.fa: cannot be opened"):
        list(read(tmp_path / "nothing.fa"))
