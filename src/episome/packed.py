"""Text files that may be gzip: known by their first bytes, never by their name."""

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TextIO, cast

from episome.types import EpisomeError

MAGIC = b"\x1f\x8b"


@contextmanager
def text(path: Path, error: type[EpisomeError]) -> Iterator[TextIO]:
    """Open a UTF-8 text file, plain or gzip, with or without a byte-order mark; line ends are left as they are.

    Raises:
        EpisomeError: as the given `error`, here or while the text is read: the file cannot be opened, is no
            UTF-8, or is a truncated or damaged gzip file.
    """
    try:
        with path.open("rb") as raw:
            packed = raw.read(len(MAGIC)) == MAGIC
        with gzip.open(path) if packed else path.open("rb") as stream:
            yield io.TextIOWrapper(cast("IO[bytes]", stream), encoding="utf-8-sig", newline="")
    except (EOFError, zlib.error, gzip.BadGzipFile) as cause:
        raise error(f"{path}: the gzip file is truncated or damaged ({cause}); copy it again") from cause
    except OSError as cause:
        raise error(f"{path}: cannot be opened: {cause.strerror}") from cause
    except UnicodeDecodeError as cause:
        raise error(f"{path}: not UTF-8 text: {cause}") from cause
