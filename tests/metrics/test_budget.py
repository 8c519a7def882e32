"""Success against budget."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinprick.intervals import wilson
from pinprick.metrics.budget import POINTS, success_by_budget
from pinprick.metrics.derived import by_image
from pinprick.metrics.rates import rate, success_rate
from tests.metrics.tables import outcome, outcomes, some_outcomes


def test_a_unit_counts_when_its_first_hit_and_the_verifying_question_fit() -> None:
    rows = [
        outcome("a", "fooled", first_hit=7, asked=65),
        outcome("b", "fooled", first_hit=20, asked=65, draws=5),
        outcome("c", "fooled", first_hit=None, asked=30),
        outcome("d", "held", first_hit=3),
        outcome("e", "failed"),
    ]
    curve = success_by_budget(outcomes(rows), allowed=200)
    assert curve.n == 5
    assert curve.budgets == (1, 8, 10, 25, 30, 100, 200)
    assert curve.fooled == (0, 1, 1, 2, 3, 3, 3)
    assert curve.rate == pytest.approx(np.array(curve.fooled) / 5)
    assert (curve.low[1], curve.high[1]) == wilson(1, 5)
    assert [curve.at(budget) for budget in (0, 1, 7, 8, 24, 25, 9999)] == [None, 0, 0, 0.2, 0.2, 0.4, 0.6]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 12), st.booleans())
def test_curves_rise_and_end_at_the_success_rate(seed: int, images: int, targeted: bool) -> None:
    table = some_outcomes(seed, images, targeted=targeted)
    for units in [table, by_image(table)] if targeted else [table]:
        curve, whole = success_by_budget(units, allowed=101), success_rate(units)
        assert list(curve.budgets) == sorted(set(curve.budgets))
        assert (np.diff(curve.fooled) >= 0).all()
        assert (curve.fooled[0], curve.rate[0], curve.budgets[0]) == (0, 0, 1)
        assert (curve.fooled[-1], curve.rate[-1], curve.budgets[-1]) == (whole.successes, whole.rate, 101)
        assert (curve.low[-1], curve.high[-1]) == pytest.approx(whole.interval)
        assert (np.array(curve.low) <= np.array(curve.rate) + 1e-12).all()
        assert (np.array(curve.rate) <= np.array(curve.high) + 1e-12).all()


def test_the_curve_is_what_counting_gives_and_its_band_that_of_each_point() -> None:
    table = some_outcomes(3, 9, targeted=True)
    curve = success_by_budget(table)
    assert curve.method == "bootstrap"
    units = table.to_pylist()
    for point, budget in enumerate(curve.budgets):
        within = []
        for unit in units:
            cost = unit["asked"] if unit["first_hit"] is None else unit["first_hit"] + 1
            within.append(unit["status"] == "fooled" and cost <= budget)
        assert curve.fooled[point] == sum(within)
        own = rate(within, [unit["image"] for unit in units])
        assert (curve.low[point], curve.high[point]) == pytest.approx(own.interval)


def test_the_derived_curve_is_over_the_budget_of_one_target() -> None:
    rows = [
        outcome("a", "fooled", target=1, first_hit=90, asked=100),
        outcome("a", "fooled", target=2, first_hit=10, asked=70),
        outcome("a", "held", target=3),
        outcome("b", "held", target=1),
        outcome("b", "failed", target=2),
    ]
    curve = success_by_budget(by_image(outcomes(rows)), budgets=[10, 11, 100])
    assert (curve.n, curve.fooled) == (2, (0, 1, 1))


def test_long_curves_are_thinned_and_keep_their_ends() -> None:
    rows = [outcome(f"{number:04d}", "fooled", first_hit=3 * number + 1, asked=9999) for number in range(1000)]
    curve = success_by_budget(outcomes(rows), allowed=40_401)
    assert len(curve.budgets) <= POINTS + 10
    assert (curve.budgets[-1], curve.fooled[-1]) == (40_401, 1000)
    assert curve.at(1000) == sum(3 * number + 2 <= 1000 for number in range(1000)) / 1000


def test_no_units_have_no_curve() -> None:
    curve = success_by_budget(outcomes([]), allowed=10)
    assert (curve.n, curve.budgets, curve.at(5)) == (0, (), None)
