"""Receipts read back out of what was answered: GFF3, BED, TSV, JSON or JSON lines, plain or gzip."""

import gzip
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import StringConstraints, TypeAdapter, ValidationError

from episome.answer import Receipt
from episome.types import EpisomeError

Identifier = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8,64}$")]
"""What names a receipt: the sha256 of the bundle that answered (`adapter.bundle`), or at least its first eight."""

_RECEIPT: Final = TypeAdapter(Receipt)
_IDENTIFIER: Final = TypeAdapter(Identifier)
_COMMENT: Final = "# {"
_GZIP: Final = b"\x1f\x8b"


class ReceiptError(EpisomeError):
    """No receipt, or one that cannot be read."""


def identifies(word: str) -> bool:
    """Whether a word can be the identifier of a receipt."""
    try:
        _IDENTIFIER.validate_python(word)
    except ValidationError:
        return False
    return True


def of_file(path: Path) -> tuple[Receipt, ...]:
    """The receipts in an answer that was kept, each once, in the order of the file.

    Raises:
        ReceiptError: the file cannot be read as text, holds no receipt or a broken one.
    """
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if raw.startswith(_GZIP) else raw).decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise ReceiptError(f"{path}: cannot be read as an answer: {error}") from error
    return of_text(text, str(path))


def of_text(text: str, where: str) -> tuple[Receipt, ...]:
    """As `of_file`, of its text; `where` names it in errors.

    Raises:
        ReceiptError: it holds no receipt or a broken one.
    """
    found = dict.fromkeys(_parsed(each, where) for each in _stated(text))
    if not found:
        raise ReceiptError(
            f"{where}: holds no receipt; wanted an answer of Episome: GFF3, BED or TSV with its `# {{...}}` line, "
            "JSON or JSON lines with `receipt`"
        )
    return tuple(found)


def _stated(text: str) -> Iterator[Any]:
    """What stands where a receipt belongs."""
    if text.lstrip()[:1] in {"{", "["}:
        for value in _json([text]) or _json(text.splitlines()):
            yield from _within(value)
        return
    for value in _json(line[2:] for line in text.splitlines() if line.startswith(_COMMENT)):
        if "adapter" in value:
            yield {name: each for name, each in value.items() if name != "simulated"}


def _json(texts: Iterable[str]) -> list[Any]:
    """The JSON values among texts."""
    values = []
    for text in texts:
        try:
            values.append(json.loads(text))
        except ValueError:
            continue
    return values


def _within(value: Any) -> Iterator[Any]:
    """Every ``receipt`` at any depth."""
    if isinstance(value, dict):
        for name, each in value.items():
            if name == "receipt":
                yield each
            else:
                yield from _within(each)
    elif isinstance(value, list):
        for each in value:
            yield from _within(each)


def _parsed(value: Any, where: str) -> Receipt:
    try:
        receipt = _RECEIPT.validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "receipt"
        raise ReceiptError(f"{where}: a receipt that is none: {place}: {first['msg']}") from error
    if len(receipt.adapter.bundle) != 64 or not identifies(receipt.adapter.bundle):
        raise ReceiptError(f"{where}: a receipt that is none: adapter.bundle: {receipt.adapter.bundle!r} is no sha256")
    return receipt
