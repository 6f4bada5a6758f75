from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from episome import contigs, products
from episome.annotation import Transcript
from episome.contigs import Contigs
from episome.sequence import reverse_complement
from tests import tiny_genome

Open = Callable[[Mapping[str, str]], AbstractContextManager[Contigs]]


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    @contextmanager
    def of(sequences: Mapping[str, str]) -> Iterator[Contigs]:
        path = tmp_path / "genome.fa"
        path.write_text("".join(f">{name}\n{sequence}\n" for name, sequence in sequences.items()))
        with contigs.opened(path, "n") as found:
            yield found

    return of


def transcript(name: str, cds: tuple[tuple[int, int], ...], *, strand: str = "+", complete: bool = True) -> Transcript:
    """A gene of two exons, 0-9 and 12-30."""
    return tiny_genome.gene(exons=((0, 9), (12, 30)), cds=cds, strand=strand, name=name, start_complete=complete)


def test_the_standard_code_by_hand() -> None:
    # One codon of each residue, the three stops apart.
    coding = "GCTTGCGATGAATTTGGACACATAAAGCTGATGAACCCTCAACGGTCAACGGTTTGGTAT"
    assert products.translate(coding) == "ACDEFGHIKLMNPQRSTVWY"
    assert [products.translate(f"ATG{stop}ATG") for stop in ("TAA", "TAG", "TGA")] == ["M", "M", "M"]


@given(st.text("ACGTN", max_size=40))
def test_a_protein_has_a_residue_for_each_codon_before_the_stop(coding: str) -> None:
    protein = products.translate(coding)
    assert set(protein) <= set("ACDEFGHIKLMNPQRSTVWYX")
    rest = coding[3 * len(protein) :]
    assert len(rest) < 3 or rest[:3] in ("TAA", "TAG", "TGA")
    assert all((residue == "X") == ("N" in coding[3 * i : 3 * i + 3]) for i, residue in enumerate(protein))


def test_the_coding_parts_are_joined_on_both_strands(opened: Open) -> None:
    plus = "CCATGGCTT" + "GTA" + "GTTGGTAACCAAAAAAAA"  # CDS: ATG GCT TGT TGG TAA, across an intron of three bases
    with opened({"c0": plus, "c1": reverse_complement(plus)}) as found:
        cds = ((2, 9), (12, 20))
        one, exons = products.members([transcript("g", cds)], found, "human")
        assert (one.kind, one.sequence, one.species, one.name, one.sides) == ("protein", "MACW", "human", "g", ())
        assert (exons.kind, exons.sequence, exons.name) == ("transcript", plus[:9] + plus[12:], "g")
        minus = tiny_genome.gene(
            exons=((0, 18), (21, 30)), cds=((10, 18), (21, 28)), strand="-", name="m", contig_name="c1"
        )
        one, exons = products.members([minus], found, "human")
        assert (one.sequence, exons.sequence) == ("MACW", plus[:9] + plus[12:])


def test_a_cds_whose_start_is_unknown_is_read_in_its_longest_frame(opened: Open) -> None:
    text = "T" + "AAGCTTGGG" * 3  # a stop in frame 0
    with opened({"c0": text}) as found:
        cut = tiny_genome.gene(exons=((0, 28),), cds=((0, 28),), start_complete=False)
        assert products.members([cut], found, "human")[0].sequence == "KLG" * 3


def test_a_gene_without_protein_is_compared_by_its_spliced_exons_alone(opened: Open) -> None:
    text = "ACGTACGTACCCTGATGATTAGCATTAGACC"
    with opened({"c0": text}) as found:
        coding = tiny_genome.gene(exons=((0, 31),), cds=((0, 31),), name="coding")
        silent = transcript("silent", ())
        stopped = tiny_genome.gene(exons=((0, 31),), cds=((12, 18),), name="stopped")  # begins with a stop
        found_members = products.members([coding, silent, stopped], found, "human")
        assert {m.name: (m.kind, m.sequence) for m in found_members if m.name != "coding"} == {
            "silent": ("transcript", text[0:9] + text[12:30]),
            "stopped": ("transcript", text),
        }


def test_where_no_cds_is_annotated_a_long_open_frame_is_the_protein(opened: Open) -> None:
    rng = np.random.default_rng(3)
    residues = "".join(rng.choice(["GCT", "TTT", "CAC", "AAG"], 120))
    text = "CC" + "ATG" + residues + "TAACC"
    short = "CC" + "ATG" + residues[:90] + "TAACC"
    with opened({"c0": text, "c1": short}) as found:
        whole = tiny_genome.gene(exons=((0, len(text)),), name="a")
        part = tiny_genome.gene(exons=((0, len(short)),), name="b", contig_name="c1")
        one, exons, two = products.members([part, whole], found, "fly")
        assert (one.kind, one.sequence) == ("protein", products.translate("ATG" + residues))
        assert (exons.name, exons.kind, exons.sequence) == ("a", "transcript", text)
        assert (two.kind, two.sequence) == ("transcript", short)
        with_cds = tiny_genome.gene(exons=((0, 30),), cds=((2, 8),), name="c")
        kinds = [m.kind for m in products.members([part, whole, with_cds], found, "fly")]
        assert kinds == ["transcript", "transcript", "protein", "transcript"]


def test_the_representative_stands_for_its_gene_and_keeps_the_family(opened: Open) -> None:
    with opened({"c0": "ACGT" * 10}) as found:
        other = tiny_genome.gene(exons=((0, 9),), name="g", rank=2, family="F1")
        first = tiny_genome.gene(exons=((0, 20),), name="g", rank=0, family="F1")
        (member,) = products.members([other, first], found, "human")
        assert (member.sequence, member.family) == ("ACGT" * 5, "F1")
