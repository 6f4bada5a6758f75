"""Which version answers: `promote` and `rollback` move a species' champion.

The order is: verify, judge, publish, write the ledger, move the shelf's pointer, move MLflow's aliases. The service
reads the shelf alone, so a crash at any point leaves the old champion or the new one answering, whole; aliases follow.
"""

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from episome import bundle, isolation, shelf
from episome.bundle import BundleError, Card
from episome.params import Params
from episome.shelf import Entry
from episome.types import EpisomeError
from pipelines import champions, doctor, ledger, lock, paths, tracking, witness
from pipelines.ledger import LEDGER, Move
from pipelines.register import register
from pipelines.registered import Files, Version

_LOCK = tracking.REGISTRY / ".promotion.lock"


class PromotionRefusedError(EpisomeError):
    """A version may not become champion; the message names every reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a promotion or a rollback did.

    Attributes:
        species: whose champion.
        entry: the champion now.
        before: the champion until then, or None.
        changed: False where it was the champion already.
        warnings: what did not work and does not matter to the service, in words.
    """

    species: str
    entry: Entry
    before: Entry | None
    changed: bool
    warnings: tuple[str, ...]


def promote(
    species: str, settings: Params, *, actor: str, reason: str, number: int | None = None, uncompared: bool = False
) -> Outcome:
    """Make a version of a species the champion.

    Args:
        species: short id.
        settings: params.yaml.
        actor: who asks, for the ledger.
        reason: why, for the ledger.
        number: version; None for the one the workspace's pipeline made.
        uncompared: accept a gate report that did not compare with the present champion.

    Raises:
        PromotionRefusedError: the gate failed, is of another bundle, or compared with something else than the
            champion; or the version would change what another species answers.
        BundleError: a bundle does not verify.
        EpisomeError: no such version, or MLflow cannot be reached.
    """
    settings.of(species)
    place = champions.folder(settings)
    with lock.hold(_LOCK), tempfile.TemporaryDirectory() as scratch:
        version = _chosen(species, settings, number)
        present = shelf.read(place).species.get(species)
        if present is not None and present.bundle == version.bundle:
            warnings = doctor.align(species, present)
            return Outcome(species=species, entry=present, before=present, changed=False, warnings=warnings)
        files = tracking.download(version, Path(scratch))
        card = _verified(version, files)
        report = _judged(version, files.gate, present, uncompared=uncompared)
        untested = _isolated(version, files, card, settings)
        shelf.publish(place, files.base)
        shelf.publish(place, files.bundle)
        move = Move(
            actor=actor,
            action="promote",
            species=species,
            before=present,
            after=_entry(version, card),
            prior=report["prior"],
            reason=reason,
        )
        return _moved(place, move, untested)


def rollback(species: str, settings: Params, *, actor: str, reason: str) -> Outcome:
    """Return to the champion before the present one; needs the shelf and the ledger, not MLflow.

    Raises:
        EpisomeError: there is no champion, or none before it.
        BundleError: the earlier bundle no longer verifies.
    """
    place = champions.folder(settings)
    with lock.hold(_LOCK):
        present = champions.of(species, settings)
        earlier = ledger.up_to(ledger.history(ledger.read(LEDGER), species), present)[:-1]
        if not earlier:
            raise EpisomeError(
                f"{species}: {LEDGER} knows no champion before version {present.version}; nothing to roll back to"
            )
        target = earlier[-1]
        shelf.open_bundle(place, target.base)
        shelf.open_bundle(place, target.bundle)
        move = Move(
            actor=actor,
            action="rollback",
            species=species,
            before=present,
            after=target,
            prior="none",
            reason=reason,
        )
        return _moved(place, move)


def _chosen(species: str, settings: Params, number: int | None) -> Version:
    """The version asked for; else the workspace's (registered here if DVC's cache skipped that); else the newest."""
    if number is None and paths.bundle(species).is_dir():
        return register(species, settings)
    known = tracking.versions(species)
    for version in known:
        if number in (None, version.number):
            return version
    listed = ", ".join(str(version.number) for version in known) or "none"
    wanted = "a version" if number is None else f"version {number}"
    raise EpisomeError(
        f"{species}: {wanted} is not registered; there are: {listed}. `dvc repro register@{species}` makes one"
    )


def _entry(version: Version, card: Card) -> Entry:
    """What the shelf says about a version."""
    return Entry(
        bundle=version.bundle,
        base=card.base,
        version=str(version.number),
        git_commit=version.git_commit,
        gate=version.gate,
        data=card.lineage.data,
    )


def _moved(place: Path, move: Move, untested: tuple[str, ...] = ()) -> Outcome:
    """Write a move down, let the shelf witness the line, make it, and let the aliases follow.

    Raises:
        LedgerError: the ledger is not what was written; nothing moved.
    """
    witness.attest(place, LEDGER)  # what a killed promotion wrote, so that never more than one line is unseen
    ledger.append(LEDGER, move)
    witness.attest(place, LEDGER)
    shelf.point(place, move.species, move.after)
    warnings = (*untested, *doctor.align(move.species, move.after))
    return Outcome(species=move.species, entry=move.after, before=move.before, changed=True, warnings=warnings)


def _verified(version: Version, files: Files) -> Card:
    """Both downloaded bundles are whole, are the registered ones and belong together."""
    bundle.verify(files.bundle)
    bundle.verify(files.base)
    card = bundle.read_species_card(files.bundle)
    name = f"{version.species} version {version.number}"
    if (digest := bundle.digest(files.bundle)) != version.bundle or card.species != version.species:
        raise BundleError(
            f"{name}: MLflow holds the bundle {digest} of {card.species}, the version names {version.bundle}"
        )
    if (base := bundle.digest(files.base)) != card.base:
        raise BundleError(f"{name}: needs the base {card.base}; MLflow holds {base} beside it")
    return card


def _judged(version: Version, path: Path, present: Entry | None, *, uncompared: bool) -> Mapping[str, Any]:
    """The gate report of a version that may be promoted.

    Raises:
        PromotionRefusedError: with every reason.
    """
    raw = path.read_bytes()
    report: Mapping[str, Any] = json.loads(raw)
    reasons = [*_reasons(version, hashlib.sha256(raw).hexdigest(), report)]
    if present is not None and not uncompared:
        wanted = paths.prior_name(version.species, present.bundle)
        if (report["prior"], report.get("prior_bundle")) != (wanted, present.bundle):
            reasons.append(
                f"the gate compared it with {report['prior']}, the champion is {wanted}; "
                f"`episome retrain {version.species}` compares, `--uncompared` goes without"
            )
    if reasons:
        raise PromotionRefusedError(
            f"{version.species} version {version.number} (bundle {version.bundle[:12]}) is not promoted:\n"
            + "\n".join(f"  - {reason}" for reason in reasons)
        )
    return report


def _reasons(version: Version, digest: str, report: Mapping[str, Any]) -> Iterator[str]:
    if digest != version.gate:
        yield f"its gate report was changed: sha256 {digest[:12]}, registered {version.gate[:12]}"
    if report["bundle"] != version.bundle:
        yield f"its gate report is of bundle {str(report['bundle'])[:12]}; run `dvc repro register@{version.species}`"
    failed = [check for check in report["checks"] if not check["passed"]]
    for check in failed:
        yield f"{check['name']}: {check['message']}"
    if not failed and not (report["passed"] and report["checks"]):
        yield "its gate report has no passing verdict"


def _isolated(version: Version, files: Files, card: Card, settings: Params) -> tuple[str, ...]:
    """Ask every other champion on the version's base, without it and beside it; what could not be asked, in words.

    Raises:
        PromotionRefusedError: an answer of another species differs in a bit.
    """
    place = champions.folder(settings)
    others, untested = {}, []
    for name, entry in shelf.read(place).species.items():
        if name != version.species and entry.base == card.base:
            try:
                others[name] = shelf.open_bundle(place, entry.bundle)
            except BundleError as error:
                untested.append(f"{name}: not asked whether it answers as before: {error}")
    found = isolation.tried(files.base, others, files.bundle, threads=settings.compute.threads)
    if found.changed:
        raise PromotionRefusedError(
            f"{version.species} version {version.number} (bundle {version.bundle[:12]}) is not promoted: with it on "
            f"the shelf, answers of {', '.join(found.changed)} differ; the engine keeps adapters apart no longer"
        )
    untested += [f"{name}: not asked whether it answers as before: {why}" for name, why in found.untested.items()]
    return tuple(untested)
