"""The meter: counting, refusing, remembering."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pinprick.edits import Edits
from pinprick.errors import BudgetError
from pinprick.targets.callable_target import CallableTarget
from pinprick.targets.meter import Meter
from tests.conftest import colour_target, digits_target, make_unit, random_images


def some_edits(n: int, seed: int, *, colours: int = 256, d: int = 2) -> Edits:
    rng = np.random.default_rng(seed)
    return Edits(
        rng.integers(0, 8, (n, d)).astype(np.int32),
        rng.integers(0, 8, (n, d)).astype(np.int32),
        rng.integers(0, colours, (n, d, 1)).astype(np.uint8),
    )


@given(st.integers(0, 2**32 - 1), st.integers(1, 90))
@settings(max_examples=20, deadline=None)
def test_scores_are_those_of_the_edited_images_whether_remembered_or_not(seed: int, n: int) -> None:
    """Few positions and two colours: most candidates come again within a call and between calls."""
    target = digits_target()
    images = random_images(3, (1, 8, 8))
    units = [make_unit(target, image) for image in images]
    meters = [Meter(target, 1000, 64, cache=cache) for cache in (True, False)]
    for meter in meters:
        for unit in units:
            meter.open(unit)
    owners = np.random.default_rng(seed).integers(0, 3, n)
    for turn in range(2):
        edits = some_edits(n, seed + turn, colours=2, d=1)
        with_memory, without = (meter.score(edits, owners) for meter in meters)
        assert np.array_equal(with_memory, without)
        made = edits.apply(images[owners])
        direct = target.scores(target.images(np.resize(made, (64, 1, 8, 8))))
        assert np.array_equal(without[: min(n, 64)], direct[: min(n, 64)])
    counts = [[meter.close(handle) for handle in range(3)] for meter in meters]
    assert [asked for asked, _ in counts[0]] == [asked for asked, _ in counts[1]]
    assert all(answered <= asked for asked, answered in counts[0])
    assert all(answered == asked for asked, answered in counts[1])


def test_one_question_is_reserved_and_rows_beyond_the_budget_are_refused() -> None:
    target = digits_target()
    meter = Meter(target, 10, 64)
    handle = meter.open(make_unit(target, random_images(1, (1, 8, 8))[0]))
    assert meter.left(handle) == 9
    with pytest.raises(BudgetError, match="0 of 9"):
        meter.score(some_edits(10, 0), np.zeros(10, np.int64))
    assert meter.left(handle) == 9, "a refused call costs nothing"
    meter.score(some_edits(9, 0), np.zeros(9, np.int64))
    assert meter.left(handle) == 0
    meter.verify(some_edits(1, 0), np.array([handle]))
    with pytest.raises(BudgetError):
        meter.verify(some_edits(1, 0), np.array([handle]))
    assert meter.close(handle)[0] == 10


def test_each_row_is_charged_to_its_own_unit() -> None:
    target = digits_target()
    meter = Meter(target, 100, 64)
    handles = [meter.open(make_unit(target, image)) for image in random_images(2, (1, 8, 8))]
    meter.score(some_edits(7, 0), np.array([0, 1, 1, 0, 1, 1, 1]))
    assert [meter.close(handle)[0] for handle in handles] == [2, 5]


def test_verification_goes_past_memory_and_through_the_target_itself() -> None:
    target = colour_target()
    seen = []
    raw = target.raw

    def watched(images: torch.Tensor) -> torch.Tensor:
        seen.append(len(images))
        result: torch.Tensor = raw(images)
        return result

    target.raw = watched  # type: ignore[method-assign]
    image = random_images(1, (3, 9, 12))[0]
    unit = make_unit(target, image)
    target.prepare(target.images(random_images(32, (3, 9, 12))))
    meter = Meter(target, 100, 64)
    handle = meter.open(unit)
    edits = Edits(np.array([[3]], np.int32), np.array([[4]], np.int32), np.array([[[1, 2, 3]]], np.uint8))
    meter.score(edits, np.array([handle]))
    seen.clear()
    after = meter.verify(edits, np.array([handle]))
    assert seen == [64]
    made = edits.apply(image[None])
    assert np.array_equal(after, target.scores(target.images(np.repeat(made, 64, axis=0)))[:1])


def test_a_row_without_scores_fails_its_own_unit_only() -> None:
    def touchy(images: torch.Tensor) -> torch.Tensor:
        if (images[:, 0, 0, 0] == 1).any():
            raise ValueError("white corner")
        return images.flatten(1)[:, :3]

    target = CallableTarget(touchy, "logits", classes=3)
    image = np.full((1, 8, 8), 7, np.uint8)
    other = image + 1
    meter = Meter(target, 100, 8)
    from pinprick.goals import Goal
    from pinprick.units import Unit

    units = [
        Unit(x, "i", "0", 0, Goal(), "random", 1, str(k), np.zeros(3, np.float32)) for k, x in enumerate((image, other))
    ]
    handles = [meter.open(unit) for unit in units]
    edits = Edits(
        np.zeros((4, 1), np.int32), np.array([[0], [1], [2], [3]], np.int32), np.full((4, 1, 1), 255, np.uint8)
    )
    scores = meter.score(edits, np.array([handles[0], handles[0], handles[1], handles[1]]))
    assert meter.failed(handles[0]) == "ValueError: white corner"
    assert meter.failed(handles[1]) is None
    assert np.isnan(scores[0]).all()
    assert np.isfinite(scores[1:]).all()
