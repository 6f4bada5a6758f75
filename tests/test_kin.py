import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from episome import kin
from episome.kin import Member

members = st.lists(
    st.builds(
        Member,
        species=st.just("human"),
        name=st.text("ACGTacgt.-:0123", min_size=1, max_size=6),
        kind=st.sampled_from(["protein", "transcript", "window"]),
        sides=st.sampled_from([(), ("train",), ("test", "train")]),
        family=st.sampled_from(["", "F1"]),
        sequence=st.text("ACGT", max_size=9),
    ),
    unique_by=lambda m: (m.name, m.kind),
    max_size=6,
)


@given(members)
def test_members_come_back_and_their_order_leaves_no_trace(found: list[Member]) -> None:
    with tempfile.TemporaryDirectory() as name:
        one, two = Path(name) / "one.gz", Path(name) / "two.gz"
        kin.write_members(one, found)
        kin.write_members(two, reversed(found))
        assert kin.read_members(one, "human") == sorted(found, key=lambda m: (m.name, m.kind))
        assert one.read_bytes() == two.read_bytes()


def test_families_come_back(tmp_path: Path) -> None:
    kin.write_families(tmp_path / "human.tsv", {"b": "F1", "a": "F2"})
    assert (tmp_path / "human.tsv").read_text() == "a\tF2\nb\tF1\n"
    assert kin.read_families(tmp_path / "human.tsv") == {"a": "F2", "b": "F1"}


def test_a_file_of_something_else_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.tsv"
    path.write_text("a\tF1\nb\n")
    with pytest.raises(kin.KinError, match=r"x\.tsv line 2: 1 columns; wanted: 2; run `dvc repro`"):
        kin.read_families(path)
    path.write_text("a\trna\t\t\tACGT\n")
    with pytest.raises(kin.KinError, match="line 1: kind 'rna'; wanted: protein, transcript or window"):
        kin.read_members(path, "human")
    with pytest.raises(kin.KinError, match="cannot be opened"):
        kin.read_families(tmp_path / "none.tsv")
