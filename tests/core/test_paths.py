"""Paths that the system cannot look up: told as any other mistake, wherever they are given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import pinprick as pp
from pinprick.errors import InputError
from pinprick.paths import given_path
from pinprick.report.page import write_report
from pinprick.runs.spec import make_spec

BAD = {
    "too long": ("x" * 300 + ".png", "File name too long"),
    "too deep": ("x/" * 3000, "File name too long"),
    "a NUL": ("a\0b.png", "null byte"),
    "nobody's home": ("~nobody-of-that-name/x", "home directory"),
    "a circle": ("loop/x.png", "Too many levels of symbolic links"),
    "half a surrogate pair": ("\ud800.png", "surrogates not allowed"),
}


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")


@pytest.mark.parametrize("kind", BAD)
def test_a_path_that_cannot_be_looked_up_is_told_with_the_reason(kind: str) -> None:
    text, reason = BAD[kind]
    with pytest.raises(InputError) as raised:
        given_path(text, f"--data {text}")
    assert reason in str(raised.value)
    assert str(raised.value).startswith("--data ")
    assert len(str(raised.value)) < 400


def test_other_paths_are_given_back_whether_there_is_anything_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert given_path("~/x", "x") == Path("/home/somebody/x")
    Path("file").write_text("")
    for text in ("nowhere/x", "file", "file/x", ".", "café\udce9"):
        assert given_path(text, "x") == Path(text)


@pytest.mark.parametrize("kind", ["too long", "a circle", "nobody's home"])
def test_no_way_in_ends_in_anything_else(kind: str) -> None:
    text = BAD[kind][0]
    ways: list[Callable[[], object]] = [
        lambda: pp.load_images(text),
        lambda: pp.load_images(f"cifar10:test@{text}"),
        lambda: pp.load_images("digits", classes=text),
        lambda: pp.load_target(text),
        lambda: pp.load_target(f"{text}.safetensors"),
        lambda: pp.load_target(f"{text}.pt"),
        lambda: pp.load_target(f"{text}.py:f"),
        lambda: pp.measures(text),
        lambda: pp.read_outcomes(text),
        lambda: pp.attack("cnn-digits", "digits:test", out=text),
        lambda: make_spec({"model": "m", "data": "d", "classes": text}),
        lambda: write_report([text]),
    ]
    for way in ways:
        with pytest.raises(InputError, match="cannot be looked up"):
            way()
