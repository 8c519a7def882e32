"""Positions that may differ, and what reads them, against masks computed pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pinprick.incremental import windows
from pinprick.incremental.ops import Field
from pinprick.incremental.windows import Boxes, Dirty, Masks, changed

SIZE = (9, 7)


def _draw(seed: int) -> tuple[Dirty, NDArray[np.bool_], Field, tuple[int, int]]:
    rng = np.random.default_rng(seed)
    pixels = int(rng.integers(1, 4)) if seed % 2 else 1
    n = 6
    rows, columns = (rng.integers(0, size, (n, pixels)).astype(np.int32) for size in SIZE)
    counts = rng.integers(0, pixels + 1, n).astype(np.int32)
    plain = np.zeros((n, *SIZE), bool)
    for one in range(n):
        plain[one, rows[one, : counts[one]], columns[one, : counts[one]]] = True
    pairs = [(int(rng.integers(1, 5)), int(rng.integers(1, 4))) for _ in range(2)]
    kernel, dilation = (pairs[0][0], pairs[1][0]), (pairs[0][1], pairs[1][1])
    field = Field(
        kernel,
        (int(rng.integers(1, 4)), int(rng.integers(1, 4))),
        (int(rng.integers(0, 3)), int(rng.integers(-2, 3))),
        dilation,
    )
    return changed(SIZE, rows, columns, counts), plain, field, (int(rng.integers(1, 8)), int(rng.integers(1, 8)))


def _reached(plain: NDArray[np.bool_], field: Field, size: tuple[int, int]) -> dict[tuple[int, int, int], list[int]]:
    """For each output that reads a changed position, the taps by which it does."""
    found: dict[tuple[int, int, int], list[int]] = {}
    for n in range(len(plain)):
        for i in range(size[0]):
            for j in range(size[1]):
                for tap in range(field.taps):
                    y, x = divmod(tap, field.kernel[1])
                    row = i * field.stride[0] - field.padding[0] + y * field.dilation[0]
                    column = j * field.stride[1] - field.padding[1] + x * field.dilation[1]
                    if 0 <= row < SIZE[0] and 0 <= column < SIZE[1] and plain[n, row, column]:
                        found.setdefault((n, i, j), []).append(tap)
    return found


@pytest.mark.parametrize("seed", range(60))
def test_outputs_that_read_a_changed_position_are_found_with_what_they_read(seed: int) -> None:
    dirty, plain, field, size = _draw(seed)
    assert isinstance(dirty, (Boxes, Masks))
    assert np.array_equal(dirty.mask, plain)
    outputs = dirty.reach(field, size)
    expected = _reached(plain, field, size)
    points = [
        (int(n), int(place) // size[1], int(place) % size[1])
        for n, place in zip(outputs.candidates, outputs.positions, strict=True)
    ]
    assert points == sorted(points)
    assert set(expected) <= set(points)
    if isinstance(outputs, Masks):
        # A box may hold positions between two that are reached.
        assert set(expected) == set(points)
    found = dirty.read_by(outputs, field)
    ends = np.cumsum(found.counts)
    for point, end, count in zip(points, ends, found.counts, strict=True):
        taps = found.tap[end - count : end].tolist()
        assert taps == expected.get(point, [])
        for which, tap in zip(found.which[end - count : end], taps, strict=True):
            y, x = divmod(int(tap), field.kernel[1])
            row = point[1] * field.stride[0] - field.padding[0] + y * field.dilation[0]
            column = point[2] * field.stride[1] - field.padding[1] + x * field.dilation[1]
            assert dirty.candidates[which] == point[0]
            assert dirty.positions[which] == row * SIZE[1] + column


def test_what_is_kept_of_boxes_is_bounded_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "_LISTS", windows._Lists())
    monkeypatch.setattr(windows, "_KEPT", 3_000)
    high, wide, most = np.int32(3), np.int32(4), 0
    for number in range(200):
        field = Field((3, 3), (1, 1), (number % 2, 1), (1, 1))
        place = [np.full(1, value, np.int32) for value in (number % 5, number % 3, high, wide)]
        dirty = windows.Boxes(SIZE, *place)
        outputs = dirty.reach(field, SIZE)
        assert isinstance(outputs, windows.Boxes)
        found = dirty.read_by(outputs, field)
        plain = windows.Masks(dirty.mask).read_by(windows.Masks(outputs.mask), field)
        for name in ("which", "tap", "counts"):
            assert np.array_equal(getattr(found, name), getattr(plain, name))
        held = sum(
            one.which.nbytes + one.tap.nbytes + one.counts.nbytes
            for lists in windows._LISTS.of.values()
            for one in lists.values()
        )
        assert held == windows._LISTS.bytes <= 3_000
        most = max(most, held)
    assert most > 2_000


@pytest.mark.parametrize("seed", range(0, 40, 2))
def test_a_union_holds_what_either_holds(seed: int) -> None:
    dirty, plain, _, _ = _draw(seed)
    other, more, _, _ = _draw(seed + 1)
    for union in (dirty.union(other), other.union(dirty), dirty.union(dirty.union(other))):
        assert isinstance(union, (Boxes, Masks))
        assert not ((plain | more) & ~union.mask).any()
        assert isinstance(other, Boxes) or np.array_equal(union.mask, plain | more)
