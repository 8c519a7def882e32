"""Questions to sparsity: the curve by hand, against its definition, and what counts."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinprick.intervals import wilson
from pinprick.metrics.sparsity import POINTS, sparsity
from tests.metrics.tables import outcome, outcomes


def unit(image: str, course: list[tuple[int, int]] | None, **more: Any) -> dict[str, Any]:
    told = {} if course is None else {"course_asked": [a for a, _ in course], "course_pixels": [p for _, p in course]}
    return outcome(image, "fooled" if course else "held", attack="sparse-evo", **told, **more)


def table(*courses: list[tuple[int, int]] | None) -> pa.Table:
    return outcomes([unit(f"{number:03d}", course) for number, course in enumerate(courses)])


def test_the_median_of_the_fewest_so_far() -> None:
    found = sparsity(table([(2, 30), (40, 4)], [(10, 8)], []), 100)
    assert found is not None
    assert found.n == 3
    assert found.questions == (1, 2, 3, 10, 30, 40, 100)
    assert found.median == (None, None, None, 30, 30, 8, 8)
    assert found.fooled == (0, 1, 1, 2, 2, 2, 2)
    assert [found.at(one) for one in (0, 1, 9, 10, 39, 40, 1000)] == [None, None, None, 30, 30, 8, 8]
    plain = json.loads(json.dumps(found.as_dict()))
    assert (plain["n"], plain["method"], plain["median"][-1]) == (3, "wilson", 8)


def test_without_courses_there_is_no_curve_and_failed_units_count_as_not_fooled() -> None:
    assert sparsity(table(None, None), 100) is None
    found = sparsity(table([(1, 3)], None, None), 100)
    assert found is not None
    assert (found.n, set(found.median)) == (3, {None})
    half = sparsity(table([(1, 3)], None), 100)
    assert half is not None
    assert set(half.median) == {3}


def test_images_count_with_the_fewest_pixels_of_their_units() -> None:
    rows = [unit("a", [(5, 9)], target=1), unit("a", [(3, 12), (8, 2)], target=2), unit("b", [(4, 7)], target=1)]
    by_unit, by_image = sparsity(outcomes(rows), 10), sparsity(outcomes(rows), 10, by_image=True)
    assert by_unit is not None
    assert by_image is not None
    assert (by_unit.n, by_unit.method) == (3, "bootstrap")
    assert (by_image.n, by_image.method) == (2, "wilson")
    assert [by_image.at(one) for one in (3, 4, 5, 8)] == [12, 7, 7, 2]


courses = st.lists(
    st.lists(st.tuples(st.integers(1, 400), st.integers(1, 50)), max_size=6).map(
        lambda steps: list(
            zip(sorted({a for a, _ in steps}), sorted({p for _, p in steps}, reverse=True), strict=False)
        )
    ),
    min_size=1,
    max_size=9,
)


@given(courses)
@settings(max_examples=60, deadline=None)
def test_it_is_the_definition_at_every_point_and_never_rises(drawn: list[list[tuple[int, int]]]) -> None:
    found = sparsity(table(*drawn), 400)
    assert found is not None
    for place, questions in enumerate(found.questions):
        best = sorted(min([p for a, p in course if a <= questions], default=np.inf) for course in drawn)
        middle = best[(len(best) - 1) // 2]
        assert found.median[place] == (None if middle == np.inf else middle)
        ends = [(sum(one <= value for one in best), value) for value in sorted({b for b in best if b < np.inf})]
        above = [value for won, value in ends if wilson(won, len(best))[1] >= 0.5]
        assert found.low[place] == (above[0] if above else None)
    known = [np.inf if one is None else one for one in found.median]
    assert known == sorted(known, reverse=True)


def test_of_many_steps_some_are_kept_and_round_numbers_are_among_them() -> None:
    draws = np.random.default_rng(0)
    many = [[(int(a), 1000 - k) for k, a in enumerate(np.unique(draws.integers(1, 10_000, 50)))] for _ in range(20)]
    found = sparsity(table(*many), 10_000)
    assert found is not None
    assert len(found.questions) < POINTS + 12
    assert {1, 3, 10, 30, 100, 300, 1000, 3000, 10_000} <= set(found.questions)


@pytest.mark.parametrize("allowed", [None, 77])
def test_the_curve_ends_where_the_run_does(allowed: int | None) -> None:
    found = sparsity(table([(20, 3)]), allowed)
    assert found is not None
    assert found.questions[-1] == (allowed or 20)
