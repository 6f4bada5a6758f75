from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from episome import sites
from episome.annotation import Transcript
from episome.sequence import reverse_complement
from episome.types import EpisomeError, Task
from tests.tiny_genome import EXON, INTRON, SPACE, WINDOWS, contig, gene, parts

PROMOTER = Task(name="promoter", scope="window", window=300)
DONOR = Task(name="donor", scope="site", window=120, motif="GT")
ACCEPTOR = Task(name="acceptor", scope="site", window=121, motif="AG")
TIS = Task(name="tis", scope="site", window=203, motif="ATG")


def planted(strand: str) -> tuple[Transcript, str]:
    """A gene on a strand and its contig, read 5' to 3' of that strand."""
    sequence, ((start, end),) = contig(np.random.default_rng(5), strand)
    pieces = {name: tuple(sorted(p)) for name, p in parts((start, end), strand).items()}
    transcript = gene(strand=strand, exons=pieces["exon"], cds=pieces["CDS"])
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


def test_a_gene_without_coding_part_has_no_start() -> None:
    transcript = gene(exons=((0, 9),))
    assert sites.RECIPES["tis"].anchors(transcript, 20) == []
    assert sites.RECIPES["donor"].anchors(transcript, 20) == []


@pytest.mark.parametrize(
    ("changes", "known"),
    [
        ({}, ["promoter", "donor", "acceptor", "tis"]),
        ({"start_complete": False}, ["promoter", "donor", "acceptor"]),
        ({"tss_complete": False}, ["donor", "acceptor", "tis"]),
    ],
)
def test_where_a_fragment_ends_is_no_site(changes: dict[str, Any], known: list[str]) -> None:
    transcript = gene(exons=((0, 9),), cds=((0, 9),), **changes)
    assert [name for name, recipe in sites.RECIPES.items() if recipe.known(transcript)] == known


def test_coding_genes_by_biotype_else_by_cds_else_all() -> None:
    exons = ((0, 9),)
    named = [gene(name="a", exons=exons, biotype="protein_coding"), gene(name="b", exons=exons, cds=exons, biotype="x")]
    assert sites.coding(named) == {"a"}
    assert sites.coding([*named, gene(name="c", exons=exons, cds=exons)]) == {"a", "c"}
    assert sites.coding([gene(name="d", exons=exons), gene(name="e", exons=exons)]) == {"d", "e"}


@pytest.mark.parametrize("task", [PROMOTER, DONOR, ACCEPTOR, TIS])
def test_known_tasks_have_a_recipe(task: Task) -> None:
    assert sites.recipe(task, WINDOWS) == (sites.RECIPES[task.name], WINDOWS.negatives[task.name])


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
        sites.recipe(task, WINDOWS)


def test_negatives_that_are_not_stated_or_not_known_are_refused() -> None:
    with pytest.raises(EpisomeError, match=r"nothing for task 'donor'.*known for it: intron, exon, intergenic"):
        sites.recipe(DONOR, WINDOWS.model_copy(update={"negatives": {}}))
    kinds = WINDOWS.negatives["donor"].model_copy(update={"kinds": {"intron": 1.0, "utr": 1.0}})
    with pytest.raises(EpisomeError, match=r"windows\.negatives\.donor\.kinds: no kind utr; known: intron, exon"):
        sites.recipe(DONOR, WINDOWS.model_copy(update={"negatives": {"donor": kinds}}))
