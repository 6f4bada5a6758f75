"""`episome feedback`: curated labels counted, and written as a release for `episome retrain`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from episome import feedback as labels
from episome import params
from episome.params import Params
from episome.types import EpisomeError

if TYPE_CHECKING:
    from pipelines.feedback import Contradictions

_STORE = click.option(
    "--file",
    "store",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file of labels; serve.feedback.file of params.yaml when left out.",
)


@click.group()
def feedback() -> None:
    """Curated labels that were sent to POST /v1/feedback."""


@feedback.command(name="list")
@_STORE
def counts(store: Path | None) -> None:
    """Count them: species, task, label, rows, sequences, curators."""
    for count in labels.counts(store or _configured(params.read())):
        click.echo("\t".join(map(str, count)))


@feedback.command()
@click.argument("species")
@click.argument("out_folder", type=click.Path(path_type=Path))
@click.option("--after", type=click.IntRange(min=0), default=0, metavar="ID", help="Only labels that came after this.")
@click.option(
    "--contradictions",
    type=click.Choice(["exclude", "newest"]),
    default="exclude",
    show_default=True,
    help="Leave out sequences that carry both labels, or take what was said last.",
)
@_STORE
def export(species: str, out_folder: Path, after: int, contradictions: "Contradictions", store: Path | None) -> None:
    """Write the labels of SPECIES to OUT_FOLDER, for `episome retrain SPECIES --data OUT_FOLDER`."""
    from pipelines import feedback as pipeline

    settings = params.read()
    file = store or _configured(settings)
    done = pipeline.export(species, out_folder, settings, file, after=after, contradictions=contradictions)
    for fate, rows in done["rows"].items():
        click.echo(f"{rows:6} {fate.replace('_', ' ')}", err=True)
    click.echo(f"{out_folder}: {done['data']['rows']} rows, sha256 {done['data']['sha256']}")
    click.echo(f"Next: episome retrain {species} --data {out_folder}")
    click.echo(f"The export after this one: --after {done['last_id']}")


def _configured(settings: Params) -> Path:
    if settings.serve.feedback is None:
        raise EpisomeError("serve.feedback in params.yaml is null: no labels are taken; name the file with --file")
    return settings.serve.feedback.file
