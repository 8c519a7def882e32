"""How strong changes look from the image alone, and what a few-pixel search asks first."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinprick.search.colours import corners
from pinprick.search.few_pixel import FewPixel
from pinprick.search.min_pixels import MinPixels
from pinprick.search.probes import PROBES, on_lattice, strongest
from pinprick.search.strength import FEATURES, WEIGHTS, features, strengths
from pinprick.search.surrogate import Surrogate
from tests.conftest import random_images

SEED = "0123456789abcdef" * 2


def image_of(seed: int, shape: tuple[int, int, int]) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_features_are_those_of_the_change_and_of_its_place() -> None:
    image = np.zeros((3, 5, 9), np.uint8)
    image[:, 2, 4] = (255, 51, 0)
    found = features(image, corners(3))
    assert found.shape == (5, 9, 8, len(FEATURES)) == (5, 9, 8, len(WEIGHTS))
    # To white: channels change by 0, 0.8 and 1.
    assert found[2, 4, 7].tolist() == pytest.approx([np.sqrt(1.64 / 3), 0.36, 0, 0])
    # To red: by 0, 0.2 and 0; red is saturated.
    assert found[2, 4, 4].tolist() == pytest.approx([np.sqrt(0.04 / 3), (0.2 / 3) ** 2, 1, 0])
    # Black on black changes nothing; corners are twice as far away, squared, as edges.
    assert found[0, 0, 0].tolist() == [0, 0, 0, 2]
    assert found[0, 4, 0].tolist() == [0, 0, 0, 1]


@given(st.sampled_from([(1, 8, 8), (3, 32, 32), (3, 1, 7), (4, 5, 6), (1, 100, 97)]), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_strengths_are_over_0_and_1_in_root_mean_square(shape: tuple[int, int, int], seed: int) -> None:
    found = strengths(image_of(seed, shape), corners(shape[0]))
    assert found.shape == (*shape[1:], 2 ** shape[0])
    assert found.min() > 0
    assert np.sqrt((found**2).mean()) == pytest.approx(1)


def test_large_changes_in_the_middle_are_the_strongest() -> None:
    dark = strengths(np.full((1, 9, 9), 40, np.uint8), corners(1))
    assert dark[4, 4, 1] == dark.max()
    assert (dark[..., 1] > dark[..., 0]).all()
    assert dark[4, 4, 1] > dark[0, 4, 1] > dark[0, 0, 1]


@given(
    st.sampled_from([(1, 8, 8), (3, 32, 32), (3, 12, 30), (1, 128, 100)]), st.integers(1, 9), st.integers(0, 2**32 - 1)
)
@settings(max_examples=25, deadline=None)
def test_the_first_candidates_are_strong_and_hold_no_position_twice(
    shape: tuple[int, int, int], pixels: int, seed: int
) -> None:
    palette = corners(shape[0])
    strength = strengths(image_of(seed, shape), palette)
    model = Surrogate(*shape[1:], palette, max(1.5, min(shape[1:]) / 16), strength=strength)
    found = strongest(model, pixels)
    assert len(found) in (0, PROBES)
    assert len(found) or PROBES * pixels > shape[1] * shape[2]
    for one in found:
        assert one.shape == (pixels, 3)
        assert len(np.unique(one[:, :2], axis=0)) == pixels
    if found:
        assert strength[tuple(np.concatenate(found).T)].mean() > 1.2 * strength.mean()


def test_of_very_many_pixels_the_lattice_is_asked_first() -> None:
    palette = corners(3)
    model = Surrogate(64, 64, palette, 4.0, strength=strengths(image_of(0, (3, 64, 64)), palette))
    assert strongest(model, 33) == []
    assert all(len(np.unique(one[:, :2], axis=0)) == 33
               for one in on_lattice((3, 64, 64), 33, 8, 4.0, np.random.default_rng(0)))  # fmt: skip


@pytest.mark.parametrize("make", [FewPixel, MinPixels])
def test_a_search_asks_the_strongest_change_of_its_image_first(make: type[FewPixel] | type[MinPixels]) -> None:
    images = random_images(2, (3, 16, 16))
    search = make(2, (3, 16, 16), 1)
    for place, image in enumerate(images):
        search.look(place, image, None)
        search.start(place, SEED)
    asked = search.ask(np.array([1, 1]))
    for place, image in enumerate(images):
        strength = strengths(image, corners(3))
        row, column, colour = np.unravel_index(strength.argmax(), strength.shape)
        assert (asked.edits.rows[place, 0], asked.edits.columns[place, 0]) == (row, column)
        assert asked.edits.colours[place, 0].tolist() == corners(3)[colour].tolist()
