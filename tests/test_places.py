from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from episome import places, sites, split
from episome.annotation import Transcript
from episome.sequence import reverse_complement
from episome.types import Task
from tests.tiny_genome import WINDOWS, gene, surveyed

DONOR = Task(name="donor", scope="site", window=20, motif="GT")
PROMOTER = Task(name="promoter", scope="window", window=30)


def random_text(seed: int, length: int) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


genes_on_a_contig = st.lists(
    st.tuples(st.integers(0, 900), st.integers(1, 120), st.sampled_from("+-"), st.integers(0, 5)), max_size=12
)


@settings(max_examples=60, deadline=None)
@given(genes_on_a_contig, st.integers(1, 200))
def test_no_window_straddles_two_sides(given_genes: list[tuple[int, int, str, int]], width: int) -> None:
    transcripts = [
        gene(name=f"g{i}", exons=((start, start + length),), strand=strand, family=f"F{family}")
        for i, (start, length, strand, family) in enumerate(given_genes)
    ]
    with surveyed({"c0": "A" * 1020, "c1": "A" * 50}, transcripts) as genome:
        starts = np.arange(1020 - width + 1)
        for start, side in zip(starts.tolist(), genome.sides(0, starts, width).tolist(), strict=True):
            wanted = genome.owners.split("c0", (start, start + width))
            assert (None if side < 0 else split.SPLITS[side]) == wanted
            touched = {t.split for t in genome.owners.around("c0", (start, start + width))}
            assert side < 0 or touched == {split.SPLITS[side]}
        assert genome.sides(1, np.arange(3), 10).tolist() == [-1, -1, -1]


def test_places_lie_where_their_oriented_anchors_say() -> None:
    text = random_text(1, 200)
    with surveyed({"c0": text}, [gene(exons=((50, 90),))]) as genome:
        for strand in "+-":
            oriented = text if strand == "+" else reverse_complement(text)
            found, room = places.at(genome, DONOR, 0, strand, np.array([9, 10, 77, 190, 191]))
            assert room.tolist() == [False, True, True, True, False]
            for place, anchor in zip(found, (10, 77, 190), strict=True):
                cut = genome.fetch(0, int(place["start"]), int(place["start"]) + 20, strand)
                assert cut == oriented[anchor - 10 : anchor + 10]
            starts, ends = places.motif_span(found, DONOR)
            assert (ends - starts).tolist() == [2, 2, 2]
            spans = list(zip(starts.tolist(), ends.tolist(), strict=True))
            assert [sites.turn(span, strand, 200)[0] for span in spans] == [10, 77, 190]
        whole, _ = places.at(genome, PROMOTER, 0, "-", np.array([100]))
        assert [int(v[0]) for v in places.motif_span(whole, PROMOTER)] == [
            int(whole["start"][0]),
            int(whole["start"][0]) + 30,
        ]


def test_sites_of_every_transcript_and_strand_are_near() -> None:
    transcripts: Sequence[Transcript] = [
        gene(name="a", exons=((10, 20), (60, 80))),
        gene(name="b", exons=((100, 110), (170, 180)), strand="-", biotype="lncRNA"),
    ]
    with surveyed({"c0": "A" * 200}, transcripts) as genome:
        near = places.Near(genome, sites.RECIPES["donor"])
        starts = np.array([20, 21, 169, 170, 0])
        assert near.close(0, starts, starts + 1).tolist() == [True, False, True, False, False]
        assert near.close(0, starts, starts + 1, "-").tolist() == [False, False, True, False, False]
        assert near.close(0, np.array([0]), np.array([20])).tolist() == [False]
        assert near.close(0, np.array([0]), np.array([21])).tolist() == [True]


def test_representatives_and_coding_genes_are_surveyed_in_genome_order() -> None:
    late, early = gene(name="late", exons=((50, 60),), cds=((50, 56),)), gene(name="early", exons=((5, 9),))
    other = gene(name="late", exons=((40, 90),), rank=2)
    with surveyed({"c0": "A" * 100}, [late, other, early]) as genome:
        assert genome.genes == (early, late)
        assert genome.coding == {"late"}
        assert genome.believes(late, sites.RECIPES["tis"])
        assert not genome.believes(early, sites.RECIPES["tis"])
        assert genome.believes(early, sites.RECIPES["donor"])


def test_a_look_measures_and_drops() -> None:
    text = "ACGTTGCAAC" + "NNNNNNNNNN" + reverse_complement("ACGTTGCAAC") + "GGGGGGGGGG" + "TTTTTTTTTT"
    with surveyed({"c0": text}, [gene(exons=((0, 5),))]) as genome:
        found = np.zeros(6, dtype=places.PLACE)
        found["start"] = [0, 10, 20, 30, 40, 40]
        found["side"] = [0, 0, 0, 1, -1, 2]
        seen: set[bytes] = set()
        kept, dropped = places.look(genome, found, 10, WINDOWS.max_n_share, seen)
        assert kept.tolist() == [0, 3, 5]
        assert dropped == {"too_many_n": 1, "duplicate": 1, "between_splits": 1}
        assert found["gc"][kept].tolist() == [0.5, 1.0, 0.0]
        again, dropped = places.look(genome, found[kept], 10, WINDOWS.max_n_share, seen)
        assert (again.tolist(), dropped) == ([], {"duplicate": 3})
