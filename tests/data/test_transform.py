"""Resize and centre crop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PILImage

from pinprick.data.image_set import ImageSet
from pinprick.data.transform import transformed
from pinprick.errors import InputError
from tests.data.helpers import picture


def one(height: int, width: int, channels: int = 3) -> ImageSet:
    return ImageSet.from_arrays(picture(0, channels=channels, height=height, width=width)[None], [1], name="one")


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 30), st.data())
def test_sizes(height: int, width: int, resize: int, data: st.DataObject) -> None:
    crop = data.draw(st.none() | st.integers(1, resize))
    image = transformed(one(height, width), resize, crop).image(0)
    short = min(height, width)
    expected = (resize * height // short, resize * width // short) if crop is None else (crop, crop)
    assert image.shape == (3, *expected)
    assert image.dtype == np.uint8


def test_resize_is_pillows_bicubic() -> None:
    pixels = picture(0, height=30, width=40)
    expected = PILImage.fromarray(pixels.transpose(1, 2, 0).copy()).resize((16, 12), PILImage.Resampling.BICUBIC)
    image = transformed(ImageSet.from_arrays(pixels[None], None), 12, None).image(0)
    assert np.array_equal(image, np.asarray(expected).transpose(2, 0, 1))


def test_crop_is_the_centre() -> None:
    images = one(7, 10, channels=1)
    assert np.array_equal(transformed(images, None, 5).image(0), images.image(0)[:, 1:6, 2:7])
    assert np.array_equal(transformed(images, None, 7).image(0), images.image(0)[:, :, 2:9])


def test_the_rest_of_the_set_stays_and_the_fingerprint_changes() -> None:
    images = one(8, 8)
    assert transformed(images, None, None) is images
    variants = [transformed(images, *sizes) for sizes in ((8, None), (8, 4), (None, 4), (4, None))]
    assert len({images.fingerprint, *(variant.fingerprint for variant in variants)}) == 5
    assert all(variant.names == images.names and variant.labels is images.labels for variant in variants)
    assert np.array_equal(variants[0].image(0), images.image(0))


def test_impossible_sizes() -> None:
    images = one(8, 12)
    for resize, crop in ((0, None), (-3, None), (None, 0), (8, -1)):
        with pytest.raises(InputError, match="not a size"):
            transformed(images, resize, crop)
    with pytest.raises(InputError, match="--crop 9: larger than the short side after --resize 8"):
        transformed(images, 8, 9)
    with pytest.raises(InputError, match=r"--crop 9: larger than image '0' \(12 x 8\)"):
        transformed(images, None, 9).image(0)
    with pytest.raises(InputError, match="too large"):
        transformed(one(1, 5000), 500, None).image(0)
