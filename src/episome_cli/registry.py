"""`episome promote`, `rollback`, `doctor` and `ledger verify`: which version answers, and the record of it."""

import getpass
import os
from typing import TYPE_CHECKING

import click

from episome import params
from episome.types import EpisomeError

if TYPE_CHECKING:
    from pipelines import promotion


@click.command()
@click.argument("species", required=False)
@click.option("--all", "everything", is_flag=True, help="Every species of params.yaml.")
@click.option("--version", "number", type=int, help="A registered version; else the one the pipeline made last.")
@click.option("--reason", default="", help="Written into the ledger.")
@click.option(
    "--uncompared", is_flag=True, help="Accept a version that the gate did not compare with the present champion."
)
def promote(species: str | None, everything: bool, number: int | None, reason: str, uncompared: bool) -> None:
    """Make a version of SPECIES the champion, if its gate report passed, and publish it on the shelf."""
    from pipelines import promotion

    settings = params.read()
    if (species is None) != everything or (everything and number is not None):
        raise click.UsageError("name one SPECIES, or --all without --version")
    refused = 0
    for name in settings.species if everything else [str(species)]:
        try:
            outcome = promotion.promote(
                name, settings, actor=_actor(), reason=reason, number=number, uncompared=uncompared
            )
        except EpisomeError as error:
            if not everything:
                raise
            refused += 1
            click.echo(str(error), err=True)
        else:
            _tell(outcome)
    if refused:
        raise EpisomeError(f"{refused} of {len(settings.species)} species not promoted; why is above")


@click.command()
@click.argument("species")
@click.option("--reason", default="", help="Written into the ledger.")
def rollback(species: str, reason: str) -> None:
    """Return SPECIES to the champion it had before; needs the shelf, not MLflow."""
    from pipelines import promotion

    _tell(promotion.rollback(species, params.read(), actor=_actor(), reason=reason))


@click.command()
@click.option(
    "--mend", is_flag=True, help="Set the registry's aliases from the shelf; put back what a killed retrain changed."
)
@click.pass_context
def doctor(context: click.Context, mend: bool) -> None:
    """Compare registry, ledger and shelf; exit 1 where they differ."""
    from pipelines import doctor as record

    differences = record.differences(params.read(), mend=mend)
    for difference in differences:
        click.echo(difference)
    if differences:
        context.exit(1)
    click.echo("registry, ledger and shelf agree")


@click.group()
def ledger() -> None:
    """The record of every promotion and rollback."""


@ledger.command()
def verify() -> None:
    """Check it against its own hashes and the shelf; prints the number of lines and the last hash, worth keeping."""
    from pipelines import champions
    from pipelines import doctor as record
    from pipelines import ledger as lines

    if found := tuple(record.of_ledger(champions.folder(params.read()))):
        raise EpisomeError("\n".join(found))
    click.echo(f"{len(lines.read(lines.LEDGER))} lines, head {lines.head(lines.LEDGER)}")


def _tell(outcome: "promotion.Outcome") -> None:
    entry = outcome.entry
    answers = f"{outcome.species}: version {entry.version} (bundle {entry.bundle[:12]})"
    if not outcome.changed:
        click.echo(f"{answers} is the champion already")
    else:
        came = f"version {outcome.before.version}" if outcome.before else "none"
        click.echo(f"{answers} is the champion now; before: {came}")
    for warning in outcome.warnings:
        click.echo(f"warning: {warning}", err=True)


def _actor() -> str:
    """Name of the user, or the number where the machine knows no name for it (containers)."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
