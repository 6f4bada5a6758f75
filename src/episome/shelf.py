"""The shelf: verified bundles by hash and one pointer file; all that the service ever reads.

``objects/<sha256>/`` holds one immutable bundle each. ``champions.json`` says which of them answer:
``{"generation": n, "species": {species: entry}}``; it is replaced atomically.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from episome import bundle
from episome.card import BundleError, Card, Sha256, SpeciesName, canonical

_POINTER = "champions.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One species' champion.

    Attributes:
        bundle: digest of the species bundle.
        base: digest of the base bundle it needs.
        version: of the registered model.
        git_commit: of the project when the version was registered.
        gate: sha256 of the gate report that let it pass.
        data: sha256 of the rows it was trained on.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    bundle: Sha256
    base: Sha256
    version: str
    git_commit: str
    gate: Sha256
    data: Sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class Champions:
    """The pointer file; `generation` grows by one with every change."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    generation: Annotated[int, Field(ge=0)]
    species: dict[SpeciesName, Entry]


_CHAMPIONS = TypeAdapter(Champions)


def read(shelf: Path) -> Champions:
    """The champions; generation 0 and no species where nothing was ever promoted.

    Raises:
        BundleError: the pointer file is not one.
    """
    path = shelf / _POINTER
    try:
        return _CHAMPIONS.validate_json(path.read_bytes())
    except FileNotFoundError:
        return Champions(generation=0, species={})
    except ValidationError as error:
        first = error.errors()[0]
        raise BundleError(f"{path}: {'.'.join(map(str, first['loc'])) or 'champions'}: {first['msg']}") from error


def open_bundle(shelf: Path, digest: str) -> Path:
    """The folder of a bundle on the shelf, verified.

    Raises:
        BundleError: it is not there, does not verify, or lies under another bundle's name.
    """
    folder = shelf / "objects" / digest
    if not folder.is_dir():
        raise BundleError(f"{shelf}: no bundle {digest}; publish it first")
    _check_copy(folder, digest)
    return folder


def publish(shelf: Path, folder: Path) -> str:
    """Copy a bundle onto the shelf, whole or not at all, and give its digest; twice is the same as once.

    Raises:
        BundleError: the bundle, its copy, or what already lies under its digest does not verify.
    """
    card = bundle.verify(folder)
    digest = bundle.digest(folder)
    objects = shelf / "objects"
    objects.mkdir(parents=True, exist_ok=True)
    with _lock(shelf):
        for left_over in objects.glob(".new-*"):
            shutil.rmtree(left_over)
        if (objects / digest).exists():
            open_bundle(shelf, digest)
            return digest
        fresh = Path(tempfile.mkdtemp(prefix=".new-", dir=objects))
        try:
            for name in (*card.files, bundle.CARD):
                _copy(folder / name, fresh / name)
            _check_copy(fresh, digest)
            fresh.chmod(0o755)
            _sync(fresh)
            fresh.rename(objects / digest)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise
        _sync(objects)
    return digest


def point(shelf: Path, species: str, entry: Entry) -> Champions:
    """Make `entry` the champion of `species`; both its bundles must be on the shelf.

    Raises:
        BundleError: a bundle is missing or broken, is another species', or needs another base.
    """
    card = bundle.read_card(open_bundle(shelf, entry.bundle))
    open_bundle(shelf, entry.base)
    if not isinstance(card, Card) or card.species != species:
        found = f"species {card.species!r}" if isinstance(card, Card) else "a base"
        raise BundleError(f"{shelf}: bundle {entry.bundle} is of {found}; wanted {species!r}")
    if card.base != entry.base:
        raise BundleError(f"{shelf}: bundle {entry.bundle} needs the base {card.base}, the entry names {entry.base}")
    with _lock(shelf):
        champions = read(shelf)
        return _replace(shelf, champions.generation + 1, {**champions.species, species: entry})


def withdraw(shelf: Path, species: str) -> Champions:
    """Take a species out of service; its bundle stays on the shelf.

    Raises:
        BundleError: it has no champion.
    """
    with _lock(shelf):
        champions = read(shelf)
        if species not in champions.species:
            known = ", ".join(champions.species) or "none"
            raise BundleError(f"{shelf}: no champion of {species!r}; there are: {known}")
        rest = {name: entry for name, entry in champions.species.items() if name != species}
        return _replace(shelf, champions.generation + 1, rest)


def _check_copy(folder: Path, digest: str) -> None:
    bundle.verify(folder)
    if (found := bundle.digest(folder)) != digest:
        raise BundleError(f"{folder}: holds the bundle {found}; wanted {digest}")


def _replace(shelf: Path, generation: int, species: Mapping[str, Entry]) -> Champions:
    champions = Champions(generation=generation, species=dict(sorted(species.items())))
    fresh = shelf / f".{_POINTER}.new"
    with fresh.open("wb") as file:
        file.write(canonical(asdict(champions)))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(shelf / _POINTER)
    _sync(shelf)
    return champions


@contextmanager
def _lock(shelf: Path) -> Iterator[None]:
    """One writer at a time, across processes; readers need no lock."""
    shelf.mkdir(parents=True, exist_ok=True)
    with (shelf / ".lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as read_from, target.open("xb") as write_to:
        shutil.copyfileobj(read_from, write_to)
        write_to.flush()
        os.fsync(write_to.fileno())
    target.chmod(0o444)


def _sync(folder: Path) -> None:
    """Make a rename inside `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
