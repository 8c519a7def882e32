"""`pinprick attack`: its options. What they mean is in runs/spec.py, what is done with them in cli/attacking.py."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pinprick.cli.interrupts import stopping_work


def attack(
    model: Annotated[
        str | None,
        typer.Option(
            help="Shipped name, file.py:function, a file of weights, an address … docs/targets.md has all kinds."
        ),
    ] = None,
    trust_pickle: Annotated[
        bool | None,
        typer.Option("--trust-pickle", help="Load a pickled --model (net.pt), which can run any code."),
    ] = None,
    data: Annotated[str | None, typer.Option(help="Image set: name, folder, Parquet file, hf:owner/name.")] = None,
    image: Annotated[str | None, typer.Option(help="One image file; implies --labels predicted.")] = None,
    attack: Annotated[
        str | None, typer.Option(help="few-pixel (default), one-pixel, sweep, random …; a wrong name lists all.")
    ] = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option("--set", help="A parameter of the attack, such as colours=all; repeatable.", metavar="NAME=VALUE"),
    ] = None,
    pixels: Annotated[str | None, typer.Option(help="Numbers of pixels, such as 1,3,5. Default 1.")] = None,
    goal: Annotated[str | None, typer.Option(help="untargeted (default), targeted or untargeted-derived.")] = None,
    targets: Annotated[
        str | None, typer.Option(help="Of --goal targeted: all (default), random, least-likely.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Right images to attack, in a seeded permutation. Default 100.")
    ] = None,
    first: Annotated[int | None, typer.Option(help="Right images to attack, in the set's order.")] = None,
    budget: Annotated[
        int | None,
        typer.Option(help="Questions a unit, one of them to verify; the attack's own by default (docs/attacks.md)."),
    ] = None,
    stop: Annotated[str | None, typer.Option(help="first-hit (default) or paper.")] = None,
    baseline: Annotated[
        str | None,
        typer.Option(help="random (default but for searches of few pixels): random search beside; or none."),
    ] = None,
    draws: Annotated[
        int | None,
        typer.Option(help="Passes that decide on each image; several for a random model, which is found out: then 10."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything. Default 0.")] = None,
    device: Annotated[str | None, typer.Option(help="auto (default), cpu, cuda, cuda:1 …")] = None,
    engine: Annotated[
        str | None,
        typer.Option(help="auto (default: compute only what changed pixels reach, where faster), dense, incremental."),
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="fp32 (default), or bf16: candidates in half precision, verdicts as ever.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows of a forward pass; 64 on the CPU by default.")] = None,
    outputs: Annotated[str | None, typer.Option(help="auto (default), logits, probabilities or labels.")] = None,
    normalize: Annotated[
        str | None,
        typer.Option(help="cifar10, imagenet, mnist, half, caffe, none, a range (0..255), or mean/std numbers."),
    ] = None,
    channel_order: Annotated[str | None, typer.Option(help="rgb (default) or bgr.")] = None,
    layout: Annotated[str | None, typer.Option(help="Of models that take arrays: nhwc or nchw. Default auto.")] = None,
    labels: Annotated[str | None, typer.Option(help="given (default) or predicted.")] = None,
    classes: Annotated[
        str | None, typer.Option(help="JSON list of class names in the model's order.", metavar="FILE")
    ] = None,
    resize: Annotated[int | None, typer.Option(help="Resize the short side to this many pixels.")] = None,
    crop: Annotated[int | None, typer.Option(help="Then crop this many pixels square from the centre.")] = None,
    out: Annotated[
        str | None, typer.Option(help="Folder of the run; the same command again continues it.", metavar="FOLDER")
    ] = None,
    save_images: Annotated[
        bool | None, typer.Option("--save-images/--no-save-images", help="Write PNG files of fooled images.")
    ] = None,
    retry_failed: Annotated[
        bool | None, typer.Option("--retry-failed/--no-retry-failed", help="Try failed units again.")
    ] = None,
    timeout: Annotated[float | None, typer.Option(help="Of a remote model: seconds an answer. Default 30.")] = None,
    retries: Annotated[int | None, typer.Option(help="… how often an image is sent again. Default 5.")] = None,
    rate: Annotated[float | None, typer.Option(help="… images a second at most.")] = None,
    concurrency: Annotated[int | None, typer.Option(help="… requests at a time. Default 4.")] = None,
    auth_env: Annotated[
        str | None, typer.Option(help="… the environment variable with the secret to send along.", metavar="NAME")
    ] = None,
    answer_cache: Annotated[
        str | None,
        typer.Option(help="… keep answers in this folder; none: nowhere; in --out by default.", metavar="FOLDER"),
    ] = None,
    run_budget: Annotated[
        int | None, typer.Option(help="Images sent to the model in all; the run ends before it sends more.")
    ] = None,
    spec: Annotated[Path | None, typer.Option(help="The same options as a TOML file; the command line wins.")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Say how much there is to do, and do nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Attack an image classifier by changing a few pixels, and report how many images it then gets wrong."""
    options = {name: value for name, value in locals().items() if value is not None}
    from pinprick.cli.attacking import attack_as_told

    with stopping_work():
        attack_as_told(options)
