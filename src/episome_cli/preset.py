"""`episome preset`: parameters of a scenario, to be merged into params.yaml by hand."""

import click

from episome import presets


@click.command()
@click.argument("name", required=False)
def preset(name: str | None) -> None:
    """Print the YAML of preset NAME, to be merged into params.yaml; without a name, say which there are."""
    if name is None:
        for known, body in presets.presets().items():
            click.echo(f"{known:14} {body.about}")
    else:
        click.echo(presets.text(name), nl=False)
