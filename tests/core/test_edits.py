"""Edits: what image they make, and how many pixels that changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinprick.edits import Edits, changed_pixels


@pytest.mark.parametrize(
    ("given", "right"),
    [
        ({"rows": np.zeros((2, 1))}, "rows are float64; give whole numbers"),
        ({"columns": np.zeros((2, 1), bool)}, "columns are bool"),
        ({"count": np.ones(1, np.int32)}, r"count is int32 \(1,\); give whole numbers, one a candidate: \(2,\)"),
        ({"count": 1}, "count is a int"),
        ({"kept": np.ones(2)}, r"kept is float64 \(2,\)"),
    ],
)
def test_edits_of_other_kinds_are_refused(given: dict[str, Any], right: str) -> None:
    place = np.zeros((2, 1), np.int32)
    whole: dict[str, Any] = {"rows": place, "columns": place, "colours": np.zeros((2, 1, 3), np.uint8)}
    with pytest.raises(TypeError, match=right):
        Edits(**whole | given)


@st.composite
def edits_and_bases(draw: st.DrawFn) -> tuple[Edits, np.ndarray]:
    """Few positions and colours, so that equal pixels and own colours are common."""
    channels = draw(st.sampled_from([1, 3]))
    height, width = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    n, d = draw(st.integers(1, 6)), draw(st.integers(0, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    bases = rng.integers(0, 3, (n, channels, height, width)).astype(np.uint8)
    count = rng.integers(0, d + 1, n).astype(np.int32) if draw(st.booleans()) else None
    edits = Edits(
        rng.integers(0, height, (n, d)).astype(np.int32),
        rng.integers(0, width, (n, d)).astype(np.int32),
        rng.integers(0, 3, (n, d, channels)).astype(np.uint8),
        count,
    )
    return edits, bases


def slow_apply(edits: Edits, bases: np.ndarray) -> np.ndarray:
    """Pixel by pixel, as the definition reads."""
    images = bases.copy()
    for n in range(len(edits)):
        last = edits.pixels if edits.count is None else int(edits.count[n])
        for entry in range(last):
            images[n, :, edits.rows[n, entry], edits.columns[n, entry]] = edits.colours[n, entry]
    return images


@given(edits_and_bases())
def test_apply_is_the_definition_and_leaves_the_base_alone(case: tuple[Edits, np.ndarray]) -> None:
    edits, bases = case
    before = bases.copy()
    assert np.array_equal(edits.apply(bases), slow_apply(edits, bases))
    assert np.array_equal(bases, before)


@given(edits_and_bases())
def test_changed_counts_pixels_of_the_integer_image(case: tuple[Edits, np.ndarray]) -> None:
    edits, bases = case
    after = edits.apply(bases)
    assert np.array_equal(edits.changed(bases), changed_pixels(bases, after))
    assert (edits.changed(bases) <= edits.pixels).all()


@given(edits_and_bases())
def test_canonical_edits_make_the_same_image(case: tuple[Edits, np.ndarray]) -> None:
    edits, bases = case
    assert np.array_equal(edits.canonical(bases).apply(bases), edits.apply(bases))


@given(edits_and_bases())
@settings(max_examples=200)
def test_keys_are_equal_exactly_where_the_images_are(case: tuple[Edits, np.ndarray]) -> None:
    edits, bases = case
    one_base = np.repeat(bases[:1], len(edits), axis=0)
    keys, images = edits.keys(one_base), edits.apply(one_base)
    for first in range(len(edits)):
        for second in range(len(edits)):
            assert (keys[first] == keys[second]) == np.array_equal(images[first], images[second])


def test_the_same_pixel_twice_the_later_wins_and_counts_once() -> None:
    base = np.zeros((1, 3, 2, 2), np.uint8)
    edits = Edits(
        np.array([[1, 1]], np.int32), np.array([[0, 0]], np.int32), np.array([[[9, 9, 9], [5, 6, 7]]], np.uint8)
    )
    assert edits.apply(base)[0, :, 1, 0].tolist() == [5, 6, 7]
    assert edits.changed(base).tolist() == [1]


def test_colours_that_are_not_8_bit_are_refused() -> None:
    with pytest.raises(TypeError, match="round them first"):
        Edits(np.zeros((1, 1), np.int32), np.zeros((1, 1), np.int32), np.zeros((1, 1, 3)))  # type: ignore[arg-type]


@st.composite
def many_entries(draw: st.DrawFn) -> tuple[Edits, np.ndarray]:
    """More entries than are put in one by one, many of them on one pixel."""
    side, d = draw(st.integers(3, 14)), draw(st.integers(65, 200))
    n = draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    edits = Edits(
        rng.integers(0, side, (n, d)).astype(np.int32),
        rng.integers(0, side, (n, d)).astype(np.int32),
        rng.integers(0, 2, (n, d, 3)).astype(np.uint8),
        rng.integers(0, d + 1, n).astype(np.int32) if draw(st.booleans()) else None,
    )
    return edits, rng.integers(0, 2, (n, 3, side, side)).astype(np.uint8)


@given(many_entries())
@settings(max_examples=40, deadline=None)
def test_candidates_of_hundreds_of_entries_are_the_definition_too(case: tuple[Edits, np.ndarray]) -> None:
    edits, bases = case
    images = slow_apply(edits, bases)
    assert np.array_equal(edits.apply(bases), images)
    assert np.array_equal(edits.canonical(bases).apply(bases), images)
    assert np.array_equal(edits.changed(bases), changed_pixels(bases, images))
    assert max(map(len, edits.keys(bases))) <= 64


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_candidates_of_differing_room_are_joined_and_keep_image_and_key(seed: int) -> None:
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 3, (1, 3, 5, 4)).astype(np.uint8)
    parts = []
    for d in rng.integers(0, 12, 3).tolist():
        count = rng.integers(0, d + 1, 2).astype(np.int32) if rng.random() < 0.5 else None
        rows, columns = (rng.integers(0, side, (2, d)).astype(np.int32) for side in (5, 4))
        parts.append(Edits(rows, columns, rng.integers(0, 3, (2, d, 3)).astype(np.uint8), count))
    joined, bases = Edits.join(parts), np.repeat(base, 6, axis=0)
    two = bases[:2]
    assert np.array_equal(joined.apply(bases), np.concatenate([part.apply(two) for part in parts]))
    assert joined.keys(bases) == [key for part in parts for key in part.keys(two)]


def test_candidates_within_a_number_of_pixels_keep_their_first_entries() -> None:
    base = np.zeros((2, 1, 2, 2), np.uint8)
    places = np.array([[0, 0, 1], [1, 0, 0]], np.int32)
    edits = Edits(places, 1 - places, np.full((2, 3, 1), 7, np.uint8), np.array([3, 1], np.int32))
    assert edits.within(2).apply(base).sum(axis=(1, 2, 3)).tolist() == [7, 7]
    assert edits.within(2).count.tolist() == [2, 1]  # type: ignore[union-attr]
    assert edits.within(0).apply(base).sum() == 0
