from collections.abc import Callable

import numpy as np
import pytest

from episome import decoys, sites
from episome.annotation import Transcript
from episome.sequence import reverse_complement
from episome.types import Task
from tests.test_sites import ACCEPTOR, DONOR, PROMOTER, TIS, planted
from tests.tiny_genome import EXON, GENE, INTRON, SPACE, gene

Fetch = Callable[[int, int, str], str]
OTHER = {"+": "-", "-": "+"}


def fetch_from(plus: str) -> Fetch:
    def fetch(start: int, end: int, strand: str) -> str:
        piece = plus[start:end]
        return piece if strand == "+" else reverse_complement(piece)

    return fetch


def proposed(transcript: Transcript, task: Task, oriented_text: str) -> dict[str, decoys.Proposal]:
    plus = oriented_text if transcript.strand == "+" else reverse_complement(oriented_text)
    found = list(decoys.of_gene(transcript, task, len(plus), fetch_from(plus), draws=30, rng=np.random.default_rng(0)))
    assert len({p.kind for p in found}) == len(found)
    return {p.kind: p for p in found}


@pytest.mark.parametrize("strand", ["+", "-"])
@pytest.mark.parametrize("task", [DONOR, ACCEPTOR, TIS])
def test_every_place_of_the_motif_is_proposed_and_says_where_it_is(task: Task, strand: str) -> None:
    transcript, text = planted(strand)
    assert task.motif is not None
    found = proposed(transcript, task, text)
    assert {p.strand for p in found.values()} == {strand}
    kinds = {int(a): kind for kind, p in found.items() for a in p.anchors}
    assert sorted(kinds) == [
        i for i in range(SPACE, SPACE + GENE - len(task.motif) + 1) if text.startswith(task.motif, i)
    ]
    for anchor, kind in kinds.items():
        local = anchor - SPACE
        in_intron = EXON <= local < EXON + INTRON
        if task is not TIS:
            assert kind == ("intron" if in_intron else "exon")
        elif in_intron or not 100 <= local < GENE - 100:
            assert kind == ("intron" if in_intron else "utr")
        else:
            coding = local - 100 - (INTRON if local >= EXON + INTRON else 0)
            assert kind == ("cds_out_of_frame" if coding % 3 else "cds_in_frame")


def test_a_gene_without_coding_part_or_shorter_than_the_motif() -> None:
    found = proposed(gene(exons=((0, 9),)), TIS, "ATGATGATG")
    assert found["utr"].anchors.tolist() == [0, 3, 6]
    assert not len(found["cds_in_frame"].anchors)
    assert not any(len(p.anchors) for p in proposed(gene(exons=((0, 1),)), DONOR, "GTAGTAGTA").values())


@pytest.mark.parametrize("strand", ["+", "-"])
@pytest.mark.parametrize("width", [300, 70, 1200])
def test_promoter_negatives_are_where_their_kind_says(strand: str, width: int) -> None:
    transcript, text = planted(strand)
    task = Task(name="promoter", scope="window", window=width)
    found = proposed(transcript, task, text)
    assert set(found) == {"gene_body", "shifted", "opposite_strand"}
    assert bool(len(found["gene_body"].anchors)) == (width < GENE - EXON)
    for anchor in found["gene_body"].anchors.tolist():
        start, end = sites.window(task, anchor)
        assert SPACE + EXON <= start < end <= SPACE + GENE
    for anchor in found["shifted"].anchors.tolist():
        assert width <= abs(anchor - SPACE) <= max(1000, width)
    assert found["opposite_strand"].strand == OTHER[strand]
    for anchor in found["opposite_strand"].anchors.tolist():
        low, high = sites.turn(sites.window(task, anchor), "-", len(text))
        assert low <= SPACE < high


def between(gaps: list[tuple[int, int, int]], task: Task, plus: str, count: int = 200) -> list[tuple[int, str, int]]:
    def fetch(contig: int, start: int, end: int, strand: str) -> str:
        assert contig == 1
        return fetch_from(plus)(start, end, strand)

    columns = np.array(gaps, dtype=np.int64).reshape(-1, 3)
    return list(
        decoys.between_genes(columns, task, lambda _: len(plus), fetch, count=count, rng=np.random.default_rng(0))
    )


@pytest.mark.parametrize("task", [PROMOTER, DONOR, TIS])
def test_between_genes_both_strands_are_drawn_from_and_nothing_reaches_into_a_gene(task: Task) -> None:
    plus = "".join(np.random.default_rng(3).choice(list("ACGT"), 3000))
    found = between([(1, 0, 700), (1, 900, 910), (1, 2000, 2900)], task, plus)
    assert 150 < len(found) <= 200
    assert {strand for _, strand, _ in found} == {"+", "-"}
    own = set()
    for contig, strand, anchor in found:
        assert contig == 1
        span = (anchor, anchor + len(task.motif)) if task.motif else sites.window(task, anchor)
        start, end = sites.turn(span, strand, len(plus))
        assert any(a <= start < end <= b for a, b in ((0, 700), (900, 910), (2000, 2900)))
        if task.motif:
            assert fetch_from(plus)(start, end, strand) == task.motif
        own.add(start < 700)
    assert own == {True, False}


def test_where_there_is_no_room_and_no_motif_there_is_no_place() -> None:
    assert between([(1, 0, 299), (1, 400, 400)], PROMOTER, "A" * 500) == []
    assert between([], DONOR, "A" * 500) == []
    assert between([(1, 0, 500)], DONOR, "A" * 500) == []
