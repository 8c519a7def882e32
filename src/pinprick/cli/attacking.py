"""What `pinprick attack` does: a run with live progress, its table, or a plan."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from pinprick.attacks.settings import read_settings
from pinprick.cli.console import say, stderr, stdout_to_stderr, tell
from pinprick.cli.tables import print_rows, unfinished
from pinprick.errors import EXIT_DONE, EXIT_FAILED_UNITS, EXIT_HALTED, EXIT_INTERRUPTED, InputError, plain
from pinprick.runs.estimate import estimate
from pinprick.runs.plan import seconds_text
from pinprick.runs.result import Listener, RunResult
from pinprick.runs.run import run
from pinprick.runs.spec import UNKNOWN, Spec, make_spec, merged, read_spec


def attack_as_told(options: dict[str, Any]) -> None:
    """Run or plan what the options of the command line say, those that were given.

    Raises
    ------
    InputError : something that was given cannot be used.
    typer.Exit : at the end of a run, with its exit code.
    """
    given = {name: value for name, value in options.items() if name in Spec.model_fields or name == "image"}
    if "parameters" in given:
        given["parameters"] = read_settings(given["parameters"])
    file = read_spec(options["spec"]) if "spec" in options else {}
    try:
        spec = make_spec(merged(file, given))
    except InputError as error:
        raise _of_file(error, options.get("spec"), file.keys() - given.keys()) from None
    if options["plan"]:
        _plan(spec, options["as_json"])
        return
    raise typer.Exit(_run(spec, options["as_json"]))


def _of_file(error: InputError, path: Path | None, fields: Iterable[str]) -> InputError:
    """The error, on behalf of the file where that has given what is wrong; ``fields`` are those that it alone gives."""
    if error.what == UNKNOWN:
        return InputError(f"--spec {path}", error.wrong, error.right)
    # Of its table of parameters the messages speak as --set does.
    names = ["--set" if name == "parameters" else f"--{name.replace('_', '-')}" for name in fields]
    own = error.what == "parameters" or any(re.search(rf"{name}(?![a-z-])", error.what) for name in names)
    if path is None or not own:
        return error
    what = error.what.replace("--set", "parameters").replace("--", "")
    return InputError(f"--spec {path}, {what}", error.wrong, error.right)


def _plan(spec: Spec, as_json: bool) -> None:
    with stdout_to_stderr():
        figures = estimate(spec)
    if as_json:
        typer.echo(json.dumps(figures, allow_nan=False))
        return
    speed = figures["questions_per_second"]
    takes = (
        f"for these the model alone needs {seconds_text(figures['seconds'])} or so ({speed:,.0f} questions a second), "
        "and the search its own time besides"
    )
    typer.echo(
        f"{figures['units']:,} units at most, {figures['questions']:,} questions at most; "
        + (takes if speed else "a remote model is not timed")
    )


def _run(spec: Spec, as_json: bool) -> int:
    """Run with live progress, print the result, and return the exit code."""
    with stdout_to_stderr():
        console = stderr()
        with _Live(console) as live:
            try:
                result = run(spec, listener=live.listener())
            except KeyboardInterrupt as stop:
                live.stop()
                for note in getattr(stop, "__notes__", ()):
                    say(note)
                where = (
                    f"; the same command continues in {spec.out}" if spec.out else " (nothing is kept without --out)"
                )
                say(f"interrupted after {live.done} units{where}")
                return EXIT_INTERRUPTED
    if as_json:
        typer.echo(json.dumps(result.as_dict(), allow_nan=False))
    else:
        _print(result, live.units)
    if result.failed:
        say(f"{result.failed} unit{'' if result.failed == 1 else 's'} failed, the first with: {result.first_reason}")
    if result.stopped is not None:
        say(f"stopped: {result.stopped}")
        return EXIT_HALTED
    return EXIT_FAILED_UNITS if result.failed else EXIT_DONE


LINE_SECONDS = 30.0


class _Live:
    """Units done and fooled, stored ones among them, questions a second and the time left at most, on stderr."""

    def __init__(self, console: Console) -> None:
        self.console, self.done, self.drawn = console, 0, sys.stderr.isatty()
        self.units = self.stored = self.left = 0
        self.start = self.last_line = time.monotonic()
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            transient=True,
            # Not the console's own opinion: FORCE_COLOR and the like would make it draw into files and logs.
            disable=not self.drawn,
        )
        self.task = self.bar.add_task("scoring the unchanged images", total=None, note="")

    def __enter__(self) -> _Live:
        self.bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def stop(self) -> None:
        self.bar.stop()

    def listener(self) -> Listener:
        return Listener(say=self.say, on_plan=self.on_plan, on_step=self.on_step, on_left=self.on_left)

    def say(self, message: str) -> None:
        self.bar.console.print(plain(message), markup=False)

    def on_plan(self, units: int, stored: int) -> None:
        self.units, self.stored, self.start = units, stored, time.monotonic()
        if stored:
            self.say(f"{stored} of {units} units are stored already")
        self.bar.update(self.task, description="attacking", total=units, completed=stored)

    def on_left(self, questions: int) -> None:
        self.left = questions

    def on_step(self, done: int, successes: int, asked: int) -> None:
        self.done = done
        seconds = max(time.monotonic() - self.start, 1e-9)
        note = f"fooled {successes}, {asked / seconds:,.0f} questions/s"
        # By questions and not by units: those that are fooled end first, and what they took says little of the others.
        if asked:
            note += f", {seconds_text(seconds / asked * self.left)} left at most"
        self.bar.update(self.task, completed=self.stored + done, note=note)
        # Where there is no terminal to draw a bar on, a line now and then.
        if not self.drawn and time.monotonic() - self.last_line > LINE_SECONDS:
            self.last_line = time.monotonic()
            self.say(f"{self.stored + done} of {self.units} units, {note}")


def _print(result: RunResult, units: int | None = None) -> None:
    """The summary for people, of a run of so many units where that is known."""
    rate = "" if result.clean_accuracy is None else f", clean accuracy {result.clean_accuracy:.1%}"
    image = "image" if result.attacked == 1 else "images"
    seconds = seconds_text(result.seconds)
    typer.echo(f"{result.attacked} right {image} of {result.images} scored{rate}; this command took {seconds}")
    if result.stopped is not None:
        tell(unfinished(len(result.table), units))
    print_rows(result.rows)
    if result.ledger is not None:
        tell(_sent(result.ledger))
    if result.spec.out is not None:
        tell(f"results: {result.spec.out}")


def _sent(ledger: dict[str, Any]) -> str:
    """``sent to the model: 1,223 images: 10 unchanged, 1,210 changed and 3 canaries``, of every session of a run."""
    named = {"unchanged": "unchanged", "units": "changed", "canary": "canaries"}
    parts = [f"{ledger[purpose]['sent']:,} {name}" for purpose, name in named.items()]
    again = f"; {ledger['total']['retried']:,} of them again" if ledger["total"]["retried"] else ""
    return f"sent to the model: {ledger['total']['sent']:,} images: {', '.join(parts[:-1])} and {parts[-1]}{again}"
