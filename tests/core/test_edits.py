"""Edits: what image they make, and how many pixels that changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinprick.edits import Edits, changed_pixels


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
