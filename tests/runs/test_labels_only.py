"""Runs against labels alone: the same answer every time, courses stored, printed, drawn and refused where unsound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from pinprick.attacks.registry import make_attack
from pinprick.cli.app import app
from pinprick.data.digits import digits
from pinprick.errors import InputError
from pinprick.metrics.minimum import ATTACKS as SHRINKING
from pinprick.metrics.sparsity import sparsity
from pinprick.report.page import write_report
from pinprick.runs.measures import measures
from pinprick.runs.result import Listener
from pinprick.runs.sound import check_values
from pinprick.runs.store import read_outcomes
from tests.conftest import digits_target
from tests.runs.conftest import small_run

BY_LABELS = [name for name in SHRINKING if make_attack(name).threat.knowledge == "labels"]


def labels_run(attack: str, out: Path | None, **fields: Any) -> Any:
    target = digits_target()
    target.outputs = "labels"
    usual: dict[str, Any] = {"attack": attack, "pixels": (9,), "budget": 400, "limit": 6}
    return small_run(target=target, out=out, **(usual | fields))


@pytest.fixture(scope="module", params=BY_LABELS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("labels") / "run"
    labels_run(request.param, out)
    return out


def attack_of(folder: Path) -> str:
    return str(read_outcomes(folder)["attack"][0].as_py())


def test_a_run_on_a_model_turned_labels_only_tells_so_and_fools(folder: Path) -> None:
    table = read_outcomes(folder)
    assert set(table["status"].to_pylist()) == {"fooled"}
    for row in table.to_pylist():
        assert sorted(set(row["scores_before"])) == [0.0, 1.0]
        assert row["course_pixels"][-1] == row["changed"] <= 9
        assert row["first_hit"] in row["course_asked"]


def test_more_images_and_an_interruption_change_no_row(folder: Path, tmp_path: Path) -> None:
    def stop(done: int, _successes: int, _asked: int) -> None:
        if done >= 2:
            raise KeyboardInterrupt

    attack = attack_of(folder)
    with pytest.raises(KeyboardInterrupt):
        labels_run(attack, tmp_path / "run", listener=Listener(on_step=stop))
    labels_run(attack, tmp_path / "run")
    assert (tmp_path / "run" / "outcomes.parquet").read_bytes() == (folder / "outcomes.parquet").read_bytes()
    labels_run(attack, tmp_path / "run", limit=9)
    assert read_outcomes(tmp_path / "run").to_pylist() != read_outcomes(folder).to_pylist()
    few = {row["key"]: row for row in read_outcomes(folder).to_pylist()}
    more = {row["key"]: row for row in read_outcomes(tmp_path / "run").to_pylist()}
    assert {key: more[key] for key in few} == few


@pytest.mark.parametrize("attack", BY_LABELS)
def test_targeted_units_start_from_images_of_the_set_and_not_of_the_run(attack: str) -> None:
    fields: dict[str, Any] = {"goal": "targeted", "targets": "random", "pixels": (30,), "budget": 600}
    few, more = (labels_run(attack, None, limit=limit, **fields).table.to_pylist() for limit in (3, 7))
    known = {row["key"]: row for row in more}
    assert all(known[row["key"]] == row for row in few)
    assert sum(row["status"] == "fooled" for row in more) >= 6


def test_measures_summary_and_report_have_the_curve(folder: Path, tmp_path: Path) -> None:
    (row,) = measures(folder).rows
    assert row.sparsity == sparsity(read_outcomes(folder), 400)
    assert row.sparsity is not None
    assert row.minimum is not None
    # What more questions bring ends where the fewest pixels are.
    assert row.sparsity.median[-1] == row.minimum.median
    result = CliRunner().invoke(app, ["summary", str(folder)])
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    head = next(number for number, line in enumerate(lines) if line.startswith("Fewest changed pixels that fooled"))
    assert lines[head + 1].split()[2:] == ["100", "300", "400"]
    assert lines[head + 2].split()[2:] == [str(row.sparsity.at(one) or "-") for one in (100, 300, 400)]
    report = write_report(folder, tmp_path / "report.html", figures=tmp_path / "figures")
    assert any(path.name.startswith("sparsity") for path in report.figures)
    assert "fewest changed pixels" in report.path.read_text(encoding="utf-8")


def test_labels_have_no_confidence(folder: Path) -> None:
    result = labels_run(attack_of(folder), None)
    assert set(result.table["confidence_after"].to_pylist()) == {1.0}
    assert [row.confidence for row in result.rows] == [None]
    (row,) = measures(folder).rows
    assert (row.row.confidence, row.confidence) == (None, None)
    shown = CliRunner().invoke(app, ["summary", str(folder)])
    assert "Confidence in the wrong class" not in shown.output


def test_min_pixels_has_courses_too_and_other_attacks_have_none(tmp_path: Path) -> None:
    small_run(out=tmp_path / "a", attack="min-pixels", pixels=(9,), budget=400, limit=3)
    assert all(row["course_pixels"] for row in read_outcomes(tmp_path / "a").to_pylist())
    small_run(out=tmp_path / "b", attack="sweep", budget=60, limit=2, baseline="none")
    assert read_outcomes(tmp_path / "b")["course_asked"].null_count == 2
    assert measures(tmp_path / "b").rows[0].sparsity is None


@pytest.mark.parametrize(
    ("asked", "pixels", "wrong"),
    [
        ([3, 3], [5, 4], "not rising"),
        ([0, 3], [5, 4], "not rising"),
        ([3, 9], [5, 5], "not falling"),
        ([3, 9], [5, -1], "not falling"),
        ([3], [5, 4], "not one entry"),
        ([3, 10**6], [5, 4], "beyond"),
        ([3, None], [5, 4], "null inside"),
    ],
)
def test_courses_that_no_run_writes_are_refused(asked: list[Any], pixels: list[int], wrong: str) -> None:
    table = labels_run(BY_LABELS[0], None, limit=2).table
    check_values(table)
    for name, value in (("course_asked", asked), ("course_pixels", pixels)):
        place = table.schema.get_field_index(name)
        values = [table[name][0].as_py(), value]
        table = table.set_column(place, name, pa.array(values, table.schema.field(name).type))
    with pytest.raises(ValueError, match=wrong):
        check_values(table)


def test_attacks_that_need_scores_are_refused_before_anything_is_asked(tmp_path: Path) -> None:
    for attack in ("few-pixel", "min-pixels"):
        with pytest.raises(InputError, match="sparse-evo"):
            labels_run(attack, tmp_path / attack)
        assert not (tmp_path / attack / "manifest.json").exists()


def test_images_of_a_set_without_labels_can_still_be_attacked(tmp_path: Path) -> None:
    images = digits("test")
    assert images.labels is not None
    outcome = labels_run(BY_LABELS[0], None, labels="predicted", limit=2)
    assert outcome.attacked == 2
    assert np.isin(outcome.table["status"].to_pylist(), ["fooled", "held"]).all()
