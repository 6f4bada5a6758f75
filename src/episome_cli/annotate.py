"""`episome annotate` and `episome species`: the shelf from the command line, with the numbers that HTTP gives."""

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import click

from episome import answer, bundle, fasta, formats, generation, params, regions, reply, shelf
from episome.annotate import StrandChoice
from episome.answer import Asked, Event, Refusal, Report, Wish
from episome.fasta import Record
from episome.formats import Format
from episome.generation import EMPTY, Generation
from episome.regions import RegionError
from episome.runtime import Device
from episome.serveparams import Serve
from episome.types import EpisomeError
from episome_cli import options, outlet
from serving.batcher import Batcher, chunk_bases

_NEVER = float("inf")
_STDIN = Path("-")


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
    "sources",
    metavar="IN.fa|- ...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
)
@click.option("-s", "--species", required=True, help="Species whose adapter answers.")
@click.option("-t", "--tasks", help="Tasks with commas between; all of the species' when left out.")
@click.option("-f", "--format", "kind", type=click.Choice(list(formats.WRITERS)), default="gff3", show_default=True)
@click.option(
    "--report",
    type=click.Choice(["calls", "all"]),
    default="calls",
    show_default=True,
    help="What reaches its threshold, overlapping windows of a task as one; or every window.",
)
@click.option(
    "--strand", type=click.Choice(["both", "+", "-"]), default="both", show_default=True, help="Strand to score."
)
@click.option(
    "--threshold",
    "thresholds",
    metavar="[TASK=]P",
    multiple=True,
    help="Call from this probability on instead of the calibrated one, of every task or of the named one; repeatable.",
)
@click.option(
    "--region",
    "places",
    metavar="CONTIG:START-END",
    multiple=True,
    help="Only what overlaps these bases, 1-based with both ends inside, as samtools; repeatable.",
)
@click.option(
    "--bed",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Only what overlaps the intervals of this BED file (0-based half-open).",
)
@click.option("--threads", type=click.IntRange(min=1), help="Cores to use; serve.threads of params.yaml when left out.")
@click.option(
    "--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True, help="What runs the model."
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write instead of stdout; gzip where its name ends in .gz.",
)
@click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")
@_of_the_shelf
def annotate(
    *,
    sources: tuple[Path, ...],
    species: str,
    tasks: str | None,
    kind: Format,
    output: Path | None,
    quiet: bool,
    **how: Any,
) -> None:
    """Annotate the records of FASTA files, plain or gzip, or of stdin (-).

    Coordinates are 0-based half-open, in GFF3 1-based and closed. A record that cannot be annotated is named on stderr
    and makes the exit status 1; the others are annotated.
    """
    if sources.count(_STDIN) > 1:
        raise click.UsageError("- came more than once; stdin can be read once")
    wish = _wish(**how)
    loaded, limits = _load(**how)
    ask = _asker(loaded, limits, species, None if tasks is None else tuple(tasks.split(",")), wish)
    failures: list[Refusal] = []
    with ExitStack() as stack:
        records = fasta.read_all(sys.stdin.buffer if source == _STDIN else source for source in sources)
        sink = stack.enter_context(outlet.sink(output))
        tick = stack.enter_context(outlet.progress(shown=not quiet and sys.stderr.isatty()))
        for line in formats.WRITERS[kind](_told(ask(_within(_seen(records, tick), wish)), failures)):
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


def _wish(
    *,
    report: Report,
    strand: StrandChoice,
    thresholds: Sequence[str],
    places: Sequence[str],
    bed: Path | None,
    **_: Any,
) -> Wish:
    """What is asked for; all of it is read before anything is loaded."""
    everywhere, by_task = _thresholds(thresholds)
    asked = [regions.parse(each) for each in places] + (regions.read_bed(bed) if bed else [])
    return Wish(
        report=report,
        strand=strand,
        threshold=everywhere,
        thresholds=by_task,
        regions=regions.joined(asked) if asked else None,
    )


def _thresholds(words: Sequence[str]) -> tuple[float | None, dict[str, float]]:
    """The threshold of every task, and those of named ones."""
    everywhere: float | None = None
    by_task: dict[str, float] = {}
    for word in words:
        task, _, number = word.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not 0 <= value <= 1:
            raise EpisomeError(f"threshold {word!r}; wanted: a probability, 0 to 1, or TASK=PROBABILITY")
        if task:
            by_task[task] = value
        else:
            everywhere = value
    return everywhere, by_task


def _load(
    *, shelf_folder: Path | None, params_file: Path, threads: int | None, device: Device, **_: Any
) -> tuple[Generation, Serve]:
    known = params.read(params_file)
    limits = known.serve if threads is None else known.serve.model_copy(update={"threads": threads})
    folder = shelf_folder or known.registry.shelf
    champions = shelf.read(folder)
    if not champions.species:
        raise EpisomeError(f"{folder}: no species is on this shelf; `episome promote SPECIES` puts one there")
    allowed = limits.allow_simulated
    loaded = generation.load(
        folder, champions, threads=limits.threads, allow_simulated=allowed, before=EMPTY, device=device
    )
    return loaded, limits


def _asker(
    loaded: Generation, limits: Serve, species: str, tasks: tuple[str, ...] | None, wish: Wish
) -> Callable[[Iterable[Record]], Iterator[Event]]:
    """What annotates records; that it can be asked is known before a record is read."""
    reply.wished(answer.asked_of(species, tasks, loaded)[1], wish)

    def ask(records: Iterable[Record]) -> Iterator[Event]:
        batcher = Batcher(
            threads=limits.threads,
            tokens_per_run=limits.tokens_per_run,
            queue_tokens=limits.queue_tokens,
            queued=lambda _: None,
        )
        with closing(batcher):
            yield from reply.stream(
                (Asked(id=each.id, sequence=each.sequence, species=species, tasks=tasks) for each in records),
                loaded,
                batcher.call(_NEVER),
                wish,
                mismatch_nats=limits.mismatch_nats,
                chunk_bases=chunk_bases(limits),
            )

    return ask


def _within(records: Iterable[Record], wish: Wish) -> Iterator[Record]:
    """The records that are asked for.

    Raises:
        RegionError: a region lies on none of them.
    """
    if wish.regions is None:
        yield from records
        return
    missing = dict.fromkeys(wish.regions)
    for record in records:
        if record.id in wish.regions:
            del missing[record.id]
            yield record
    if missing:
        raise RegionError(f"a region is on {next(iter(missing))!r}; no record of the input has that id")


def _told(events: Iterable[Event], failures: list[Refusal]) -> Iterator[Event]:
    """Pass pieces of answers on; name the records that failed on stderr."""
    for event in events:
        if isinstance(event, Refusal):
            failures.append(event)
            click.echo(f"episome: record {event.id!r}: {event.problem.detail}", err=True)
        yield event


def _seen(records: Iterable[Record], tick: Callable[[Record], None]) -> Iterator[Record]:
    for record in records:
        yield record
        tick(record)
