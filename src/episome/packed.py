"""Files that may be gzip: known by their first bytes, never by their name.

``bgz`` is gzip in many members, each with the length of its block in an extra field ``BC``, and an empty member at
the end. Its absence is how a file that was cut between two members is told from a whole one.
"""

import gzip
import io
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from episome.types import EpisomeError

MAGIC = b"\x1f\x8b"
_HEAD = 14
_BGZF = b"BC"  # bytes 12 and 13
_BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


@contextmanager
def binary(path: Path, error: type[EpisomeError]) -> Iterator[BinaryIO]:
    """Open a file or a pipe, plain, gzip or bgz, and read what was packed.

    Raises:
        EpisomeError: as the given `error`, here or while the file is read: it cannot be opened, or is a truncated
            or damaged gzip file.
    """
    try:
        with path.open("rb") as raw:
            head = raw.peek(_HEAD)[:_HEAD]
            if head.startswith(MAGIC) and head[12:] == _BGZF and raw.seekable():
                _check_end(raw)
                raw.seek(0)
            with gzip.GzipFile(fileobj=raw) if head.startswith(MAGIC) else raw as stream:
                yield cast("BinaryIO", stream)
    except (EOFError, zlib.error, gzip.BadGzipFile) as cause:
        raise error(f"{path}: the gzip file is truncated or damaged ({cause}); copy it again") from cause
    except OSError as cause:
        raise error(f"{path}: cannot be opened: {cause.strerror}") from cause


@contextmanager
def text(path: Path, error: type[EpisomeError]) -> Iterator[TextIO]:
    """Open a UTF-8 text file as `binary` does, with or without a byte-order mark; line ends are left as they are.

    Raises:
        EpisomeError: as for `binary`, and where the file is no UTF-8.
    """
    with binary(path, error) as stream:
        try:
            yield io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
        except UnicodeDecodeError as cause:
            raise error(f"{path}: not UTF-8 text: {cause}") from cause


def _check_end(raw: BinaryIO) -> None:
    raw.seek(-min(len(_BGZF_END), raw.seek(0, os.SEEK_END)), os.SEEK_END)
    if raw.read() != _BGZF_END:
        raise EOFError("a bgz file without its last, empty block")
