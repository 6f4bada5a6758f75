"""The simulated world: what is annotated is there, species differ as their tree says, bytes follow from the seed."""

import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from episome import drift, fasta, simulate
from episome.metrics import auroc
from episome.sequence import reverse_complement
from episome.simulate import facts, sites, traits
from episome.simulate.assembly import Genome
from episome.types import EpisomeError

ALL = ("human_sim", "mouse_sim", "zebrafish_sim", "fly_sim")
GENES = 60
TRANSLATE = dict(zip(facts.CODONS, facts.AMINO_ACIDS, strict=True))


@dataclass
class Model:
    """A gene as the GTF tells it; coordinates 0-based half-open."""

    contig: str
    strand: str
    family: str
    parts: dict[str, list[tuple[int, int, str]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Read:
    """One species read back from its files, by a parser that shares nothing with the writer."""

    contigs: dict[str, str]
    genes: dict[str, Model]

    def bases(self, gene: Model, start: int, end: int) -> str:
        found = self.contigs[gene.contig][start:end]
        return found if gene.strand == "+" else reverse_complement(found)

    def joined(self, gene: Model, *features: str) -> str:
        parts = sorted(part for feature in features for part in gene.parts[feature])
        ordered = parts if gene.strand == "+" else parts[::-1]
        return "".join(self.bases(gene, start, end) for start, end, _ in ordered)

    def introns(self, gene: Model) -> list[str]:
        exons = sorted(gene.parts["exon"])
        return [self.bases(gene, left[1], right[0]) for left, right in pairwise(exons)]


def read(folder: Path) -> Read:
    with (folder / "genome.fa.gz").open("rb") as stream:
        contigs = {record.id: record.sequence for record in fasta.read(stream)}
    genes: dict[str, Model] = {}
    for line in gzip.decompress((folder / "genes.gtf.gz").read_bytes()).decode().splitlines():
        if line.startswith("#"):
            continue
        contig, _, feature, start, end, _, strand, frame, rest = line.split("\t")
        attributes = dict(re.findall(r'(\w+) "([^"]*)"', rest))
        gene = genes.setdefault(attributes["gene_id"], Model(contig, strand, attributes["family"]))
        gene.parts.setdefault(feature, []).append((int(start) - 1, int(end), frame))
    return Read(contigs, genes)


@pytest.fixture(scope="module")
def genomes() -> dict[str, Genome]:
    return {genome.species: genome for genome in simulate.world(genes=GENES, seed=7, species=ALL)}


@pytest.fixture(scope="module")
def species(genomes: dict[str, Genome], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Read]:
    root = tmp_path_factory.mktemp("world")
    for name, genome in genomes.items():
        simulate.write(genome, root / name)
    return {name: read(root / name) for name in genomes}


def all_genes(species: dict[str, Read]) -> Iterator[tuple[Read, Model]]:
    for found in species.values():
        for gene in found.genes.values():
            yield found, gene


def test_every_gene_has_one_start_codon_that_reads_atg(species: dict[str, Read]) -> None:
    starts = [found.joined(gene, "start_codon") for found, gene in all_genes(species)]
    assert starts == ["ATG"] * (GENES * len(ALL))


def test_every_intron_starts_gt_and_ends_ag_on_its_strand(species: dict[str, Read]) -> None:
    introns = [intron for found, gene in all_genes(species) for intron in found.introns(gene)]
    assert len(introns) > 400
    assert {(intron[:2], intron[-2:]) for intron in introns} == {("GT", "AG")}
    assert min(map(len, introns)) >= 45


def test_every_coding_sequence_translates_to_its_only_stop(species: dict[str, Read]) -> None:
    for found, gene in all_genes(species):
        coding = found.joined(gene, "CDS", "stop_codon")
        protein = "".join(TRANSLATE[coding[at : at + 3]] for at in range(0, len(coding), 3))
        assert protein.startswith("M")
        assert protein.index("*") == len(protein) - 1


def test_cds_lines_leave_out_the_stop_and_their_frames_add_up(species: dict[str, Read]) -> None:
    for _, gene in all_genes(species):
        (stop,) = gene.parts["stop_codon"]
        parts = sorted(gene.parts["CDS"], reverse=gene.strand == "-")
        done = 0
        for start, end, frame in parts:
            assert not (start < stop[1] and stop[0] < end)
            assert int(frame) == -done % 3
            done += end - start
        assert done % 3 == 0


def test_exons_are_coding_parts_stop_codon_and_utrs(species: dict[str, Read]) -> None:
    inner = ("CDS", "stop_codon", "five_prime_utr", "three_prime_utr")
    for found, gene in all_genes(species):
        assert found.joined(gene, "exon") == found.joined(gene, *inner)
        five, three = found.joined(gene, "five_prime_utr"), found.joined(gene, "three_prime_utr")
        assert found.joined(gene, "exon").startswith(five)
        assert found.joined(gene, "exon").endswith(three)


def test_genes_lie_on_both_strands_of_several_contigs_600_bases_apart(species: dict[str, Read]) -> None:
    for found in species.values():
        assert {gene.strand for gene in found.genes.values()} == {"+", "-"}
        assert {gene.contig for gene in found.genes.values()} == set(found.contigs)
        assert len(found.contigs) >= 2
        for contig, bases in found.contigs.items():
            spans = sorted(gene.parts["gene"][0][:2] for gene in found.genes.values() if gene.contig == contig)
            bounds = [(0, 0), *spans, (len(bases), len(bases))]
            assert min(right[0] - left[1] for left, right in pairwise(bounds)) >= 600
            assert set(bases) == set("ACGTN")
            assert all("N" not in bases[start - 600 : end + 600] for start, end in spans)


def test_each_family_has_one_gene_in_every_species(species: dict[str, Read]) -> None:
    wanted = {f"FAM{number:06d}" for number in range(1, GENES + 1)}
    for found in species.values():
        families = [gene.family for gene in found.genes.values()]
        assert set(families) == wanted
        assert len(families) == GENES


def test_orthologues_differ_more_the_further_the_species(species: dict[str, Read]) -> None:
    coding = {
        name: {gene.family: found.joined(gene, "CDS") for gene in found.genes.values()}
        for name, found in species.items()
    }

    def identity(other: str) -> float:
        pairs = [
            (a, b)
            for family, own in coding["human_sim"].items()
            for a, b in zip(own, coding[other][family], strict=True)
        ]
        return float(np.mean([a == b for a, b in pairs]))

    mouse, zebrafish, fly = (identity(name) for name in ALL[1:])
    assert 0.95 > mouse > zebrafish + 0.05 > fly + 0.1 > 0.4


def test_gene_order_is_rearranged_along_the_tree(genomes: dict[str, Genome]) -> None:
    def neighbours(name: str) -> set[frozenset[str]]:
        return {frozenset((left.family, right.family)) for left, right in pairwise(genomes[name].genes)}

    human = neighbours("human_sim")
    assert len(human & neighbours("mouse_sim")) > len(human & neighbours("fly_sim"))


def donor_matrix(found: Read) -> np.ndarray:
    donors = np.array([list(intron[2:6]) for gene in found.genes.values() for intron in found.introns(gene)])
    return np.stack([(donors == base).mean(axis=0) for base in "ACGT"], axis=1)


def test_donors_settle_on_the_published_matrix_of_their_species(species: dict[str, Read]) -> None:
    (donor,) = (motif for motif in facts.load().motifs if motif.name == "donor")
    for name in ("human_sim", "fly_sim"):
        published = donor.columns[name.removesuffix("_sim")][5:]
        assert np.abs(donor_matrix(species[name]) - published).max() < 0.12
    assert donor_matrix(species["fly_sim"])[3, 3] > donor_matrix(species["human_sim"])[3, 3]  # T at +6: .70 and .48


def composition(genome: Genome) -> dict[str, float]:
    return json.loads(json.dumps(simulate.truth(genome)))["composition"]


def test_cpg_is_depleted_in_vertebrates_and_not_in_the_fly(genomes: dict[str, Genome]) -> None:
    human, _, zebrafish, fly = (composition(genomes[name])["cpg_observed_to_expected"] for name in ALL)
    assert human < zebrafish < 0.65 < 0.9 < fly < 1.1
    assert all(0.34 < composition(genome)["gc"] < 0.47 for genome in genomes.values())


def test_a_six_mer_model_tells_fly_from_human(genomes: dict[str, Genome]) -> None:
    def windows(name: str, half: int) -> list[str]:
        contigs = list(genomes[name].contigs.values())[half::2]
        chunks = [bases[at : at + 300] for bases in contigs for at in range(0, len(bases) - 300, 300)]
        return [chunk for chunk in chunks if "N" not in chunk]

    human, fly = (drift.fit(windows(name, 0)) for name in ("human_sim", "fly_sim"))
    texts = windows("human_sim", 1) + windows("fly_sim", 1)
    labels = np.repeat([0, 1], [len(windows("human_sim", 1)), len(windows("fly_sim", 1))])
    margin = np.array([drift.log_likelihood(fly, text) - drift.log_likelihood(human, text) for text in texts])
    assert auroc(labels, margin) >= 0.9


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(tmp_path: Path) -> None:
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        (genome,) = simulate.world(genes=8, seed=seed, species=["fly_sim"])
        simulate.write(genome, tmp_path / folder)
    files = ("genome.fa.gz", "genes.gtf.gz", "truth.json")
    first, again, other = ([(tmp_path / folder / name).read_bytes() for name in files] for folder in "abc")
    assert first == again
    assert all(mine != theirs for mine, theirs in zip(first, other, strict=True))
    assert first[0][4:8] == bytes(4)  # gzip's time stamp


def test_a_species_does_not_depend_on_which_others_are_simulated(genomes: dict[str, Genome]) -> None:
    (alone,) = simulate.world(genes=GENES, seed=7, species=["zebrafish_sim"])
    assert alone.contigs == genomes["zebrafish_sim"].contigs
    assert alone.genes == genomes["zebrafish_sim"].genes


def test_truth_says_simulated_and_counts_what_was_written(
    genomes: dict[str, Genome], species: dict[str, Read], tmp_path: Path
) -> None:
    simulate.write(genomes["mouse_sim"], tmp_path)
    truth = json.loads((tmp_path / "truth.json").read_text())
    found = species["mouse_sim"]
    assert truth["simulated"] is True
    assert truth["parameters"] == {
        "genes": GENES,
        "seed": 7,
        "species": list(ALL),
        "motif_divergence": 1.0,
        "tree": "(((human:0.17,mouse:0.42)mammals:0.85,zebrafish:1.12)vertebrates:0.9,fly:2.2)bilateria:0;",
    }
    assert truth["counts"]["contigs"] == {name: len(bases) for name, bases in found.contigs.items()}
    assert truth["counts"]["introns"] == sum(len(found.introns(gene)) for gene in found.genes.values())
    assert truth["counts"]["minus_strand"] == sum(gene.strand == "-" for gene in found.genes.values())
    assert truth["counts"]["n"] == sum(bases.count("N") for bases in found.contigs.values()) > 0
    assert {name: gene["family"] for name, gene in truth["genes"].items()} == {
        name: gene.family for name, gene in found.genes.items()
    }


def test_promoter_signals_follow_the_lineage(genomes: dict[str, Genome]) -> None:
    def share(name: str, signal: str) -> float:
        return float(np.mean([signal in gene.signals for gene in genomes[name].genes]))

    assert share("human_sim", "cpg_island") > share("fly_sim", "cpg_island") + 0.2
    assert share("fly_sim", "dpe") > share("human_sim", "dpe") + 0.1


def divergence(strength: float) -> float:
    known = facts.load()
    human, fly = (traits.of(known, known.nodes[name], strength) for name in ("human", "fly"))
    return float(np.sum(human.table * np.log(human.table.clip(1e-12) / fly.table.clip(1e-12))))


def test_motif_divergence_scales_the_difference_between_species() -> None:
    assert divergence(0.0) == pytest.approx(0.0, abs=1e-9)
    assert divergence(0.0) < divergence(1.0) < divergence(2.0)


def test_published_frequencies_are_kept_at_a_leaf() -> None:
    known = facts.load()
    fly = traits.of(known, known.nodes["fly"], 1.0)
    (number,) = (n for n, motif in enumerate(known.motifs) if motif.name == "donor")
    np.testing.assert_allclose(fly.table[fly.slots.columns(number)], known.motifs[number].columns["fly"], atol=1e-6)
    assert fly.fixed[fly.slots.columns(number)].tolist() == [False] * 3 + [True] * 2 + [False] * 4


@pytest.mark.parametrize("block", ["tree", "composition", "mutation", "lengths", "codons", "stops"])
def test_every_block_of_the_facts_names_its_source(block: str) -> None:
    raw = json.loads((Path(facts.__file__).parent / "facts.json").read_text())
    assert raw[block]["source"]
    assert all(motif["source"] for motif in raw["motifs"].values())


def toy_sites(text: str) -> sites.Sites:
    base = np.array(["ACGT".index(letter) for letter in text], dtype=np.int8)
    zero = np.zeros(len(base), dtype=np.int8)
    return sites.Sites(
        base=base,
        part=zero,
        slot=zero.astype(np.int16),
        isochore=np.arange(len(base), dtype=np.int8),
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
