"""Labels put into the order of a model's class names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pinprick.data.image_set import ImageSet
from pinprick.errors import InputError
from pinprick.models.preprocessing import parse_normalisation
from pinprick.targets.class_names import matched
from tests.conftest import random_images

MODEL = ("n01, tench, Tinca tinca", "n02, Great White shark", "crane", "crane", "n05, maillot")


def images(labels: list[int] | None, classes: tuple[str, ...] | None) -> ImageSet:
    n = 3 if labels is None else len(labels)
    return ImageSet.from_arrays(random_images(n, (1, 8, 8)), labels, name="set", classes=classes)


@pytest.mark.parametrize(
    ("classes", "labels", "expected"),
    [
        (("great_white_shark", "TENCH"), [0, 1, 1], [1, 0, 0]),
        (("n05", "n02"), [0, 1], [4, 1]),
        (("n05, something else", "n02"), [0, 1], [4, 1]),
        (("n01, tench, Tinca tinca", "n02, Great White shark"), [0, 1, 0], [0, 1, 0]),
        (("nothing of it", "tench"), [1, 1], [0, 0]),
    ],
)
def test_labels_follow_their_names(classes: tuple[str, ...], labels: list[int], expected: list[int]) -> None:
    given = images(labels, classes)
    found, told = matched(given, MODEL, "net", strict=True)
    assert np.asarray(found.labels).tolist() == expected
    assert found.classes is not None
    assert [found.classes[new] for new in expected] == [classes[label] for label in labels], "called as the set has it"
    moved = expected != labels
    assert (told == "note: the classes of set go by name, in the order of net") == moved
    assert (found.fingerprint != given.fingerprint) == moved


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (("tench", "dog"), "class 'dog' is none of the classes of net"),
        (("crane", "tench"), "class 'crane' is several of the classes of net"),
        (("tench", "Tinca tinca"), "classes 'tench', 'Tinca tinca' are one class of net"),
    ],
)
def test_what_does_not_match_is_told_and_left_or_refused(classes: tuple[str, ...], message: str) -> None:
    given = images([0, 1], classes)
    found, told = matched(given, MODEL, "net", strict=False)
    assert found is given
    assert told is not None
    assert told.startswith(f"warning: {message}")
    with pytest.raises(InputError, match=message):
        matched(given, MODEL, "net", strict=True)


def test_sets_without_names() -> None:
    found, told = matched(images(None, None), ("ant", "bee"), "net", strict=True)
    assert (found.classes, told) == (("ant", "bee"), None)
    own = images(None, ("x", "y"))
    assert matched(own, ("ant", "bee"), "net", strict=True)[0] is own
    given = images([0, 1], None)
    found, told = matched(given, ("ant", "bee"), "net", strict=True)
    assert found is given
    assert told == "note: labels are taken as places among the classes of net: ant, bee"
    found, _ = matched(images([8, 3, 8], None), ("3", "8"), "net", strict=True)
    assert np.asarray(found.labels).tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("text", "black", "white"), [("0..255", 0, 255), ("0..16", 0, 16), ("-1..1", -1, 1), ("-0.5..0.5", -0.5, 0.5)]
)
def test_a_range_says_what_black_and_white_become(text: str, black: float, white: float) -> None:
    (mean,), (std,) = parse_normalisation(text)
    assert (0 - mean) / std == pytest.approx(black)
    assert (1 - mean) / std == pytest.approx(white)


@pytest.mark.parametrize("text", ["255..0", "1..1", "0..", "..1", "0...1", "a..b", "1e9..2"])
def test_what_is_no_range(text: str) -> None:
    expected: Any = "a range from" if text in ("255..0", "1..1") else "there is no"
    with pytest.raises(InputError, match=f"--normalize: {expected}"):
        parse_normalisation(text)
