"""The comparison of two forms of a network counts what it says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from benchmarks.same_verdicts import candidates, compare

from pinprick.targets.callable_target import CallableTarget
from tests.conftest import random_images

GRAY = (1, 8, 8)


def rows(change: float, tie: float) -> CallableTarget:
    """Three classes by the first pixels; the first image's second class is raised to ``tie`` under the first."""

    def scores(images: torch.Tensor) -> torch.Tensor:
        found = images.flatten(1)[:, :3].clone()
        first = found[:, 2] == 1
        found[first] = torch.tensor([0.5, 0.5 - tie, 0.0]) + torch.tensor([0.0, change, 0.0])
        return found

    return CallableTarget(scores, "logits")


@pytest.mark.parametrize(
    ("change", "tie", "differ", "not_tied", "ties"),
    [(0, 0.1, 0, 0, 0), (0.2, 0.1, 1, 1, 0), (0, 1e-6, 0, 0, 1), (1e-5, 1e-6, 1, 0, 1)],
)
def test_differences_and_ties(change: float, tie: float, differ: int, not_tied: int, ties: int) -> None:
    images = random_images(70, GRAY) // 2
    images[:, 0, 0, :3] = [40, 90, 200]
    images[3, 0, 0, 2] = 255
    found = compare(rows(0, tie), rows(change, tie), images)
    assert (found.images, found.differ, found.differ_not_tied, found.ties) == (70, differ, not_tied, ties)
    assert found.largest == pytest.approx(change, abs=1e-6)
    assert min(found.speed) > 0


def test_a_target_that_fails_is_told() -> None:
    broken = CallableTarget(lambda images: images.flatten(1)[:, :3] / 0, "logits")
    with pytest.raises(RuntimeError, match="failed on some images"):
        compare(rows(0, 0.1), broken, random_images(70, GRAY))


def test_candidates_are_the_same_each_time_and_change_so_many_pixels() -> None:
    images = random_images(4, (3, 8, 9))
    made = candidates(images, each=2)
    assert np.array_equal(made, candidates(images, each=2))
    changed = (made.reshape(4, 3, 2, 3, 8, 9) != images[:, None, None]).any(axis=3).sum(axis=(3, 4))
    assert (changed == np.array([1, 3, 5])[:, None]).all()
