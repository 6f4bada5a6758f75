"""Distances between species: the pinned tree, trees and values of the user's, and spectra where no tree helps."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from episome import species
from episome.sequence import reverse_complement
from episome.species import SpeciesError

HUMAN, MOUSE, CHICKEN, FISH, FLY = (
    "Homo sapiens",
    "Mus musculus",
    "Gallus gallus",
    "Danio rerio",
    "Drosophila melanogaster",
)


@pytest.mark.parametrize(
    ("a", "b", "value", "band"),
    [
        (HUMAN, HUMAN, 0.0, "near"),
        (HUMAN, MOUSE, 0.22, "near"),
        (MOUSE, "Rattus norvegicus", 0.03, "near"),
        (HUMAN, CHICKEN, 0.80, "mid"),
        (HUMAN, FISH, 1.07, "far"),
        (MOUSE, FISH, 1.07, "far"),
        (HUMAN, FLY, 1.72, "far"),
        (FISH, FLY, 1.72, "far"),
    ],
)
def test_the_pinned_tree_gives_the_published_times(a: str, b: str, value: float, band: str) -> None:
    found = species.by_time(a, b, 400)
    assert round(found.value, 2) == pytest.approx(value, abs=0.0051)
    assert found.band == band
    assert "TimeTree" in found.source
    assert species.by_time(b, a, 400) == found


def test_every_pair_of_the_tree_is_ultrametric() -> None:
    names = species.known()
    apart = np.array([[species.by_time(a, b, 400).value for a in names] for b in names])
    assert len(names) > 15
    for k in range(len(names)):  # of any three, the two largest distances are equal
        assert (apart <= np.maximum(apart[k][None], apart[k][:, None]) + 1e-9).all()


def test_both_borders_are_mid() -> None:
    bands = [species.Distance(value=v, measure="given", source="").band for v in (0.499, 0.5, 1.0, 1.001)]
    assert bands == ["near", "mid", "mid", "far"]


def test_neutral_half_is_half_the_published_substitutions() -> None:
    assert species.by_neutral_half(MOUSE, HUMAN).value == pytest.approx(0.5024 / 2)
    assert species.by_neutral_half(HUMAN, FISH).band == "far"
    assert species.by_neutral_half(FLY, FLY).value == 0
    with pytest.raises(SpeciesError, match=r"'Mus musculus' and 'Danio rerio'.*measure: time"):
        species.by_neutral_half(MOUSE, FISH)


def test_an_unknown_species_is_refused_with_what_is_known() -> None:
    with pytest.raises(SpeciesError, match=r"'Yeti yeti' is not in the pinned tree; there: Homo sapiens.*given"):
        species.by_time(HUMAN, "Yeti yeti", 400)


def test_a_tree_of_ones_own_is_read(tmp_path: Path) -> None:
    path = tmp_path / "own.nwk"
    path.write_text("((Yeti_yeti:0.1,Homo_sapiens:0.3):0.2,'Mus musculus':0.6);")
    assert species.by_newick(HUMAN, "Yeti yeti", path).value == pytest.approx(0.2)
    assert species.by_newick(HUMAN, MOUSE, path).value == pytest.approx(0.55)
    with pytest.raises(SpeciesError, match=r"'Danio rerio' is not in .*own\.nwk"):
        species.by_newick(HUMAN, FISH, path)


@pytest.mark.parametrize(
    ("text", "said"),
    [("((a:1,b:2", "not a Newick tree"), ("(a:1,b);", "a branch without length"), ("(a:1,b:x);", "not a Newick tree")],
)
def test_what_is_no_tree_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "own.nwk"
    path.write_text(text)
    with pytest.raises(SpeciesError, match=rf"own\.nwk: {said}"):
        species.by_newick("a", "b", path)


def test_a_tree_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpeciesError, match=r"absent\.nwk: cannot be read.*Newick"):
        species.by_newick("a", "b", tmp_path / "absent.nwk")


dna = st.text("ACGT", min_size=6, max_size=60)


@given(st.lists(dna, min_size=1, max_size=4), st.lists(dna, min_size=1, max_size=4))
def test_a_spectrum_is_a_distribution_that_both_strands_share(one: list[str], other: list[str]) -> None:
    a, b = species.spectrum(one), species.spectrum(other)
    assert a.sum() == pytest.approx(1)
    np.testing.assert_allclose(a, species.spectrum([reverse_complement(s) for s in one]), atol=1e-7)
    assert 0 <= species.divergence(a, b) <= 1 + 1e-9
    assert species.divergence(a, b) == pytest.approx(species.divergence(b, a))
    assert species.divergence(a, a) == pytest.approx(0, abs=1e-9)


def test_a_spectrum_of_nothing_is_refused() -> None:
    with pytest.raises(SpeciesError, match="no sequence"):
        species.spectrum([])
    with pytest.raises(SpeciesError, match="6 bases without N"):
        species.spectrum(["ACGTNACGT"])


def test_spectra_order_genomes_of_different_composition() -> None:
    rng = np.random.default_rng(0)

    def genome(gc: float) -> list[str]:
        shares = [(1 - gc) / 2, gc / 2, gc / 2, (1 - gc) / 2]
        return ["".join(rng.choice(list("ACGT"), 4000, p=shares)) for _ in range(9)]

    own, near, far = (species.spectrum(genome(gc)) for gc in (0.42, 0.44, 0.6))
    assert species.divergence(own, near) < species.divergence(own, far)
