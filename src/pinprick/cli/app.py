"""The commands and their options; what they do is imported when they are called."""

from __future__ import annotations

from typing import Annotated

import typer

from pinprick import __version__
from pinprick.cli.attack import attack
from pinprick.cli.report import report
from pinprick.cli.summary import summary
from pinprick.cli.targets import targets
from pinprick.cli.train import train

app = typer.Typer(
    name="pinprick",
    help="How little of an image has to change before a classifier is wrong: from one pixel up.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
)
app.command("attack")(attack)
app.command("report")(report)
app.command("summary")(summary)
app.add_typer(targets, name="targets")
app.command("train")(train)


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
) -> None:
    if version:
        typer.echo(f"pinprick {__version__}")
        raise typer.Exit
