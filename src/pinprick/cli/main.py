"""The `pinprick` command."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from pinprick import __version__
from pinprick.cli.attack import attack
from pinprick.cli.console import say
from pinprick.cli.memory import keep_freed_memory
from pinprick.cli.train import train
from pinprick.errors import EXIT_INTERRUPTED, PinprickError

app = typer.Typer(
    name="pinprick",
    help="How little of an image has to change before a classifier is wrong: from one pixel up.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
)
app.command("attack")(attack)
app.command("train")(train)


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
) -> None:
    if version:
        typer.echo(f"pinprick {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line; errors go to stderr, exit codes are 0, 2 (bad input), 3 (failed units), 130 (Ctrl-C)."""
    keep_freed_memory()
    try:
        app(standalone_mode=True)
    except PinprickError as error:
        say(f"error: {error}")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        say("interrupted")
        sys.exit(EXIT_INTERRUPTED)


if __name__ == "__main__":
    main()
