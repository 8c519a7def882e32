"""The meter: counting, refusing, remembering."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pinprick.edits import Edits
from pinprick.errors import BudgetError, InputError
from pinprick.goals import Goal
from pinprick.targets.callable_target import CallableTarget
from pinprick.targets.meter import Meter
from pinprick.targets.passes import VERIFYING_ROWS, ask
from pinprick.units import Unit
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
    (after,) = meter.verify(edits, np.array([handle]))
    assert seen == [VERIFYING_ROWS]
    made = edits.apply(image[None])
    assert np.array_equal(after, target.scores(target.images(np.repeat(made, 64, axis=0)))[:1])


def test_a_verifying_pass_holds_one_image_alone() -> None:
    target = colour_target()
    images = random_images(3, (3, 9, 12))
    meter = Meter(target, 100, 64)
    handles = np.array([meter.open(make_unit(target, image)) for image in images])
    edits = Edits(np.full((3, 1), 3, np.int32), np.arange(3, dtype=np.int32)[:, None], np.zeros((3, 1, 3), np.uint8))
    together = meter.verify(edits, handles)
    for place in (2, 0, 1):
        (alone,) = meter.verify(edits.take([place]), handles[[place]])
        assert (alone == together[place]).all()
    assert meter.total_asked == meter.total_answered == 6


def test_a_row_without_scores_fails_its_own_unit_only() -> None:
    def touchy(images: torch.Tensor) -> torch.Tensor:
        if (images[:, 0, 0, 0] == 1).any():
            raise ValueError("white corner")
        return images.flatten(1)[:, :3]

    target = CallableTarget(touchy, "logits", classes=3)
    image = np.full((1, 8, 8), 7, np.uint8)
    other = image + 1
    meter = Meter(target, 100, 8)
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


def falls_over(images: torch.Tensor) -> torch.Tensor:
    """Raises on any white corner."""
    if (images[:, 0, 0, 0] == 1).any():
        raise ValueError("white corner")
    return images.flatten(1)[:, :3]


@pytest.mark.parametrize("cache", [True, False])
def test_what_was_sent_to_a_remote_target_again_is_charged_and_to_a_local_one_is_not(cache: bool) -> None:
    """Of the eight rows of one pass the first is guilty: it goes out in passes of 8, 4, 2 and 1 rows."""
    image = np.full((1, 8, 8), 7, np.uint8)
    unit = Unit(image, "i", "0", 0, Goal(), "random", 1, "0", np.zeros(3, np.float32))
    edits = Edits(np.zeros((8, 1), np.int32), np.arange(8)[:, None].astype(np.int32), np.full((8, 1, 1), 255, np.uint8))
    counts = {}
    for remote in (True, False):
        meter = Meter(CallableTarget(falls_over, "logits", classes=3, remote=remote), 100, 8, cache=cache)
        guilty, innocent = meter.open(unit), meter.open(unit)
        meter.score(edits, np.array([guilty, *[innocent] * 7]))
        assert meter.failed(innocent) is None
        total = meter.total_answered
        counts[remote] = (meter.close(guilty), meter.close(innocent), total)
    # The innocent rows: one in passes of 8, 4, 2 and 1 rows; two in passes of 8, 4 and 2; four in passes of 8 and 4.
    assert counts[True] == ((1, 4), (7, 4 + 2 * 3 + 4 * 2), 22)
    assert counts[False] == ((1, 1), (7, 7), 8)


def test_verification_counts_what_was_sent_too() -> None:
    image = np.full((1, 8, 8), 7, np.uint8)
    unit = Unit(image, "i", "0", 0, Goal(), "random", 1, "0", np.zeros(3, np.float32))
    edits = Edits(np.zeros((2, 1), np.int32), np.array([[0], [1]], np.int32), np.full((2, 1, 1), 255, np.uint8))
    meter = Meter(CallableTarget(falls_over, "logits", classes=3, remote=True), 100, 8)
    handles = np.array([meter.open(unit), meter.open(unit)])
    meter.verify(edits, handles)
    assert meter.failed(0) == "ValueError: white corner"
    assert [meter.close(int(handle)) for handle in handles] == [(1, 2), (1, 2)]


def test_a_label_beyond_the_classes_is_refused_before_anything_is_asked() -> None:
    target = digits_target()
    unit = make_unit(target, random_images(1, (1, 8, 8))[0], label=10)
    with pytest.raises(InputError, match="label: 10 of 10 classes"):
        Meter(target, 10, 64).open(unit)


def test_double_precision_is_kept_through_memory_and_verification() -> None:
    """Scores that differ by 1e-9 around 1e6: the hit is one in double precision only."""

    def exact(images: torch.Tensor) -> torch.Tensor:
        first = images.double().flatten(1)[:, :2]
        return first * 1e-9 + 1e6

    image = np.zeros((1, 8, 8), np.uint8)
    image[0, 0, 0] = 100
    target = CallableTarget(exact, "logits")
    scores = ask(target, image[None], 8).scores[0]
    meter = Meter(target, 100, 8)
    handle = meter.open(Unit(image, "i", "0", 0, Goal(), "random", 1, "0", scores))
    edits = Edits(np.zeros((1, 1), np.int32), np.ones((1, 1), np.int32), np.full((1, 1, 1), 255, np.uint8))
    for _ in range(2):
        assert meter.score(edits, np.array([handle])).argmax(axis=1).tolist() == [1]
    assert meter.verify(edits, np.array([handle]))[0].argmax() == 1
