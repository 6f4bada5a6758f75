import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from episome import tiles
from episome.annotation import Transcript
from episome.sources import Tiles
from episome.types import EpisomeError, Task
from tests.tiny_genome import WINDOWS, contig, gene, parts, surveyed

WIDE = 100
NAMES = ("tss", "donor", "acceptor", "tis", "cds", "intron")
TASKS = tuple(Task(name=f"contains_{name}", scope="window", window=WIDE) for name in NAMES)
ALL = WINDOWS.model_copy(update={"tiles": Tiles(most=10_000, genic_share=0.0)})


def text(seed: int, length: int) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


def labels(transcripts: list[Transcript], length: int = 1000) -> dict[int, dict[str, int]]:
    """Labels that are not 0 of each window; those of the minus strand have negative numbers, from -1."""
    found: dict[int, dict[str, int]] = {}
    for seed in range(12):
        # A window and its reverse complement are never both drawn, so several draws show all.
        with surveyed({"c0": text(0, length)}, transcripts) as genome:
            drawn = tiles.of_genome(genome, TASKS, ALL, f"{seed}")
        for place, row in zip(drawn.places, drawn.labels.tolist(), strict=True):
            number = int(place["start"]) // WIDE
            found[-1 - number if place["minus"] else number] = {
                name: label for name, label in zip(NAMES, row, strict=True) if label
            }
    return found


def test_a_window_holds_what_its_genes_representative_has_there() -> None:
    # Exon 110..190, intron 190..350, exon 350..520; coding from 130 to 450.
    found = labels([gene(exons=((110, 190), (350, 520)), cds=((130, 190), (350, 450)))])
    assert found[0] == found[6] == found[-1] == found[-3] == {}
    assert found[1] == {"tss": 1, "donor": 1, "tis": 1, "cds": 1, "intron": 1}
    assert found[2] == {"intron": 1}
    assert found[3] == {"acceptor": 1, "cds": 1, "intron": 1}
    assert found[4] == {"cds": 1}
    assert found[5] == {}


def test_the_minus_strand_reads_its_own_genes_only() -> None:
    found = labels([gene(exons=((110, 190), (350, 520)), cds=((130, 190), (350, 450)), strand="-")])
    assert found[1] == found[3] == found[5] == {}
    assert found[-6] == {"tss": 1}
    assert found[-5] == {"tis": 1, "cds": 1}
    assert found[-4] == {"donor": 1, "cds": 1, "intron": 1}
    assert found[-2] == {"acceptor": 1, "cds": 1, "intron": 1}


def test_parts_of_sites_and_other_transcripts_are_missing_not_absent() -> None:
    # The donor's GT lies across 200; the other transcript has its own TSS, donor and intron.
    found = labels([gene(exons=((110, 199), (350, 520))), gene(exons=((20, 199), (450, 520)), rank=2)])
    assert found[1] == {"tss": 1, "donor": -1, "intron": 1}
    assert found[2] == {"donor": -1, "intron": 1}
    assert found[0] == {"tss": -1}
    assert found[4] == {"acceptor": -1, "intron": -1}


def test_ends_of_fragments_and_of_noncoding_genes_are_missing() -> None:
    exons = ((110, 190),)
    assert labels([gene(exons=exons, cds=exons, tss_complete=False, start_complete=False)])[1] == {
        "tss": -1,
        "tis": -1,
        "cds": 1,
    }
    assert labels([gene(exons=exons, biotype="lncRNA")])[1] == {"tss": -1}


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 60), st.floats(0, 1), st.integers(0, 5))
def test_rows_are_as_many_as_asked_apart_and_of_one_side(most: int, genic: float, seed: int) -> None:
    strands = "+-+-"
    sequence, spans = contig(np.random.default_rng(seed), strands)
    transcripts = []
    for i, (span, strand) in enumerate(zip(spans, strands, strict=True)):
        pieces = {name: tuple(sorted(p)) for name, p in parts(span, strand).items()}
        transcripts.append(gene(name=f"g{i}", strand=strand, exons=pieces["exon"], cds=pieces["CDS"], family=f"F{i}"))
    windows = WINDOWS.model_copy(update={"tiles": Tiles(most=most, genic_share=genic)})
    with surveyed({"c0": sequence}, transcripts) as genome:
        drawn = tiles.of_genome(genome, TASKS, windows, "s")
        sides = genome.sides(0, drawn.places["start"], WIDE)
    assert len(drawn.places) == most
    assert sides.tolist() == drawn.places["side"].tolist()
    assert (sides >= 0).all()
    starts = sorted(drawn.places["start"].tolist())
    assert len(set(starts)) == most
    assert all(start % WIDE == 0 for start in starts)
    full, negative = (drawn.labels == 1).any(axis=1), (drawn.labels == 0).any(axis=1)
    assert (negative == (drawn.places["kind"] >= 0)).all()
    assert ((full & negative) == (drawn.places["kind"] == tiles.KINDS.index("other_content"))).all()
    counted = sum(sum(side.values()) for side in drawn.report["contains_tss"]["rows"].values())
    assert counted == most


def test_rare_contents_are_drawn_on_purpose_and_windows_without_a_gene_stay() -> None:
    transcripts = [gene(name=f"g{i}", exons=((2000 * i + 50, 2000 * i + 900),), family="F") for i in range(10)]
    windows = WINDOWS.model_copy(update={"tiles": Tiles(most=20, genic_share=0.5)})
    with surveyed({"c0": text(4, 21_000)}, transcripts) as genome:
        drawn = tiles.of_genome(genome, TASKS[:1], windows, "s")
        plain = tiles.of_genome(
            genome, TASKS[:1], windows.model_copy(update={"tiles": Tiles(most=20, genic_share=0.0)}), "s"
        )
    assert (drawn.labels == 1).sum() >= 10
    assert (plain.labels == 1).sum() < 5
    kinds = {tiles.KINDS[k] for k in drawn.places["kind"].tolist() if k >= 0}
    assert kinds == {"intergenic", "in_gene"}


def test_windows_with_many_n_are_passed_over() -> None:
    with surveyed({"c0": "N" * 500 + text(5, 500)}, [gene(exons=((0, 900),))]) as genome:
        drawn = tiles.of_genome(genome, TASKS, ALL, "s")
    assert sorted(drawn.places["start"].tolist()) == [500, 600, 700, 800, 900]


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ([Task(name="contains_exon", scope="window", window=WIDE)], "no recipe.*known: contains_tss, contains_donor"),
        ([Task(name="contains_tss", scope="sequence")], "scope 'sequence'; from a genome it has scope 'window'"),
        (
            [TASKS[0], Task(name="contains_cds", scope="window", window=512)],
            "one length is wanted; came: contains_tss 100, contains_cds 512",
        ),
    ],
)
def test_tasks_that_are_no_contents_are_refused(tasks: list[Task], message: str) -> None:
    with pytest.raises(EpisomeError, match=message):
        tiles.width(tasks)
