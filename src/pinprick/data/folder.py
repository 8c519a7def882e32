"""Folders of image files, and single image files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pinprick.data.classes import ClassNames
from pinprick.data.decode import decode_image
from pinprick.data.digests import file_digest, text_digest
from pinprick.data.image_set import Image, ImageSet
from pinprick.errors import InputError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")

_SHOWN = 5


@dataclass(frozen=True)
class _File:
    name: str  # relative to the folder, with "/"
    path: Path
    size: int


def is_image_name(name: str) -> bool:
    """Does the file name end like an image's (in any case), and is it not hidden?"""
    return not name.startswith(".") and name.lower().endswith(IMAGE_SUFFIXES)


def image_file(path: Path, *, name: str | None = None) -> ImageSet:
    """One image file as an unlabelled set of one image, named like the file.

    Raises
    ------
    InputError : the file cannot be read; on use, it is no image (see :func:`pinprick.data.decode.decode_image`).
    """
    try:
        size, fingerprint = path.stat().st_size, file_digest(path)
    except OSError as error:
        raise InputError(f"image {str(path)!r}", f"cannot be read ({error.strerror})", "Give an image file.") from None
    return _image_set([_File(path.name, path, size)], None, None, name or str(path), fingerprint)


def image_folder(path: Path, classes: ClassNames | None = None, *, name: str | None = None) -> ImageSet:
    """A folder of image files: labelled where it has one sub-folder a class, unlabelled where images lie in it.

    Files that do not end like an image (``notes.txt``, ``Thumbs.db``) and whatever begins with a dot are passed over.
    Images are sorted by name, which is the path relative to the folder, with ``/``; they are read on demand. The
    fingerprint covers names, sizes in bytes and labels, not the times of the files.

    Parameters
    ----------
    path : the folder.
    classes : class names in the model's order; without them the label is the place of the sub-folder's name among the
        sorted names (empty sub-folders count).
    name : what the user called the set.

    Raises
    ------
    InputError : no such folder, no images, images both beside and in sub-folders, sub-folders in a class's folder, a
        sub-folder that is not among ``classes``, or folders named by numbers whose order depends on how one sorts.
    """
    name = name or str(path)
    what = f"image set {name!r}"
    try:
        images, folders = _entries(path)
        in_folders = {folder.name: list(_class_files(folder, what)) for folder in folders}
    except FileNotFoundError:
        raise InputError(what, "there is no such folder", _RIGHT) from None
    except OSError as error:
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
    if classes is None:
        _check_numbers(order, what)
        index = {folder: label for label, folder in enumerate(order)}
    else:
        index = {folder: classes.index(folder, what) for folder in order}
    files = [file for folder in order for file in in_folders[folder]]
    labels = [index[folder] for folder in order for _ in in_folders[folder]]
    return _image_set(files, labels, tuple(order) if classes is None else classes.names, name)


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
                images.append(_File(entry.name, Path(entry.path), entry.stat().st_size))
    return sorted(images, key=lambda file: file.name), sorted(folders)


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
        yield _File(f"{folder.name}/{file.name}", file.path, file.size)


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
            raise InputError(
                f"image {file.name!r}", f"cannot be read ({error.strerror})", "Was it moved meanwhile?"
            ) from None
        return decode_image(data, file.name)

    described = [f"{file.name}\n{file.size}" for file in files] + [str(label) for label in labels or ()]
    return ImageSet(
        name=name,
        names=tuple(file.name for file in files),
        labels=None if labels is None else np.asarray(labels, dtype=np.int64),
        load=load,
        classes=classes,
        fingerprint=fingerprint or text_digest(described),
    )
