"""The `episome` command itself: names of its sub-commands, each loaded only when it is asked for.

So `episome annotate` works where only the extra `serve` is installed, and help comes at once.
"""

import importlib
from collections.abc import Mapping
from typing import Any, Final

import click

from episome import __version__
from episome.types import EpisomeError

COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "annotate": ("episome_cli.annotate:annotate", "Annotate a FASTA file from the command line."),
    "species": ("episome_cli.annotate:species", "List the species on the shelf."),
    "promote": ("episome_cli.registry:promote", "Put a registered version into service."),
    "rollback": ("episome_cli.registry:rollback", "Put the version before the champion back into service."),
    "trace": ("episome_cli.receipts:trace", "Print what made an answer, and how to rebuild it."),
    "reproduce": ("episome_cli.receipts:reproduce", "Rebuild a version in a temporary clone and compare hashes."),
    "retrain": ("episome_cli.retrain:retrain", "Train a challenger on added labels, held to the champion."),
    "feedback": ("episome_cli.feedback:feedback", "Curated labels: count them, write them as a release."),
    "ledger": ("episome_cli.registry:ledger", "Every promotion so far, and whether the record is whole."),
    "preset": ("episome_cli.preset:preset", "Print the parameters of a scenario, for params.yaml."),
    "donor": ("episome_cli.donor:donor", "Suggest whose adapter a species should start from."),
    "data": ("episome_cli.data:data", "Fetch sources of a pinned release; re-hash every tracked file."),
    "key": ("episome_cli.key:key", "A new API key of the service."),
    "doctor": ("episome_cli.registry:doctor", "Compare registry, ledger and shelf."),
}
"""Command → where it is, and the line that help shows for it without loading it."""


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is run."""

    def list_commands(self, _: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name][0].split(":")
        command = getattr(importlib.import_module(module), name)
        if not isinstance(command, click.Command):
            raise TypeError(f"{module}:{name} is no command")
        return command

    def format_commands(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except EpisomeError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="episome")
def main() -> None:
    """One DNA language model, one small adapter per species."""
