"""`episome retrain`: a challenger from added labels, held to the champion."""

from pathlib import Path

import click

from episome import params


@click.command()
@click.argument("species")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    required=True,
    help="CSV with columns sequence,label,task[,group,split], .gz allowed; or a folder of `episome feedback export`.",
)
@click.option("--task", help="Task of every row, where the file has no such column.")
def retrain(species: str, data: Path, task: str | None) -> None:
    """Train SPECIES further on added labels, held to its champion; then say whether it may be promoted."""
    from pipelines import retrain as pipeline

    done = pipeline.retrain(species, data, params.read(), task=task)
    click.echo(f"{species}: retrained on {done.release}, held to {done.prior}")
    for line in done.words():
        click.echo(f"  {line}")
    if done.passed:
        click.echo(f"It kept what the champion knew. Next: episome promote {species}")
    else:
        click.echo(f"`episome promote {species}` will refuse it, for what FAILED above; the champion goes on answering")
        click.echo("params.yaml is as it was before. To try again, change a number there (species.train.ewc_lambda,")
        click.echo(f"say) and give the same command. `dvc repro register@{species}` puts the workspace back")
