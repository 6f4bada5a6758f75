"""A genome on disk: whatever its FASTA looks like, any stretch of it comes back as it was written."""

import gzip
import io
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from episome import contigs, fasta
from episome.contigs import ContigError, Contigs, Counts
from episome.sequence import normalise, reverse_complement

BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


def put(folder: Path, data: bytes) -> Path:
    (folder / "genome").write_bytes(data)
    return folder / "genome"


def bgz(data: bytes, block: int = 20) -> bytes:
    """As bgzip packs: members of a few bytes, each with the length of its block in the extra field BC."""
    packed = b""
    for start in range(0, len(data), block):
        member = gzip.compress(data[start : start + block], mtime=0)
        size = len(member) + 8 - 1
        packed += member[:3] + b"\x04" + member[4:10] + b"\x06\0BC\x02\0" + size.to_bytes(2, "little") + member[10:]
    return packed + BGZF_END


records = st.dictionaries(
    st.text("abcXYZ019_.|-", min_size=1, max_size=12),
    st.text("ACGTNacgtnUuRyk", min_size=1, max_size=80),
    min_size=1,
    max_size=4,
)


@given(
    records,
    st.sampled_from(["\n", "\r\n"]),
    st.integers(1, 90),
    st.sampled_from([bytes, gzip.compress, bgz]),
    st.integers(1, 40),
    st.booleans(),
    st.data(),
)
def test_what_is_written_is_fetched(
    tmp_path_factory: pytest.TempPathFactory, written: dict[str, str], newline: str, width: int,
    pack: Callable[[bytes], bytes], block: int,
    ended: bool, data: st.DataObject,
) -> None:  # fmt: skip
    lines = []
    for name, sequence in written.items():
        lines += [f">{name} some words", *(sequence[i : i + width] for i in range(0, len(sequence), width))]
    text = newline.join(lines) + newline * ended
    path = put(tmp_path_factory.mktemp("g"), pack(text.encode()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contigs, "_BLOCK", block)
        with contigs.opened(path, "n") as genome:
            assert list(genome.lengths.items()) == [(name, len(sequence)) for name, sequence in written.items()]
            name, sequence = data.draw(st.sampled_from(list(written.items())))
            start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(sequence))] * 2)))
            clean = normalise(sequence).sequence[start:end]
            assert contigs.names(path) == list(written)
            assert genome.fetch(name, start, end) == clean
            assert genome.fetch(name, start, end, "-") == reverse_complement(clean)
            lower = sum(base.islower() for base in sequence[start:end])
            assert genome.lower_case(name, start, end) == (lower / (end - start) if end > start else 0.0)
            met = [normalise(sequence) for sequence in written.values()]
            assert genome.counts == Counts(
                lower_case=sum(m.lower_case for m in met),
                uracil=sum(m.uracil for m in met),
                ambiguous=sum(m.ambiguous for m in met),
                n=sum(m.n for m in met),
            )
    assert {record.id: record.sequence for record in fasta.read(path)} == written


def test_a_line_of_millions_of_bases_is_no_trouble(tmp_path: Path) -> None:
    line = b"ACGTacgtNN" * 300_000
    with contigs.opened(put(tmp_path, b">a\n" + line + b"\n>b\nAC\n\n\n"), "n") as genome:
        assert dict(genome.lengths) == {"a": 3_000_000, "b": 2}
        assert contigs.names(tmp_path / "genome") == ["a", "b"]
        assert genome.fetch("a", 2_999_990, 3_000_000, "-") == "NNACGTACGT"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no record; wanted: FASTA"),
        (b"\n\r\n", "no record"),
        (gzip.compress(b""), "no record"),
        (b"ACGT\nAC\n", "not FASTA: it begins with b'ACGTAC'; wanted: a '>id' line first"),
        (b">a\nA\n>b\nC\n>a\nG\n", "records 1 and 3 share the id 'a'"),
        (b">a\nA\n>\nC\n", "record 2 has no id"),
        (b">a\nA\n> b\nC\n", "record 2 has no id"),
        (b">a\n>b\nC\n", "contig 'a' has no sequence"),
        (b">a\nC\n>b", "contig 'b' has no sequence"),
        (b">a\nAC\nG-T\n", "contig 'a', base 4: '-'"),
        (b">a\nA\xff\n", "contig 'a', base 2: 'ÿ'"),
        (b">a\nAC GT\n", "contig 'a', base 3: ' '"),
        (gzip.compress(b">a\n" + bytes(65 + i % 7 for i in range(9000)))[:-20], "truncated or damaged"),
        (gzip.compress(b">a\nACGT\n")[:-4] + b"oops", "truncated or damaged"),
        (bgz(b">a\n" + b"ACGT" * 9)[: -len(BGZF_END)], r"truncated or damaged \(a bgz file without its last"),
        (b"\x1f\x8bnot gzip", "truncated or damaged"),
    ],
)
def test_a_wrong_file_says_where(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(ContigError, match=message), contigs.opened(put(tmp_path, data), "n"):
        pass


def test_ambiguous_codes_are_refused_where_that_is_asked(tmp_path: Path) -> None:
    path = put(tmp_path, b">a\nACGN\nACRT\n")
    with pytest.raises(ContigError, match="contig 'a', base 7: 'R'"), contigs.opened(path, "error"):
        pass


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(ContigError, match=r"nothing\.fa: cannot be opened"),
        contigs.opened(tmp_path / "nothing.fa", "n"),
    ):
        pass


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (("b", 0, 1), "no contig 'b' in the FASTA; it has a"),
        (("a", 2, 5), "a:2-5 leaves .* 4 bases"),
        (("a", -1, 2), "a:-1-2"),
    ],
)
def test_a_stretch_that_is_not_there_is_refused(tmp_path: Path, place: tuple[str, int, int], message: str) -> None:
    with contigs.opened(put(tmp_path, b">a\nACGT\n"), "n") as genome:
        with pytest.raises(ContigError, match=message):
            genome.fetch(*place)
        with pytest.raises(ContigError, match=message):
            genome.lower_case(*place)


def test_nothing_is_left_in_the_scratch_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    with contigs.opened(put(tmp_path, b">a\nACGT\n"), "n") as genome:
        assert genome.fetch("a", 0, 4) == "ACGT"
        assert not any((tmp_path / "scratch").iterdir())


def test_a_scratch_folder_without_room_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path, b">a\nACGT\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "TemporaryFile", lambda **_: io.FileIO("/dev/full", "r+"))
        with pytest.raises(ContigError, match=r"no room .*No space left.*TMPDIR"), contigs.opened(path, "n"):
            pass
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    with pytest.raises(ContigError, match=r"no room .*absent: No such file.*TMPDIR"), contigs.opened(path, "n"):
        pass


def test_what_goes_wrong_while_a_genome_is_open_is_not_blamed_on_its_files(tmp_path: Path) -> None:
    def fail(genome: Contigs) -> None:
        (tmp_path / f"absent {len(genome.lengths)}").stat()

    with (
        pytest.raises(FileNotFoundError, match="absent 1"),
        contigs.opened(put(tmp_path, b">a\nACGT\n"), "n") as genome,
    ):
        fail(genome)
