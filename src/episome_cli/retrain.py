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
@click.option("--no-repair", is_flag=True, help="Stop at the first refusal instead of trying retrain.ladder.")
def retrain(species: str, data: Path, task: str | None, *, no_repair: bool) -> None:
    """Train SPECIES further on added labels, held to its champion; then say whether it may be promoted.

    Where the gate finds that it forgot, the rungs of retrain.ladder in params.yaml are tried, a training each.
    """
    from pipelines import paths
    from pipelines import retrain as pipeline

    done = pipeline.retrain(species, data, params.read(), task=task, repair=not no_repair)
    click.echo(f"{species}: retrained on {done.release}, held to {done.prior}")
    for number, attempt in enumerate(done.attempts, start=1):
        verdict = "passed" if attempt.passed else "refused"
        click.echo(f"attempt {number}, version {attempt.version}, {attempt.shown}: {verdict}")
        last = number == len(done.attempts)
        for line in attempt.words():
            if last or line.startswith("FAILED"):
                click.echo(f"  {line}")
    click.echo(f"All of it: {paths.retrain(species)}")
    if done.passed:
        if done.attempts[-1].rung:
            click.echo(f"params.yaml keeps what it took, under species.{species}.train: {done.attempts[-1].shown}")
        click.echo(f"It kept what the champion knew. Next: episome promote {species}")
    else:
        click.echo(f"Nothing more was tried: {done.end}")
        click.echo(f"`episome promote {species}` will refuse it, for what FAILED above; the champion goes on answering")
        click.echo("params.yaml is as it was before. To try again, change a number there (species.train.ewc_lambda,")
        click.echo(f"say) and give the same command. `dvc repro register@{species}` puts the workspace back")
