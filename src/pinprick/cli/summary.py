"""The options of `pinprick summary`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def summary(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Folders that were given to --out.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Print every measure of stored runs, finished or not, from their outcomes alone."""
    from pinprick.cli.summarising import print_summaries

    print_summaries(folders, as_json=as_json)
