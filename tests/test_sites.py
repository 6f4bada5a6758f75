import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from episome import sites
from episome.annotation import Transcript
from episome.sequence import reverse_complement
from episome.types import EpisomeError, Task
from tests.tiny_genome import EXON, GENE, INTRON, SPACE, contig, parts

PROMOTER = Task(name="promoter", scope="window", window=300)
DONOR = Task(name="donor", scope="site", window=120, motif="GT")
ACCEPTOR = Task(name="acceptor", scope="site", window=121, motif="AG")
TIS = Task(name="tis", scope="site", window=203, motif="ATG")


def planted(strand: str) -> tuple[Transcript, str]:
    """A gene on a strand and its contig, read 5' to 3' of that strand."""
    sequence, ((start, end),) = contig(np.random.default_rng(5), strand)
    pieces = {name: tuple(sorted(p)) for name, p in parts((start, end), strand).items()}
    transcript = Transcript(
        id="t", gene="g", contig="c", strand=strand, exons=pieces["exon"], cds=pieces["CDS"],
        biotype="protein_coding", family="", rank=0, start_complete=True, tss_complete=True,
    )  # fmt: skip
    return transcript, sequence if strand == "+" else reverse_complement(sequence)


@given(st.integers(0, 50), st.integers(0, 50), st.sampled_from("+-"), st.integers(101, 200))
def test_turning_twice_is_not_turning(start: int, width: int, strand: str, length: int) -> None:
    interval = (start, start + width)
    assert sites.turn(sites.turn(interval, strand, length), strand, length) == interval


@pytest.mark.parametrize("strand", ["+", "-"])
def test_planted_sites_are_found_at_their_exact_base_on_both_strands(strand: str) -> None:
    transcript, text = planted(strand)
    anchors = {name: recipe.anchors(transcript, len(text)) for name, recipe in sites.RECIPES.items()}
    assert anchors == {
        "promoter": [SPACE],
        "donor": [SPACE + EXON],
        "acceptor": [SPACE + EXON + INTRON - 2],
        "tis": [SPACE + 100],
    }
    for task in (DONOR, ACCEPTOR, TIS):
        (anchor,) = anchors[task.name]
        start, end = sites.window(task, anchor)
        window = text[start:end]
        assert task.window == len(window)
        assert task.motif is not None
        assert window[len(window) // 2 :].startswith(task.motif)


def test_a_promoter_window_has_its_tss_at_249() -> None:
    assert sites.window(PROMOTER, 1000) == (751, 1051)


@pytest.mark.parametrize("strand", ["+", "-"])
@pytest.mark.parametrize("task", [DONOR, ACCEPTOR, TIS])
def test_decoys_carry_the_motif_and_say_where_they_are(task: Task, strand: str) -> None:
    transcript, text = planted(strand)
    assert task.motif is not None
    decoys = list(sites.motif_decoys(transcript, text, task.motif, np.random.default_rng(0)))
    assert 5 < len(decoys) <= 60
    for decoy in decoys:
        assert text.startswith(task.motif, decoy.anchor)
        local = decoy.anchor - SPACE
        assert 0 <= local < GENE
        in_intron = EXON <= local < EXON + INTRON
        if task is not TIS:
            assert decoy.kind == ("intron" if in_intron else "exon")
        elif in_intron or not 100 <= local < GENE - 99:
            assert decoy.kind == ("intron" if in_intron else "utr")
        else:
            coding = local - 100 - (INTRON if local >= EXON + INTRON else 0)
            assert decoy.kind == ("cds_out_of_frame" if coding % 3 else "cds_in_frame")


def test_a_gene_with_few_decoys_gives_all_and_one_shorter_than_the_motif_none() -> None:
    def gene(end: int) -> Transcript:
        return Transcript(
            id="t",
            gene="g",
            contig="c",
            strand="+",
            exons=((0, end),),
            cds=(),
            biotype="",
            family="",
            rank=0,
            start_complete=True,
            tss_complete=True,
        )

    rng = np.random.default_rng(0)
    assert [d.anchor for d in sites.motif_decoys(gene(9), "GTAGTAGTA", "GT", rng)] == [0, 3, 6]
    assert list(sites.motif_decoys(gene(1), "GTAGTAGTA", "GT", rng)) == []


@pytest.mark.parametrize("strand", ["+", "-"])
def test_promoter_negatives_are_where_their_kind_says(strand: str) -> None:
    transcript, text = planted(strand)
    found = list(sites.promoter_negatives(transcript, (0, len(text)), len(text), PROMOTER, np.random.default_rng(0)))
    assert {c.kind for c in found} == {"gene_body", "shifted", "intergenic"}
    assert {c.strand for c in found if c.kind == "intergenic"} == {"+", "-"}
    for candidate in found:
        start, end = sites.window(PROMOTER, candidate.anchor)
        if candidate.kind == "gene_body":
            assert SPACE + EXON <= start < end <= SPACE + GENE
        if candidate.kind == "shifted":
            assert 300 <= abs(candidate.anchor - SPACE) <= 1000
        if candidate.kind == "intergenic":
            plus = sites.turn((start, end), candidate.strand, len(text))
            assert plus[1] <= transcript.span[0] or plus[0] >= transcript.span[1]


def test_no_room_gives_no_window() -> None:
    transcript, text = planted("+")
    space = (transcript.span[0] - 299, transcript.span[1] + 299)
    found = list(sites.promoter_negatives(transcript, space, len(text), PROMOTER, np.random.default_rng(0)))
    assert "intergenic" not in {c.kind for c in found}


def test_a_gene_without_coding_part_has_no_start() -> None:
    transcript = Transcript(
        id="t",
        gene="g",
        contig="c",
        strand="+",
        exons=((0, 9),),
        cds=(),
        biotype="",
        family="",
        rank=0,
        start_complete=True,
        tss_complete=True,
    )
    assert sites.RECIPES["tis"].anchors(transcript, 20) == []
    assert sites.RECIPES["donor"].anchors(transcript, 20) == []


@pytest.mark.parametrize("task", [PROMOTER, DONOR, ACCEPTOR, TIS])
def test_known_tasks_have_a_recipe(task: Task) -> None:
    assert sites.recipe(task) is sites.RECIPES[task.name]


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (Task(name="enhancer", scope="window", window=300), "no recipe.*known: promoter, donor, acceptor, tis"),
        (Task(name="donor", scope="window", window=300), "it has scope 'site' with motif 'GT'"),
        (Task(name="donor", scope="site", window=120, motif="GC"), "with motif 'GC'; from a genome"),
        (Task(name="promoter", scope="sequence"), "it has scope 'window' with motif None"),
    ],
)
def test_a_task_that_no_recipe_cuts_is_refused(task: Task, message: str) -> None:
    with pytest.raises(EpisomeError, match=message):
        sites.recipe(task)
