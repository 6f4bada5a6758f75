"""What a host states about its files, in the three layouts met: Ensembl's CHECKSUMS, and md5 or sha256 lists."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from episome.types import EpisomeError

_MEBIBYTE: Final = 1 << 20
_STATE: Final = 1 << 16
# One bit to the right and round the corner, in 16 bits; longer by a byte's values, so a sum need not be cut before.
_ROTATED: Final = [(value % _STATE >> 1) + ((value & 1) << 15) for value in range(_STATE + 256)]
_LISTED: Final = re.compile(r"([0-9a-fA-F]{32}|[0-9a-fA-F]{64}) [ *]?(?:\./)?(\S+)")
_SUMMED: Final = re.compile(r"(\d{1,5})\s+(\d+)\s+(?:\./)?(\S+)")


class PublishedError(EpisomeError):
    """A list of checksums that is none, or a file that is not what the list says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """What a host says one file is.

    Attributes:
        method: ``sum`` is the BSD checksum of `sum(1)`: 16 bits and the number of 1-KiB blocks.
        value: as hex digits, or ``00439 799942``.
    """

    method: Literal["sum", "md5", "sha256"]
    value: str

    def of(self, path: Path) -> str:
        """The same of a file on disk; sum takes about 40 s a GB, the others 2 to 3."""
        return bsd_sum(path) if self.method == "sum" else digest(path, self.method)


def read(text: str, where: str) -> dict[str, Stated]:
    """File name → what is stated of it.

    Args:
        text: lines ``00439 799942 NAME`` (Ensembl), ``<md5>  NAME`` (UCSC, GENCODE, NCBI) or ``<sha256>  NAME``.
        where: the list's URL, for people.

    Raises:
        PublishedError: a line is none of these, or there is none at all.
    """
    found = {}
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.strip()
        if match := _LISTED.fullmatch(words):
            value = match[1].lower()
            found[match[2]] = Stated(method="md5" if len(value) == 32 else "sha256", value=value)
        elif match := _SUMMED.fullmatch(words):
            found[match[3]] = Stated(method="sum", value=f"{int(match[1]):05d} {match[2]}")
        elif words:
            raise PublishedError(
                f"{where}: line {number} is no checksum: {words[:80]!r}; wanted '00439 799942 NAME' or '<md5>  NAME'"
            )
    if not found:
        raise PublishedError(f"{where}: holds no checksum")
    return found


def bsd_sum(path: Path) -> str:
    """The BSD checksum of a file and its 1-KiB blocks, as coreutils' `sum` prints them."""
    state = size = 0
    for block in blocks(path):
        size += len(block)
        for byte in block:
            state = _ROTATED[state] + byte
    return f"{state % _STATE:05d} {-(-size // 1024)}"


def digest(path: Path, method: Literal["md5", "sha256"]) -> str:
    """Hex digits of a file's hash."""
    state = hashlib.new(method, usedforsecurity=False)
    for block in blocks(path):
        state.update(block)
    return state.hexdigest()


def blocks(path: Path) -> Iterator[bytes]:
    """A file's bytes, a mebibyte at a time."""
    with path.open("rb") as file:
        while block := file.read(_MEBIBYTE):
            yield block
