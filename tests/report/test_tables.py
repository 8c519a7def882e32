"""What the page's tables hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pinprick.metrics.pairs import class_pairs
from pinprick.report.tables import (
    DEEPEST,
    MOST_CLASSES,
    curve_points,
    differences,
    matrix,
    p_text,
    signed,
    summary_lines,
)
from pinprick.runs.measures import measures
from tests.metrics.tables import outcome, outcomes, some_outcomes


def test_the_totals_of_a_matrix_are_those_of_its_cells() -> None:
    for targeted in (True, False):
        found = class_pairs(some_outcomes(3, 60, targeted=targeted), 4)
        table = matrix(found, ["a", "b", "c", "d"])
        assert table.total == str(int(found.successes.sum()))
        for row in range(4):
            assert table.row_totals[row].startswith(f"{int(found.successes[row].sum())} of ")
            assert table.cells[row][row].diagonal
        deepest = max(cell.depth for row in table.cells for cell in row)
        assert deepest == DEEPEST
        if not targeted:
            assert [int(total) for total in table.column_totals] == found.successes.sum(axis=0).tolist()
            assert [int(cell.text or 0) for cell in table.cells[0]] == found.successes[0].tolist()


def test_of_many_classes_those_with_the_most_successes_are_shown_and_the_rest_is_said() -> None:
    rows = [outcome(f"{i:03d}", "fooled", label=i % 40, predicted_after=(i * 7 + 1) % 300) for i in range(200)]
    found = class_pairs(outcomes(rows), 300)
    table = matrix(found, [str(i) for i in range(300)])
    assert len(table.which) == MOST_CLASSES
    assert list(table.which) == sorted(table.which)
    assert table.classes == 300
    weight = found.successes.sum(axis=0) + found.successes.sum(axis=1)
    assert min(weight[list(table.which)]) >= max(np.delete(weight, table.which))
    assert table.total == str(int(found.successes.sum())), "of all classes, not only of those shown"
    assert len(table.pairs) == 15
    assert matrix(class_pairs(outcomes([outcome("a")]), 300), ["x"] * 300).which == ()


def test_the_baseline_stands_under_its_attack(untargeted: Path) -> None:
    run = measures(untargeted)
    lines = summary_lines(run)
    assert [(line.row.attack, line.row.pixels, line.baseline) for line in lines] == [
        *(("one-pixel", 1, False), ("random", 1, True), ("one-pixel", 3, False), ("random", 3, True))
    ]
    pair = run.against_baseline[0].paired
    assert pair.difference is not None
    assert lines[0].difference.startswith(signed(100 * pair.difference))
    assert lines[1].difference == ""


def test_the_points_of_the_curves_end_at_the_budget(untargeted: Path) -> None:
    run = measures(untargeted)
    points, lines = curve_points(run.rows)
    assert points == ["10", "100", "801"]
    for (attack, pixels, shares), measured in zip(lines, run.rows, strict=True):
        assert (attack, pixels) == (measured.row.attack, measured.row.pixels)
        assert shares[-1] == f"{100 * (measured.row.success_rate or 0):.1f}\N{NO-BREAK SPACE}%"


def test_small_figures() -> None:
    assert [p_text(value) for value in (0.0004, 0.0312, 1.0)] == ["<\N{NO-BREAK SPACE}0.001", "0.031", "1"]
    assert [signed(value) for value in (3.31, -11.4, 0.0, -0.04)] == ["+3.3", "−11.4", "0.0", "0.0"]


def test_a_run_differs_from_itself_in_nothing_and_from_another_in_what_it_was_asked(
    untargeted: Path, targeted: Path
) -> None:
    one, other = measures(untargeted), measures(targeted)
    assert differences([one, one]) == []
    found = dict(differences([one, other]))
    assert found["spec.goal"] == ["untargeted", "targeted"]
    assert found["spec.budget"] == ["801", "470"]
    assert "spec.pixels" not in found
