"""Options that several commands share."""

from pathlib import Path

import click

params_file = click.option(
    "--params",
    "params_file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("params.yaml"),
    envvar="EPISOME_PARAMS",
    show_default=True,
    show_envvar=True,
    help="Where the numbers are.",
)
