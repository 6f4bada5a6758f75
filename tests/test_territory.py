from collections import Counter
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from episome import split, territory
from episome.annotation import Transcript
from episome.sources import SplitShares
from episome.types import EpisomeError, Split

SHARES = SplitShares(train=0.6, val=0.2, test=0.2)
NAMED = {
    side: [f"F{i}" for i in range(200) if split.by_group(f"F{i}", SHARES, 3) == side] for side in split.SPLITS
}  # families of each side under seed 3


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
    owners = territory.divide(members, {"1": 1000}, SHARES, seed, {}, "auto")
    tiles = owners.contigs["1"]
    assert [t.start for t in tiles] == [0, *(t.end for t in tiles[:-1])]
    assert tiles[-1].end == 1000
    for member in members:
        (home,) = owners.around("1", member.span)
        assert home.core[0] <= member.span[0] < member.span[1] <= home.core[1]
        assert home.split in (None, split.by_group(member.family, SHARES, seed))


@given(genes, st.integers(0, 999), st.integers(1, 100))
def test_an_interval_has_a_side_only_where_every_base_has_it(members: list[Transcript], start: int, n: int) -> None:
    owners = territory.divide(members, {"1": 1200}, SHARES, 3, {}, "auto")
    sides = {owners.split("1", (base, base + 1)) for base in range(start, start + n)}
    assert owners.split("1", (start, start + n)) == (sides.pop() if len(sides) == 1 else None)


genomes = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.integers(0, 900), st.integers(1, 80), st.sampled_from(["", *"PQRSTUVW"])),
    min_size=1,
    max_size=30,
)


@given(genomes, genomes, st.sampled_from(["family", "contig", "locus", "auto"]), st.integers(0, 9))
def test_a_family_has_one_side_in_all_genomes_whatever_the_rule(
    one: list[tuple[str, int, int, str]], two: list[tuple[str, int, int, str]], rule: territory.Rule, seed: int
) -> None:
    sides: dict[str, set[Split]] = {}
    for spans in (one, two):
        members = [gene(f"g{i}", a, a + n, contig=c) for i, (c, a, n, _) in enumerate(spans)]
        if rule == "contig" and len({m.contig for m in members}) < 3:
            continue
        families = {f"g{i}": family for i, (*_, family) in enumerate(spans)}
        owners = territory.divide(members, dict.fromkeys("abcdef", 1000), SHARES, seed, families, rule)
        for member in members:
            (home,) = owners.around(member.contig, member.span)
            if home.split and families[member.gene]:
                sides.setdefault(families[member.gene], set()).add(home.split)
            if owners.rule == "contig":
                assert home.split in (None, owners.sides[member.contig])
    assert all(len(found) == 1 for found in sides.values())


def scaffolds(counts: list[int], rule: Literal["contig", "auto"] = "contig") -> territory.Map:
    """A genome whose contigs have so many genes."""
    names = [f"c{i}" for i in range(len(counts))]
    members = [
        gene(f"{c}g{i}", 20 * i, 20 * i + 9, contig=c) for c, n in zip(names, counts, strict=True) for i in range(n)
    ]
    shares = SplitShares(train=0.7, val=0.15, test=0.15)
    return territory.divide(members, dict.fromkeys(names, 100_000), shares, 7, {}, rule)


def shares_of(owners: territory.Map) -> dict[str, float]:
    counts = owners.report()["genes"]
    return {side: counts[side] / sum(counts.values()) for side in split.SPLITS}


def test_six_arms_reach_the_asked_shares_as_near_as_arms_can() -> None:
    # Protein-coding genes of 2L, 2R, 3L, 3R, X and 4 of the fly, by the hundred.
    owners = scaffolds([27, 30, 28, 35, 22, 1])
    assert shares_of(owners) == pytest.approx({"train": 0.7, "val": 0.15, "test": 0.15}, abs=0.09)
    assert scaffolds([27, 30, 28, 35, 22, 1], "auto").rule == "contig"


@given(st.lists(st.integers(1, 3), min_size=300, max_size=1000))
def test_many_scaffolds_reach_the_asked_shares(counts: list[int]) -> None:
    assert shares_of(scaffolds(counts)) == pytest.approx({"train": 0.7, "val": 0.15, "test": 0.15}, abs=0.01)


def test_a_chromosome_with_some_scaffolds_is_no_split_by_contig() -> None:
    assert scaffolds([100, 1, 1], "auto").rule == "locus"
    assert scaffolds([70, 15, 15], "auto").rule == "contig"


def test_contigs_that_homology_leaves_without_held_out_genes_are_split_by_family() -> None:
    members = [gene(f"{c}g{i}", 20 * i, 20 * i + 9, contig=c) for c in "abcdefghij" for i in range(10)]
    lengths = dict.fromkeys("abcdefghij", 300)
    few = {f"{c}g0": f"F{c}" for c in "abcdefghij"}
    assert territory.divide(members, lengths, SHARES, 3, few, "auto").rule == "contig"
    every = {member.gene: f"F{member.gene}" for member in members}
    owners = territory.divide(members, lengths, SHARES, 3, every, "auto")
    assert owners.rule == "family"
    assert owners.report()["genes_lost"] == {"homology": 0, "overlap": 0}
    assert territory.divide(members, lengths, SHARES, 3, every, "contig").report()["genes"]["nobody"] > 40


def test_a_family_has_the_same_side_in_every_genome() -> None:
    a = territory.divide(
        [gene("a", 0, 10, family="F1"), gene("b", 50, 60, family="F2")], {"1": 99}, SHARES, 3, {}, "auto"
    )
    b = territory.divide([gene("z", 70, 80), gene("y", 20, 30)], {"1": 99}, SHARES, 3, {"z": "F2", "y": "F1"}, "auto")
    assert (a.rule, b.rule) == ("family", "family")
    assert a.split("1", (0, 10)) == b.split("1", (20, 30))
    assert a.split("1", (50, 60)) == b.split("1", (70, 80))


def test_overlapping_genes_of_two_sides_belong_to_nobody() -> None:
    one, two = NAMED["train"][0], NAMED["test"][0]
    members = [gene("a", 0, 30, family=one), gene("b", 20, 50, family=two)]
    owners = territory.divide(members, {"1": 99}, SHARES, 3, {}, "family")
    assert owners.split("1", (0, 5)) is None
    assert owners.group("1", 3) == one
    assert owners.report()["genes_lost"] == {"homology": 0, "overlap": 2}


def test_a_gene_of_unknown_family_goes_with_the_family_it_overlaps() -> None:
    (test, *_) = NAMED["test"]
    members = [gene("a", 0, 30), gene("b", 20, 50)]
    owners = territory.divide(members, {"1": 99}, SHARES, 3, {"b": test}, "family")
    assert owners.split("1", (0, 99)) == "test"
    assert owners.group("1", 3) == test


def test_a_locus_whose_family_belongs_elsewhere_is_lost_and_counted() -> None:
    members = [gene(f"g{i}{c}", 20 * i, 20 * i + 9, contig=c) for c in "abcd" for i in range(3)]
    lengths = dict.fromkeys("abcd", 60)
    plain = territory.divide(members, lengths, SHARES, 3, {}, "contig")
    assert plain.report()["genes_lost"] == {"homology": 0, "overlap": 0}
    home = plain.sides["a"]
    away = next(side for side in split.SPLITS if side != home)
    families = {"g0a": NAMED[away][0], "g1a": NAMED[home][0]}
    owners = territory.divide(members, lengths, SHARES, 3, families, "contig")
    assert [t.split for t in owners.contigs["a"]] == [None, home, home]
    assert [t.group for t in owners.contigs["a"]] == [NAMED[away][0], NAMED[home][0], "g2a"]
    found = owners.report()
    assert found["rule"] == "contig"
    assert found["genes_lost"] == {"homology": 1, "overlap": 0}
    assert found["genes"]["nobody"] == 1
    assert sum(found["bases"].values()) == 4 * 60
    assert sorted(name for names in found["contigs"].values() for name in names) == list("abcd")


def test_without_families_whole_contigs_are_split_and_else_loci() -> None:
    many = [gene(f"g{i}{c}", 20 * i, 20 * i + 9, contig=c) for c in "abcde" for i in range(3)]
    owners = territory.divide(many, dict.fromkeys("abcde", 100), SHARES, 3, {}, "auto")
    assert owners.rule == "contig"
    assert all(owners.split(c, (0, 100)) is not None for c in "abcde")
    few = territory.divide(many[:3], {"a": 100}, SHARES, 3, {}, "auto")
    assert few.rule == "locus"
    assert [t.group for t in few.contigs["a"]] == ["g0a", "g1a", "g2a"]
    assert few.report()["contigs"] == {"train": [], "val": [], "test": []}


@pytest.mark.parametrize("rule", ["family", "contig", "locus"])
@pytest.mark.parametrize("contig", ["a", "b"])
def test_a_gene_of_several_loci_has_one_side_that_of_its_name(contig: str, rule: territory.Rule) -> None:
    members = [gene(f"g{i}{c}", 20 * i, 20 * i + 9, contig=c) for c in "abcd" for i in range(3)]
    lengths = dict.fromkeys("abcd", 400)
    for twice in (name for names in NAMED.values() for name in names[:3]):
        both = [gene("first", 200, 230), gene(twice, 220, 250), gene(twice, 300, 310, contig=contig)]
        both[:2] = [gene(t.gene, *t.span, contig="a") for t in both[:2]]
        owners = territory.divide([*members, *both], lengths, SHARES, 3, {}, rule)
        home = split.by_group(twice, SHARES, 3)
        places = [owners.around(c, (at, at + 1))[0] for c, at in (("a", 205), (contig, 300))]
        assert {place.group for place in places} == {twice}
        assert {place.split for place in places} <= {home, None}
        if rule == "family":
            assert [place.split for place in places] == [home, home]
        if rule == "contig":
            wanted = [home if owners.sides[c] == home else None for c in ("a", contig)]
            assert [place.split for place in places] == wanted


def test_a_gene_of_several_loci_is_of_the_family_that_is_stated_at_one_of_them() -> None:
    (test, *_) = NAMED["test"]
    members = [gene("a", 0, 30, family=test), gene("a", 50, 70)]
    owners = territory.divide(members, {"1": 99}, SHARES, 3, {}, "family")
    assert [(t.split, t.group) for t in owners.contigs["1"]] == [("test", test)] * 2


def test_contigs_that_are_asked_for_and_too_few_are_refused() -> None:
    with pytest.raises(EpisomeError, match=r"1 contig\(s\) cannot fill 3 splits"):
        territory.divide([gene("a", 0, 10)], {"1": 99}, SHARES, 3, {}, "contig")


def test_a_contig_without_genes_has_no_owner() -> None:
    owners = territory.divide([gene("a", 0, 10)], {"1": 99, "2": 99}, SHARES, 3, {}, "auto")
    assert owners.around("2", (0, 9)) == ()
    assert owners.split("2", (0, 9)) is None


def test_the_report_counts_genes_and_not_transcripts() -> None:
    members = [gene("a", 0, 10), gene("a", 5, 15), gene("b", 40, 50)]
    counts = Counter(territory.divide(members, {"1": 99}, SHARES, 3, {}, "locus").report()["genes"])
    assert sum(counts.values()) == 2
