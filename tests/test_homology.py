import random
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from episome import homology, kmers, mmseqs
from episome.kin import Kind, Member
from episome.sequence import reverse_complement
from episome.sources import Homology
from episome.types import Split

HOMOLOGY = Homology(method="numpy", identity=0.8, protein_identity=0.3, coverage=0.5)
METHODS: list[Literal["numpy", "mmseqs"]] = ["numpy", "mmseqs"]
RESIDUES = kmers.RESIDUES.known


def asked(method: Literal["numpy", "mmseqs"]) -> Homology:
    if method == "mmseqs" and not mmseqs.installed():
        pytest.skip("no mmseqs is installed (Debian package mmseqs2)")
    return HOMOLOGY.model_copy(update={"method": method})


def text(draw: random.Random, length: int, letters: str = "ACGT") -> str:
    return "".join(draw.choices(letters, k=length))


def mutated(draw: random.Random, sequence: str, share: float, letters: str = "ACGT") -> str:
    """Every base replaced by another with this chance."""
    return "".join(draw.choice(letters.replace(c, "")) if draw.random() < share else c for c in sequence)


def member(
    species: str,
    name: str,
    sequence: str,
    *,
    kind: Kind = "transcript",
    family: str = "",
    sides: tuple[Split, ...] = (),
) -> Member:
    return Member(species=species, name=name, kind=kind, sides=sides, family=family, sequence=sequence)


def together(of: dict[str, str]) -> set[frozenset[str]]:
    """Clusters of more than one."""
    found: dict[str, set[str]] = {}
    for name, cluster in of.items():
        found.setdefault(cluster, set()).add(name)
    return {frozenset(names) for names in found.values() if len(names) > 1}


@pytest.mark.parametrize("method", METHODS)
def test_planted_relatives_are_found_on_both_strands_and_nothing_else(method: Literal["numpy", "mmseqs"]) -> None:
    draw = random.Random(1)
    sequences = {f"s{i}": text(draw, 300) for i in range(150)}
    for i in range(60):
        copy = mutated(draw, sequences[f"s{i}"], 0.05)
        sequences[f"copy{i}"] = reverse_complement(copy) if i % 2 else copy
    found = homology.cluster(sequences, asked(method), 1, protein=False)
    assert together(dict(found.of)) == {frozenset({f"s{i}", f"copy{i}"}) for i in range(60)}
    assert all(min(pair) == found.of[name] for pair in together(dict(found.of)) for name in pair)
    assert found.method.startswith("mmseqs " if method == "mmseqs" else "numpy k-mers")


@pytest.mark.parametrize("method", METHODS)
def test_proteins_are_alike_long_after_their_bases_are_not(method: Literal["numpy", "mmseqs"]) -> None:
    draw = random.Random(2)
    sequences = {f"p{i}": text(draw, 250, RESIDUES) for i in range(60)}
    for i in range(30):
        copy = mutated(draw, sequences[f"p{i}"], 0.4, RESIDUES)
        sequences[f"far{i}"] = copy[:100] + copy[105:]  # and five residues are gone
    found = homology.cluster(sequences, asked(method), 1, protein=True)
    assert together(dict(found.of)) == {frozenset({f"p{i}", f"far{i}"}) for i in range(30)}


@pytest.mark.parametrize("method", METHODS)
def test_what_covers_too_little_or_differs_too_much_is_no_relative(method: Literal["numpy", "mmseqs"]) -> None:
    draw = random.Random(3)
    one = text(draw, 400)
    sequences = {"one": one, "third": one[:130] + text(draw, 270), "other": mutated(draw, one, 0.35)}
    assert together(dict(homology.cluster(sequences, asked(method), 1, protein=False).of)) == set()


@pytest.mark.parametrize("method", METHODS)
def test_names_and_order_change_nothing(method: Literal["numpy", "mmseqs"]) -> None:
    draw = random.Random(4)
    family = [text(draw, 200)]
    family += [mutated(draw, family[0], 0.05) for _ in range(5)]
    sequences = {f"s{i}": sequence for i, sequence in enumerate([*family, *(text(draw, 200) for _ in range(20))])}
    first = homology.cluster(sequences, asked(method), 1, protein=False)
    turned = homology.cluster(dict(reversed(sequences.items())), asked(method), 1, protein=False)
    renamed = homology.cluster({f"x{name}": s for name, s in sequences.items()}, asked(method), 1, protein=False)
    assert dict(first.of) == dict(turned.of) == {name[1:]: cluster[1:] for name, cluster in renamed.of.items()}
    assert together(dict(first.of)) == {frozenset(f"s{i}" for i in range(6))}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("sequences", [{}, {"a": "ACGTA"}, {"a": "MK", "b": "MKV"}, {"a": "NNNN", "b": "NNN"}])
def test_few_and_short_sequences_are_alone(method: Literal["numpy", "mmseqs"], sequences: dict[str, str]) -> None:
    protein = "M" in "".join(sequences.values())
    assert homology.cluster(sequences, asked(method), 1, protein=protein).of == {name: name for name in sequences}


@settings(deadline=None, max_examples=30)
@given(st.lists(st.text("ACGTN", min_size=1, max_size=60), max_size=8), st.integers(0, 59))
def test_the_numpy_search_takes_any_sequences_and_finds_turned_ones(texts: list[str], cut: int) -> None:
    draw = random.Random(cut)
    long = text(draw, 100)
    sequences = {f"s{i}": sequence for i, sequence in enumerate([*texts, long, reverse_complement(long[cut // 4 :])])}
    of = homology.cluster(sequences, HOMOLOGY, 1, protein=False).of
    assert of[f"s{len(texts)}"] == of[f"s{len(texts) + 1}"]


def test_many_copies_of_one_sequence_are_one_cluster() -> None:
    draw = random.Random(5)
    one = text(draw, 120)
    sequences = {f"s{i:03}": mutated(draw, one, 0.03) for i in range(60)}
    assert len(set(homology.cluster(sequences, HOMOLOGY, 1, protein=False).of.values())) == 1


def test_auto_takes_numpy_where_there_is_no_mmseqs(monkeypatch: pytest.MonkeyPatch) -> None:
    auto = HOMOLOGY.model_copy(update={"method": "auto"})
    monkeypatch.setattr(mmseqs, "installed", lambda: False)
    assert homology.cluster({"a": "ACGT"}, auto, 1, protein=False).method.startswith("numpy")


def test_mmseqs_that_is_asked_for_and_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    wanted = HOMOLOGY.model_copy(update={"method": "mmseqs"})
    with pytest.raises(mmseqs.MmseqsError, match=r"no program mmseqs.*set homology\.method to numpy"):
        homology.cluster({"a": "ACGT", "b": "ACGT"}, wanted, 1, protein=False)


def test_large_sets_of_proteins_are_searched_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[str, ...]] = []

    def run(*arguments: str) -> str:
        said.append(arguments)
        Path(arguments[2] + "_cluster.tsv").write_text("0\t0\n0\t2\n")
        return ""

    monkeypatch.setattr(mmseqs, "_run", run)
    proteins = ["M" * 14, "M" * 13, "M" * 5_000_000]
    assert mmseqs.pairs(proteins, HOMOLOGY, 1, protein=True) == [(0, 2)]
    assert mmseqs.pairs(["M" * 14] * 3, HOMOLOGY, 1, protein=True) == [(0, 2)]
    assert ["--single-step-clustering" in arguments for arguments in said] == [False, True]


def test_what_mmseqs_says_when_it_fails_is_passed_on() -> None:
    with pytest.raises(mmseqs.MmseqsError, match="mmseqs easy-linclust ended with 1"):
        mmseqs.pairs(["ACGT", "ACGA"], asked("mmseqs"), 0, protein=False)


DRAW = random.Random(6)
GENES = [text(DRAW, 300) for _ in range(4)]
DEPTHS = {"human": 0, "mouse": 1, "cow": 1}


def test_orthologues_and_paralogues_are_one_family_named_by_the_senior_member() -> None:
    members = [
        member("human", "H1", GENES[0]),
        member("human", "H2", mutated(DRAW, GENES[0], 0.08)),
        member("human", "H3", GENES[1]),
        member("cow", "A1", mutated(DRAW, GENES[0], 0.08)),
        member("mouse", "M1", GENES[2]),
    ]
    found = homology.families(members, DEPTHS, HOMOLOGY, 1)
    assert found.of == {"human": {"H1": "H1", "H2": "H1"}, "cow": {"A1": "H1"}, "mouse": {}}
    assert found.methods["protein"] == "not needed: there are none"
    assert homology.families(list(reversed(members)), DEPTHS, HOMOLOGY, 1) == found


def test_a_species_further_from_the_base_renames_no_family() -> None:
    members = [member("human", "H1", GENES[0]), member("mouse", "M1", mutated(DRAW, GENES[0], 0.05))]
    before = homology.families(members, {"human": 0, "mouse": 1}, HOMOLOGY, 1)
    after = homology.families(
        [*members, member("ape", "A0", GENES[0])], {"human": 0, "mouse": 1, "ape": 1}, HOMOLOGY, 1
    )
    assert {name: after.of[name] for name in before.of} == before.of
    assert after.of["ape"] == {"A0": "H1"}


def test_stated_families_are_trusted_and_need_no_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(homology, "cluster")
    members = [
        member("human", "H1", GENES[0], family="F1"),
        member("mouse", "M1", GENES[1], family="F1"),
        member("human", "H2", GENES[0], family="F2"),
    ]
    found = homology.families(members, DEPTHS, HOMOLOGY, 1)
    assert found.of == {"human": {"H1": "F1", "H2": "F2"}, "mouse": {"M1": "F1"}, "cow": {}}
    assert found.methods["nucleotide"] == "not needed: the annotation states every family"


def test_a_gene_of_unknown_family_joins_the_stated_one_it_is_like() -> None:
    members = [
        member("human", "H1", GENES[0], family="F1"),
        member("human", "H2", GENES[0], family="F2"),
        member("human", "H3", GENES[1], family="F3"),
        member("mouse", "M1", mutated(DRAW, GENES[1], 0.05)),
    ]
    found = homology.families(members, DEPTHS, HOMOLOGY, 1)
    assert found.of == {"human": {"H1": "F1", "H2": "F2", "H3": "F3"}, "mouse": {"M1": "F3"}, "cow": {}}
    bridge = homology.families([*members, member("cow", "C1", GENES[0])], DEPTHS, HOMOLOGY, 1)
    assert bridge.of == {**found.of, "cow": {"C1": "F1"}}


@pytest.mark.parametrize("method", METHODS)
def test_a_gene_of_unknown_family_goes_to_what_it_is_most_like_and_joins_no_stated_ones(
    method: Literal["numpy", "mmseqs"],
) -> None:
    draw = random.Random(8)
    for _ in range(4):  # whichever sequence is the least, or stands for the cluster
        one = text(draw, 400)
        between = mutated(draw, one, 0.08)
        members = [
            member("human", "H1", one, family="F1"),
            member("human", "H2", mutated(draw, between, 0.02), family="F2"),
            member("mouse", "M1", between),
            member("mouse", "M2", mutated(draw, one, 0.02)),
            member("cow", "C1", text(draw, 400)),
        ]
        found = homology.families(members, DEPTHS, asked(method), 1)
        assert found.of == {"human": {"H1": "F1", "H2": "F2"}, "mouse": {"M1": "F2", "M2": "F1"}, "cow": {}}
        assert homology.families(members[::-1], DEPTHS, asked(method), 1) == found


def test_a_coding_gene_is_one_family_with_its_copy_that_codes_for_nothing() -> None:
    draw = random.Random(9)
    protein = text(draw, 120, RESIDUES)
    parent = [member("human", "H1", GENES[0]), member("human", "H1", protein, kind="protein")]
    members = [
        *parent,
        member("human", "A0", mutated(draw, GENES[0], 0.05)),
        member("mouse", "M1", GENES[1]),
        member("mouse", "M1", mutated(draw, protein, 0.3, RESIDUES), kind="protein"),
        member("mouse", "M2", GENES[2]),
        member("mouse", "M2", text(draw, 120, RESIDUES), kind="protein"),
    ]
    found = homology.families(members, DEPTHS, HOMOLOGY, 1)
    assert found.of == {"human": {"H1": "A0", "A0": "A0"}, "mouse": {"M1": "A0"}, "cow": {}}
    assert homology.families(parent, DEPTHS, HOMOLOGY, 1).of["human"] == {}  # its two products are no relatives


def test_a_protein_copy_of_one_family_and_a_base_copy_of_another_joins_the_nearer() -> None:
    draw = random.Random(10)
    protein = text(draw, 120, RESIDUES)
    members = [
        member("human", "H1", mutated(draw, protein, 0.3, RESIDUES), kind="protein", family="F1"),
        member("human", "H2", GENES[0], family="F2"),
        member("mouse", "M1", protein, kind="protein"),
        member("mouse", "M1", mutated(draw, GENES[0], 0.05)),
    ]
    assert homology.families(members, DEPTHS, HOMOLOGY, 1).of["mouse"] == {"M1": "F2"}


def test_proteins_are_not_compared_with_bases() -> None:
    same = "ACGT" * 30
    members = [member("human", "H1", same, kind="protein"), member("mouse", "M1", same, kind="window")]
    assert homology.families(members, DEPTHS, HOMOLOGY, 1).of == {"human": {}, "mouse": {}, "cow": {}}


def test_short_equal_sequences_are_relatives_on_either_strand() -> None:
    members = [member("human", "h", "AACCG", kind="window"), member("mouse", "m", "CGGTT", kind="window")]
    assert homology.families(members, DEPTHS, HOMOLOGY, 1).of["mouse"] == {"m": "h"}


def test_orthologues_across_the_split_are_named_in_the_species_that_holds_them_out() -> None:
    members = [
        member("human", "h1", GENES[0], kind="window", sides=("train",)),
        member("mouse", "m1", mutated(DRAW, GENES[0], 0.05), kind="window", sides=("test", "train")),
        member("human", "h2", GENES[1], kind="window", sides=("val",)),
        member("cow", "c2", GENES[1], kind="window", sides=("test",)),
        member("human", "h3", GENES[2], kind="window", sides=("train",)),
    ]
    found = homology.families(members, DEPTHS, HOMOLOGY, 1)
    assert homology.leaks(members, found, {}) == {"human": {}, "mouse": {"h1": ("human",)}, "cow": {}}


def test_genes_leak_only_to_labelled_sets_since_their_side_is_their_familys() -> None:
    members = [
        member("human", "H1", GENES[0]),
        member("mouse", "M1", GENES[0]),
        member("cow", "c1", GENES[0], kind="window", sides=("train",)),
    ]
    found = homology.families(members, DEPTHS, HOMOLOGY, 1)
    assert homology.leaks(members[:2], found, {"H1": "test"}) == {"human": {}, "mouse": {}, "cow": {}}
    assert homology.leaks(members, found, {"H1": "test"}) == {
        "human": {"H1": ("cow",)},
        "mouse": {"H1": ("cow",)},
        "cow": {},
    }
    assert homology.leaks(members, found, {"H1": "train"}) == {"human": {}, "mouse": {}, "cow": {}}


def test_equal_sequences_of_two_species_across_the_split_are_counted() -> None:
    members = [
        member("human", "h", "AACCG", kind="window", sides=("train",)),
        member("mouse", "m", "CGGTT", kind="window", sides=("test",)),
        member("mouse", "m2", "AAAAA", kind="window", sides=("test", "train")),
        member("cow", "c", "CCCCC", kind="window", sides=("val",)),
    ]
    assert homology.copies(members) == 1
    assert homology.copies(members[2:]) == 0


def test_single_linkage_follows_a_chain() -> None:
    draw = random.Random(7)
    chain = [text(draw, 400)]
    for _ in range(4):
        chain.append(mutated(draw, chain[-1], 0.1))
    found = homology.cluster({f"s{i}": s for i, s in enumerate(chain)}, HOMOLOGY, 1, protein=False)
    assert set(found.of.values()) == {"s0"}
    ends = homology.cluster({"first": chain[0], "last": chain[-1]}, HOMOLOGY, 1, protein=False)
    assert together(dict(ends.of)) == set()
