"""What `pinprick targets check` does: it looks a model over, and prints what it found."""

from __future__ import annotations

import json
from typing import Any

import typer

from pinprick.api import check_target
from pinprick.cli.console import say, stdout_to_stderr, tell
from pinprick.errors import EXIT_WARNINGS
from pinprick.runs.plan import seconds_text
from pinprick.runs.target_report import TargetReport

_WIDTH = 14


def check_as_told(options: dict[str, Any]) -> None:
    """Check what the options of the command line say, those that were given.

    Raises
    ------
    InputError : something that was given cannot be used.
    typer.Exit : with ``strict`` and warnings.
    """
    given = dict(options)
    strict, as_json = given.pop("strict"), given.pop("as_json")
    with stdout_to_stderr():
        report = check_target(given.pop("model"), given.pop("data", None), **given)
    if as_json:
        typer.echo(json.dumps(report.as_dict(), allow_nan=False))
    else:
        _print(report)
    if strict and report.traps:
        more = "" if len(report.traps) == 1 else f", and {len(report.traps) - 1} more"
        say(f"--strict: {report.traps[0].found}{more}")
        raise typer.Exit(EXIT_WARNINGS)


def _print(report: TargetReport) -> None:
    """The report for people."""
    for name, text in _lines(report):
        tell(f"{name:<{_WIDTH}}{text}")
    for note in report.notes:
        tell(note)
    for trap in report.traps:
        tell(f"warning: {trap.found}." + (f" {trap.advice}" if trap.advice else ""))
    if not report.traps:
        tell("no warnings")
    for left in report.unchecked:
        tell(f"not checked: {left}")


def _lines(report: TargetReport) -> list[tuple[str, str]]:
    identity = {name: value for name, value in report.identity.items() if isinstance(value, str)}
    weights = identity.get("weights")
    where = [identity[name] for name in ("layout", "engine", "device", "dtype") if identity.get(name)]
    told = [report.kind, *([f"weights {weights}"] if weights else []), *where]
    shape = " x ".join(map(str, report.shape))
    whence = {"model": "as the model states", "images": "as --data has them", "tried": "tried: it states none"}
    classes = "a number of classes that it does not show" if report.classes is None else f"{report.classes} classes"
    lines = [
        ("model", f"{report.name} ({', '.join(told)})"),
        ("images", f"{shape}, {whence[report.shape_from]}; {classes}"),
        ("outputs", f"{report.outputs} ({report.decided})"),
        ("same answers", _steady(report)),
        ("speed", _speed(report)),
        ("engine", ("incremental, " if report.incremental else "") + report.engine),
    ]
    if report.questions_at_most is not None:
        takes = (
            "" if report.seconds_at_most is None else f", {seconds_text(report.seconds_at_most)} of the model's time"
        )
        lines.append(("few-pixel", f"1 pixel on 100 images: {report.questions_at_most:,} questions at most{takes}"))
    if report.accuracy is not None:
        low, high = report.accuracy.interval
        rate = report.accuracy.right / report.accuracy.n
        lines.append(("accuracy", f"{rate:.1%} of {report.accuracy.n} images ({low:.1%} to {high:.1%})"))
    return [*lines, ("asked", f"{report.asked:,} images")]


def _steady(report: TargetReport) -> str:
    parts = [("again", report.again), ("in reverse order", report.reordered), ("by themselves", report.alone)]
    told = [
        f"{words} {'the same' if apart == 0 else f'apart by {apart:.1g} of their size'}"
        for words, apart in parts
        if apart is not None
    ]
    return ", ".join(told) or "not asked"


def _speed(report: TargetReport) -> str:
    if not report.speeds:
        return "not measured"
    each = ", ".join(f"{speed:,.0f} at {rows}" for rows, speed in sorted(report.speeds.items()))
    best = f"; best with {report.best_rows}" if len(report.speeds) > 1 else ""
    return f"images a second by images a pass: {each}{best}"
