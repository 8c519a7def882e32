"""Goals: what an attack wants of a classifier, per image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pinprick.errors import InputError

Kind = Literal["untargeted", "targeted", "reduce"]
Scores = NDArray[np.floating]
"""Raw scores ``(N, K)`` or ``(K,)``: float32, or float64 where the classifier gives that."""


LARGEST_LOGIT = 1e100
"""What searches are told of logits beyond: they square differences. Verdicts are by the scores themselves."""
TINY = 1e-300
"""In place of a probability of 0 where its logarithm is taken."""


@dataclass(frozen=True)
class Goal:
    """Leave the label (untargeted), reach ``target`` (targeted), or push the label's probability under ``bound``."""

    kind: Kind = "untargeted"
    target: int | None = None
    bound: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.kind, str) or self.kind not in ("untargeted", "targeted", "reduce"):
            raise InputError("goal", f"there is no {self.kind!r}", "Use untargeted, targeted or reduce.")
        if (self.kind == "targeted") != (self.target is not None):
            raise InputError("goal", f"{self.kind} with target {self.target}", "Only targeted goals have a target.")
        if (self.kind == "reduce") != (self.bound is not None):
            raise InputError("goal", f"{self.kind} with bound {self.bound}", "Only reduce has a bound.")
        if self.target is not None and (not _is_number(self.target) or self.target % 1 != 0):
            raise InputError("goal", f"target {self.target!r}", "Give a class index, a whole number.")
        if self.bound is not None and (not _is_number(self.bound) or not 0 <= self.bound <= 1):
            raise InputError("goal", f"bound {self.bound!r}", "Give a probability, 0 to 1.")

    def check(self, label: int, classes: int) -> None:
        """Raise InputError where ``label`` is none of ``classes``, or the goal makes no sense for an image of it."""
        if not 0 <= label < classes:
            raise InputError("label", f"{label} of {classes} classes", f"Labels go from 0 to {classes - 1}.")
        if self.target is not None and not 0 <= self.target < classes:
            raise InputError("target class", f"{self.target} of {classes} classes", f"Use 0 to {classes - 1}.")
        if self.target == label:
            raise InputError("target class", f"{self.target} is the image's own class", "Choose another class.")

    def __str__(self) -> str:
        if self.kind == "targeted":
            return f"targeted:{self.target}"
        return f"reduce:{self.bound}" if self.kind == "reduce" else "untargeted"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


@dataclass(frozen=True)
class GoalRows:
    """Goals and labels of many rows at once, ``(N,)`` each; build with :meth:`of`."""

    labels: NDArray[np.int64]
    targets: NDArray[np.int64]
    """Target class, -1 where the goal is not targeted."""
    bounds: NDArray[np.float64]
    """Bound on the label's probability, NaN where the goal is not to reduce it."""

    @staticmethod
    def of(goals: Sequence[Goal], labels: Sequence[int] | NDArray[np.int64]) -> GoalRows:
        """Rows from one goal and one label each."""
        return GoalRows(
            np.asarray(labels, np.int64),
            np.array([-1 if goal.target is None else goal.target for goal in goals], np.int64),
            np.array([np.nan if goal.bound is None else goal.bound for goal in goals], np.float64),
        )

    def take(self, which: NDArray[np.intp]) -> GoalRows:
        """The rows at ``which``."""
        return GoalRows(self.labels[which], self.targets[which], self.bounds[which])

    def fitness(self, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        """What a search minimises, ``(N,)``: f_y, or -f_t for targeted goals (paper, section 3.3)."""
        targeted = self.targets >= 0
        wanted = np.where(targeted, self.targets, self.labels)
        return np.where(targeted, -1.0, 1.0) * _of_class(probabilities, wanted)

    def margin(self, scores: Scores, probabilities: NDArray[np.float64], *, logits: bool) -> NDArray[np.float64]:
        """How far the goal is in log odds, ``(N,)``; under 0 it is met.

        The label's (or the foremost other) log probability less that of the foremost other class (or the target's); of
        a goal to reduce, log f_y less the log of its bound. With ``logits`` taken from the scores themselves, which
        tell more than probabilities that are all but 0 or 1.
        """
        values = _log_odds(scores, probabilities, logits)
        targeted = self.targets >= 0
        wanted = np.where(targeted, self.targets, self.labels)
        own = _of_class(values, wanted, -np.inf)
        others = values.copy()
        inside = np.flatnonzero(wanted < values.shape[1])
        others[inside, wanted[inside]] = -np.inf
        gap = np.where(targeted, -1.0, 1.0) * (own - others.max(axis=1))
        under = np.log(np.maximum(_of_class(probabilities, self.labels), TINY)) - np.log(np.maximum(self.bounds, TINY))
        return np.where(np.isnan(self.bounds), gap, under)

    def gaps(self, scores: Scores, probabilities: NDArray[np.float64], *, logits: bool) -> NDArray[np.float64]:
        """How far each class is from meeting the goal, ``(N, K)``; the least of a row is its :meth:`margin`.

        Of an untargeted goal the label's log probability less that of each other class, infinite for the label itself.
        Of other goals the margin stands in the first column, and the rest are infinite.
        """
        values = _log_odds(scores, probabilities, logits)
        found = np.where((self.targets < 0) & np.isnan(self.bounds), _of_class(values, self.labels, -np.inf), np.nan)
        gaps: NDArray[np.float64] = found[:, None] - values
        inside = np.flatnonzero(self.labels < values.shape[1])
        gaps[inside, self.labels[inside]] = np.inf
        if (other := np.isnan(found)).any():
            gaps[other] = np.inf
            gaps[other, 0] = self.take(np.flatnonzero(other)).margin(scores[other], probabilities[other], logits=logits)
        return gaps

    def met(self, scores: Scores, probabilities: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether the goal is reached, ``(N,)``: decided by the argmax of the raw scores (first class on a tie).

        A row with a NaN never counts.
        """
        predicted = np.argmax(np.nan_to_num(scores, nan=-np.inf), axis=1)
        reached = np.where(self.targets >= 0, predicted == self.targets, predicted != self.labels)
        reduce = ~np.isnan(self.bounds)
        under = _of_class(probabilities, self.labels) < np.where(reduce, self.bounds, 0.0)
        done: NDArray[np.bool_] = np.where(reduce, under, reached) & ~np.isnan(scores).any(axis=1)
        return done


def _log_odds(scores: Scores, probabilities: NDArray[np.float64], logits: bool) -> NDArray[np.float64]:
    """Logits as they are (their squares finite), other outputs as log probabilities."""
    if logits:
        return np.clip(scores.astype(np.float64), -LARGEST_LOGIT, LARGEST_LOGIT)
    return np.log(np.maximum(probabilities, TINY))


def _of_class(values: NDArray[np.float64], classes: NDArray[np.int64], missing: float = 0.0) -> NDArray[np.float64]:
    """Of each row the value of one class, ``(N,)``; ``missing`` for a class that the rows do not reach.

    Rows made of labels whose number is not known reach as far as the labels that have shown up.
    """
    reached = classes < values.shape[1]
    found = values[np.arange(len(classes)), np.where(reached, classes, 0)]
    return np.where(reached, found, missing)


def softmax(logits: Scores) -> NDArray[np.float64]:
    """Softmax over the last axis, in double precision so that probabilities near 1 stay ordered."""
    shifted = logits.astype(np.float64)
    with np.errstate(over="ignore"):  # a difference of -inf has the weight 0, as it should
        shifted = shifted - shifted.max(axis=-1, keepdims=True)
    weights = np.exp(shifted)
    result: NDArray[np.float64] = weights / weights.sum(axis=-1, keepdims=True)
    return result
