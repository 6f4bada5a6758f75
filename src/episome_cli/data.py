"""`episome data fetch` and `verify`: sources from a host, held to their first content; every tracked byte re-hashed."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from episome import params
from episome.types import EpisomeError

_LOCK = Path(".dvc/tmp/episome-fetch.lock")


@click.group()
def data() -> None:
    """Sources that can be fetched again, and whether anything on disk was altered."""


@data.command()
@click.argument("species", nargs=-1)
@click.option("--dry-run", is_flag=True, help="Say what would be fetched; asks no host.")
@click.option("--again", is_flag=True, help="Download what is there too, and compare it with its first content.")
def fetch(species: tuple[str, ...], dry_run: bool, again: bool) -> None:
    """Download the files of SPECIES (all under `fetch` in params.yaml where none is named), check and pin them."""
    from pipelines import fetch as pipeline
    from pipelines import lock

    settings = params.read().fetch
    wanted = pipeline.plan(settings, species)
    if settings is None or dry_run:
        for file in wanted:
            click.echo(f"{file.state():8}  {file.url} -> {file.path}  (checksums: {file.checksums or 'our own alone'})")
        return
    if not _LOCK.parent.parent.is_dir():
        raise EpisomeError("no .dvc folder here; run `dvc init` first, in the project's root folder")
    hosts, refused = pipeline.Hosts(timeout=settings.timeout_seconds), 0
    with lock.hold(_LOCK):
        for file in wanted:
            try:
                with _bar(file.path.name) as watch:
                    said = pipeline.get(file, hosts, watch, again=again)
            except EpisomeError as error:
                refused += 1
                click.echo(f"{file.path}: refused\n  {error}", err=True)
            else:
                click.echo(f"{file.path}: {said}")
    if refused:
        raise EpisomeError(f"{refused} of {len(wanted)} files refused; why is above")
    click.echo(f"Commit what pins them: git add {' '.join(sorted({str(file.path.parent) for file in wanted}))}")


@contextmanager
def _bar(name: str) -> Iterator[Callable[[int, int | None], None]]:
    """A line that counts bytes, where somebody looks on; nothing else."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(name, total=None)
        yield lambda came, total: progress.update(task, completed=came, total=total)


@data.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def verify(context: click.Context, as_json: bool) -> None:
    """Hash every tracked file again, here and in DVC's cache; exit 1 where one is not what the records say."""
    from pipelines import verify as pipeline

    report = pipeline.verify()
    if as_json:
        click.echo(json.dumps(asdict(report), indent=2))
    else:
        for line in report.words():
            click.echo(line)
    if report.wrong:
        context.exit(1)
