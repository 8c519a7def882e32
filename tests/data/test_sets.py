"""The one entry: names, paths, and what is said of those that do not exist."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pinprick.data.decode import encode_png
from pinprick.data.sets import NAMES, load_images
from pinprick.errors import InputError, UnknownNameError
from tests.data.helpers import image_table, picture, write_parquet, write_pngs


def test_digits_by_name() -> None:
    assert [len(load_images(name)) for name in NAMES[:3]] == [1797, 1297, 500]


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("digist", "Did you mean digits"),
        ("cifar100", "Did you mean cifar10"),
        ("cifar10:tset", "Did you mean cifar10:test"),
        ("digits:valid", "Known: cifar10"),
        ("digits@here", "Known: cifar10"),
        ("", "Known: cifar10"),
    ],
)
def test_unknown_names(source: str, hint: str) -> None:
    with pytest.raises(UnknownNameError, match=hint):
        load_images(source)


@pytest.mark.parametrize("source", ["./none", "none/at/all", "none.png", "none.parquet", "~/none", "none/set:test"])
def test_missing_paths(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="there is no such file or folder") as caught:
        load_images(source)
    assert not isinstance(caught.value, UnknownNameError)
    assert source in str(caught.value)


def test_splits_of_what_has_none(tmp_path: Path) -> None:
    write_pngs(tmp_path / "set", ["cat/a.png"])
    with pytest.raises(InputError, match="only be chosen of a folder of Parquet files"):
        load_images(f"{tmp_path / 'set'}:cat")
    path = write_parquet(tmp_path / "x.parquet", image_table([picture()], [0]))
    with pytest.raises(InputError, match="a split cannot be chosen of a single file"):
        load_images(f"{path}:test")


def test_other_files(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(InputError, match="neither an image nor a Parquet file"):
        load_images(str(tmp_path / "notes.txt"))


def test_a_colon_in_a_path(tmp_path: Path) -> None:
    write_pngs(tmp_path / "a:b", ["x.png"])
    assert load_images(str(tmp_path / "a:b")).names == ("x.png",)


def test_names_go_before_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pngs(tmp_path / "digits", ["x.png"])
    monkeypatch.chdir(tmp_path)
    assert len(load_images("digits")) == 1797
    assert len(load_images("./digits")) == 1


def test_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pngs(tmp_path, ["x.png"])
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert load_images("~/x.png").name == "~/x.png"


def test_classes_resize_and_crop_together(tmp_path: Path) -> None:
    names = tmp_path / "names.json"
    names.write_text(json.dumps(["ship", "cat", "dog"]))
    path = write_parquet(tmp_path / "x.parquet", image_table([picture(0), picture(1, height=12)], [0, 1]))
    images = load_images(str(path), classes=names, resize=5, crop=4)
    assert images.labels is not None
    assert images.labels.tolist() == [1, 2]
    assert images.classes == ("ship", "cat", "dog")
    assert images.stack().shape == (2, 3, 4, 4)
    plain = load_images(str(path))
    assert len({plain.fingerprint, images.fingerprint, load_images(str(path), classes=names).fingerprint}) == 3
    with pytest.raises(InputError, match="--resize 0: not a size"):
        load_images(str(path), resize=0)


def test_images_of_a_folder_may_differ_in_size_until_they_are_stacked(tmp_path: Path) -> None:
    for name, height in (("a.png", 6), ("b.png", 9)):
        (tmp_path / name).write_bytes(encode_png(picture(height=height)))
    images = load_images(str(tmp_path))
    assert images.image(1).shape == (3, 9, 8)
    with pytest.raises(InputError, match=r"must have one size.*--crop"):
        images.stack()
    assert load_images(str(tmp_path), crop=6).stack().dtype == np.uint8
