"""`episome data fetch`: files of one pinned release, each downloaded once, checked, and held to its first content.

No stage of the pipeline downloads anything. A file gets its final name only after every check; FASTA and annotation
stay as they came (gzip), since what reads them streams them once.
"""

import gzip
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from episome.sources import Fetch, FetchFiles
from episome.types import EpisomeError
from pipelines import pins, published, remote
from pipelines.published import Stated

Watch = Callable[[int, int | None], None]
"""Told, while a file comes, how many bytes of it have, of how many (None where the host does not say)."""

_GZIP: Final = b"\x1f\x8b"
_PAGE: Final = (b"<!doctype html", b"<html")


class FetchError(EpisomeError):
    """A file that is not what was wanted; what was there before is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One file to have.

    Attributes:
        species: folder it goes to.
        url: where it is.
        path: where it is to be.
        checksums: URL of the host's list; None where the host has none.
    """

    species: str
    url: str
    path: Path
    checksums: str | None

    def state(self) -> str:
        """What is there now, by name alone: ``there``, ``pinned`` (by its .dvc file; not there) or ``to fetch``."""
        if pins.pin(self.path) is None:
            return "to fetch"
        return "there" if self.path.exists() else "pinned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosts:
    """Hosts in one run: how long they may be silent, and lists they have given (URL → name → checksum)."""

    timeout: float
    lists: dict[str, dict[str, Stated]] = field(default_factory=dict)


def plan(settings: Fetch | None, species: Sequence[str]) -> list[Wanted]:
    """The files of some species, or of all where none is named.

    Raises:
        FetchError: params.yaml has no section `fetch`, or not such a species.
    """
    if settings is None:
        raise FetchError("params.yaml: no section `fetch`; wanted one, docs/data.md has it in full")
    if unknown := [name for name in species if name not in settings.species]:
        known = ", ".join(settings.species)
        raise FetchError(f"no species {', '.join(unknown)} under `fetch.species` in params.yaml; there: {known}")
    return [file for name in species or settings.species for file in _files(settings, name, settings.species[name])]


def _files(settings: Fetch, name: str, files: FetchFiles) -> list[Wanted]:
    def filled(template: str) -> str:
        return template.replace("{release}", str(settings.release))

    wanted = []
    for role, template in files.paths.items():
        own = files.checksums.get(role) if isinstance(files.checksums, dict) else files.checksums
        checksums = own or settings.checksums
        url = f"{files.base or settings.base}/{filled(template)}"
        beside, _, file = url.rpartition("/")
        wanted.append(
            Wanted(
                species=name,
                url=url,
                path=Path(filled(settings.folder)) / name / file,
                checksums=None if checksums == "none" else f"{beside}/{checksums}",
            )
        )
    return wanted


def get(wanted: Wanted, hosts: Hosts, watch: Watch, *, again: bool = False) -> str:
    """Have a file in place, checked and pinned.

    Args:
        wanted: the file.
        hosts: kept through a run.
        watch: told how far a download is.
        again: download a file that is there and right too, to compare what the host has now.

    Returns:
        What was done, in words.

    Raises:
        EpisomeError: the host has no such file, or another one than before (both hashes are named), or the file here
            was altered. What was there before is then as it was.
    """
    path, pin = wanted.path, pins.pin(wanted.path)
    sha256 = pins.recorded(path.parent).get(path.name)
    if pin and pin.url != wanted.url:
        raise FetchError(
            f"{path}.dvc pins {pin.url}; params.yaml asks for {wanted.url}. Another release goes into another folder "
            "(`fetch.folder`), or remove that .dvc file, the file and its line in sha256sums.txt first"
        )
    back = pin is not None and sha256 is not None and not path.exists() and pins.checkout(path)
    if path.exists():
        _refuse_altered(path, sha256)
        if pin and not again and (said := _as_pinned(wanted, pin, hosts)):
            return f"taken from DVC's cache; {said}" if back else said
    return _download(wanted, sha256, hosts, watch)


def _refuse_altered(path: Path, sha256: str | None) -> None:
    """Refuse to go on with a file that nobody fetched, or that is no longer what was fetched."""
    if sha256 is None:
        raise FetchError(
            f"{path}: is there, but {pins.SUMS} does not name it: not fetched by this command; move it away"
        )
    if (found := published.digest(path, "sha256")) != sha256:
        raise FetchError(
            f"{path}: altered since it was fetched: wanted sha256 {sha256}, found {found}; remove it and fetch again "
            "(if it comes back altered, `episome data verify` names the file in DVC's cache)"
        )


def _as_pinned(wanted: Wanted, pin: pins.Pin, hosts: Hosts) -> str | None:
    """Why the file here, which is right, need not be downloaded; None where the host has something new."""
    try:
        now = remote.ask(wanted.url, hosts.timeout)
    except remote.RemoteError as error:
        return f"right; the host was asked in vain: {error}"
    same_mark = now.etag is None or now.etag == pin.etag
    return "right, and as on the host" if same_mark and now.size in {None, pin.size} else None


def _download(wanted: Wanted, sha256: str | None, hosts: Hosts, watch: Watch) -> str:
    answer = remote.ask(wanted.url, hosts.timeout)
    stated = None if sha256 or wanted.checksums is None else _stated(wanted, wanted.checksums, hosts)
    with pins.imported(wanted.url, wanted.path, lambda came: watch(came, answer.size)) as fresh:
        size = fresh.stat().st_size
        if answer.size not in {None, size}:
            raise FetchError(f"{wanted.url}: {size} bytes came, wanted {answer.size}; {_kept(wanted)}")
        _refuse_page(fresh, wanted)
        found = published.digest(fresh, "sha256")
        if sha256 and found != sha256:
            raise FetchError(
                f"{wanted.url}: the host has another file under this name: wanted sha256 {sha256} (as first fetched, "
                f"{wanted.path.with_name(pins.SUMS)}), came {found}; {_kept(wanted)}"
            )
        if stated and (came := stated.of(fresh)) != stated.value:
            raise FetchError(
                f"{wanted.url}: {wanted.checksums} says {stated.method} {stated.value}, came {came} "
                f"(sha256 {found}); {_kept(wanted)}"
            )
        if not sha256 and not stated:
            _refuse_broken_gzip(fresh, wanted)
        if not sha256:
            pins.record(wanted.path, found)
        pins.land(fresh, wanted.path)
    if sha256:
        return f"fetched, {size} bytes, the content it always had"
    return (
        f"fetched, {size} bytes, {f'{stated.method} as the host states' if stated else 'the host states no checksum'}"
    )


def _stated(wanted: Wanted, url: str, hosts: Hosts) -> Stated:
    """What the host's list says of a file."""
    if url not in hosts.lists:
        try:
            hosts.lists[url] = published.read(remote.text(url, hosts.timeout), url)
        except remote.UnreachableError:
            raise
        except remote.RemoteError as error:
            raise FetchError(f"{error}; where a host has no list of checksums, say `checksums: none`") from error
    name = wanted.path.name
    if name not in hosts.lists[url]:
        there = sorted(hosts.lists[url])
        raise FetchError(f"{url}: does not name {name}; it names {', '.join(there[:5])} ({len(there)} in all)")
    return hosts.lists[url][name]


def _refuse_page(fresh: Path, wanted: Wanted) -> None:
    """Refuse what calls itself a file and is a page, or gzip and is not."""
    with fresh.open("rb") as file:
        start = file.read(64)
    if start.lstrip().lower().startswith(_PAGE):
        raise FetchError(f"{wanted.url}: a page came, starting {start[:40]!r}; wanted a file; {_kept(wanted)}")
    if wanted.path.suffix == ".gz" and not start.startswith(_GZIP):
        raise FetchError(f"{wanted.url}: wanted gzip, came {start[:40]!r}; {_kept(wanted)}")


def _refuse_broken_gzip(fresh: Path, wanted: Wanted) -> None:
    """Where nobody states a checksum, gzip's own is at least something."""
    if wanted.path.suffix != ".gz":
        return
    try:
        with gzip.open(fresh) as file:
            while file.read(1 << 20):
                pass
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise FetchError(f"{wanted.url}: wanted whole gzip: {error}; {_kept(wanted)}") from error


def _kept(wanted: Wanted) -> str:
    return f"{wanted.path} is as it was" if wanted.path.exists() else "nothing was put in place"
