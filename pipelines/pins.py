"""What pins a downloaded file: its ``.dvc`` file, made by `dvc import-url`, and our own sha256 beside it."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from episome.types import EpisomeError
from pipelines import published

SUMS: Final = "sha256sums.txt"
"""Own hashes of the files in a folder, as `sha256sum` writes and checks them; tracked by git."""

Watch = Callable[[int], None]
"""Told, while a file comes, how many bytes of it have."""

_INCOMING: Final = ".incoming-"
_GLANCE: Final = 0.5
_CUT: Final = re.compile(r"received (\d+) of (\d+) bytes")


class PinError(EpisomeError):
    """A file that could not be brought, or a pin that cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """What a ``.dvc`` file says of where its file came from.

    Attributes:
        url: where it came from.
        etag: the host's mark of that version, where it gave one.
        size: bytes, where DVC wrote them down.
    """

    url: str
    etag: str | None
    size: int | None


def pin(path: Path) -> Pin | None:
    """The pin of a file; None where it has none yet.

    Raises:
        PinError: the ``.dvc`` file is there but does not come from `dvc import-url`.
    """
    file = _dvc_file(path)
    if not file.exists():
        return None
    try:
        (dependency,) = yaml.safe_load(file.read_text(encoding="utf-8"))["deps"]
        return Pin(url=dependency["path"], etag=dependency.get("checksum"), size=dependency.get("size"))
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise PinError(f"{file}: not written by `dvc import-url`: {error!r}; move it away and fetch again") from error


def recorded(folder: Path) -> dict[str, str]:
    """File name → sha256 at its first download; empty where nothing was fetched yet."""
    file = folder / SUMS
    if not file.exists():
        return {}
    return {name: stated.value for name, stated in published.read(file.read_text("utf-8"), str(file)).items()}


def record(path: Path, sha256: str) -> None:
    """Write down a file's first sha256, the whole list at once."""
    hashes = recorded(path.parent) | {path.name: sha256}
    fresh = path.with_name(f".{SUMS}.new")
    fresh.write_text("".join(f"{value}  {name}\n" for name, value in sorted(hashes.items())), encoding="utf-8")
    fresh.replace(path.with_name(SUMS))


@contextmanager
def imported(url: str, path: Path, watch: Watch) -> Iterator[Path]:
    """Download into a folder of its own, gone at the end; what is in it may then be judged, and landed with `land`.

    One at a time: what an earlier run left is removed.

    Args:
        url: of the file.
        path: where it is to be in the end; its name is kept.
        watch: told how far the download is.

    Raises:
        PinError: the download was cut off, or dvc refused for another reason.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # beside the final folder: on its file system, and not among what a pipeline stage reads
    shelf = path.parent.parent
    for left in shelf.glob(f"{_INCOMING}*"):  # by a run that was killed; the caller's lock says that none is under way
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(prefix=_INCOMING, dir=shelf) as scratch:
        fresh = Path(scratch) / path.name
        code, said = _dvc("import-url", url, str(fresh), glance=lambda: watch(_size(Path(scratch))))
        if code and (cut := _CUT.search(said)):
            raise PinError(f"{url}: cut off: {cut[1]} bytes came, wanted {cut[2]}; run the command again")
        if code:
            raise PinError(f"{url}: `dvc import-url` stopped: {said}")
        yield fresh


def land(fresh: Path, path: Path) -> None:
    """Put a downloaded file and its pin in place, each at once; git is told to ignore the file, as dvc would."""
    if fresh.with_name(".gitignore").exists():
        ignored = path.with_name(".gitignore")
        lines = ignored.read_text(encoding="utf-8").splitlines() if ignored.exists() else []
        if f"/{path.name}" not in lines:
            ignored.write_text("\n".join([*lines, f"/{path.name}"]) + "\n", encoding="utf-8")
    fresh.replace(path)
    _dvc_file(fresh).replace(_dvc_file(path))


def checkout(path: Path) -> bool:
    """Take a pinned file from DVC's cache; whether it was there."""
    code, _ = _dvc("checkout", str(_dvc_file(path)), glance=lambda: None)
    return code == 0 and path.exists()


def _dvc_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.dvc")


def _size(folder: Path) -> int:
    """Bytes in a folder in which files come and go."""
    total = 0
    for entry in os.scandir(folder):
        try:
            total += entry.stat().st_size
        except FileNotFoundError:
            continue
    return total


def _dvc(*words: str, glance: Callable[[], Any]) -> tuple[int, str]:
    """Run dvc; its exit status and what it said was wrong."""
    with subprocess.Popen(
        [sys.executable, "-m", "dvc", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"DVC_NO_ANALYTICS": "1"},
    ) as process:
        while True:
            try:
                _, said = process.communicate(timeout=_GLANCE)
                break
            except subprocess.TimeoutExpired:
                glance()
            except BaseException:
                process.terminate()
                raise
    before, _, error = said.partition("ERROR:")
    return process.returncode, " ".join((error or before).partition("Having any troubles?")[0].split())
