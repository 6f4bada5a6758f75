"""The simulated annotation: what the GTF says is in the FASTA, and tools that know nothing of us read it the same."""

import shutil
import subprocess
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from episome import simulate
from tests.simulated import ALL, GENES, TRANSLATE, Model, Read, coding, genomes, species

LETTERS = set("ACGTN")


def test_every_start_codon_reads_atg() -> None:
    starts = [found.joined(model, "start_codon") for found, model in coding()]
    assert len(starts) > GENES * len(ALL)
    assert set(starts) == {"ATG"}


def test_every_intron_starts_gt_and_ends_ag_on_its_strand() -> None:
    introns = [
        (model.strand, intron)
        for found in species().values()
        for model in found.transcripts.values()
        for intron in found.introns(model)
    ]
    assert len(introns) > 600
    assert {(strand, intron[:2], intron[-2:]) for strand, intron in introns} == {("+", "GT", "AG"), ("-", "GT", "AG")}
    assert min(len(intron) for _, intron in introns) >= 45


def test_every_coding_sequence_translates_to_its_only_stop() -> None:
    for found, model in coding():
        bases = found.joined(model, "CDS", "stop_codon")
        protein = "".join(TRANSLATE[bases[at : at + 3]] for at in range(0, len(bases), 3))
        assert protein.startswith("M")
        assert protein.index("*") == len(protein) - 1


def test_cds_lines_leave_out_the_stop_and_their_frames_add_up() -> None:
    for _, model in coding():
        (stop,) = model.parts["stop_codon"]
        parts = sorted(model.parts["CDS"], reverse=model.strand == "-")
        done = 0
        for start, end, frame in parts:
            assert not (start < stop[1] and stop[0] < end)
            assert int(frame) == -done % 3
            done += end - start
        assert done % 3 == 0


def test_exons_are_coding_parts_stop_codon_and_utrs() -> None:
    inner = ("CDS", "stop_codon", "five_prime_utr", "three_prime_utr")
    for found, model in coding():
        assert found.joined(model, "exon") == found.joined(model, *inner)
        five, three = found.joined(model, "five_prime_utr"), found.joined(model, "three_prime_utr")
        assert found.joined(model, "exon").startswith(five)
        assert found.joined(model, "exon").endswith(three)


def test_one_transcript_of_each_gene_is_canonical_and_the_gene_spans_them_all() -> None:
    for found in species().values():
        canonical = Counter(model.gene for model in found.transcripts.values() if model.canonical)
        assert canonical == Counter(found.genes.keys())
        for gene, (contig, strand, start, end) in found.genes.items():
            own = [model for model in found.transcripts.values() if model.gene == gene]
            assert {(model.contig, model.strand) for model in own} == {(contig, strand)}
            assert (min(model.exons[0][0] for model in own), max(model.exons[-1][1] for model in own)) == (start, end)


def alternatives(found: Read) -> list[tuple[str, Model, Model]]:
    """Kind, canonical and alternative transcript of every gene that has one."""
    kinds = {name: kind for gene in found.truth["genes"].values() for name, kind in gene["transcripts"].items()}
    canonical = {model.gene: model for model in found.canonical()}
    return [
        (kinds[name], canonical[model.gene], model) for name, model in found.transcripts.items() if not model.canonical
    ]


def test_alternatives_differ_as_their_kind_says() -> None:
    seen = Counter[str]()
    for found in species().values():
        for kind, first, other in alternatives(found):
            seen[kind] += 1
            left, right = ({at for exon in model.exons for at in exon} for model in (first, other))
            assert len(left - right) == (2 if kind == "exon_skipping" else 1)
            assert len(right - left) == (0 if kind == "exon_skipping" else 1)
            assert (found.start(first) != found.start(other)) == (kind == "alternative_tss")
            if kind == "alternative_donor":
                (moved,) = right - left
                assert moved in {exon[first.strand == "+"] for exon in other.exons}
    assert seen.keys() == {"exon_skipping", "alternative_donor", "alternative_acceptor", "alternative_tss"}
    assert sum(seen.values()) / (GENES * len(ALL)) == pytest.approx(0.3, abs=0.1)  # three deviations of a binomial


def test_genes_lie_on_both_strands_far_enough_apart_and_off_gaps() -> None:
    for found in species().values():
        assert {strand for _, strand, _, _ in found.genes.values()} == {"+", "-"}
        for contig, bases in found.contigs.items():
            assert set(bases) <= LETTERS
            if contig == "MT":
                continue
            spans = sorted((start, end) for name, _, start, end in found.genes.values() if name == contig)
            bounds = [(0, 0), *spans, (len(bases), len(bases))]
            assert min(right[0] - left[1] for left, right in pairwise(bounds)) >= 500
            assert all("N" not in bases[start - 400 : end + 400] for start, end in spans)


def test_contigs_are_chromosomes_a_mitochondrion_and_scaffolds_with_and_without_genes() -> None:
    for name, found in species().items():
        kinds = genomes()[name].assembly.kinds
        with_genes = Counter(contig for contig, _, _, _ in found.genes.values())
        scaffolds = [contig for contig, kind in kinds.items() if kind == "scaffold"]
        assert len([contig for contig, kind in kinds.items() if kind == "chromosome"]) == 7
        assert [contig in with_genes for contig in scaffolds] == [True, True, False, False]
        assert all(f"dna_sm:{kinds[contig]} " in header for contig, header in found.headers.items())
        assert {model.biotype for model in found.transcripts.values() if model.contig == "MT"} == {"Mt_rRNA", "Mt_tRNA"}
    assert "2L" in species()["fly_sim"].contigs
    assert {"1", "X", "GL000008.2"} <= species()["human_sim"].contigs.keys()


def test_genes_without_a_product_have_no_coding_lines() -> None:
    for found in species().values():
        silent = [model for model in found.transcripts.values() if model.biotype != "protein_coding"]
        assert Counter(model.biotype for model in silent) == {
            "lncRNA": 3,
            "processed_pseudogene": 3,
            "Mt_tRNA": 3,
            "Mt_rRNA": 2,
        }
        assert not any(model.parts.keys() - {"transcript", "exon"} for model in silent)
        assert all(len(model.exons) >= 2 for model in silent if model.biotype == "lncRNA")
        assert not any(model.family for model in silent if model.biotype != "processed_pseudogene")


def test_a_pseudogene_is_a_decayed_copy_of_its_parent_without_introns() -> None:
    for found in species().values():
        canonical = {model.gene: model for model in found.canonical()}
        for model in found.transcripts.values():
            if model.biotype != "processed_pseudogene":
                continue
            parent = canonical[model.attributes["parent_gene"]]
            assert model.family == parent.family
            assert len(model.exons) == 1
            copy, source = found.joined(model, "exon"), found.joined(parent, "CDS", "stop_codon")
            words = {source[at : at + 8] for at in range(len(source) - 7)}
            shared = np.mean([copy[at : at + 8] in words for at in range(len(copy) - 7)])
            assert 0.02 < shared < 0.9  # chance alone: about 0.01
            assert copy != source


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of human and fly with their files unpacked."""
    if not (shutil.which("gffread") and shutil.which("gt")):
        pytest.skip("gffread and gt (genometools) are not installed")
    root = tmp_path_factory.mktemp("tools")
    for name in ("human_sim", "fly_sim"):
        simulate.write(genomes()[name], root / name)
        for file in ("genome.fa.gz", "genes.gtf.gz"):
            subprocess.run(["gunzip", file], cwd=root / name, check=True)
    return root


def called(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    assert "error" not in done.stderr.lower()
    return done.stdout


@pytest.mark.parametrize("name", ["human_sim", "fly_sim"])
def test_gffread_finds_the_counts_of_the_truth_and_reads_every_coding_sequence(unpacked: Path, name: str) -> None:
    counts = species()[name].truth["counts"]
    rows = called(unpacked / name, "gffread", "genes.gtf", "--table", "@id,@numexons,@strand,@geneid").splitlines()
    table = [row.split("\t") for row in rows]
    assert len(table) == counts["transcripts"]
    assert sum(int(row[1]) for row in table) == counts["exons"]
    assert sum(row[2] == "-" for row in {row[3]: row for row in table}.values()) == counts["minus_strand"]
    called(unpacked / name, "gffread", "genes.gtf", "-g", "genome.fa", "-V", "-J", "-y", "kept.faa", "-x", "all.fna")
    called(unpacked / name, "gffread", "genes.gtf", "-g", "genome.fa", "-y", "all.faa")
    kept, every = ((unpacked / name / file).read_text().split(">")[1:] for file in ("kept.faa", "all.faa"))
    assert len(kept) == len(every) == sum(counts["kinds"].values()) - sum(counts["biotypes"].values()) + GENES
    assert not any("." in "".join(record.splitlines()[1:]) for record in every)
    assert all(record.splitlines()[1].startswith("M") for record in every)


@pytest.mark.parametrize("name", ["human_sim", "fly_sim"])
def test_genometools_takes_what_gffread_makes_of_it(unpacked: Path, name: str) -> None:
    (unpacked / name / "genes.gff3").write_text(called(unpacked / name, "gffread", "genes.gtf", "--keep-genes"))
    assert "input is valid GFF3" in called(unpacked / name, "gt", "gff3validator", "genes.gff3")
