"""The simulated world: bytes follow from the seed, species differ as their tree says, every file says simulated."""

import json
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from benchmarks import world_facts
from episome import drift, simulate
from episome.metrics import auroc
from episome.types import EpisomeError
from tests.simulated import ALL, GENES, SEED, genomes, species


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(tmp_path: Path) -> None:
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        (genome,) = simulate.world(genes=8, seed=seed, species=["fly_sim"])
        simulate.write(genome, tmp_path / folder)
    files = ("genome.fa.gz", "genes.gtf.gz", "truth.json")
    first, again, other = ([(tmp_path / folder / name).read_bytes() for name in files] for folder in "abc")
    assert first == again
    assert all(mine != theirs for mine, theirs in zip(first, other, strict=True))
    assert first[0][4:8] == bytes(4)  # gzip's time stamp


def test_a_species_does_not_depend_on_which_others_are_simulated() -> None:
    (alone,) = simulate.world(genes=GENES, seed=SEED, species=["zebrafish_sim"])
    assert alone.assembly == genomes()["zebrafish_sim"].assembly


def test_every_file_says_simulated_and_names_motif_divergence() -> None:
    for name, found in species().items():
        assert found.truth["simulated"] is True
        assert found.truth["parameters"]["motif_divergence"] == 1.0
        assert f"#!simulated true; seed {SEED}; motif_divergence 1.0" in found.remarks
        assert all("simulated:true" in header and "motif_divergence:1.0" in header for header in found.headers.values())
        assert all(name in header for header in found.headers.values())
        assert all(gene.startswith(name) for gene in found.genes)


def test_truth_names_the_parameters_and_counts_what_was_written() -> None:
    found = species()["mouse_sim"]
    truth, models = found.truth, list(found.transcripts.values())
    counts = truth["counts"]
    assert truth["parameters"] == {
        "genes": GENES,
        "seed": SEED,
        "species": list(ALL),
        "motif_divergence": 1.0,
        "tree": "(((human:0.17,mouse:0.42)mammals:0.85,zebrafish:1.12)vertebrates:0.9,fly:2.2)bilateria:0;",
    }
    assert counts["contigs"] == {name: len(bases) for name, bases in found.contigs.items()}
    assert counts["bases"] == sum(map(len, found.contigs.values()))
    assert counts["n"] == sum(bases.count("N") for bases in found.contigs.values()) > 0
    assert counts["soft_masked"] == sum(found.lower.values()) > 0
    assert counts["genes"] == len(found.genes) == sum(counts["biotypes"].values())
    assert counts["transcripts"] == len(models) == sum(counts["kinds"].values())
    assert counts["exons"] == sum(len(model.exons) for model in models)
    assert counts["introns"] == counts["exons"] - counts["transcripts"]
    assert counts["coding_parts"] == sum(len(model.parts.get("CDS", [])) for model in models)
    assert counts["minus_strand"] == sum(strand == "-" for _, strand, _, _ in found.genes.values())
    assert truth["genes"].keys() == found.genes.keys()


def test_each_family_has_one_coding_gene_in_every_species_and_truth_knows_it() -> None:
    wanted = {f"FAM{number:06d}" for number in range(1, GENES + 1)}
    for found in species().values():
        families = {model.gene: model.family for model in found.canonical()}
        assert sorted(families.values()) == sorted(wanted)
        assert families == {
            name: gene["family"] for name, gene in found.truth["genes"].items() if gene["biotype"] == "protein_coding"
        }


def test_coding_sequences_are_as_alike_as_the_species_and_not_of_equal_length() -> None:
    own = {
        name: {model.family: found.joined(model, "CDS") for model in found.canonical()}
        for name, found in species().items()
    }
    for name, wanted in (("mouse_sim", 0.865), ("zebrafish_sim", 0.71), ("fly_sim", 0.60)):
        pairs = [(own["human_sim"][family], own[name][family]) for family in sorted(own[name])]
        same, aligned = np.sum([world_facts.identity(left, right) for left, right in pairs], axis=0)
        assert same / aligned == pytest.approx(wanted, abs=0.03)
        assert 0.1 < np.mean([len(left) != len(right) for left, right in pairs]) < 1


def test_gene_order_is_rearranged_along_the_tree() -> None:
    def neighbours(name: str) -> set[frozenset[str]]:
        genes = [gene for gene in genomes()[name].genes if gene.biotype == "protein_coding"]
        return {frozenset((left.family, right.family)) for left, right in pairwise(genes)}

    human = neighbours("human_sim")
    assert len(human & neighbours("mouse_sim")) > len(human & neighbours("fly_sim"))


def test_a_six_mer_model_tells_fly_from_human() -> None:
    def windows(name: str, half: int) -> list[str]:
        contigs = list(species()[name].contigs.values())[half::2]
        chunks = [bases[at : at + 300] for bases in contigs for at in range(0, len(bases) - 300, 300)]
        return [chunk for chunk in chunks if "N" not in chunk]

    human, fly = (drift.fit(windows(name, 0)) for name in ("human_sim", "fly_sim"))
    texts = windows("human_sim", 1) + windows("fly_sim", 1)
    labels = np.repeat([0, 1], [len(windows("human_sim", 1)), len(windows("fly_sim", 1))])
    margin = np.array([drift.log_likelihood(fly, text) - drift.log_likelihood(human, text) for text in texts])
    assert auroc(labels, margin) >= 0.9


def test_truth_is_plain_json() -> None:
    told = simulate.truth(genomes()["fly_sim"])
    assert json.loads(json.dumps(told)) == species()["fly_sim"].truth


def test_advance_is_called_once_per_step() -> None:
    calls: list[int] = []
    list(simulate.world(genes=4, seed=3, species=ALL[:2], advance=lambda: calls.append(1)))
    assert len(calls) == simulate.steps(ALL[:2])


@pytest.mark.parametrize(
    ("genes", "species", "message"),
    [
        (8, ["yeast_sim"], "no facts to simulate 'yeast_sim'; known: human_sim"),
        (8, ["human"], "no facts to simulate 'human'"),
        (8, ["fly_sim", "fly_sim"], "named twice"),
        (3, ["fly_sim"], "a world of 3 genes; at least 4"),
    ],
)
def test_a_world_that_cannot_be_is_refused_at_once(genes: int, species: list[str], message: str) -> None:
    with pytest.raises(EpisomeError, match=re.escape(message)):
        simulate.world(genes=genes, seed=1, species=species)
