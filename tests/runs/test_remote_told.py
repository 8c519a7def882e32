"""Runs on a model behind HTTP: what one that changed costs, and what is said at the end."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from pinprick.cli.app import app
from pinprick.errors import InputError
from pinprick.runs.store import read_outcomes
from tests.runs.test_remote import images_of, remote
from tests.servers_http import V2, digits_scores, serving


def test_a_model_that_changed_is_refused_before_more_of_its_images_are_asked_for(tmp_path: Path) -> None:
    server = V2()
    with serving(server) as url:
        remote(url, tmp_path / "run", limit=8, budget=4)
        before = images_of(server)
        # No image is right now, so that the search for right ones would ask for the whole set.
        server.classify = lambda images: np.roll(digits_scores(images), 1, axis=1)
        with pytest.raises(InputError, match="the model answers otherwise than when this run was begun"):
            remote(url, tmp_path / "run", limit=8, budget=4)
        assert images_of(server) - before <= 8


def test_what_was_sent_and_that_units_are_missing_is_printed(tmp_path: Path) -> None:
    server = V2()
    with serving(server) as url:
        line = ["attack", "--model", f"{url}/v2/models/digits", "--data", "digits:test", "--outputs", "logits"]
        line += ["--limit", "6", "--pixels", "2", "--budget", "60"]
        stopped = CliRunner().invoke(app, [*line, "--run-budget", "140", "--out", str(tmp_path / "run")])
        sent = images_of(server)
        whole = CliRunner().invoke(app, line)
    assert (stopped.exit_code, whole.exit_code) == (4, 0)
    ended = len(read_outcomes(tmp_path / "run"))
    assert 0 < ended < 6
    assert f"unfinished: {ended} of 6 units have ended. Fooled ones end first" in stopped.stdout
    assert "unfinished" not in whole.stdout
    assert re.search(
        rf"^sent to the model: {sent} images: \d+ unchanged, \d+ changed and \d canaries$", stopped.stdout, re.M
    )
    local = CliRunner().invoke(app, ["attack", "--model", "cnn-digits", *line[3:], "--limit", "2"])
    assert "sent to the model" not in local.stdout
