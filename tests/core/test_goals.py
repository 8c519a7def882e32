"""Goals: fitness and success."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pinprick.errors import InputError
from pinprick.goals import Goal, GoalRows, softmax


def test_success_is_the_argmax_and_not_a_threshold() -> None:
    scores = np.array([[0.40, 0.35, 0.25], [0.30, 0.31, 0.39], [0.34, 0.33, 0.33]])
    rows = GoalRows.of([Goal(), Goal(), Goal("targeted", 1)], [0, 0, 0])
    assert rows.met(scores, scores).tolist() == [False, True, False]
    assert GoalRows.of([Goal("targeted", 2)] * 3, [0, 0, 0]).met(scores, scores).tolist() == [False, True, False]


def test_fitness_is_the_true_class_or_minus_the_target() -> None:
    probabilities = np.array([[0.2, 0.8], [0.3, 0.7]])
    assert GoalRows.of([Goal(), Goal("targeted", 1)], [0, 0]).fitness(probabilities).tolist() == [0.2, -0.7]


def test_a_tie_is_the_first_class_and_a_nan_is_never_a_success() -> None:
    scores = np.array([[0.5, 0.5], [np.nan, 1.0]])
    assert GoalRows.of([Goal(), Goal()], [0, 0]).met(scores, np.nan_to_num(scores)).tolist() == [False, False]


def test_reduce_pushes_the_label_under_its_bound() -> None:
    scores = np.array([[0.55, 0.45], [0.65, 0.35]])
    assert GoalRows.of([Goal("reduce", bound=0.6)] * 2, [0, 0]).met(scores, scores).tolist() == [True, False]


@pytest.mark.parametrize(
    ("goal", "label", "message"),
    [(Goal("targeted", 3), 3, "own class"), (Goal("targeted", 10), 3, "0 to 9"), (Goal("targeted", -1), 3, "0 to 9")],
)
def test_goals_that_make_no_sense_are_refused(goal: Goal, label: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        goal.check(label, 10)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("targeted", {"target": "a"}),
        ("targeted", {"target": [1]}),
        ("targeted", {"target": np.array([1, 2])}),
        ("targeted", {"target": True}),
        ("targeted", {"target": 1.5}),
        ("reduce", {"bound": "x"}),
        ("reduce", {"bound": True}),
        ("reduce", {"bound": float("nan")}),
        (np.array(["targeted", "reduce"]), {}),
        (None, {}),
    ],
)
def test_goals_of_what_is_no_number_are_refused(kind: Any, options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="goal"):
        Goal(kind, **options)


def test_softmax_keeps_confident_rows_apart() -> None:
    """In single precision both would be exactly 1, and a search would see no slope."""
    first, second = softmax(np.array([[40.0, 0.0], [30.0, 0.0]], np.float32))[:, 1]
    assert 0 < first < second


def test_a_class_that_the_rows_do_not_reach_has_no_probability() -> None:
    """Labels widen rows as they show up; before it does, a class is as likely as one that was never seen."""
    rows = np.array([[0.0, 1.0], [1.0, 0.0]])
    goals = GoalRows.of([Goal("targeted", 5), Goal("reduce", bound=0.5)], [1, 7])
    assert goals.fitness(rows).tolist() == [0, 0]
    assert goals.met(rows, rows).tolist() == [False, True]
    assert GoalRows.of([Goal(), Goal("targeted", 1)], [7, 0]).met(rows[:1].repeat(2, 0), rows).tolist() == [True, True]


def test_a_label_that_is_no_class_is_refused() -> None:
    with pytest.raises(InputError, match="label: 10 of 10 classes"):
        Goal().check(10, 10)


def test_scores_that_only_double_precision_tells_apart_are_told_apart() -> None:
    scores = np.array([[1e9, 1e9 + 1e-6]])
    assert GoalRows.of([Goal()], [0]).met(scores, softmax(scores)).tolist() == [True]


@pytest.mark.parametrize("wrong", [{"target": 1.5}, {"target": float("nan")}, {"target": True}])
def test_a_target_is_a_whole_number(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match="whole number"):
        Goal("targeted", **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("bound", [float("nan"), -0.1, 1.5])
def test_a_bound_is_a_probability(bound: float) -> None:
    with pytest.raises(InputError, match="0 to 1"):
        Goal("reduce", bound=bound)
