"""What made an answer: everything that registry, shelf, ledger and the bundle's card know of a receipt.

Nothing is made up: what cannot be found is named under `missing`, what contradicts the receipt under `doubts`.
"""

import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from episome import card as cards
from episome import receipts, shelf
from episome.answer import Receipt
from episome.card import BundleError, Card
from episome.params import Params
from episome.types import EpisomeError
from pipelines import champions, dvclock, ledger, origin, recipe, tracking
from pipelines.dvclock import LOCK, LockError, Stage
from pipelines.ledger import LEDGER, LedgerError, Line
from pipelines.recipe import Recipe
from pipelines.registered import Version

NONE = ("none", "base")


class TraceError(EpisomeError):
    """Nothing is known of what was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a trace is of: the digest of a bundle or its beginning, and the receipt, where an answer had one."""

    bundle: str
    receipt: Receipt | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ancestor:
    """A champion that a version was held to, and the rows that were added then; `version` None: not registered here."""

    name: str
    version: int | None
    release: str | None


@dataclass(slots=True, kw_only=True)
class Trace:
    """What is known.

    Attributes:
        bundle: digest.
        receipt: as the answer carried it.
        version: in the registry.
        aliases: what the registry calls it.
        champion: whether the shelf answers with it now.
        card: of the bundle.
        numbers: parameters that were logged with it.
        gate: the gate report the receipt names, else the newest.
        state: commit, changed files and packages at registration.
        stages: behind its bundle, as they ran.
        pins: ``.dvc`` files of the data that no stage makes.
        donor: version of the donor whose adapter it started from.
        ancestors: champions it was held to, the nearest first.
        lines: of the ledger, that name it.
        recipe: what makes it again.
        missing: what could not be found, in words.
        doubts: where the receipt and the records disagree, in words.
    """

    bundle: str
    receipt: Receipt | None = None
    version: Version | None = None
    aliases: tuple[str, ...] = ()
    champion: bool = False
    card: Card | None = None
    numbers: Mapping[str, str] = field(default_factory=dict)
    gate: Mapping[str, Any] | None = None
    state: Mapping[str, Any] | None = None
    stages: tuple[Stage, ...] = ()
    pins: tuple[str, ...] = ()
    donor: int | None = None
    ancestors: tuple[Ancestor, ...] = ()
    lines: tuple[Line, ...] = ()
    recipe: Recipe | None = None
    missing: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)

    @property
    def species(self) -> str | None:
        """Short id, from whoever knows it."""
        known = (self.version, self.card, self.lines[0] if self.lines else None)
        named = next((each.species for each in known if each is not None), None)
        return named or (self.receipt.adapter.species if self.receipt else None)

    @property
    def gate_name(self) -> str | None:
        """Sha256 of the gate report."""
        return self.receipt.gate if self.receipt else self.version.gate if self.version else None


def asked(word: str, settings: Params) -> tuple[Asked, ...]:
    """What a word means: a file that holds receipts, ``-`` for standard input, a receipt's identifier, or a species.

    Raises:
        TraceError: it is none of them.
        EpisomeError: the file holds no receipt; the species has no champion.
    """
    if word == "-" or Path(word).is_file():
        found = receipts.of_text(sys.stdin.read(), "standard input") if word == "-" else receipts.of_file(Path(word))
        return tuple(Asked(bundle=each.adapter.bundle, receipt=each) for each in found)
    if word in settings.species:
        return (Asked(bundle=champions.of(word, settings).bundle),)
    if receipts.identifies(word):
        return (Asked(bundle=word),)
    raise TraceError(
        f"{word}: no such file, no species of params.yaml ({', '.join(settings.species)}), and no identifier of a "
        "receipt, which is the sha256 under adapter.bundle or its first eight digits or more"
    )


def trace(subject: Asked, settings: Params) -> Trace:
    """Gather what is known.

    Raises:
        TraceError: there is no registry here, or nothing knows the receipt.
        EpisomeError: MLflow cannot be asked.
    """
    if not tracking.known():
        raise TraceError(
            f"no registry here ({tracking.REGISTRY / 'mlflow.db'}); run from the project's root folder, or name one by "
            "MLFLOW_TRACKING_URI"
        )
    place = champions.folder(settings)
    lines, broken = _ledger()
    found = Trace(bundle=_whole(subject.bundle, place, lines), receipt=subject.receipt, missing=broken)
    found.lines = tuple(
        line for line in lines if found.bundle in {line.after.bundle, line.before.bundle if line.before else ""}
    )
    found.version = next(iter(tracking.named(found.bundle)), None)
    with tempfile.TemporaryDirectory() as scratch:
        held = _Held(version=found.version, scratch=Path(scratch))
        found.card = _card(found.bundle, held, place)
        _registered(found, held)
    _related(found, settings)
    found.champion = found.bundle in {entry.bundle for entry in shelf.read(place).species.values()}
    found.doubts += _doubts(found)
    return found


def place_inputs(found: Trace, folder: Path) -> None:
    """Write the files that were registered beside the commit into a clone of it.

    Raises:
        TraceError: they were not registered.
    """
    with tempfile.TemporaryDirectory() as scratch:
        held = _Held(version=found.version, scratch=Path(scratch)).path(f"{tracking.ORIGIN}/{origin.WORKSPACE}")
        if held is None:
            raise TraceError(f"{found.bundle[:12]}: {'; '.join(found.missing)}")
        shutil.copytree(held, folder, dirs_exist_ok=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """Files of a version in the registry, fetched into `scratch`; no version has none."""

    version: Version | None
    scratch: Path

    def path(self, name: str) -> Path | None:
        return tracking.kept(self.version, name, self.scratch) if self.version else None

    def bytes(self, name: str) -> bytes | None:
        path = self.path(name)
        return path.read_bytes() if path else None


def _ledger() -> tuple[tuple[Line, ...], list[str]]:
    try:
        return ledger.read(LEDGER), []
    except LedgerError as error:
        return (), [f"ledger lines: {error}"]


def _whole(beginning: str, place: Path, lines: tuple[Line, ...]) -> str:
    """The one bundle whose digest begins so."""
    known = {version.bundle for version in tracking.named(beginning)}
    known |= {each.name for each in (place / "objects").glob(f"{beginning}*")}
    known |= {line.after.bundle for line in lines if line.after.bundle.startswith(beginning)}
    if len(known) > 1:
        raise TraceError(f"{beginning}: {len(known)} bundles begin so: {', '.join(sorted(known))}; give more of it")
    if not known:
        raise TraceError(
            f"{beginning}: unknown receipt; neither the registry nor the shelf ({place}) nor the ledger ({LEDGER}) has "
            "a bundle of that digest. Was it answered by another installation?"
        )
    return known.pop()


def _card(bundle: str, held: _Held, place: Path) -> Card | None:
    """The card with that very digest, from the registry or the shelf."""
    on_shelf = place / "objects" / bundle / "card.json"
    species = held.version.species if held.version else ""
    raws = [held.bytes(f"model/artifacts/{species}/card.json"), on_shelf.read_bytes() if on_shelf.is_file() else None]
    for raw in raws:
        if raw is not None and hashlib.sha256(raw).hexdigest() == bundle:
            try:
                card = cards.decode(raw, "card.json")
            except BundleError:
                continue
            return card if isinstance(card, Card) else None
    return None


def _registered(found: Trace, held: _Held) -> None:
    """What only the registry has."""
    if found.card is None:
        found.missing.append("the bundle's card: neither the registry nor the shelf holds one of this digest")
    if found.version is None:
        found.missing.append("the version: the registry has none of this bundle, so neither params nor commands")
        return
    found.aliases = tracking.aliases(found.version)
    found.numbers = tracking.numbers(found.version)
    gate = held.bytes(f"reports/gate-{found.gate_name}.json")
    if gate is None or hashlib.sha256(gate).hexdigest() != found.gate_name:
        found.missing.append(f"the gate report {found.gate_name}: MLflow no longer holds it as it was")
    else:
        found.gate = json.loads(gate)
    state = held.bytes(f"{tracking.ORIGIN}/{origin.STATE}")
    if state is None:
        found.missing.append("params.yaml, dvc.lock and packages at registration: it was registered without them")
        return
    found.state = json.loads(state)
    _made(found, held)


def _made(found: Trace, held: _Held) -> None:
    """The stages behind it, and what makes it again."""
    lock, params = held.bytes(f"{tracking.ORIGIN}/{LOCK}"), held.path(f"{tracking.ORIGIN}/{origin.WORKSPACE}")
    if lock is None or params is None or found.version is None or found.state is None:
        found.missing.append("dvc.lock at registration: there was none, or none of this bundle, so no data hashes")
        return
    try:
        text = (params / origin.PARAMS).read_text(encoding="utf-8")
        found.stages = origin.made(lock.decode(), text, found.version.species)
    except (LockError, OSError) as error:
        found.missing.append(f"data hashes: {error}")
        return
    found.pins = tuple(sorted(str(each.relative_to(params)) for each in params.rglob("*.dvc")))
    if found.version.git_commit == "none":
        found.missing.append("the git commit: it was registered outside a git repository")
    elif found.card is not None:
        found.recipe = Recipe(
            project=Path.cwd(),
            commit=found.version.git_commit,
            species=found.version.species,
            bundle=found.bundle,
            pins=found.pins,
            cache=recipe.cache() if found.pins else None,
            adapter=found.card.files[recipe.ADAPTER],
        )


def _related(found: Trace, settings: Params) -> None:
    """Donor and priors, by the versions they were."""
    if found.card is None:
        return
    found.ancestors = tuple(_ancestors(found.card, champions.folder(settings)))
    for each in found.ancestors:
        if each.version is None:
            found.missing.append(f"prior {each.name}: not in this registry")
    donor = found.card.lineage.donor
    if donor not in NONE:
        trained = [stage for stage in found.stages if stage.name == f"train@{found.species}"]
        wanted = {stage.deps.get(f"adapters/{donor}") for stage in trained} - {None}
        same = (each.number for each in tracking.versions(donor) if _adapter(each) in wanted)
        found.donor = next(same, None)
        if found.donor is None:
            found.missing.append(f"the version of the donor {donor}: no registered one has the adapter it started from")


def _adapter(version: Version) -> str | None:
    """DVC's hash of the adapter of a version."""
    with tempfile.TemporaryDirectory() as scratch:
        lock = _Held(version=version, scratch=Path(scratch)).bytes(f"{tracking.ORIGIN}/{LOCK}")
        stages = dvclock.read(lock.decode()) if lock else {}
    train = stages.get(f"train@{version.species}")
    return train.outs.get(f"adapters/{version.species}") if train else None


def _ancestors(card: Card, place: Path) -> Iterator[Ancestor]:
    prior: str = card.lineage.prior
    while prior not in NONE:
        version = next(iter(tracking.named(prior.rsplit("-", 1)[-1])), None)
        before = None
        if version is not None:
            with tempfile.TemporaryDirectory() as scratch:
                before = _card(version.bundle, _Held(version=version, scratch=Path(scratch)), place)
        yield Ancestor(
            name=prior,
            version=version.number if version else None,
            release=before.lineage.release if before else None,
        )
        prior = before.lineage.prior if before else "none"


def _doubts(found: Trace) -> Iterator[str]:
    """Where the receipt says something else than the records."""
    told, version, card = found.receipt, found.version, found.card
    if told is None:
        return
    pairs = [("species", told.adapter.species, found.species)]
    if version is not None:
        pairs += [
            ("version", told.adapter.version, str(version.number)),
            ("commit", told.git_commit, version.git_commit),
        ]
    if card is not None:
        pairs += [("base", told.base, card.base), ("data", told.data, card.lineage.data)]
    for name, said, known in pairs:
        if said != known:
            yield f"{name}: the receipt says {said}, the records {known}"
    if version is not None and told.gate != version.gate:
        yield f"gate report: judged again since the answer; the newest is {version.gate}"
