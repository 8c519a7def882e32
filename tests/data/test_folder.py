"""Folders of image files and single images."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pinprick.data.classes import ClassNames
from pinprick.data.digests import file_digests
from pinprick.data.folder import image_file, image_folder, text_name
from pinprick.data.sets import load_images
from pinprick.errors import InputError
from tests.data.helpers import write_pngs


def labels_of(path: Path, classes: ClassNames | None = None) -> dict[str, int]:
    images = image_folder(path, classes)
    assert images.labels is not None
    return dict(zip(images.names, images.labels.tolist(), strict=True))


def test_labels_are_places_of_sorted_folder_names(tmp_path: Path) -> None:
    pixels = write_pngs(tmp_path, ["dog/b.png", "dog/a.PNG", "cat/z.png", "Zebra/1.png"])
    (tmp_path / "empty").mkdir()
    images = image_folder(tmp_path)
    assert images.names == ("Zebra/1.png", "cat/z.png", "dog/a.PNG", "dog/b.png")
    assert images.labels is not None
    assert images.labels.tolist() == [0, 1, 2, 2]
    assert images.classes == ("Zebra", "cat", "dog", "empty")
    for index, name in enumerate(images.names):
        assert np.array_equal(images.image(index), pixels[name])


def test_other_files_are_passed_over(tmp_path: Path) -> None:
    write_pngs(tmp_path, ["cat/a.png", "cat/.hidden.png", ".ipynb_checkpoints/a.png", "cat/.cache/a.png"])
    for name in ("notes.txt", "cat/Thumbs.db", "cat/notes.txt", ".DS_Store"):
        (tmp_path / name).write_text("no image")
    (tmp_path / "cat" / "thumbnails").mkdir()
    assert image_folder(tmp_path).names == ("cat/a.png",)


def test_unlabelled_folder(tmp_path: Path) -> None:
    write_pngs(tmp_path, ["b.png", "a.png"])
    (tmp_path / "notes").mkdir()
    images = image_folder(tmp_path)
    assert images.names == ("a.png", "b.png")
    assert images.labels is None
    assert images.classes is None
    assert image_folder(tmp_path, ClassNames(("x", "y"), "f")).classes == ("x", "y")


def test_classes_in_the_models_order(tmp_path: Path) -> None:
    write_pngs(tmp_path / "set", ["cat/a.png", "dog/a.png"])
    assert labels_of(tmp_path / "set", ClassNames(("ship", "dog", "cat"), "f")) == {"cat/a.png": 2, "dog/a.png": 1}
    names = tmp_path / "names.json"
    names.write_text(json.dumps({"kitten": 0, "dog": 1}))
    with pytest.raises(InputError, match=r"class 'cat' is not in .*names.json'?. "):
        load_images(str(tmp_path / "set"), classes=names)
    (tmp_path / "set" / "dogs").mkdir()  # empty, and still a class that the model does not have
    with pytest.raises(InputError, match=r"class 'dogs' is not in .* Did you mean 'dog'"):
        image_folder(tmp_path / "set", ClassNames(("dog", "cat"), "f"))


def test_ambiguous_folders_are_refused(tmp_path: Path) -> None:
    write_pngs(tmp_path / "mixed", ["a.png", "cat/b.png"])
    with pytest.raises(InputError, match=r"'a.png'.*'cat/b.png'.*unlabelled"):
        image_folder(tmp_path / "mixed")
    write_pngs(tmp_path / "splits", ["train/cat/a.png", "test/cat/b.png"])
    with pytest.raises(InputError, match=r"sub-folder 'test' has sub-folders .*'cat'.* if 'test' is a split, give"):
        image_folder(tmp_path / "splits")


def test_folders_named_by_numbers(tmp_path: Path) -> None:
    write_pngs(tmp_path / "to9", [f"{i}/a.png" for i in range(10)])
    assert labels_of(tmp_path / "to9") == {f"{i}/a.png": i for i in range(10)}
    write_pngs(tmp_path / "padded", [f"{i:02d}/a.png" for i in range(11)])
    assert labels_of(tmp_path / "padded")["10/a.png"] == 10
    write_pngs(tmp_path / "to10", [f"{i}/a.png" for i in range(11)])
    with pytest.raises(InputError, match=r"named by numbers.*--classes"):
        image_folder(tmp_path / "to10")
    classes = ClassNames(tuple(str(i) for i in range(11)), "f")
    assert labels_of(tmp_path / "to10", classes)["10/a.png"] == 10


def test_missing_and_empty_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        image_folder(tmp_path / "none")
    with pytest.raises(InputError, match="no images in it"):
        image_folder(tmp_path)
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    with pytest.raises(InputError, match=r"no images in it.* .png"):
        image_folder(tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        image_folder(tmp_path / "cat" / "notes.txt")


def test_fingerprint_covers_names_contents_and_labels(tmp_path: Path) -> None:
    write_pngs(tmp_path, ["cat/a.png", "dog/b.png"])
    first = image_folder(tmp_path).fingerprint
    assert image_folder(tmp_path, ClassNames(("dog", "cat"), "f")).fingerprint != first
    path = tmp_path / "cat" / "a.png"
    path.touch()
    assert image_folder(tmp_path).fingerprint == first
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert image_folder(tmp_path).fingerprint != first, "another image of as many bytes"
    path.write_bytes(whole)
    assert image_folder(tmp_path).fingerprint == first
    path.rename(tmp_path / "cat" / "c.png")
    assert image_folder(tmp_path).fingerprint != first


def test_two_images_that_change_places_are_another_set(tmp_path: Path) -> None:
    write_pngs(tmp_path, ["a.png", "b.png"])
    first = image_folder(tmp_path).fingerprint
    (tmp_path / "a.png").rename(tmp_path / "c")
    (tmp_path / "b.png").rename(tmp_path / "a.png")
    (tmp_path / "c").rename(tmp_path / "b.png")
    assert image_folder(tmp_path).fingerprint != first


def test_digests_of_many_files_come_in_their_order(tmp_path: Path) -> None:
    paths = [tmp_path / str(number) for number in range(300)]
    for number, path in enumerate(paths):
        path.write_bytes(b"x" * number)
    # One that is longer than what is read at once.
    paths[7].write_bytes(b"y" * (2**20 + 1))
    assert file_digests(paths) == [hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest() for path in paths]
    paths[200].unlink()
    paths[100].unlink()
    with pytest.raises(FileNotFoundError) as caught:
        file_digests(paths)
    assert caught.value.filename == str(paths[100])


def test_a_file_that_vanishes_while_the_folder_is_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pngs(tmp_path, ["cat/a.png", "dog/b.png"])

    def digests(paths: Sequence[Path]) -> list[str]:
        (tmp_path / "dog" / "b.png").unlink()
        return file_digests(paths)

    monkeypatch.setattr("pinprick.data.folder.file_digests", digests)
    with pytest.raises(InputError, match=r"image 'dog/b.png': cannot be read \(No such file.*moved"):
        image_folder(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="file names are not bytes there")
def test_names_that_are_no_utf8_are_shown_as_escapes_and_their_files_open(tmp_path: Path) -> None:
    pixels = write_pngs(tmp_path, ["caf\udce9/a\udcff.png", "caf\\xe9/a\\xff.png", "café/ä.png"])
    images = image_folder(tmp_path)
    assert images.classes == ("caf\\xe9", "café", "caf\\xe9#1")
    assert images.names == ("caf\\xe9/a\\xff.png", "café/ä.png", "caf\\xe9/a\\xff.png#1")
    for index, name in enumerate(("caf\\xe9/a\\xff.png", "café/ä.png", "caf\udce9/a\udcff.png")):
        assert np.array_equal(images.image(index), pixels[name])
    classes = ClassNames(("caf\\xe9#1", "café", "caf\\xe9"), "f")
    labelled = image_folder(tmp_path, classes)
    assert labelled.labels is not None
    assert labelled.labels.tolist() == [2, 1, 0]
    single = image_file(tmp_path / "caf\udce9" / "a\udcff.png")
    assert single.names == ("a\\xff.png",)
    assert np.array_equal(single.image(0), pixels["caf\udce9/a\udcff.png"])
    for name in (*images.names, *images.classes, text_name("a\ud800b\udc7f")):
        name.encode()


def test_images_are_read_on_demand(tmp_path: Path) -> None:
    write_pngs(tmp_path, ["a.png"])
    (tmp_path / "b.png").write_bytes(b"")
    (tmp_path / "c.jpg").write_text("no image")
    images = image_folder(tmp_path)
    assert images.image(0).shape == (3, 6, 8)
    with pytest.raises(InputError, match=r"image 'b.png': the file is empty"):
        images.image(1)
    with pytest.raises(InputError, match=r"image 'c.jpg': not an image"):
        images.image(2)
    (tmp_path / "a.png").unlink()
    with pytest.raises(InputError, match=r"image 'a.png': cannot be read"):
        images.image(0)


def test_single_image(tmp_path: Path) -> None:
    pixels = write_pngs(tmp_path, ["cat.png"])
    images = load_images(str(tmp_path / "cat.png"))
    assert images.names == ("cat.png",)
    assert images.labels is None
    assert np.array_equal(images.stack()[0], pixels["cat.png"])
    before = images.fingerprint
    write_pngs(tmp_path, ["other.png", "cat.png"])
    assert load_images(str(tmp_path / "cat.png")).fingerprint != before
    with pytest.raises(InputError, match="cannot be read"):
        image_file(tmp_path / "none.png")
