"""API keys: who may ask the service. It knows their hashes alone.

A key is 256 random bits, so one SHA-256 hides it: slow hashes protect what can be guessed, and nobody guesses these.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from episome.types import EpisomeError

Role = Literal["reader", "operator"]

ROLES: Final[tuple[Role, ...]] = get_args(Role)
_BYTES: Final = 32
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,62}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class KeysError(EpisomeError):
    """A list of keys is not as it should be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Whose key it is.

    Attributes:
        name: of a person or a program, once in a list.
        role: ``reader`` asks for annotations; ``operator`` also sees metrics and hands in labels.
        digest: SHA-256 of the key, as hex.
    """

    name: str
    role: Role
    digest: str

    @property
    def line(self) -> str:
        """The holder as a line of the list."""
        return f"{self.role} {self.name} {self.digest}"


def new(name: str, role: Role) -> tuple[str, Holder]:
    """A new random key, and what the list is to hold of it.

    Raises:
        KeysError: the name is none.
    """
    if not _NAME.fullmatch(name):
        raise KeysError(f"name {name!r}; wanted: up to 63 letters, digits, or any of . _ @ - after the first")
    key = f"episome_{secrets.token_urlsafe(_BYTES)}"
    return key, Holder(name=name, role=role, digest=_digest(key))


def read(file: Path) -> tuple[Holder, ...]:
    """The holders a file lists; see `parse`.

    Raises:
        KeysError: there is no such file, or it is no such list.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise KeysError(f"the list of keys {file} cannot be read: {type(error).__name__}") from error
    return parse(text.splitlines(), str(file))


def parse(lines: Iterable[str], where: str) -> tuple[Holder, ...]:
    """Holders, one a line: role, name, SHA-256 of the key. Blank lines and those with # first count for nothing.

    Args:
        lines: the list.
        where: what to call it in errors. They never say what a line holds: it may be a key.

    Raises:
        KeysError: a line is none, a name or key comes twice, or there is nobody.
    """
    found: dict[str, Holder] = {}
    for number, line in enumerate(map(str.strip, lines), start=1):
        if not line or line.startswith("#"):
            continue
        holder = _holder(line.split(), f"{where}, line {number}")
        if holder.name in found or holder.digest in {each.digest for each in found.values()}:
            raise KeysError(f"{where}, line {number}: its name or its key is that of a line before")
        found[holder.name] = holder
    if not found:
        raise KeysError(f"{where} lists no key, so nobody could ask; `episome key new NAME` prints a line for it")
    return tuple(found.values())


def _holder(parts: Sequence[str], where: str) -> Holder:
    match parts:
        case [("reader" | "operator") as role, name, digest] if _NAME.fullmatch(name) and _DIGEST.fullmatch(digest):
            return Holder(name=name, role=role, digest=digest)
    raise KeysError(f"{where}: wanted reader or operator, a name, and 64 hex digits, as `episome key new` prints them")


def who(key: str, holders: Iterable[Holder]) -> Holder | None:
    """The holder of a key; it takes as long for every key, right or wrong."""
    digest = _digest(key)
    found = None
    for each in holders:
        if hmac.compare_digest(digest, each.digest):
            found = each
    return found


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
