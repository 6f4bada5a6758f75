"""`episome key`: API keys of the service."""

import click

from episome import keys
from episome.keys import Role


@click.group()
def key() -> None:
    """API keys of the service; docs/operate.md says where their list goes."""


@key.command()
@click.argument("name")
@click.option("--role", type=click.Choice(keys.ROLES), default="reader", show_default=True, help="What it opens.")
def new(name: str, role: Role) -> None:
    """Print a new key for NAME, once, and the line that the service's list of keys is to hold."""
    made, holder = keys.new(name, role)
    click.echo("The key, for NAME alone; it is kept nowhere and cannot be shown again:".replace("NAME", name), err=True)
    click.echo(made)
    click.echo("The line for the list of keys (serve.keys in params.yaml, or EPISOME_KEYS):", err=True)
    click.echo(holder.line)
