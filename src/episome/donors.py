"""Who could lend a species its adapter: the other species of params.yaml by their distance, and what follows from it.

Nothing here is written anywhere; a person puts what it says into params.yaml.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import inf
from typing import Any

import yaml

from episome import transfer
from episome.params import Params, Species
from episome.policy import DistanceNumbers
from episome.species import Distance, SpeciesError
from episome.types import EpisomeError

_PLANNED = ("learning_rate", "epochs", "tokens_per_step")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A species that wants a donor.

    Attributes:
        key: under `species` in params.yaml; one made of the scientific name where there is no entry yet.
        name: scientific name.
        entry: None where params.yaml does not have it.
    """

    key: str
    name: str
    entry: Species | None

    @property
    def overrides(self) -> list[str]:
        """Numbers of its own that go before the plan."""
        return [number for number in _PLANNED if self.entry is not None and number in self.entry.train]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Donors one after another, by key, the target last, whose longest hop is shorter than the direct one."""

    keys: tuple[str, ...]
    longest: float
    direct: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """The candidates as their distances order them.

    Attributes:
        apart: key and distance, the nearest first.
        unknown: keys of those whose distance to the target is not known.
        heirs: keys of those that start from the target themselves, so that it cannot start from them.
        chains: where a way over other candidates has a shorter longest hop than the direct one.
    """

    apart: tuple[tuple[str, Distance], ...]
    unknown: tuple[str, ...]
    heirs: frozenset[str]
    chains: tuple[Chain, ...]

    @property
    def possible(self) -> list[tuple[str, Distance]]:
        """Those that the target may start from, the nearest first."""
        return [(key, apart) for key, apart in self.apart if key not in self.heirs]

    @property
    def nearest(self) -> list[str]:
        """The suggested donor, and those that are exactly as near; empty where all are heirs."""
        return [key for key, apart in self.possible if apart.value == self.possible[0][1].value]


def target(name: str, settings: Params) -> Target:
    """The species that is meant by a key of params.yaml or a scientific name.

    Raises:
        EpisomeError: it is no key and no scientific name, or a name that several entries have.
    """
    named = " ".join(name.split())
    keys = [key for key, entry in settings.species.items() if key == named or entry.scientific_name == named]
    if named in settings.species:
        keys = [named]
    if len(keys) > 1:
        raise EpisomeError(f"{named!r} is {' and '.join(keys)} in params.yaml; wanted: the key that is meant")
    if keys:
        return Target(key=keys[0], name=settings.of(keys[0]).scientific_name, entry=settings.of(keys[0]))
    if " " not in named:
        raise EpisomeError(
            f"no species {name!r} in params.yaml; known: {', '.join(settings.species)}; "
            "wanted: one of them, or a scientific name such as 'Danio rerio'"
        )
    key = re.sub(r"[^a-z0-9]+", "_", named.lower()).strip("_") or "new"
    return Target(key=f"{key}_new" if key in settings.species else key, name=named, entry=None)


def candidates(target: Target, settings: Params) -> dict[str, str]:
    """Key → scientific name of every other species.

    Raises:
        EpisomeError: there is no other.
    """
    others = {key: entry.scientific_name for key, entry in settings.species.items() if key != target.key}
    if not others:
        raise EpisomeError(f"params.yaml has no species beside {target.key}; wanted: one that could be its donor")
    return others


def heirs(key: str, settings: Params) -> frozenset[str]:
    """Species that start from `key`, over however many others; it can start from none of them."""
    found = {key}
    for _ in settings.species:
        found |= {name for name, entry in settings.species.items() if found & {entry.donor, entry.beside}}
    return frozenset(found - {key})


def rank(target: Target, settings: Params) -> Ranking:
    """The candidates by their distance.

    Raises:
        SpeciesError: none of them has a known distance to the target.
        EpisomeError: there is no candidate.
    """
    names, numbers = candidates(target, settings), settings.transfer.distance
    apart = transfer.nearest(target.name, names, numbers)
    found = {key for key, _ in apart}
    without = heirs(target.key, settings)
    usable = {key: names[key] for key, _ in apart if key not in without}
    return Ranking(
        apart=tuple(apart),
        unknown=tuple(key for key in names if key not in found),
        heirs=without,
        chains=tuple(_chains(target, usable, numbers)),
    )


def _chains(target: Target, usable: Mapping[str, str], numbers: DistanceNumbers) -> list[Chain]:
    key_of = {name: key for key, name in reversed(list(usable.items()))} | {target.name: target.key}
    # Measured once, for a tree is read anew for each pair; what has no distance is no hop.
    pairs = {f"{a} / {b}": _distance(a, b, numbers) for a, b in combinations(key_of, 2)}
    measured = numbers.model_copy(update={"given": pairs})
    found = []
    for name in key_of.keys() - {target.name}:
        between = [other for other in key_of if other not in (name, target.name)]
        names = transfer.path(target.name, name, between, measured)
        if len(names) > 2:
            hops = [transfer.distance(a, b, measured).value for a, b in pairwise(names)]
            direct = transfer.distance(name, target.name, measured).value
            found.append(Chain(keys=tuple(key_of[n] for n in names), longest=max(hops), direct=direct))
    return sorted(found, key=lambda chain: (chain.direct, chain.keys))


def _distance(a: str, b: str, numbers: DistanceNumbers) -> float:
    try:
        return transfer.distance(a, b, numbers).value
    except SpeciesError:
        return inf


def text(target: Target, donor: str, unmeasured: Sequence[str] = ()) -> str:
    """YAML to be merged into params.yaml.

    Args:
        target: who wants a donor.
        donor: key of the donor, or ``base``.
        unmeasured: pairs of scientific names whose distance the user must give; params.yaml is refused until then.
    """
    entry: dict[str, Any] = {"donor": donor}
    if target.entry is not None and target.entry.beside != "base" and donor in ("base", target.entry.beside):
        entry["beside"] = "base"  # params.yaml takes no second donor that is the first, or is beside none
    tree: dict[str, Any] = {"species": {target.key: entry}}
    if unmeasured:
        tree["transfer"] = {"distance": {"given": dict.fromkeys(unmeasured)}}
    return yaml.safe_dump(tree, sort_keys=False)
