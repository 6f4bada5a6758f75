"""`episome annotate` and `episome species`: the shelf from the command line, with the numbers that HTTP gives."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import click

from episome import answer, bundle, fasta, formats, generation, params, shelf
from episome.answer import Answer, Asked, Refusal, Report
from episome.fasta import Record
from episome.formats import Format
from episome.generation import EMPTY, Generation
from episome.serveparams import Serve
from episome.types import EpisomeError
from episome_cli import options
from serving.batcher import Batcher, chunk_bases

# Records that are answered together, so that short ones share runs of the model.
_GROUP_RECORDS = 64
_GROUP_BASES = 200_000
_NEVER = float("inf")


def _of_the_shelf(function: Callable[..., None]) -> Callable[..., None]:
    """The options of every command that reads the shelf."""
    with_shelf = click.option(
        "--shelf",
        "shelf_folder",
        type=click.Path(file_okay=False, path_type=Path),
        envvar="EPISOME_SHELF",
        show_envvar=True,
        help="The shelf; registry.shelf of params.yaml when left out.",
    )
    return with_shelf(options.params_file(function))


@click.command()
@click.argument(
    "source", metavar="IN.fa|-", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
)
@click.option("-s", "--species", required=True, help="Species whose adapter answers.")
@click.option("-t", "--tasks", help="Tasks with commas between; all of the species' when left out.")
@click.option("-f", "--format", "kind", type=click.Choice(list(formats.WRITERS)), default="gff3", show_default=True)
@click.option(
    "--report",
    type=click.Choice(["calls", "all"]),
    default="calls",
    show_default=True,
    help="Only what reaches its threshold, or every scored window.",
)
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="File to write instead of stdout."
)
@click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")
@_of_the_shelf
def annotate(
    *,
    source: Path,
    kind: Format,
    output: Path | None,
    quiet: bool,
    shelf_folder: Path | None,
    params_file: Path,
    **question: Any,
) -> None:
    """Annotate the records of a FASTA file, plain or gzip, or of stdin (-).

    Coordinates are 0-based half-open, in GFF3 1-based and closed. A record that cannot be annotated is named on stderr
    and makes the exit status 1; the others are annotated.
    """
    known = params.read(params_file)
    loaded = _load(shelf_folder or known.registry.shelf, known.serve)
    ask = _asker(loaded, known.serve, **question)
    failures: list[Refusal] = []
    with ExitStack() as stack:
        records = fasta.read(stack.enter_context(_opened(source)))
        sink = stack.enter_context(_sink(output))
        tick = stack.enter_context(_progress(shown=not quiet and sys.stderr.isatty()))
        for line in formats.WRITERS[kind](_told(ask(_seen(records, tick)), failures)):
            sink.write(line + "\n")
    if failures:
        raise click.exceptions.Exit(1)


@click.command()
@_of_the_shelf
def species(*, shelf_folder: Path | None, params_file: Path) -> None:
    """List the species on the shelf: name, version, tasks, bundle."""
    folder = shelf_folder or params.read(params_file).registry.shelf
    for name, entry in shelf.read(folder).species.items():
        card = bundle.read_species_card(shelf.open_bundle(folder, entry.bundle))
        tasks = ",".join(task.name for task in card.tasks)
        kind = "simulated" if card.simulated else "real"
        click.echo("\t".join((name, f"v{entry.version}", kind, card.scientific_name, tasks, entry.bundle)))


def _load(folder: Path, limits: Serve) -> Generation:
    champions = shelf.read(folder)
    if not champions.species:
        raise EpisomeError(f"{folder}: no species is on this shelf; `episome promote SPECIES` puts one there")
    return generation.load(
        folder, champions, threads=limits.threads, allow_simulated=limits.allow_simulated, before=EMPTY
    )


def _asker(
    loaded: Generation, limits: Serve, *, species: str, tasks: str | None, report: Report
) -> Callable[[Iterable[Record]], Iterator[Answer | Refusal]]:
    """What annotates records; that the species and its tasks exist is known before a record is read."""
    chosen = None if tasks is None else tuple(tasks.split(","))
    answer.asked_of(species, chosen, loaded)

    def ask(records: Iterable[Record]) -> Iterator[Answer | Refusal]:
        batcher = Batcher(
            threads=limits.threads,
            tokens_per_run=limits.tokens_per_run,
            queue_tokens=limits.queue_tokens,
            queued=lambda _: None,
        )
        with closing(batcher):
            for group in _groups(records):
                yield from answer.answer(
                    [Asked(id=each.id, sequence=each.sequence, species=species, tasks=chosen) for each in group],
                    loaded,
                    batcher.call(_NEVER),
                    report=report,
                    mismatch_nats=limits.mismatch_nats,
                    chunk_bases=chunk_bases(limits),
                )

    return ask


def _groups(records: Iterable[Record]) -> Iterator[list[Record]]:
    group: list[Record] = []
    bases = 0
    for record in records:
        group.append(record)
        bases += len(record.sequence)
        if len(group) >= _GROUP_RECORDS or bases >= _GROUP_BASES:
            yield group
            group, bases = [], 0
    if group:
        yield group


def _told(results: Iterable[Answer | Refusal], failures: list[Refusal]) -> Iterator[Answer | Refusal]:
    """Pass results on; name those that failed on stderr."""
    for result in results:
        if isinstance(result, Refusal):
            failures.append(result)
            click.echo(f"episome: record {result.id!r}: {result.problem.detail}", err=True)
        yield result


def _seen(records: Iterable[Record], tick: Callable[[Record], None]) -> Iterator[Record]:
    for record in records:
        yield record
        tick(record)


@contextmanager
def _opened(source: Path) -> Iterator[BinaryIO]:
    if source == Path("-"):
        yield sys.stdin.buffer
    else:
        with source.open("rb") as file:
            yield file


@contextmanager
def _sink(output: Path | None) -> Iterator[TextIO]:
    """Stdout, or a file that appears under its name only when it is whole."""
    if output is None:
        yield sys.stdout
        return
    if output.exists() and not output.is_file():  # a pipe or a device
        with output.open("w", encoding="utf-8") as file:
            yield file
        return
    part = output.with_name(f".{output.name}.{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8", newline="\n") as file:
            yield file
        part.replace(output)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _progress(*, shown: bool) -> Iterator[Callable[[Record], None]]:
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
