from hypothesis import given
from hypothesis import strategies as st

from episome import split, territory
from episome.annotation import Transcript
from episome.sources import SplitShares

SHARES = SplitShares(train=0.6, val=0.2, test=0.2)


def gene(name: str, start: int, end: int, *, contig: str = "1", family: str = "") -> Transcript:
    return Transcript(
        id=f"{name}T", gene=name, contig=contig, strand="+", exons=((start, end),), cds=(),
        biotype="", family=family, rank=2, start_complete=True, tss_complete=True,
    )  # fmt: skip


genes = st.lists(st.tuples(st.integers(0, 900), st.integers(1, 80)), min_size=1, max_size=12).map(
    lambda spans: [gene(f"g{i}", a, a + n, family=f"F{i}") for i, (a, n) in enumerate(spans)]
)


@given(genes, st.integers(0, 20))
def test_territories_tile_the_contig_and_hold_their_genes(members: list[Transcript], seed: int) -> None:
    owners = territory.divide(members, {"1": 1000}, SHARES, seed)
    tiles = owners.contigs["1"]
    assert [t.start for t in tiles] == [0, *(t.end for t in tiles[:-1])]
    assert tiles[-1].end == 1000
    for member in members:
        (home,) = owners.around("1", member.span)
        assert home.core[0] <= member.span[0] < member.span[1] <= home.core[1]
        assert home.split in (None, split.by_group(member.family, SHARES, seed))


@given(genes, st.integers(0, 999), st.integers(1, 100))
def test_an_interval_has_a_side_only_where_every_base_has_it(members: list[Transcript], start: int, n: int) -> None:
    owners = territory.divide(members, {"1": 1200}, SHARES, 3)
    sides = {owners.split("1", (base, base + 1)) for base in range(start, start + n)}
    assert owners.split("1", (start, start + n)) == (sides.pop() if len(sides) == 1 else None)


def test_a_family_has_the_same_side_in_every_genome() -> None:
    a = territory.divide([gene("a", 0, 10, family="F1"), gene("b", 50, 60, family="F2")], {"1": 99}, SHARES, 3)
    b = territory.divide([gene("z", 70, 80, family="F2"), gene("y", 20, 30, family="F1")], {"1": 99}, SHARES, 3)
    assert a.rule == "family"
    assert a.split("1", (0, 10)) == b.split("1", (20, 30))
    assert a.split("1", (50, 60)) == b.split("1", (70, 80))


def test_overlapping_genes_of_two_sides_belong_to_nobody() -> None:
    one, two = (next(f"F{i}" for i in range(99) if split.by_group(f"F{i}", SHARES, 3) == s) for s in ("train", "test"))
    owners = territory.divide([gene("a", 0, 30, family=one), gene("b", 20, 50, family=two)], {"1": 99}, SHARES, 3)
    assert owners.split("1", (0, 5)) is None
    assert owners.group("1", 3) == one


def test_without_families_whole_contigs_are_split_and_else_loci() -> None:
    many = [gene(f"g{i}{c}", 20 * i, 20 * i + 9, contig=c) for c in "abcd" for i in range(3)]
    owners = territory.divide(many, dict.fromkeys("abcd", 100), SHARES, 3)
    assert owners.rule == "contig"
    assert all(owners.split(c, (0, 100)) is not None for c in "abcd")
    few = territory.divide(many[:3], {"a": 100}, SHARES, 3)
    assert few.rule == "locus"
    assert [t.group for t in few.contigs["a"]] == ["g0a", "g1a", "g2a"]


def test_a_contig_without_genes_has_no_owner() -> None:
    owners = territory.divide([gene("a", 0, 10)], {"1": 99, "2": 99}, SHARES, 3)
    assert owners.around("2", (0, 9)) == ()
    assert owners.split("2", (0, 9)) is None
