"""The steps of the simulation one by one, on sequences small enough to check by eye."""

from dataclasses import replace

import numpy as np
import pytest

from episome.simulate import ancestor, decay, evolve, facts, isoforms, promoters, repeats, sites, traits
from episome.simulate.gene import Block, Transcript, bare, placed, runs
from episome.simulate.lineage import Lineage
from episome.simulate.sites import Part

KNOWN = facts.load()
HUMAN = traits.of(KNOWN, KNOWN.nodes["human"], 1.0)


def rng(seed: int = 3) -> np.random.Generator:
    return np.random.default_rng(seed)


def coded(text: str) -> sites.Bytes:
    return np.array(["ACGT".index(letter) for letter in text], dtype=np.int8)


def toy_sites(text: str) -> sites.Sites:
    zero = np.zeros(len(text), dtype=np.int8)
    return sites.Sites(
        base=coded(text),
        part=zero,
        slot=np.full(len(text), sites.NO_SLOT, dtype=np.int16),
        isochore=np.arange(len(text), dtype=np.int64).astype(np.int8),
        gene=zero.astype(np.int32),
        island=zero.astype(bool),
    )


def test_edit_deletes_and_inserts_where_it_is_told() -> None:
    before = toy_sites("ACGTAC")
    after = sites.edit(
        before, np.array([1, 0, 1, 1, 0, 1], dtype=bool), np.array([2, 2, 5]), np.array([3, 3, 0], dtype=np.int8)
    )
    assert "".join("ACGT"[base] for base in after.base) == "AGTTTCA"
    assert after.isochore.tolist() == [0, 2, 2, 2, 3, 5, 5]
    same = sites.edit(before, np.ones(6, dtype=bool), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int8))
    assert same.base.tolist() == before.base.tolist()


def test_background_has_the_gc_and_the_cpg_asked_for() -> None:
    gc = np.repeat([0.35, 0.55], 100_000)
    base = traits.background(gc, 0.25, rng())
    strong = (base == 1) | (base == 2)
    assert strong[:100_000].mean() == pytest.approx(0.35, abs=0.01)
    assert strong[100_000:].mean() == pytest.approx(0.55, abs=0.01)
    half = base[100_000:]
    observed = np.mean((half[:-1] == 1) & (half[1:] == 2))
    assert observed / ((half == 1).mean() * (half == 2).mean()) == pytest.approx(0.25, abs=0.03)


def test_decay_changes_a_copy_by_its_age_and_cpg_first() -> None:
    base = rng().integers(0, 4, size=100_000).astype(np.int8)
    changed = decay.decayed(base, 0.1, HUMAN, rng(4)) != base
    pair = np.append((base[:-1] == 1) & (base[1:] == 2), False)
    assert changed[pair].mean() == pytest.approx(1 - np.exp(-0.1 * HUMAN.cpg_factor), abs=0.02)
    alone = ~pair & ~np.append(False, pair[:-1])
    assert changed[alone].mean() == pytest.approx(1 - np.exp(-0.1), abs=0.01)
    assert (decay.decayed(base, 0.0, HUMAN, rng()) == base).all()


def test_transversions_are_as_frequent_as_kappa_says_and_reach_both_bases() -> None:
    base = np.zeros(200_000, dtype=np.int8)
    new = decay.decayed(base, 0.5, HUMAN, rng())
    c, g, t = (np.sum(new == other) for other in (1, 2, 3))
    assert g / (c + t) == pytest.approx(HUMAN.kappa / 2, rel=0.03)
    assert c / t == pytest.approx(1, rel=0.05)


def test_fraying_inserts_and_deletes_by_age() -> None:
    base = rng().integers(0, 4, size=3000).astype(np.int8)
    lengths = {len(decay.frayed(base, 0.4, KNOWN, 0.4, rng(seed))) for seed in range(8)}
    assert len(lengths) > 4
    assert decay.frayed(base, 0.0, KNOWN, 0.4, rng()).tolist() == base.tolist()


def test_reads_wants_atg_first_and_one_stop_last() -> None:
    assert isoforms.reads(coded("CCATGAAATAACC"), ((2, 11),))
    assert isoforms.reads(coded("CCATGGGAAATAACC"), ((2, 5), (7, 13)))
    for text, coding in (
        ("CCATGAAATAACC", (2, 10)),
        ("CCCTGAAATAACC", (2, 11)),
        ("CCATGTAATAACC", (2, 11)),
        ("CCATGAAAAAACC", (2, 11)),
    ):
        assert not isoforms.reads(coded(text), (coding,))


def test_a_gene_of_one_exon_has_only_another_start_as_alternative() -> None:
    base = coded("C" * 300 + "ATGAAAAAACCCTAA" + "C" * 300)
    known = Transcript(name="t", kind="canonical", exons=((280, 400),), coding=((300, 315),))
    for seed in range(5):
        other = isoforms.alternative(base, known, KNOWN, HUMAN, rng(seed))
        assert other.kind == "alternative_tss"
        assert other.coding == known.coding
        assert 40 <= 280 - other.exons[0][0] < 150


def test_a_gene_is_mirrored_with_its_block() -> None:
    gene = bare("g", "lncRNA", ((10, 20), (30, 45)))
    (forward,), (back,) = (placed(gene, "1", 100, 50, way).transcripts for way in (True, False))
    assert forward.exons == ((110, 120), (130, 145))
    assert back.exons == ((105, 120), (130, 140))
    assert placed(gene, "1", 100, 50, False).strand == "-"
    assert gene.span == (10, 45)


def test_runs_are_the_stretches_of_a_mask() -> None:
    assert runs(np.array([1, 1, 0, 1, 0, 0, 1], dtype=bool)) == ((0, 2), (3, 4), (6, 7))
    assert runs(np.zeros(3, dtype=bool)) == ()


def lineage() -> Lineage:
    return Lineage(key="human", name="human_sim", facts=KNOWN, traits=HUMAN, seed=1)


def toy_genome(length: int) -> sites.Sites:
    whole = toy_sites("ACGT" * (length // 4))
    part = np.full(length, Part.INTERGENIC, dtype=np.int8)
    part[length // 2 : length // 2 + 50] = Part.UTR5
    return replace(whole, part=part)


def test_repeats_cover_only_free_sequence_and_are_alike() -> None:
    before = toy_genome(40_000)
    after, masked, families = repeats.sown(before, lineage())
    assert (after.base[~masked] == before.base[~masked]).all()
    assert not masked[before.part == Part.UTR5].any()
    assert masked.sum() == sum(family.bases for family in families.values())
    assert all(family.copies >= 1 for family in families.values())


def test_a_genome_without_room_gets_fewer_repeats_and_the_sowing_ends() -> None:
    _, masked, families = repeats.sown(toy_genome(400), lineage())
    assert families["line"].copies <= 1
    assert masked.sum() < 400


def test_streams_of_two_purposes_differ_and_repeat() -> None:
    first, again, other = (lineage().stream(name).random() for name in ("a", "a", "b"))
    assert first == again != other


def test_a_block_keeps_sequence_and_gene_together() -> None:
    block = Block(base=coded("ACGT"), masked=np.zeros(4, dtype=bool), gene=bare("g", "lncRNA", ((1, 3),)))
    assert block.gene.transcripts[0].span == (1, 3)


def test_a_motif_is_hung_where_no_other_stands_and_not_at_all_without_room() -> None:
    (tata,) = (number for number, motif in enumerate(KNOWN.motifs) if motif.name == "tata")
    columns = HUMAN.slots.columns(tata)
    (low, high), width = KNOWN.motifs[tata].offset, KNOWN.motifs[tata].width
    at, whole = np.array([100]), toy_genome(400)
    slot = whole.slot.copy()
    slot[: 100 + high] = 0  # leaves the last of the offsets
    hung = promoters.hang(replace(whole, slot=slot), HUMAN, tata, at, rng())
    assert hung.slot[100 + high : 100 + high + width].tolist() == list(range(columns.start, columns.stop))
    slot[100 + high] = 0
    full = replace(whole, slot=slot)
    assert (promoters.hang(full, HUMAN, tata, at, rng()).slot == slot).all()
    assert low < high


def test_long_branches_gain_and_lose_whole_codons_and_nothing_else() -> None:
    wanted = traits.of(KNOWN, KNOWN.nodes["bilateria"], 1.0)
    before, _ = ancestor.ancestor(KNOWN, wanted, 30, rng())
    changed = replace(KNOWN, mutation={**KNOWN.mutation, "coding_indels_per_substitution": 0.5})
    after = evolve.coding_indels(before, changed, wanted, 0.2, rng())
    lengths = [np.bincount(some.gene[some.part == Part.CODING], minlength=30) for some in (before, after)]
    assert (lengths[0] != lengths[1]).any()
    assert not ((lengths[1] - lengths[0]) % 3).any()
    for part in (Part.INTERGENIC, Part.UTR5, Part.INTRON, Part.UTR3):
        assert before.base[before.part == part].tolist() == after.base[after.part == part].tolist()
    held = [some.base[some.slot != sites.NO_SLOT].tolist() for some in (before, after)]
    assert held[0] == held[1]
    stops = sites.STOP[sites.codons(after.base, sites.coding_positions(after))]
    assert stops.sum() == 30
