"""Folders of image files, and single image files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pinprick.data.classes import ClassNames
from pinprick.data.decode import decode_image
from pinprick.data.digests import file_digest, file_digests, text_digest
from pinprick.data.image_set import Image, ImageSet, unique_names
from pinprick.errors import InputError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")

_SHOWN = 5


@dataclass(frozen=True)
class _File:
    name: str  # relative to the folder, with "/"; text that any file can hold
    path: Path


def is_image_name(name: str) -> bool:
    """Does the file name end like an image's (in any case), and is it not hidden?"""
    return not name.startswith(".") and name.lower().endswith(IMAGE_SUFFIXES)


def text_name(name: str) -> str:
    """A file's name as text that JSON and Parquet can hold: bytes that are no UTF-8 become ``\\xe9``."""

    def escaped(match: re.Match[str]) -> str:
        code = ord(match[0])
        return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"

    return re.sub(r"[\ud800-\udfff]", escaped, name)


def image_file(path: Path, *, name: str | None = None) -> ImageSet:
    """One image file as an unlabelled set of one image, named like the file.

    Raises
    ------
    InputError : the file cannot be read; on use, it is no image (see :func:`pinprick.data.decode.decode_image`).
    """
    try:
        fingerprint = file_digest(path)
    except OSError as error:
        raise InputError(f"image {str(path)!r}", f"cannot be read ({error.strerror})", "Give an image file.") from None
    return _image_set([_File(text_name(path.name), path)], None, None, name or str(path), fingerprint)


def image_folder(path: Path, classes: ClassNames | None = None, *, name: str | None = None) -> ImageSet:
    """A folder of image files: labelled where it has one sub-folder a class, unlabelled where images lie in it.

    Files that do not end like an image (``notes.txt``, ``Thumbs.db``) and whatever begins with a dot are passed over.
    Images are sorted by name, which is the path relative to the folder, with ``/``; they are decoded on demand. The
    fingerprint covers names, labels and the bytes of all files, so that each of them is read once at the start (see
    :func:`pinprick.data.digests.file_digests` for how long that takes); it does not cover the times of the files.
    What of a name is no UTF-8 stands as ``\\xe9`` in the names of images and classes.

    Parameters
    ----------
    path : the folder.
    classes : class names in the model's order; without them the label is the place of the sub-folder's name among the
        sorted names (empty sub-folders count).
    name : what the user called the set.

    Raises
    ------
    InputError : no such folder, a file that cannot be read, no images, images both beside and in sub-folders,
        sub-folders in a class's folder, a sub-folder that is not among ``classes``, or folders named by numbers whose
        order depends on how one sorts.
    """
    name = name or str(path)
    what = f"image set {name!r}"
    try:
        images, folders = _entries(path)
        in_folders = {folder.name: list(_class_files(folder, what)) for folder in folders}
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not path.exists():
            raise InputError(what, "there is no such folder", _RIGHT) from None
        where = f" {error.filename!r}" if error.filename else ""
        raise InputError(what, f"cannot be read ({error.strerror}{where})", _RIGHT) from None
    if images and any(in_folders.values()):
        example = next(files[0].name for files in in_folders.values() if files)
        raise InputError(
            what,
            f"images directly in it ({images[0].name!r}) and in sub-folders ({example!r}): "
            "are the sub-folders classes, or is the set unlabelled",
            "Move the images into sub-folders, one a class, or give a folder without sub-folders.",
        )
    if images:
        return _image_set(images, None, None if classes is None else classes.names, name)
    if not any(in_folders.values()):
        raise InputError(what, "no images in it", f"{_RIGHT} Images end in {' '.join(IMAGE_SUFFIXES)}.")
    order = sorted(in_folders)
    called = unique_names([text_name(folder) for folder in order])
    if classes is None:
        _check_numbers(order, what)
        index = {folder: label for label, folder in enumerate(order)}
    else:
        index = {folder: classes.index(text, what) for folder, text in zip(order, called, strict=True)}
    files = [file for folder in order for file in in_folders[folder]]
    labels = [index[folder] for folder in order for _ in in_folders[folder]]
    return _image_set(files, labels, called if classes is None else classes.names, name)


_RIGHT = "Give a folder of images, or one with a sub-folder of images for each class."


def _entries(folder: Path) -> tuple[list[_File], list[Path]]:
    """The images directly in a folder, and its sub-folders; both sorted, hidden ones left out."""
    images, folders = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                folders.append(Path(entry.path))
            elif is_image_name(entry.name) and entry.is_file():
                images.append(_File(text_name(entry.name), Path(entry.path)))
    return sorted(images, key=lambda file: file.path.name), sorted(folders)


def _class_files(folder: Path, what: str) -> Iterator[_File]:
    """The images of one class; refuses deeper folders, which usually mean that ``folder`` is a split, not a class."""
    images, deeper = _entries(folder)
    for inner in deeper:
        if _has_images(inner):
            raise InputError(
                what,
                f"sub-folder {folder.name!r} has sub-folders with images itself ({inner.name!r})",
                f"Give a folder with one sub-folder a class; if {folder.name!r} is a split, give {str(folder)!r}.",
            )
    for file in images:
        yield _File(f"{text_name(folder.name)}/{file.name}", file.path)


def _has_images(folder: Path) -> bool:
    return any(is_image_name(name) for _, _, names in os.walk(folder) for name in names)


def _check_numbers(names: Sequence[str], what: str) -> None:
    """Folders 0 … 10: sorted as text, 10 comes before 2, and a label would silently not be the folder's number."""
    if all(name.isdecimal() for name in names) and sorted(names, key=int) != list(names):
        shown = ", ".join(names[:_SHOWN])
        raise InputError(
            what,
            f"sub-folders named by numbers, whose order as text ({shown} …) is not that of the numbers",
            "Give their order with --classes names.json, or name them with leading zeros.",
        )


def _image_set(
    files: Sequence[_File],
    labels: Sequence[int] | None,
    classes: tuple[str, ...] | None,
    name: str,
    fingerprint: str | None = None,
) -> ImageSet:
    def load(index: int) -> Image:
        file = files[index]
        try:
            data = file.path.read_bytes()
        except OSError as error:
            raise _unreadable(file, error) from None
        return decode_image(data, file.name)

    if fingerprint is None:
        try:
            digests = file_digests([file.path for file in files])
        except OSError as error:
            raise _unreadable(next(file for file in files if str(file.path) == error.filename), error) from None
        described = [text for file, digest in zip(files, digests, strict=True) for text in (file.name, digest)]
        fingerprint = text_digest([*described, *map(str, labels or ())])
    return ImageSet(
        name=name,
        names=tuple(file.name for file in files),
        labels=None if labels is None else np.asarray(labels, dtype=np.int64),
        load=load,
        classes=classes,
        fingerprint=fingerprint,
    )


def _unreadable(file: _File, error: OSError) -> InputError:
    return InputError(
        f"image {file.name!r}", f"cannot be read ({error.strerror or error})", "Was it moved or changed meanwhile?"
    )
