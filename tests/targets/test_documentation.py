"""docs/targets.md: its examples run, its links lead somewhere, and it knows every kind of model that there is."""

from __future__ import annotations

import re
import shlex
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pinprick.cli.app import app
from pinprick.targets.loading import _BY_PREFIX, _BY_SUFFIX

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "targets.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return tmp_path


@pytest.mark.parametrize("number", [place for place, block in enumerate(BLOCKS) if "result = " in block])
def test_its_python_runs(number: int, place: Path) -> None:
    found: dict[str, Any] = {}
    exec(compile(BLOCKS[number], "targets.md", "exec"), found)
    assert found["result"].rows[0].n > 0
    assert found["result"].rows[0].failed == 0


def test_its_forest_is_trained_and_attacked(place: Path) -> None:
    exec(compile(next(block for block in BLOCKS if "train_forest.py" in block), "train_forest.py", "exec"), {})
    line = next(line for line in PAGE.splitlines() if line.startswith("pinprick attack --model forest.joblib"))
    done = CliRunner().invoke(app, [*shlex.split(line)[1:], "--limit", "2", "--budget", "60"])
    assert done.exit_code == 0, done.output
    assert len([row for row in done.stdout.splitlines() if row.startswith(("few-pixel", "random"))]) == 6


def test_the_onnx_file_of_its_page_is_made_checked_and_attacked(place: Path) -> None:
    page = (DOCS / "onnx.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    with warnings.catch_warnings():
        # The exporter that needs no other package is the older one, of which it warns.
        warnings.simplefilter("ignore")
        exec(compile(block, "onnx.md", "exec"), {})
    check, attack = (line for line in page.splitlines() if "digits.onnx --data" in line)
    checked = CliRunner().invoke(app, [*shlex.split(check)[1:], "--questions", "300", "--strict"])
    assert checked.exit_code == 0, checked.output
    assert "OnnxTarget, " in checked.stdout
    assert ", NCHW, onnxruntime" in checked.stdout
    done = CliRunner().invoke(app, [*shlex.split(attack)[1:], "--limit", "2", "--budget", "20"])
    assert done.exit_code == 0, done.output
    assert len([row for row in done.stdout.splitlines() if row.startswith(("few-pixel", "random"))]) == 4


def test_its_links_lead_somewhere() -> None:
    headings = [line.lstrip("# ") for line in PAGE.splitlines() if line.startswith("#")]
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        assert (target[1:] in anchors) if target.startswith("#") else (DOCS / target).exists(), target


def test_it_knows_every_kind_of_model() -> None:
    table = PAGE.partition("## What they have in common")[0]
    for name in (*_BY_SUFFIX, *_BY_PREFIX, ".joblib", ".pt", ".pt2", ".safetensors"):
        assert name.replace("https", "http") in table, name
