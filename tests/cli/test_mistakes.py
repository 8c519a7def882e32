"""Mistakes in what `pinprick attack` is given, told on behalf of what the user wrote."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pinprick.cli.main import main


@pytest.mark.parametrize(
    ("line", "arguments", "message"),
    [
        ("foo = 1", (), "--spec run.toml: there is no 'foo'"),
        ("pixels = 'x'", (), "--spec run.toml, pixels: 'x'"),
        ("batch-size = 0", (), "--spec run.toml, batch-size: 0"),
        ("limit = 3\nfirst = 3", (), "--spec run.toml, limit and first: both are given"),
        ("[parameters]\nfoo = 3", (), "--spec run.toml, parameters, of few-pixel: there is no 'foo'"),
        ("pixels = 1", ("--pixels", "0"), "error: --pixels: 0"),
    ],
)
def test_a_mistake_in_a_file_names_the_file(
    line: str,
    arguments: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "run.toml").write_text(f"model = 'cnn-digits'\ndata = 'digits'\n{line}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["pinprick", "attack", "--spec", "run.toml", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert message in capfd.readouterr().err


def test_a_folder_or_file_that_is_no_model_is_not_taken_for_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "cnn-digits").mkdir()
    for model, message in (("photos", "--model photos: a folder, and no model"), ("cnn-digits", "")):
        monkeypatch.setattr(sys, "argv", ["pinprick", "attack", "--data", "digits", "--model", model, "--plan"])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == (2 if message else 0)
        assert message in capfd.readouterr().err


def test_answers_of_a_local_model_are_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    kept = ["--answer-cache", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["pinprick", "attack", "--data", "digits", "--model", "cnn-digits", *kept])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "--answer-cache: the model 'cnn-digits' is not remote" in capfd.readouterr().err
