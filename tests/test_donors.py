"""Who could be a donor: the nearest that does not itself start from the species, and what is said of it."""

from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from episome import donors, params, presets
from episome.donors import Target
from episome.params import Params
from episome.species import SpeciesError
from episome.types import EpisomeError
from tests.conftest import ROOT

RAT = "Rattus norvegicus"


def settings(**changes: Any) -> Params:
    """The project's params, with changes as params.yaml nests them."""
    plain = params.read(ROOT / "params.yaml").model_dump(mode="json")
    return Params.model_validate(presets.merge(plain, changes))


def given(**pairs: float) -> dict[str, Any]:
    """Distances between fly, fish, mouse and human of the project, by pairs of first letters."""
    names = {"h": "Homo sapiens", "m": "Mus musculus", "z": "Danio rerio", "f": "Drosophila melanogaster"}
    return {"distance": {"given": {f"{names[p[0]]} / {names[p[1]]}": value for p, value in pairs.items()}}}


def lonely() -> Params:
    """Params with a single species."""
    raw = params.read(ROOT / "params.yaml").model_dump(mode="json")
    raw["species"] = {"human_sim": raw["species"]["human_sim"]}
    raw["base"]["species"] = ["human_sim"]
    return Params.model_validate(raw)


def test_a_target_is_a_key_or_a_scientific_name() -> None:
    chosen = settings()
    fish = donors.target("zebrafish_sim", chosen)
    assert (fish.key, fish.name) == ("zebrafish_sim", "Danio rerio")
    assert donors.target(" Danio  rerio ", chosen) == fish
    rat = donors.target(RAT, chosen)
    assert (rat.key, rat.name, rat.entry) == ("rattus_norvegicus", RAT, None)
    assert donors.target("Human Sim", chosen).key == "human_sim_new"
    assert donors.target("中国 小鲵", chosen).key == "new"


@pytest.mark.parametrize("name", ["yeti", "", "Zebrafish"])
def test_a_name_that_is_neither_is_refused(name: str) -> None:
    with pytest.raises(EpisomeError, match=rf"no species '{name}' in params\.yaml; known: human_sim.*'Danio rerio'"):
        donors.target(name, settings())


def test_a_name_of_two_entries_is_refused_but_their_keys_are_not() -> None:
    chosen = params.read(ROOT / "examples/genomes/params.yaml")
    with pytest.raises(EpisomeError, match=r"'Homo sapiens' is human_chr9 and human_mini.*wanted: the key"):
        donors.target("Homo sapiens", chosen)
    human = donors.target("human_chr9", chosen)
    assert donors.rank(human, chosen).nearest == ["human_mini"]
    assert donors.rank(human, chosen).chains == ()


def test_the_nearest_is_suggested_and_what_is_as_near_is_named() -> None:
    chosen = settings()
    ranking = donors.rank(donors.target(RAT, chosen), chosen)
    assert [key for key, _ in ranking.apart] == ["mouse_sim", "human_sim", "zebrafish_sim", "fly_sim"]
    assert (ranking.nearest, ranking.unknown, ranking.heirs) == (["mouse_sim"], (), frozenset())
    assert donors.rank(donors.target("zebrafish_sim", chosen), chosen).nearest == ["human_sim", "mouse_sim"]


def test_a_species_never_starts_from_its_heirs() -> None:
    chosen = settings(species={"fly_sim": {"donor": "zebrafish_sim", "beside": "mouse_sim"}})
    assert donors.heirs("human_sim", chosen) == {"mouse_sim", "zebrafish_sim", "fly_sim"}
    assert donors.heirs("mouse_sim", chosen) == {"fly_sim"}
    assert donors.heirs("fly_sim", chosen) == frozenset()
    ranking = donors.rank(donors.target("human_sim", chosen), chosen)
    assert (ranking.nearest, ranking.possible) == ([], [])
    assert len(ranking.apart) == 3
    assert donors.rank(donors.target("mouse_sim", chosen), chosen).nearest == ["human_sim"]


def test_candidates_without_a_distance_are_said_to_be_unknown() -> None:
    chosen = settings(
        transfer={"distance": {"given": {"Yeti yeti / Danio rerio": 0.3, "Yeti yeti / Mus musculus": 0.4}}}
    )
    ranking = donors.rank(donors.target("Yeti yeti", chosen), chosen)
    assert ranking.nearest == ["zebrafish_sim"]
    assert ranking.unknown == ("human_sim", "fly_sim")
    with pytest.raises(SpeciesError, match="'Yeti yeti' is not in the pinned tree"):
        donors.rank(donors.target("Yeti yeti", settings()), settings())
    with pytest.raises(EpisomeError, match="no species beside human_sim"):
        donors.rank(donors.target("human_sim", lonely()), lonely())


def test_a_chain_is_shown_where_its_longest_hop_is_shorter() -> None:
    hops = given(fz=0.9, fm=0.4, fh=0.5, mz=0.5, hz=0.3, hm=0.2)
    chosen = settings(transfer=hops)
    chains = donors.rank(donors.target("zebrafish_sim", chosen), chosen).chains
    assert [(c.keys, c.longest, c.direct) for c in chains] == [
        (("mouse_sim", "human_sim", "zebrafish_sim"), 0.3, 0.5),
        (("fly_sim", "mouse_sim", "human_sim", "zebrafish_sim"), 0.4, 0.9),
    ]


def test_no_chain_leads_over_a_pair_without_distance() -> None:
    pairs = {"Yeti yeti / Bigfoot major": 2.0, "Yeti yeti / Homo sapiens": 0.1}
    renamed = {"mouse_sim": {"scientific_name": "Bigfoot major"}}
    chosen = settings(transfer={"distance": {"given": pairs}}, species=renamed)
    assert donors.rank(donors.target("Yeti yeti", chosen), chosen).chains == ()


def test_a_time_tree_never_needs_a_chain() -> None:
    chosen = settings(species={name: {"donor": "base"} for name in ("mouse_sim", "zebrafish_sim")})
    assert all(donors.rank(donors.target(key, chosen), chosen).chains == () for key in chosen.species)


def merged(chosen: Params, text: str) -> Params:
    return Params.model_validate(presets.merge(chosen.model_dump(mode="json"), yaml.safe_load(text)))


def test_the_yaml_is_accepted_and_sets_the_donor() -> None:
    chosen = settings(species={"zebrafish_sim": {"beside": "mouse_sim"}})
    fish = donors.target("zebrafish_sim", chosen)
    for donor, beside in (("mouse_sim", "base"), ("base", "base"), ("fly_sim", "mouse_sim")):
        entry = merged(chosen, donors.text(fish, donor)).species["zebrafish_sim"]
        assert (entry.donor, entry.beside) == (donor, beside)


def test_a_distance_that_is_left_to_the_user_is_refused_until_it_is_there() -> None:
    chosen = settings()
    text = donors.text(donors.target("fly_sim", chosen), "human_sim", ["Yeti yeti / Homo sapiens"])
    with pytest.raises(ValidationError, match=r"transfer\.distance\.given\.Yeti yeti / Homo sapiens"):
        merged(chosen, text)
    assert merged(chosen, text.replace("null", "0.4")).transfer.distance.given == {"Yeti yeti / Homo sapiens": 0.4}


def test_numbers_of_its_own_go_before_the_plan() -> None:
    chosen = settings(species={"fly_sim": {"train": {"epochs": 2, "patience": 1}}})
    assert donors.target("fly_sim", chosen).overrides == ["epochs"]
    assert Target(key="x", name="X x", entry=None).overrides == []
