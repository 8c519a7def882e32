"""Figures and the verdict in plain words: none, one, some and all; every goal; runs that have not ended."""

from __future__ import annotations

from typing import Any

import pytest

from pinprick.report.words import count, engine_text, percent, percent_range, source_name, verdict
from pinprick.runs.measures import Measures, measure
from tests.metrics.tables import CLASSES, outcome, outcomes

FOOLS = "Changing one pixel, the one-pixel attack fools this classifier on"


def made_up(
    successes: int,
    n: int,
    *,
    baseline: int | None = None,
    more: tuple[int, int] | None = None,
    failed: int = 0,
    attacked: int | None = None,
    expected: int | None = None,
    attack: str = "one-pixel",
    labels: str = "given",
) -> Measures:
    """An untargeted run of which so many units are fooled at 1 pixel, and (``more``) so many at another number."""
    rows: list[dict[str, Any]] = []

    def add(name: str, pixels: int, won: int, units: int, bad: int = 0) -> None:
        states = ["fooled"] * won + ["failed"] * bad + ["held"] * (units - won - bad)
        rows.extend(outcome(f"{i:03d}", state, attack=name, pixels=pixels) for i, state in enumerate(states))

    add(attack, 1, successes, n, failed)
    attacks, pixels = [attack], [1]
    if baseline is not None:
        add("random", 1, baseline, n)
        attacks.append("random")
    if more is not None:
        pixels.append(more[0])
        add(attack, more[0], more[1], n)
    return _run(rows, attacks, pixels, "untargeted", labels, n if attacked is None else attacked, expected)


def _run(
    rows: list[dict[str, Any]],
    attacks: list[str],
    pixels: list[int],
    goal: str,
    labels: str,
    attacked: int | None,
    expected: int | None,
) -> Measures:
    targets = 1 if goal == "untargeted" else CLASSES - 1
    table = outcomes(rows)
    measured, against = measure(
        table,
        attacks=attacks,
        pixels=pixels,
        goal=goal,
        classes=CLASSES,
        targets=targets,
        budgets=[200] * len(pixels),
    )
    return Measures(
        folder="run",
        model="net",
        data="set",
        goal=goal,
        targets="all",
        stop="first-hit",
        seed=0,
        budget=200,
        budgets=tuple((number, 200) for number in pixels),
        classes=None,
        class_count=CLASSES,
        shape=None,
        images=attacked,
        attacked=attacked,
        clean_accuracy=1.0,
        units=len(table),
        units_expected=len(table) if expected is None else expected,
        failures=(),
        rows=measured,
        against_baseline=against,
        manifest={"what": {"spec": {"labels": labels}}},
    )


def plain(run: Measures) -> str:
    return " ".join(verdict(run)).replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize(
    ("run", "sentence"),
    [
        (
            made_up(7, 30, baseline=5),
            f"{FOOLS} 7 of 30 images it gets right (23.3 %, 95 % interval 11.8 to 40.9 %); "
            "random pixels with the same budget fool 5.",
        ),
        (
            made_up(0, 30, baseline=0),
            "Changing one pixel, the one-pixel attack did not fool this classifier on any of 30 images it gets right "
            "(0 %, 95 % interval 0 to 11.4 %); random pixels with the same budget fool none.",
        ),
        (
            made_up(0, 20, baseline=2),
            "Changing one pixel, the one-pixel attack did not fool this classifier on any of 20 images it gets right "
            "(0 %, 95 % interval 0 to 16.1 %); random pixels with the same budget fool 2.",
        ),
        (
            made_up(1, 30, baseline=30),
            f"{FOOLS} 1 of 30 images it gets right (3.3 %, 95 % interval 0.6 to "
            "16.7 %); random pixels with the same budget fool all 30.",
        ),
        (
            made_up(30, 30),
            f"{FOOLS} all of 30 images it gets right (100 %, 95 % interval 88.6 to 100 %).",
        ),
        (
            made_up(1, 1, baseline=1),
            f"{FOOLS} 1 of 1 image it gets right (100 %, 95 % interval 20.7 to 100 %); "
            "random pixels with the same budget fool 1.",
        ),
        (
            made_up(0, 1),
            "Changing one pixel, the one-pixel attack did not fool this classifier on the only image it gets right "
            "(0 %, 95 % interval 0 to 79.3 %).",
        ),
        (
            made_up(3, 10, more=(3, 10)),
            f"{FOOLS} 3 of 10 images it gets right (30.0 %, 95 % interval 10.8 to 60.3 %). "
            "With up to three pixels it is all of 10.",
        ),
        (
            made_up(3, 10, attack="random"),
            "Changing one pixel, random search fools this classifier on 3 of 10 images it gets right (30.0 %, 95 % "
            "interval 10.8 to 60.3 %).",
        ),
        (
            made_up(3, 10, labels="predicted"),
            f"{FOOLS} 3 of 10 images (30.0 %, 95 % interval 10.8 to 60.3 %). There were no "
            "labels: the classifier's own answers before the change are taken for right.",
        ),
        (
            made_up(3, 10, expected=40),
            f"So far, {FOOLS[0].lower()}{FOOLS[1:]} 3 of 10 images it gets right (30.0 %, 95 % interval 10.8 to "
            "60.3 %). The run is not finished: 10 of 40 units have ended. Those that are fooled end first, so the "
            "rates may still come down.",
        ),
    ],
    ids=[
        "some",
        "none",
        "only the baseline",
        "one",
        "all",
        "one of one",
        "none of one",
        "more pixels",
        "random",
        "own labels",
        "unfinished",
    ],
)
def test_the_verdict_of_an_untargeted_run(run: Measures, sentence: str) -> None:
    assert plain(run) == sentence


def targets_run(goal: str, won: dict[str, int]) -> Measures:
    """Each image towards three targets, of which so many are reached."""
    rows = [
        outcome(image, "fooled" if place < successes else "held", target=place + 1)
        for image, successes in won.items()
        for place in range(CLASSES - 1)
    ]
    return _run(rows, ["one-pixel"], [1], goal, "given", len(won), None)


@pytest.mark.parametrize(
    ("goal", "won", "begin", "end"),
    [
        ("targeted", {"a": 2, "b": 0}, "turns an image into a given wrong class in 2 of 6 tries (33.3 %", "1 of 2 can"),
        ("targeted", {"a": 0, "b": 0}, "turned no image into a given wrong class in 6 tries (0 %", "none of 2 can"),
        ("targeted", {"a": 3, "b": 3}, "into a given wrong class in all of 6 tries (100 %", "all of 2 can"),
        (
            "untargeted-derived",
            {"a": 2, "b": 0},
            "1 of 2 images this classifier gets right into at least one wrong",
            "",
        ),
        ("untargeted-derived", {"a": 0, "b": 0}, "turned none of 2 images this classifier gets right into any", ""),
        ("untargeted-derived", {"a": 1, "b": 2}, "turns all of 2 images this classifier gets right into at", ""),
    ],
)
def test_the_verdict_of_runs_with_targets_says_what_it_counts(
    goal: str, won: dict[str, int], begin: str, end: str
) -> None:
    text = plain(targets_run(goal, won))
    assert begin in text
    assert text.startswith("Changing one pixel, the one-pixel attack turn")
    assert (f"By image, {end} be turned into at least one wrong class." in text) == (goal == "targeted")


def test_a_run_that_attacked_nothing_says_why() -> None:
    nothing = _run([], ["one-pixel"], [1], "untargeted", "given", 0, 0)
    assert plain(nothing).startswith("Nothing was attacked: of 0 images this classifier gets none right")
    stopped = _run([], ["one-pixel"], [1], "untargeted", "given", None, None)
    assert plain(stopped) == "This run was stopped before any image was attacked: there is nothing to say yet."
    begun = _run([], ["one-pixel"], [1], "untargeted", "given", 4, 8)
    assert plain(begun) == "Nothing can be said yet: 4 images to attack, and no attack has ended."


@pytest.mark.parametrize(
    ("share", "text"),
    [
        *((0, "0 %"), (1, "100 %"), (0.0004, "< 0.1 %"), (0.9996, "> 99.9 %"), (0.996, "99.6 %"), (0.056, "5.6 %")),
        *((0.0999, "10.0 %"), (0.234, "23.4 %"), (0.8999, "90.0 %"), (0.904, "90.4 %")),
    ],
)
def test_a_share_is_rounded_but_never_to_none_or_all(share: float, text: str) -> None:
    assert percent(share).replace("\N{NO-BREAK SPACE}", " ") == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (0, "0"), (36, "36"), (36.5, "36.5"), (999.96, "1 000.0"), (40400.5, "40 400")]
)
def test_a_figure_under_a_thousand_keeps_its_decimal(value: float | None, text: str) -> None:
    assert count(value).replace("\N{NO-BREAK SPACE}", " ") == text


def test_a_range_has_its_unit_once() -> None:
    assert percent_range((0.123, 0.409)).replace("\N{NO-BREAK SPACE}", " ") == "12.3 to 40.9 %"


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("/home/someone/data/photos/", "photos"),
        ("cifar10:test@/home/someone/cifar", "cifar10:test"),
        ("hf:owner/name:test", "hf:owner/name:test"),
        ("/home/me@work/photos", "photos"),
        ("me@work/photos", "photos"),
        ("cnn:/home/someone/net.safetensors", "cnn:net.safetensors"),
        ("../models/my_model.py:classifier", "my_model.py:classifier"),
        ("package.module:function", "package.module:function"),
        ("digits:test", "digits:test"),
    ],
)
def test_titles_have_no_paths(given: str, name: str) -> None:
    assert source_name(given) == name


def test_how_candidates_are_computed() -> None:
    assert engine_text({}) == "whole images: dense"
    passes = {"engine": "dense, onnxruntime", "incremental": {"1": True, "3": True, "5": False}}
    assert engine_text(passes) == "windows of 1, 3 pixels; whole images: dense, onnxruntime"
    assert engine_text({"incremental": {"1": True}}) == "windows of 1 pixel; whole images: dense"
