"""Class names from a file, and labels put into their order."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pinprick.data.classes import ClassNames, read_classes, relabelled
from pinprick.data.image_set import ImageSet
from pinprick.errors import InputError

THREE = np.zeros((3, 1, 2, 2), dtype=np.uint8)


def names_file(folder: Path, content: object) -> Path:
    path = folder / "names.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_list_and_object(tmp_path: Path) -> None:
    assert read_classes(names_file(tmp_path, ["b", "a"])).names == ("b", "a")
    assert read_classes(names_file(tmp_path, {"a": 3, "b": 1})).names == ("0", "b", "2", "a")


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        ("{", "not JSON"),
        ([], "empty"),
        ([1], "something else"),
        ("3", "neither a list"),
        ({}, "neither a list"),
        ({"a": -1}, "whole number"),
        ({"a": True}, "whole number"),
        ({"a": 10**9}, "whole number"),
        ({"a": 1, "b": 1}, "index 1 is given to two"),
        ({"0": ["n01440764", "tench"]}, "whole number"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_other_contents_are_refused(tmp_path: Path, content: object, wrong: str) -> None:
    with pytest.raises(InputError, match=wrong):
        read_classes(names_file(tmp_path, content))


def test_missing_and_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_classes(tmp_path / "none.json")
    with pytest.raises(InputError, match="cannot be read"):
        read_classes(tmp_path)
    (tmp_path / "latin.json").write_bytes(b'["\xe9"]')
    with pytest.raises(InputError, match="not JSON"):
        read_classes(tmp_path / "latin.json")


def test_index_names_the_nearest() -> None:
    classes = ClassNames(("airplane", "crane", "crane", "ship"), "names.json")
    assert classes.index("ship", "set") == 3
    with pytest.raises(InputError, match=r"set: class 'aeroplane' is not in names.json. Did you mean 'airplane'"):
        classes.index("aeroplane", "set")
    with pytest.raises(InputError, match="It has: airplane"):
        classes.index("qqq", "set")
    with pytest.raises(InputError, match="'crane' is 2 times"):
        classes.index("crane", "set")


def test_labels_are_carried_over_by_name() -> None:
    images = ImageSet.from_arrays(THREE, [0, 1, 0], classes=["cat", "dog", "never used"])
    new = relabelled(images, ClassNames(("dog", "cat"), "names.json"))
    assert new.labels is not None
    assert new.labels.tolist() == [1, 0, 1]
    assert new.classes == ("dog", "cat")
    assert new.fingerprint != images.fingerprint
    same = relabelled(images, ClassNames(("cat", "dog"), "names.json"))
    assert same.fingerprint == images.fingerprint
    with pytest.raises(InputError, match="class 'dog' is not in"):
        relabelled(images, ClassNames(("cat", "doge"), "names.json"))


def test_sets_without_names_or_labels() -> None:
    assert relabelled(ImageSet.from_arrays(THREE, None), ClassNames(("a",), "f")).classes == ("a",)
    plain = ImageSet.from_arrays(THREE, [0, 1, 2])
    assert relabelled(plain, ClassNames(("a", "b", "c"), "f")).classes == ("a", "b", "c")
    with pytest.raises(InputError, match="label of 2"):
        relabelled(plain, ClassNames(("a", "b"), "f"))
