"""The comparison of two runs row by row finds what differs, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from benchmarks.forms.same_outcomes import COMPARED, compare, differences, told_differences

from pinprick.runs.store import read_outcomes
from tests.runs.conftest import small_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("same") / "run"
    small_run(out=out, attack="few-pixel", limit=6, budget=80, baseline="none")
    return out


def changed(table: pa.Table, row: int, column: str, value: Any) -> pa.Table:
    values = table[column].to_pylist()
    values[row] = value
    place = table.schema.get_field_index(column)
    return table.set_column(place, table.schema.field(place), pa.array(values, table.schema.field(place).type))


def test_a_table_is_as_itself(folder: Path) -> None:
    table = read_outcomes(folder)
    found = differences(table, table)
    assert (found.rows, found.same, found.alone, found.scores) == (6, 6, 0, 0)
    assert not any(found.differ.values())


@pytest.mark.parametrize(
    ("column", "value", "what"),
    [
        ("status", "failed", "fooled"),
        ("predicted_after", 77, "label"),
        ("changed", 5, "pixels"),
        ("rows", [7, 7, 7], "pixels"),
        ("colours", [[1]], "colours"),
        ("asked", 1, "questions"),
        ("first_hit", 3333, "questions"),
    ],
)
def test_a_row_that_differs_is_named(folder: Path, column: str, value: Any, what: str) -> None:
    table = read_outcomes(folder)
    other = changed(table, 2, column, value)
    found = differences(table, other)
    assert found.differ == {name: [table["key"][2].as_py()] if name == what else [] for name in COMPARED}
    assert found.same == 5
    (line,) = told_differences("ONNX", (table, other), found)
    assert line.startswith(f"ONNX: {table['image'][2].as_py()}, few-pixel, ")
    assert line.endswith(f"{column} {table[column][2].as_py()} and {value}")


def test_scores_of_other_images_are_not_compared(folder: Path) -> None:
    table = read_outcomes(folder)
    scores = [value + 0.5 for value in table["scores_after"][1].as_py()]
    other = changed(table, 1, "scores_after", scores)
    assert differences(table, other).scores == pytest.approx(0.5)
    assert differences(table, changed(other, 1, "colours", [[9]])).scores == 0


def test_units_of_one_only_are_counted(folder: Path) -> None:
    table = read_outcomes(folder)
    found = differences(table, table.slice(2))
    assert (found.rows, found.alone) == (4, 2)
    assert list(told_differences("x", (table, table.slice(2)), found)) == ["x: 2 units are in one of the two only"]


def test_folders_become_a_table(folder: Path) -> None:
    head, _, first, second = compare({"a": folder, "b": folder})
    assert compare({"a": folder, "b": folder, "c": folder})[-1] == "c beside b: 6 of 6 rows the same"
    assert head.count("|") == first.count("|") == second.count("|")
    assert "| 6 of 6 | 0 | 0 | 0 | 0 | 0 | 0.0e+00 |" in second
