"""`episome trace` and `episome reproduce`: what made an answer, and whether it can be made again."""

import json
from pathlib import Path

import click

from episome import params
from episome.types import EpisomeError


@click.command()
@click.argument("receipt", metavar="RECEIPT|FILE|SPECIES|-")
@click.option("--json", "as_json", is_flag=True, help="A JSON array, an object a receipt.")
@click.option(
    "--inputs",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Write params.yaml and .dvc files as they were registered into this folder, and nothing else.",
)
def trace(receipt: str, as_json: bool, inputs: Path | None) -> None:
    """Print what made an answer: version, hashes, data, params, commit, gate report, lineage, and how to rebuild it.

    RECEIPT is the sha256 under adapter.bundle of a receipt, or its first eight digits or more. FILE is an answer of the
    service or of `episome annotate` in any format; every receipt in it is traced. SPECIES stands for its champion.
    """
    from pipelines import account
    from pipelines import trace as tracing

    settings = params.read()
    found = [tracing.trace(subject, settings) for subject in tracing.asked(receipt, settings)]
    if inputs is not None:
        if len(found) != 1:
            raise EpisomeError(f"{receipt}: {len(found)} receipts; --inputs takes one")
        tracing.place_inputs(found[0], inputs)
    elif as_json:
        click.echo(json.dumps([account.as_json(each) for each in found], indent=2, ensure_ascii=False))
    else:
        click.echo("\n\n".join("\n".join(account.words(each)) for each in found))


@click.command()
@click.argument("receipt", metavar="RECEIPT|FILE|SPECIES|-")
@click.pass_context
def reproduce(context: click.Context, receipt: str) -> None:
    """Train a version again in a temporary clone and compare its adapter's sha256; exit 1 where they differ.

    It takes the recorded commit, params and DVC-tracked data, and asks no network. What the pipeline says goes to
    stderr.
    """
    from pipelines import reproduce as pipeline
    from pipelines import trace as tracing

    settings = params.read()
    equal = True
    for subject in tracing.asked(receipt, settings):
        done = pipeline.reproduce(tracing.trace(subject, settings))
        equal &= done.equal
        for line in done.words():
            click.echo(line)
    if not equal:
        context.exit(1)
