"""Where registry, ledger and shelf disagree, in words, and the registry's aliases set from the other two."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from episome import shelf
from episome.bundle import BundleError
from episome.params import Params
from episome.shelf import Entry
from pipelines import champions, journal, ledger, tracking, witness
from pipelines.ledger import LEDGER, LedgerError
from pipelines.registered import TrackingError

_ALIASES = ("champion", "previous")
_MEND = "`episome doctor --mend` follows the shelf"


def differences(settings: Params, *, mend: bool = False) -> tuple[str, ...]:
    """Where registry, ledger and shelf disagree, or a retrain was killed, in words.

    Args:
        settings: params.yaml.
        mend: first set the aliases from the shelf, and undo what the killed retrain left.

    Raises:
        BundleError: the shelf's pointer file cannot be read.
    """
    place = champions.folder(settings)
    present = shelf.read(place).species
    if mend:
        journal.mend()
    found = [*journal.unfinished(), *of_ledger(place)]
    for species in sorted({*settings.species, *present}):
        entry = present.get(species)
        if entry is not None:
            found += _broken(place, species, entry)
            if mend:
                found += align(species, entry)
        found += _of_aliases(species, entry)
    return tuple(dict.fromkeys(found))


def of_ledger(place: Path) -> Iterator[str]:
    """Where the ledger is broken, is not what the shelf witnessed, or moved another champion than the shelf has."""
    present = shelf.read(place).species
    try:
        lines = ledger.read(LEDGER)
        yield from witness.differences(place, LEDGER)
    except LedgerError as error:
        yield f"ledger: {error}"
        return
    for species in sorted({*present, *(line.species for line in lines)}):
        last = ledger.history(lines, species)[-1:]
        entry = present.get(species)
        if last != ((entry,) if entry else ()):
            written = f"version {last[0].version}, bundle {last[0].bundle[:12]}" if last else "nothing"
            answers = f"version {entry.version}, bundle {entry.bundle[:12]}" if entry else "nothing"
            yield f"{species}: the ledger's last move is to {written}; the shelf answers with {answers}"


def align(species: str, entry: Entry) -> tuple[str, ...]:
    """Set MLflow's aliases from the shelf and the ledger; what fails is told, as the service does not depend on it."""
    try:
        if (wanted := _wanted(species, entry))["champion"] is None:
            return (
                f"{species}: the registry has no version {entry.version} of bundle {entry.bundle[:12]}; "
                "its aliases were not moved",
            )
        for alias, number in wanted.items():
            tracking.set_alias(species, alias, number)
    except (LedgerError, TrackingError) as error:
        return (
            f"{species}: the shelf answers with version {entry.version}, but the registry's aliases could not be moved "
            f"({error}); run `episome doctor --mend` when that is mended",
        )
    return ()


def _wanted(species: str, entry: Entry) -> dict[str, int | None]:
    """The version that each alias belongs to; None where the registry has it no longer, or there is none."""
    earlier = ledger.up_to(ledger.history(ledger.read(LEDGER), species), entry)[:-1]
    held = {(version.number, version.bundle) for version in tracking.versions(species)}
    chosen = {"champion": entry, "previous": earlier[-1] if earlier else None}
    return {
        alias: int(one.version) if one is not None and (int(one.version), one.bundle) in held else None
        for alias, one in chosen.items()
    }


def _of_aliases(species: str, entry: Entry | None) -> Iterator[str]:
    try:
        named = tracking.aliased(species)
        bundles: Mapping[int, str] = {version.number: version.bundle for version in tracking.versions(species)}
        wanted = _wanted(species, entry) if entry else dict.fromkeys(_ALIASES)
    except TrackingError as error:
        yield f"registry: cannot be asked ({error})"
        return
    except LedgerError:  # `of_ledger` says what is wrong with it
        return
    on_shelf = f"version {entry.version}, bundle {entry.bundle[:12]}" if entry else "no champion"
    number = named.get("champion")
    if (entry.bundle if entry else None) != (bundles[number] if number else None):
        names = f"version {number}, bundle {bundles[number][:12]}" if number else "no version"
        yield f"{species}: the shelf has {on_shelf}; the alias champion names {names} ({_MEND})"
    elif named.get("previous") != wanted["previous"]:
        names, belongs = (
            f"version {one}" if one else "no version" for one in (named.get("previous"), wanted["previous"])
        )
        yield f"{species}: the alias previous names {names}, the champion before is {belongs} ({_MEND})"
    for alias in sorted(named):
        if alias.lower() in _ALIASES and alias not in _ALIASES:
            yield f"{species}: the registry has an alias {alias!r}, too, which Episome does not know; delete it"


def _broken(place: Path, species: str, entry: Entry) -> Iterator[str]:
    for digest in (entry.base, entry.bundle):
        try:
            shelf.open_bundle(place, digest)
        except BundleError as error:
            yield f"{species}: {error}"
