"""Where a command writes: a file that is whole or not there, and what a person sees meanwhile."""

import gzip
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from episome.fasta import Record


@contextmanager
def sink(output: Path | None) -> Iterator[TextIO]:
    """Stdout, or a file that appears under its name only when it is whole; gzip where that ends in ``.gz``.

    The bytes of a gzip file depend on what is written alone: neither name nor time are in it.
    """
    if output is None:
        yield sys.stdout
        return
    if output.exists() and not output.is_file():  # a pipe or a device
        with output.open("w", encoding="utf-8") as file:
            yield file
        return
    part = output.with_name(f".{output.name}.{os.getpid()}.part")
    try:
        with ExitStack() as stack:
            raw: BinaryIO = stack.enter_context(part.open("wb"))
            if output.suffix == ".gz":
                packed = gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0)
                raw = stack.enter_context(cast("BinaryIO", packed))
            yield stack.enter_context(io.TextIOWrapper(raw, encoding="utf-8", newline="\n"))
        part.replace(output)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def progress(*, shown: bool) -> Iterator[Callable[[Record], None]]:
    """Records and bases so far, on stderr."""
    if not shown:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.completed} records"), TextColumn("{task.fields[bases]:,} bases"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("", total=None, bases=0)

        def tick(record: Record) -> None:
            progress.update(bar, advance=1, bases=progress.tasks[bar].fields["bases"] + len(record.sequence))

        yield tick
