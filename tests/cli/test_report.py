"""`pinprick report` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pinprick.cli.app import app
from pinprick.errors import InputError
from tests.cli.conftest import pinprick

COMMON = ["attack", "--model", "model.py:net", "--data", "images", "--budget", "401", "--limit", "6"]


@pytest.fixture(scope="module")
def place(user: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a user has made a run."""
    folder = tmp_path_factory.mktemp("place")
    for name in ("model.py", "net.safetensors", "images"):
        (folder / name).symlink_to(user / name)
    done = pinprick(*COMMON, "--out", "run", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def here(*arguments: str) -> Result:
    """The command in this process and folder."""
    return CliRunner().invoke(app, ["report", *arguments])


def test_the_report_lies_in_the_runs_folder_and_is_named(place: Path) -> None:
    done = pinprick("report", "run", cwd=place)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("report: run/report.html (0.")
    assert "images it gets right" in (place / "run" / "report.html").read_text(encoding="utf-8")
    again = pinprick(*COMMON, "--out", "run", cwd=place)
    assert again.returncode == 0, again.stderr


def test_figures_are_written_beside(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    done = here("run", "--out", "pages/one.html", "--figures", "figures", "--pictures", "3")
    assert (done.exit_code, done.stderr) == (0, "")
    assert {path.suffix for path in Path("figures").iterdir()} == {".png", ".svg", ".pdf"}
    assert f"figures: {len(list(Path('figures').iterdir()))} files in figures" in done.stdout
    assert Path("pages/one.html").read_text(encoding="utf-8").count('<li class="card ') == 3


def test_missing_pictures_are_said_with_the_reason(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = here(str(place / "run"), "--out", "there.html")
    assert done.exit_code == 0
    assert "no picture of 6 images: image set: 'images' cannot be loaded again from here" in done.stderr


def test_bad_input_is_named(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    Path("broken").mkdir()
    Path("broken/manifest.json").write_text(json.dumps({"schema_version": 1}))
    for arguments, message in (
        (["nowhere"], "run folder nowhere: there is no such folder"),
        (["run", "run"], "one of them is given twice"),
        (["broken"], "broken"),
        (["run", "--out", "images"], "--out images: it is a folder"),
    ):
        done = here(*arguments)
        assert isinstance(done.exception, InputError)
        assert message in str(done.exception)
        assert done.stdout == ""


def test_bad_input_is_one_line_and_exit_code_2(place: Path) -> None:
    done = pinprick("report", "nowhere", cwd=place)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: run folder nowhere: there is no such folder.")
    assert done.stderr.count("\n") == 1
