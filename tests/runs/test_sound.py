"""Stored tables whose values are none that a run writes: refused by column and row, and never measured."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from pinprick.errors import InputError
from pinprick.runs import measures as measures_module
from pinprick.runs.measures import measures
from pinprick.runs.same_model import read_clean
from pinprick.runs.sound import check_values
from pinprick.runs.store import read_outcomes
from pinprick.targets.callable_target import CallableTarget
from tests.conftest import digits_net
from tests.runs.conftest import small_run

Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that has fooled some images."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    result = small_run(
        out=folder, limit=6, pixels=3, attack="random", budget=60, goal="targeted", targets="least-likely"
    )
    assert len(result.table) == 6
    return folder


def changed(folder: Path, name: str, out: Path, change: Change) -> Path:
    """A copy of one of the folder's tables with its second row changed."""
    table = pq.read_table(folder / name)
    rows = table.to_pylist()
    change(rows[1])
    out.mkdir(exist_ok=True)
    for file in ("manifest.json", "outcomes.parquet", "clean.parquet"):
        (out / file).write_bytes((folder / file).read_bytes())
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), out / name)
    return out


def lists(name: str, value: Any) -> Change:
    return lambda row: row[name].__setitem__(0, value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda row: row.update(status="won"), "column status, row 1: 'won' is none of fooled, held, failed, skipped"),
        (lambda row: row.update(goal="any"), "column goal, row 1: 'any' is none of untargeted, targeted, reduce"),
        (lambda row: row.update(label=-1), "column label, row 1: -1 is no class"),
        (lambda row: row.update(predicted_after=2**31 - 1), "column predicted_after, row 1: 2147483647 is no class"),
        (lambda row: row.update(target=None), "column target, row 1: None is not what its goal asks for"),
        (lambda row: row.update(asked=-3), "column asked, row 1: -3 is less than none"),
        (lambda row: row.update(scores_before=[]), "column scores_before, row 1: [] is no scores of two or more"),
        (lists("scores_before", None), "column scores_before: a null inside of a list"),
        (lists("rows", None), "column rows: a null inside of a list"),
        (lists("rows", -1), "column rows: a place outside of the image"),
        (lambda row: row["columns"].append(3), "is not one entry a pixel"),
        (lambda row: row.update(colours=None), "column colours, row 1: None is not one entry a pixel"),
        (lists("colours", [1, 2]), "column colours: 1 and 2 values a pixel, not 1 or 3"),
        (lists("colours_before", [None]), "column colours_before: a null inside of a list"),
    ],
)
def test_outcomes_of_other_values_are_refused_by_column_and_row(
    change: Change, message: str, finished: Path, tmp_path: Path
) -> None:
    out = changed(finished, "outcomes.parquet", tmp_path / "run", change)
    for read in (read_outcomes, measures):
        with pytest.raises(InputError) as raised:
            read(out)
        assert message in str(raised.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lists("scores", None), "column scores: a null inside of a list"),
        (lambda row: row.update(scores=[1.0]), "column scores, row 1: [1.0] is no scores of two or more classes"),
        (lambda row: row.update(label=-5), "column label, row 1: -5 is no class"),
    ],
)
def test_clean_scores_of_other_values_are_refused(change: Change, message: str, finished: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError) as raised:
        read_clean(changed(finished, "clean.parquet", tmp_path / "run", change))
    assert message in str(raised.value)


def test_clean_scores_of_another_type_are_refused(finished: Path, tmp_path: Path) -> None:
    table = pq.read_table(finished / "clean.parquet")
    place = table.column_names.index("scores")
    pq.write_table(table.set_column(place, "scores", pa.array(["x"] * len(table))), tmp_path / "clean.parquet")
    with pytest.raises(InputError, match=r"clean\.parquet: cannot be read"):
        read_clean(tmp_path)


def test_what_runs_write_is_sound(tmp_path: Path) -> None:
    """With units that failed, images that failed unchanged, and labels that show up one by one."""
    net = digits_net()

    def touchy(images: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = net(images)
        return torch.where(images[:, :, 0, 0] > 0.9, math.nan, scores)

    tables = [
        small_run(target=CallableTarget(touchy, "logits", name="t"), attack="random", pixels=3).table,
        small_run(
            target=CallableTarget(lambda images: net(images).argmax(1), "labels", name="t"), attack="random", budget=9
        ).table,
        small_run(goal="untargeted-derived", limit=1, budget=401).table,
    ]
    assert "failed" in tables[0]["status"].to_pylist()
    for table in tables:
        check_values(table)
    check_values(tables[0].slice(0, 0))


def test_more_classes_than_can_be_paired_are_told(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measures_module, "MOST_CLASSES", 9)
    with pytest.raises(InputError, match=r"10 classes, and measures are of 9 at most.*read_outcomes"):
        measures(finished)
