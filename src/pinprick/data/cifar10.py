"""CIFAR-10 as its authors publish it: the archive of the binary version."""

from __future__ import annotations

import hashlib
import os
import tarfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from pinprick.data.download import checked, fetched
from pinprick.data.image_set import ImageSet
from pinprick.errors import InputError, UnknownNameError

CIFAR10_URL = "https://www.cs.toronto.edu/~kriz"
CIFAR10_ARCHIVE = "cifar-10-binary.tar.gz"
CIFAR10_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

_FOLDER = "cifar-10-batches-bin"
_FILES = {"train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)), "test": ("test_batch.bin",)}
_SHAPE = (3, 32, 32)
_RECORD = 1 + 3 * 32 * 32  # a byte for the label, then red, green and blue, each row by row
_GET = (
    f"Get {CIFAR10_ARCHIVE} (the binary version) from {CIFAR10_URL}/cifar.html and give its folder: cifar10:test@PATH."
)


def cifar10(
    split: str = "test",
    path: Path | None = None,
    *,
    url: str | None = None,
    md5: str = CIFAR10_MD5,
    rows: int = 10_000,
    cache: Path | None = None,
) -> ImageSet:
    """CIFAR-10: RGB, 32 x 32, 50 000 training and 10 000 test images, in the order of the official files.

    The archive is used only if its checksum is right, and read in memory; of files that were extracted before, size
    and labels are checked. The Python version is never read: it consists of pickles, which can run any code.

    Parameters
    ----------
    split : ``"test"`` or ``"train"``.
    path : the archive, or a folder that holds it or the extracted ``*.bin`` files; None downloads the archive once
        into the user's cache.
    url : the folder to download from; the environment variable ``PINPRICK_CIFAR10_URL``, or else its authors' page.
    md5, rows : checksum of the archive and images in each of its files; other values are for tests.
    cache : the folder to keep downloads in.

    Returns
    -------
    Images named ``test_00042`` or ``train_31234`` by their index; the fingerprint is that of the files' bytes, the same
    from archive and extracted files.

    Raises
    ------
    InputError : no such split, no download, a wrong checksum, only pickles there, or files of the wrong size.
    """
    name = f"cifar10:{split}" + ("" if path is None else f"@{path}")
    what = f"image set {name!r}"
    if split not in _FILES:
        raise UnknownNameError("image set 'cifar10'", split, _FILES)
    files = _FILES[split]
    if path is None:
        base = url or os.environ.get("PINPRICK_CIFAR10_URL") or CIFAR10_URL
        archive = fetched(f"{base.rstrip('/')}/{CIFAR10_ARCHIVE}", md5, cache=cache, what=what, otherwise=_GET)
        data = _from_archive(archive, files, rows, what)
    else:
        data = _from_path(path, files, md5, rows, what)
    records = np.frombuffer(data, dtype=np.uint8).reshape(-1, _RECORD)
    labels = records[:, 0].astype(np.int64)
    if labels.max() >= len(CIFAR10_CLASSES):
        raise InputError(what, f"a label of {labels.max()} where there are 10 classes, so this is no CIFAR-10", _GET)
    images = ImageSet.from_arrays(
        records[:, 1:].reshape(-1, *_SHAPE),
        labels,
        name=name,
        names=[f"{split}_{index:05d}" for index in range(len(records))],
        classes=CIFAR10_CLASSES,
    )
    return replace(images, fingerprint=hashlib.blake2b(data, digest_size=16).hexdigest())


def is_cifar10_folder(path: Path) -> bool:
    """Does the folder hold CIFAR-10's own files, in any version?"""
    return _has_pickles(path) or any((root / "test_batch.bin").is_file() for root in (path, path / _FOLDER))


def _from_path(path: Path, files: tuple[str, ...], md5: str, rows: int, what: str) -> bytes:
    if not path.exists():
        raise InputError(what, f"there is no {str(path)!r}", _GET)
    if path.is_file() and not path.name.startswith("cifar-10-python"):
        return _from_archive(checked(path, md5, what=what, right=_GET), files, rows, what)
    if (path / CIFAR10_ARCHIVE).is_file():  # before extracted files: it has a checksum, they do not
        archive = checked(path / CIFAR10_ARCHIVE, md5, what=what, right=_GET)
        return _from_archive(archive, files, rows, what)
    for root in (path, path / _FOLDER):
        if (root / files[0]).is_file():
            return _from_folder(root, files, rows, what)
    if _has_pickles(path):
        raise InputError(
            what, "this is the Python version, made of pickles, which can run any code and are not loaded", _GET
        )
    raise InputError(what, f"neither {CIFAR10_ARCHIVE} nor {files[0]} in {str(path)!r}", _GET)


def _has_pickles(path: Path) -> bool:
    """The Python version: its archive, or a folder with batches that do not end in .bin."""
    if path.is_file():
        return path.name.startswith("cifar-10-python")
    roots = (path, path / "cifar-10-batches-py")
    return (path / "cifar-10-python.tar.gz").is_file() or any(
        (root / batch).is_file() for root in roots for batch in ("test_batch", "data_batch_1")
    )


def _from_folder(root: Path, files: tuple[str, ...], rows: int, what: str) -> bytes:
    parts = []
    for file in files:
        try:
            size = (root / file).stat().st_size
            _check_size(file, size, rows, what)
            parts.append((root / file).read_bytes())
        except OSError as error:
            raise InputError(what, f"{file} cannot be read ({error.strerror})", _GET) from None
    return b"".join(parts)


def _from_archive(archive: Path, files: tuple[str, ...], rows: int, what: str) -> bytes:
    """The bytes of the archive's members by their exact names; nothing is written to disk."""
    wanted = {f"{_FOLDER}/{file}": file for file in files}
    parts: dict[str, bytes] = {}
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                if member.name in wanted and member.isfile():
                    _check_size(wanted[member.name], member.size, rows, what)
                    content = tar.extractfile(member)
                    parts[wanted[member.name]] = b"" if content is None else content.read()
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise InputError(what, f"{archive.name} cannot be read ({error})", _GET) from None
    for file in files:
        if file not in parts:
            raise InputError(what, f"{archive.name} has no {_FOLDER}/{file}", _GET)
    return b"".join(parts[file] for file in files)


def _check_size(file: str, size: int, rows: int, what: str) -> None:
    if size != rows * _RECORD:
        raise InputError(
            what, f"{file} has {size:,} bytes where {rows * _RECORD:,} are right, so it may be cut off", _GET
        )
