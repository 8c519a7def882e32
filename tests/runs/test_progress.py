"""What a run tells while it goes on: units and successes of all sessions, and questions left at most."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from pinprick.cli import attacking
from pinprick.cli.attacking import _Live
from pinprick.runs.result import Listener
from tests.runs.conftest import BUDGET, small_run, small_spec


def test_fooled_units_of_earlier_sessions_are_counted(out: Path) -> None:
    before = small_run(out=out, limit=4, pixels=3).table["status"].to_pylist().count("fooled")
    assert before > 0
    told: list[int] = []
    listener = Listener(on_step=lambda _done, fooled, _asked: told.append(fooled))
    after = small_run(out=out, limit=8, pixels=3, listener=listener).table["status"].to_pylist().count("fooled")
    assert told[0] >= before
    assert told[-1] == after


def test_questions_left_are_the_budgets_of_what_is_to_come_and_never_grow(out: Path) -> None:
    small_run(out=out, limit=2, pixels=(1, 3))
    left: list[int] = []
    asked: list[int] = []
    listener = Listener(on_left=left.append, on_step=lambda _done, _fooled, now: asked.append(now))
    table = small_run(out=out, limit=4, pixels=(1, 3), listener=listener).table
    assert len(left) == len(asked)
    assert left[0] + asked[0] == BUDGET * len(table) // 2, "two of four images are new"
    assert left == sorted(left, reverse=True)
    assert left[-1] == 0


@pytest.mark.parametrize(
    ("speed", "seconds", "text"),
    [
        (80_000.0, 0.3, "for these the model alone needs under 1 s or so (80,000 questions a second), and the"),
        (
            400.0,
            607.0,
            "for these the model alone needs 10 min 07 s or so (400 questions a second), and the",
        ),
        (0.0, 0.0, "a remote model is not timed"),
    ],
)
def test_a_plan_promises_no_more_than_it_knows(
    speed: float, seconds: float, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = {"units": 8, "questions": 25_600, "questions_per_second": speed, "seconds": seconds}
    monkeypatch.setattr(attacking, "estimate", lambda spec: figures)
    attacking._plan(small_spec(), as_json=False)
    assert capsys.readouterr().out.startswith(f"8 units at most, 25,600 questions at most; {text}")


def test_the_line_above_the_table_says_what_its_time_is(capsys: pytest.CaptureFixture[str]) -> None:
    result = small_run(limit=1, attack="random", budget=2)
    attacking._print(replace(result, images=1, attacked=1, seconds=607.0))
    attacking._print(replace(result, images=3, attacked=2, seconds=7.0))
    out = capsys.readouterr().out
    assert "1 right image of 1 scored, clean accuracy 100.0%; this command took 10 min 07 s\n" in out
    assert "2 right images of 3 scored, clean accuracy 66.7%; this command took 7 s\n" in out


def test_the_line_counts_what_is_stored_and_says_how_long_it_takes_at_most() -> None:
    text = io.StringIO()
    live = _Live(Console(file=text))
    live.drawn = False
    live.on_plan(24, 2)
    live.start -= 10
    live.last_line = live.start - 100
    live.on_left(2000)
    live.on_step(0, 1, 100)
    line = text.getvalue().replace("\n", " ")
    assert re.search(r"2 of 24 units, fooled 1, .* questions/s, 3 min \d\d s left at most", line), line
