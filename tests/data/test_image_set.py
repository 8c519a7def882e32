"""Image sets in memory, their names and checks; the digits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinprick.data.digits import digits
from pinprick.data.image_set import ImageSet, unique_names
from pinprick.errors import InputError, UnknownNameError
from tests.data.helpers import picture


@given(st.lists(st.sampled_from(["a", "a#1", "a#2", "b", ""]), max_size=12))
def test_unique_names_are_unique_and_keep_the_first(names: list[str]) -> None:
    unique = unique_names(names)
    assert len(set(unique)) == len(names)
    assert all(new.startswith(old) for new, old in zip(unique, names, strict=True))
    for name in names:
        assert unique[names.index(name)] == name


def test_from_arrays() -> None:
    gray = np.stack([picture(i, channels=1)[0] for i in range(11)])
    images = ImageSet.from_arrays(gray, range(11))
    assert images.names[:2] == ("00", "01")
    assert images.stack([3, 3]).shape == (2, 1, 6, 8)
    images.image(0)[:] = 0  # a copy: the set is as before
    assert np.array_equal(images.stack()[:, 0], gray)
    assert ImageSet.from_arrays(gray, None).fingerprint != images.fingerprint  # labels are part of a set
    assert ImageSet.from_arrays(gray[::-1], None).fingerprint != images.fingerprint
    with pytest.raises(InputError, match="uint8"):
        ImageSet.from_arrays(gray.astype(np.float32), None)


def test_impossible_sets_are_refused() -> None:
    two = np.zeros((2, 1, 2, 2), dtype=np.uint8)
    with pytest.raises(InputError, match="no images"):
        ImageSet.from_arrays(two[:0], None)
    with pytest.raises(InputError, match="2 images but 1 labels"):
        ImageSet.from_arrays(two, [0])
    with pytest.raises(InputError, match="label of -1"):
        ImageSet.from_arrays(two, [0, -1])
    with pytest.raises(InputError, match=r"label of 2 .*only 2 class names"):
        ImageSet.from_arrays(two, [0, 2], classes=["a", "b"])


def test_images_of_two_sizes_are_found_on_use() -> None:
    sizes = [picture(0), picture(1, height=7)]
    images = ImageSet("mixed", ("a", "b"), None, lambda index: sizes[index])
    assert images.stack([1]).shape == (1, 3, 7, 8)
    with pytest.raises(InputError, match="image 'b': shape 3 x 7 x 8 where 'a' has 3 x 6 x 8"):
        images.stack()


def test_digits() -> None:
    train, test = digits("train"), digits("test")
    assert (len(train), len(test), len(digits())) == (1297, 500, 1797)
    assert train.image(0).shape == (1, 8, 8)
    assert test.names[0] == "digit_1297"
    with pytest.raises(UnknownNameError, match="Did you mean train"):
        digits("trian")
