from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest

from episome import choose, places, sites
from episome.annotation import Transcript
from episome.places import Genome
from episome.types import Task
from tests.test_sites import DONOR, PROMOTER, TIS
from tests.tiny_genome import GENE, SPACE, WINDOWS, contig, gene, parts, surveyed

STRANDS = "+--++-+-+-"


@pytest.fixture(scope="module")
def genome() -> Iterator[Genome]:
    sequence, spans = contig(np.random.default_rng(11), STRANDS)
    transcripts = []
    for i, (span, strand) in enumerate(zip(spans, STRANDS, strict=True)):
        pieces = {name: tuple(sorted(p)) for name, p in parts(span, strand).items()}
        transcripts.append(
            gene(name=f"g{i}", strand=strand, exons=pieces["exon"], cds=pieces["CDS"], family=f"F{i // 2}")
        )
        transcripts.append(isoform(transcripts[-1]))
    with surveyed({"c0": sequence, "empty": sequence[:2000]}, transcripts) as opened:
        yield opened


def isoform(transcript: Transcript) -> Transcript:
    """Begins 30 bases into the gene, and its exons end 40 bases earlier."""
    (a, b), (c, d) = transcript.exons
    exons = ((a + 30, b - 40), (c, d)) if transcript.strand == "+" else ((a, b), (c + 40, d - 30))
    return gene(name=transcript.gene, strand=transcript.strand, exons=exons, rank=2)


@pytest.mark.parametrize("task", [PROMOTER, DONOR, TIS])
def test_no_more_is_looked_at_than_asked_for(genome: Genome, task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    real = places.look

    def look(
        genome: Genome, found: places.Places, width: int, max_n_share: float, seen: set[bytes]
    ) -> tuple[places.Ints, Counter[str]]:
        looked.append(len(found))
        return real(genome, found, width, max_n_share, seen)

    monkeypatch.setattr(places, "look", look)
    choice = choose.of_task(genome, task, WINDOWS.model_copy(update={"candidates": 3}), "salt")
    positives = int((choice.places["kind"] < 0).sum())
    kinds = len(WINDOWS.negatives[task.name].kinds)
    assert positives == looked[0] == len(STRANDS)
    assert positives <= looked[1] <= 3 * positives + 3 * kinds


def test_other_isoforms_sites_are_neither_positive_nor_negative(genome: Genome) -> None:
    choice = choose.of_task(genome, DONOR, WINDOWS, "salt")
    near = places.Near(genome, sites.RECIPES["donor"])
    starts, ends = places.motif_span(choice.places, DONOR)
    site = near.close(0, starts, ends)
    assert site.tolist() == (choice.places["kind"] < 0).tolist()
    margin = WINDOWS.exclusion
    decoys = choice.places["kind"] >= 0
    assert not near.close(0, starts[decoys] - margin, ends[decoys] + margin).any()
    assert near.close(0, starts - 500, ends + 500)[decoys].any()


def test_kinds_come_in_the_asked_shares(genome: Genome) -> None:
    choice = choose.of_task(genome, DONOR, WINDOWS, "salt")
    got = {kind: row["got"] for kind, row in choice.report["kinds"].items()}
    assert sum(got.values()) == len(STRANDS)
    assert max(got.values()) - min(got.values()) <= 3
    assert Counter(choice.kinds[k] for k in choice.places["kind"].tolist() if k >= 0) == got
    between = choice.places[choice.places["kind"] == choice.kinds.index("intergenic")]
    assert (between["gene"] == -1).all()
    for start in between["start"].tolist():
        assert (start + 60) % (SPACE + GENE) < SPACE


def test_kinds_that_are_not_asked_for_are_not_made(genome: Genome) -> None:
    asked = WINDOWS.negatives["promoter"].model_copy(update={"kinds": {"shifted": 2.0, "opposite_strand": 3.0}})
    windows = WINDOWS.model_copy(update={"negatives": {"promoter": asked}})
    choice = choose.of_task(genome, PROMOTER, windows, "salt")
    assert choice.kinds == ("shifted", "opposite_strand")
    assert [row["wanted"] for row in choice.report["kinds"].values()] == [4, 6]
    assert set(choice.places["kind"].tolist()) == {-1, 0, 1}


def test_a_genome_without_one_site_gives_no_row() -> None:
    with surveyed({"c0": "ACGT" * 100}, [gene(exons=((100, 200),))]) as genome:
        choice = choose.of_task(genome, DONOR, WINDOWS, "salt")
        assert not len(choice.places)
        assert choice.report["gc"] == {"positive": None, "negative": None, "negatives_off_by_more_than_a_bin": 0}
        assert choice.report["masked"] == {"positive": None, "negative": None}
        assert choice.report["dropped"] == {}


def test_a_kind_that_finds_nothing_leaves_its_part_to_the_others() -> None:
    sequence, spans = contig(np.random.default_rng(2), "+" * 6)
    with surveyed(
        {"c0": sequence},
        [gene(name=f"g{i}", exons=((a, a + 1000),), family="F") for i, (a, _) in enumerate(spans)],
    ) as genome:
        choice = choose.of_task(genome, PROMOTER, WINDOWS, "salt")
        got = {kind: row["got"] for kind, row in choice.report["kinds"].items()}
        assert choice.report["kinds"]["gene_body"]["gc_distance"] is None
    assert got["gene_body"] == 0
    assert sum(got.values()) == 6
