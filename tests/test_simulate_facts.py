"""The simulated genomes against the facts they are drawn from, within the error of a sample of this size."""

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from benchmarks import world_facts
from episome.simulate import facts, traits
from tests.simulated import ALL, GENES, Read, genomes, species

KNOWN = facts.load()
MOTIFS = {motif.name: motif for motif in KNOWN.motifs}
LEAVES = [name.removesuffix("_sim") for name in ALL]


def texts(found: Read, part: str) -> Iterator[str]:
    """Donor, acceptor or start-codon windows as wide as their motif."""
    for model in found.canonical():
        if part == "kozak":
            (start, end, _), *_ = model.parts["start_codon"]
            first, last = (start - 9, end + 3) if model.strand == "+" else (start - 3, end + 9)
            yield found.bases(model, first, last)
            continue
        for left, right in pairwise(model.exons):
            ends = (left[1], right[0]) if model.strand == "+" else (right[0], left[1])
            at = ends[part == "acceptor"]
            before, after = (3, 6) if part == "donor" else (35, MOTIFS["acceptor"].width - 35)
            first, last = (at - before, at + after) if model.strand == "+" else (at - after, at + before)
            yield found.bases(model, first, last)


@pytest.mark.parametrize("part", ["donor", "acceptor", "kozak"])
@pytest.mark.parametrize("leaf", LEAVES)
def test_sites_settle_on_the_published_matrix_of_their_species(leaf: str, part: str) -> None:
    letters = np.array([list(text) for text in texts(species()[f"{leaf}_sim"], part)])
    wanted = MOTIFS[part].columns[leaf]
    measured = np.stack([(letters == base).mean(axis=0) for base in "ACGT"], axis=1)
    assert measured.shape == wanted.shape
    error = np.sqrt(wanted * (1 - wanted) / len(letters))
    drift = 0.05  # a short branch leaves its motifs between those of its ancestor and its own
    assert (np.abs(measured - wanted) < 4 * error + drift).all()


def test_donors_of_fly_and_human_differ_as_published() -> None:
    share = {
        name: np.mean([text[8] == "T" for text in texts(species()[name], "donor")]) for name in ("fly_sim", "human_sim")
    }
    assert share["fly_sim"] > share["human_sim"] + 0.1  # T at +6: .70 and .48


@pytest.mark.parametrize("leaf", LEAVES)
def test_intron_lengths_follow_the_species_quantiles(leaf: str) -> None:
    found = species()[f"{leaf}_sim"]
    lengths = np.array([len(intron) for model in found.canonical() for intron in found.introns(model)])
    ranks = np.array([0.25, 0.5, 0.75])
    below = [(lengths <= limit).mean() for limit in facts.intron_quantiles(KNOWN, leaf, ranks)]
    drift = 0.05  # small indels since the lengths were set
    assert np.abs(below - ranks).max() < 3 * np.sqrt(0.25 / len(lengths)) + drift


def test_long_introns_are_the_scaled_long_part_of_the_published_lengths() -> None:
    ranks = np.linspace(0, 1, 100_001)
    for leaf in LEAVES:
        known = KNOWN.lengths["intron"][leaf]
        lengths = facts.intron_quantiles(KNOWN, leaf, ranks)
        assert (np.diff(lengths) >= 0).all()
        assert (lengths <= known["over"]).mean() == pytest.approx(known["short_share"], abs=1e-3)
        beyond = lengths[lengths > known["over"]] - known["over"]
        scale = KNOWN.lengths["long_intron_scale"][leaf]
        assert np.median(beyond) == pytest.approx(np.log(2) * known["mean_beyond"] * scale, rel=0.01)


@pytest.mark.parametrize("leaf", LEAVES)
def test_composition_is_that_of_the_species(leaf: str) -> None:
    measured = species()[f"{leaf}_sim"].truth["composition"]
    assert measured["gc"] == pytest.approx(KNOWN.composition["gc"][leaf], abs=0.035)
    found = species()[f"{leaf}_sim"]
    introns = "N".join(intron[6:-36] for model in found.canonical() for intron in found.introns(model))
    c, g = introns.count("C") / len(introns), introns.count("G") / len(introns)
    ratio = introns.count("CG") / len(introns) / (c * g)
    assert ratio == pytest.approx(KNOWN.composition["cpg_oe"][leaf], abs=0.12)


def test_codon_usage_of_a_leaf_is_near_its_table() -> None:
    for leaf in ("human", "fly"):
        found = species()[f"{leaf}_sim"]
        coding = "".join(found.joined(model, "CDS") for model in found.canonical())
        triplets = [coding[at : at + 3] for at in range(0, len(coding), 3)]
        measured = np.array([triplets.count(codon) for codon in facts.CODONS]) / len(triplets)
        other = "fly" if leaf == "human" else "human"
        assert np.abs(measured - KNOWN.codons[leaf]).sum() < np.abs(measured - KNOWN.codons[other]).sum()


@pytest.mark.parametrize("leaf", LEAVES)
def test_promoters_carry_motifs_as_often_as_their_species(leaf: str) -> None:
    known = [gene.signals for gene in genomes()[f"{leaf}_sim"].genes if gene.biotype == "protein_coding"]
    wanted = {name: motif.use[leaf] for name, motif in MOTIFS.items() if motif.promoter}
    wanted["cpg_island"] = KNOWN.composition["island_share"][leaf]
    drift = 0.1  # kept from the ancestor; not hung where another motif stands
    for name, share in wanted.items():
        measured = np.mean([name in signals for signals in known])
        assert abs(measured - share) < 4 * np.sqrt(share * (1 - share) / GENES) + drift, name


def test_all_core_promoter_motifs_are_known_and_none_is_stronger_than_its_source() -> None:
    names = {
        "tata",
        "inr",
        "dpe",
        "mte",
        "breu",
        "bred",
        "dce1",
        "dce2",
        "dce3",
        "xcpe1",
        "med1",
        "gc_box",
        "ccaat",
        "dre",
    }
    assert names <= MOTIFS.keys()
    assert MOTIFS["breu"].use == {"human": 0.057, "mouse": 0.04, "zebrafish": 0.007, "fly": 0.003}
    assert MOTIFS["mte"].use["fly"] == 0.085
    consensus = {name: "".join("ACGT"[at] for at in MOTIFS[name].columns["fly"].argmax(axis=1)) for name in names}
    assert consensus["med1"] == "GCTCCG"
    assert consensus["mte"] == "CGAGCGGAAC"
    assert consensus["dce3"][1:4] == "AGC"


@pytest.mark.parametrize("leaf", LEAVES)
def test_soft_masked_share_is_the_scaled_published_one(leaf: str) -> None:
    found = species()[f"{leaf}_sim"]
    wanted = sum(KNOWN.repeats["share"][leaf].values()) * KNOWN.repeats["scale"]
    families = found.truth["repeats"]
    assert families.keys() == {"sine", "line"}
    assert sum(found.lower.values()) == sum(family["bases"] for family in families.values())
    longest = max(family["length"] for family in families.values()) / sum(map(len, found.contigs.values()))
    # of the coding genes' blocks, which make up most of the genome; the last copy may run over
    assert 0.75 * wanted < sum(found.lower.values()) / sum(map(len, found.contigs.values())) < wanted + longest


def divergence(strength: float) -> float:
    human, fly = (traits.of(KNOWN, KNOWN.nodes[name], strength) for name in ("human", "fly"))
    return float(np.sum(human.table * np.log(human.table.clip(1e-12) / fly.table.clip(1e-12))))


def test_motif_divergence_scales_the_difference_between_species() -> None:
    assert divergence(0.0) == pytest.approx(0.0, abs=1e-9)
    assert divergence(0.0) < divergence(1.0) < divergence(2.0)


def test_published_frequencies_are_kept_at_a_leaf() -> None:
    fly = traits.of(KNOWN, KNOWN.nodes["fly"], 1.0)
    (number,) = (n for n, motif in enumerate(KNOWN.motifs) if motif.name == "donor")
    np.testing.assert_allclose(fly.table[fly.slots.columns(number)], MOTIFS["donor"].columns["fly"], atol=1e-6)
    assert fly.fixed[fly.slots.columns(number)].tolist() == [False] * 3 + [True] * 2 + [False] * 4


def test_every_block_of_the_facts_names_its_source_and_what_is_an_estimate() -> None:
    raw = json.loads((Path(facts.__file__).parent / "facts.json").read_text())
    blocks = [block for name, block in raw.items() if name not in ("_about", "motifs")]
    for block in [*blocks, *raw["motifs"].values()]:
        assert block["source"]
        assert "derived" in block


def test_identity_counts_equal_bases_of_aligned_codons_alone() -> None:
    assert world_facts.identity("ATGAAACCC", "ATGAAACCC") == (9, 9)
    assert world_facts.identity("ATGAAACCCGGG", "ATGCCCGGG") == (9, 9)
    assert world_facts.identity("ATGCCCGGG", "ATGAAACCCGGG") == (9, 9)
    assert world_facts.identity("ATGAAACCC", "ATGAATCCC") == (8, 9)


def test_the_table_of_facts_has_a_row_for_everything_that_is_asked() -> None:
    few = [world_facts.cut(leaf, genomes()[f"{leaf}_sim"]) for leaf in LEAVES]
    assert world_facts.asked("fly").keys() == world_facts.measured(few[3]).keys()
    header, _, *rows = world_facts.table(few)
    assert header.count("_sim") == 4
    assert {f"promoters with {name}" for name in world_facts.PROMOTER} <= {row.split(" | ")[0][2:] for row in rows}
    assert all(row.count("|") == header.count("|") for row in rows)
