"""Runs against an endpoint that misbehaves: every unit ends right or is named as failed, and the ledger adds up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.chaos import ENDS, FAULTS, SHORT, Line, one, undisturbed


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The outcomes of the run that nothing disturbs."""
    return undisturbed(tmp_path_factory.mktemp("chaos"), SHORT)


def check(line: Line, units: int) -> None:
    assert line.wrong == 0, line
    assert line.adds_up, line
    assert line.mended, line
    assert line.right + line.failed + line.missing == units
    assert len(line.reasons) <= line.failed


@pytest.mark.parametrize("name", FAULTS)
def test_no_row_is_wrong_whatever_the_endpoint_does(
    name: str, tmp_path: Path, wanted: dict[str, dict[str, Any]]
) -> None:
    line = one(name, tmp_path, SHORT, wanted)
    check(line, len(wanted))
    assert line.stopped is None, line
    assert line.right + line.failed == len(wanted)


@pytest.mark.parametrize("name", ENDS)
def test_a_run_ends_where_the_model_is_another_one_or_gone(
    name: str, tmp_path: Path, wanted: dict[str, dict[str, Any]]
) -> None:
    line = one(name, tmp_path, SHORT, wanted)
    check(line, len(wanted))
    assert line.stopped is not None
    assert line.missing > 0
    assert line.failed == 0
    told = {"the model changes": "become another model", "goes away": "does not answer any more: HTTP 503"}
    assert told[name] in line.stopped
