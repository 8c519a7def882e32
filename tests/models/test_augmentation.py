"""What may happen to a training image: a window of the padded image, perhaps mirrored, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from pinprick.errors import UnknownNameError
from pinprick.models.augmentation import augment_batch, padding


def batch(count: int, channels: int, height: int, width: int, seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, channels, height, width), dtype=np.uint8)


def windows(image: NDArray[np.uint8], how: str) -> NDArray[np.uint8]:
    """Every window that ``how`` may cut out of one image ``(C, H, W)``, as ``(n, C, H, W)``."""
    pad = padding(how, image.shape[1])
    sides = ((0, 0), (pad, pad), (pad, pad))
    padded = np.pad(image, sides, mode="reflect") if how == "crop-flip" else np.pad(image, sides, mode="constant")
    every = sliding_window_view(padded, image.shape).reshape(-1, *image.shape)
    return np.concatenate([every, every[..., ::-1]]) if how == "crop-flip" else every


sizes = st.tuples(st.integers(1, 4), st.sampled_from([1, 3]), st.integers(1, 17), st.integers(1, 17))


@given(size=sizes, how=st.sampled_from(["crop-flip", "shift"]), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_every_image_becomes_a_window_of_itself_padded(size: tuple[int, int, int, int], how: str, seed: int) -> None:
    images = batch(*size, seed)
    before = images.copy()
    result = augment_batch(images, how, np.random.default_rng(seed))
    assert result.dtype == np.uint8
    assert result.shape == images.shape
    assert result.flags["C_CONTIGUOUS"]
    np.testing.assert_array_equal(images, before)
    for image, changed in zip(images, result, strict=True):
        assert (windows(image, how) == changed).all(axis=(1, 2, 3)).any()


@given(size=sizes, seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_none_is_the_identity_and_draws_nothing(size: tuple[int, int, int, int], seed: int) -> None:
    images, generator = batch(*size, seed), np.random.default_rng(seed)
    assert augment_batch(images, "none", generator) is images
    assert generator.integers(2**62) == np.random.default_rng(seed).integers(2**62)


@pytest.mark.parametrize(("how", "variants"), [("crop-flip", 18), ("shift", 25)])
def test_every_window_comes_up_equally_often(how: str, variants: int) -> None:
    # 8 pixels high: crop-flip pads by one, 3 x 3 windows and their mirror images; shift pads by two, 5 x 5 windows.
    image = batch(1, 1, 8, 8, 0)
    count = 400 * variants
    result = augment_batch(np.repeat(image, count, axis=0), how, np.random.default_rng(1))
    seen, often = np.unique(result.reshape(count, -1), axis=0, return_counts=True)
    assert len(seen) == variants
    # Five standard deviations of a binomial count with mean 400.
    assert np.abs(often - 400).max() < 100


def test_equal_generators_give_equal_images() -> None:
    images = batch(5, 3, 16, 16, 0)
    first, again, other = (augment_batch(images, "crop-flip", np.random.default_rng(seed)) for seed in (7, 7, 8))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("how", ["auto", "crop", ""])
def test_unknown_augmentation_is_refused(how: str) -> None:
    with pytest.raises(UnknownNameError, match="Known: crop-flip, none, shift"):
        augment_batch(batch(1, 1, 8, 8, 0), how, np.random.default_rng(0))
