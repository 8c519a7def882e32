"""`pinprick targets`: its commands and their options."""

from __future__ import annotations

from typing import Annotated

import typer

from pinprick.cli.interrupts import stopping_work

targets = typer.Typer(help="What a model is, before it is attacked.", no_args_is_help=True)


@targets.callback()
def _group() -> None:
    """What a model is, before it is attacked."""


@targets.command("check")
def check(
    model: Annotated[str, typer.Argument(help="As after --model of pinprick attack.")],
    data: Annotated[str | None, typer.Option(help="Labelled images that it is made for; shows more traps.")] = None,
    questions: Annotated[
        int | None, typer.Option(help="Images it is given at most. Default 20 000, of a remote model 100.")
    ] = None,
    outputs: Annotated[str | None, typer.Option(help="auto (default), logits, probabilities or labels.")] = None,
    normalize: Annotated[str | None, typer.Option(help="As of pinprick attack.")] = None,
    channel_order: Annotated[str | None, typer.Option(help="rgb (default) or bgr.")] = None,
    layout: Annotated[str | None, typer.Option(help="Of models that take arrays: nhwc or nchw. Default auto.")] = None,
    device: Annotated[str | None, typer.Option(help="auto (default), cpu, cuda, cuda:1 …")] = None,
    trust_pickle: Annotated[
        bool | None, typer.Option("--trust-pickle", help="Load a pickled model, which can run any code.")
    ] = None,
    classes: Annotated[
        str | None, typer.Option(help="JSON list of class names in the model's order.", metavar="FILE")
    ] = None,
    resize: Annotated[int | None, typer.Option(help="Resize the short side to this many pixels.")] = None,
    crop: Annotated[int | None, typer.Option(help="Then crop this many pixels square from the centre.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Of a remote model: seconds an answer. Default 30.")] = None,
    retries: Annotated[int | None, typer.Option(help="… how often an image is sent again. Default 5.")] = None,
    rate: Annotated[float | None, typer.Option(help="… images a second at most.")] = None,
    concurrency: Annotated[int | None, typer.Option(help="… requests at a time. Default 4.")] = None,
    auth_env: Annotated[
        str | None, typer.Option(help="… the environment variable with the secret to send along.", metavar="NAME")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 3 where there are warnings.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Say what a model puts out, whether it answers the same, how fast it is, and warn of the usual traps."""
    options = {name: value for name, value in locals().items() if value is not None}
    from pinprick.cli.checking import check_as_told

    with stopping_work():
        check_as_told(options)
