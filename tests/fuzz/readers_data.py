"""Readers of images, sets of them, class names and specifications."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from pinprick.data.cifar10 import cifar10
from pinprick.data.classes import read_classes, relabelled
from pinprick.data.decode import decode_image, encode_png
from pinprick.data.image_set import ImageSet
from pinprick.data.mnist import mnist
from pinprick.data.sets import load_images
from pinprick.errors import InputError
from pinprick.models.preprocessing import parse_normalisation
from pinprick.runs.spec import make_spec, merged, read_spec
from tests.fuzz import seeds
from tests.fuzz.mutations import (
    JSON,
    changed_json,
    changed_table,
    damaged,
    json_bytes,
    png_with_checksums,
)
from tests.fuzz.reader import Given, Reader, put


def sound(images: ImageSet) -> None:
    """All of a set is as it should be, or refused image by image."""
    assert images.labels is None or len(images.labels) == len(images)
    for index in range(min(len(images), 8)):
        try:
            image = images.image(index)
        except InputError:
            continue
        assert image.dtype == np.uint8
        assert image.ndim == 3
        assert image.shape[0] in (1, 3)
    images.stack(range(min(len(images), 8)))


def image(folder: Path, data: bytes) -> None:
    pixels = decode_image(data, "x")
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.flags.c_contiguous
    if pixels.size < 100_000:
        assert np.array_equal(decode_image(encode_png(pixels), "x"), pixels)


def image_bytes() -> st.SearchStrategy[Given]:
    whole = damaged(seeds.images())
    pngs = [data for data in seeds.images() if data.startswith(b"\x89PNG")]
    return whole | damaged(pngs).map(png_with_checksums)


NAME = st.text(st.sampled_from("01ab.-_ \u00e9\udce9\n#:"), min_size=1, max_size=6) | st.sampled_from(
    ["cat", "dog", "10", "2", "train", "data", ".hidden", "test-00000-of-00002", "-", "~"]
)
SUFFIX = st.sampled_from([".png", ".PNG", ".jpg", ".gif", ".txt", "", ".parquet", "/"])


def folder_contents() -> st.SearchStrategy[Given]:
    entry = st.tuples(
        st.lists(NAME, max_size=2),
        NAME,
        SUFFIX,
        st.sampled_from(["image", "image", "image", "gray", "damaged", "empty", "loop", "gone"]),
    )
    options = st.fixed_dictionaries(
        {},
        optional={"resize": st.integers(-1, 40), "crop": st.integers(-1, 40), "classes": json_bytes(seeds.CLASS_NAMES)},
    )
    return st.tuples(st.lists(entry, max_size=6), options)


def folder_of_images(folder: Path, given: Given) -> None:
    entries, options = given
    contents = {"image": seeds.images()[0], "gray": seeds.images()[7], "damaged": b"\x89PNG\r\n", "empty": b""}
    root = folder / "set"
    root.mkdir()
    for parents, name, suffix, kind in entries:
        path = root.joinpath(*parents, name + suffix)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if suffix == "/":
                path.mkdir(exist_ok=True)
            elif kind in ("loop", "gone"):
                path.symlink_to(".." if kind == "loop" else "nowhere")
            else:
                path.write_bytes(contents[kind])
        except (OSError, ValueError):
            continue  # not a name that this file system has
    if "classes" in options:
        put(folder / "classes.json", options["classes"])
        options = options | {"classes": folder / "classes.json"}
    sound(load_images(str(root), **options))


def parquet(folder: Path, data: bytes) -> None:
    sound(load_images(str(put(folder / "x.parquet", data))))


def image_rows() -> st.SearchStrategy[Given]:
    column = st.sampled_from(["image", "img", "label", "labels", "fine_label", "x", "image.bytes", ""])
    cell = (
        st.none()
        | st.sampled_from([b"", b"x", *seeds.images()[:3]])
        | st.integers(-2, 300)
        | st.sampled_from([2**63 - 1, 2**64 - 1, -(2**63)])
        | st.text(max_size=3)
        | st.booleans()
        | st.floats()
        | st.fixed_dictionaries({"bytes": st.none() | st.sampled_from(seeds.images()[:3]), "path": st.none() | NAME})
        | st.fixed_dictionaries({"bytes": st.text(max_size=2)})
        | st.lists(st.integers(0, 3), max_size=2)
    )
    features = changed_json([{"info": {"features": {"label": {"_type": "ClassLabel", "names": ["a", "b"]}}}}])
    rows = st.lists(st.dictionaries(column, cell, max_size=3), max_size=4)
    return st.tuples(rows, features | JSON, st.integers(1, 3))


def parquet_table(folder: Path, given: Given) -> None:
    rows, features, group = given
    try:
        table = pa.Table.from_pylist(rows)
        table = table.replace_schema_metadata({b"huggingface": json.dumps(features).encode()})
        data = seeds.parquet_bytes(table, row_group_size=group)
    except (pa.ArrowException, OverflowError, ValueError, UnicodeError):
        return  # no table that Parquet can hold
    parquet(folder, data)


def changed_image_tables() -> st.SearchStrategy[Given]:
    return changed_table(seeds.image_tables()).map(seeds.parquet_bytes)


def shards() -> st.SearchStrategy[Given]:
    split = st.sampled_from(["train", "test", "validation", "x", ""])
    numbers = st.integers(0, 3).map(lambda n: f"{n:05d}") | st.sampled_from(["99999999999999999999", "00001"])
    name = st.builds("{}-{}-of-{}".format, split, numbers, numbers) | st.builds("{}{}".format, split, NAME)
    return st.tuples(st.lists(st.tuples(st.sampled_from(["", "data/", "a/"]), name), max_size=4), NAME | split)


def folder_of_shards(folder: Path, given: Given) -> None:
    names, split = given
    whole = seeds.image_parquets()[0]
    for parent, name in names:
        try:
            put(folder / "set" / (parent + name + ".parquet"), whole)
        except (OSError, ValueError):
            continue
    sound(load_images(f"{folder / 'set'}:{split}" if split else str(folder / "set")))


def cifar_archives() -> st.SearchStrategy[Given]:
    packed = tuple(gzip.compress(tar, mtime=0) for tar in seeds.cifar_tars())
    loose = damaged([seeds.cifar_records()]).map(lambda data: ("test_batch.bin", data))
    tar = damaged(seeds.cifar_tars()).map(lambda data: gzip.compress(data, 1, mtime=0)) | damaged(packed)
    return loose | tar.map(lambda data: ("cifar-10-binary.tar.gz", data))


def cifar_archive(folder: Path, given: Given) -> None:
    name, data = given
    put(folder / name, data)
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    sound(cifar10("test", folder, md5=md5, rows=seeds.CIFAR_ROWS))


def mnist_files() -> st.SearchStrategy[Given]:
    pictures, labels = seeds.idx_files()
    return st.tuples(damaged(pictures), damaged(labels), st.booleans(), st.booleans())


def mnist_folder(folder: Path, given: Given) -> None:
    pictures, labels, *packed = given
    md5s = {}
    for name, data, gz in zip(("images-idx3", "labels-idx1"), (pictures, labels), packed, strict=True):
        file = f"t10k-{name}-ubyte{'.gz' if gz else ''}"
        put(folder / file, data)
        md5s[file] = hashlib.md5(data, usedforsecurity=False).hexdigest()
    sound(mnist("test", folder, md5s=md5s))


FIELDS = [
    "model",
    "data",
    "image",
    "pixels",
    "limit",
    "first",
    "out",
    "normalize",
    "seed",
    "goal",
    "classes",
    "save-images",
]


def toml_files() -> st.SearchStrategy[Given]:
    value = st.sampled_from(
        ["1", "-1", "[1, 3]", "1.5", "nan", "1e400", "true", '""', '"x"', "1979-05-27", "{a = 1}", "[]"]
    )
    value |= st.text(max_size=5).map(json.dumps) | st.integers().map(str)
    lines = st.lists(st.builds("{} = {}".format, st.sampled_from(FIELDS), value), max_size=4).map("\n".join)
    return damaged(seeds.SPECS) | st.tuples(st.sampled_from(seeds.SPECS), lines).map(
        lambda parts: b"\n".join([parts[1].encode("utf-8", "replace"), parts[0]])
    ) | lines.map(lambda text: ('model = "m"\ndata = "d"\n' + text).encode("utf-8", "replace"))  # fmt: skip


def toml(folder: Path, data: bytes) -> None:
    spec = make_spec(merged(read_spec(put(folder / "run.toml", data)), {}))
    json.dumps(spec.identity())
    json.dumps(spec.model_dump(mode="json"))
    assert spec.questions() >= 2
    if spec.normalize is not None:
        parse_normalisation(spec.normalize)


def class_names(folder: Path, data: bytes) -> None:
    names = read_classes(put(folder / "names.json", data))
    pixels = np.zeros((3, 1, 8, 8), np.uint8)
    for classes in (None, ("cat", "dog", "ship")):
        relabelled(ImageSet.from_arrays(pixels, [0, 1, 2], classes=classes), names)


READERS = (
    Reader("image", image_bytes, image),
    Reader("folder of images", folder_contents, folder_of_images),
    Reader("Parquet image set", lambda: damaged(seeds.image_parquets()), parquet),
    Reader("Parquet of any table", image_rows, parquet_table),
    Reader("Parquet of a changed table", changed_image_tables, parquet),
    Reader("folder of Parquet files", shards, folder_of_shards),
    Reader("CIFAR-10 archive", cifar_archives, cifar_archive),
    Reader("MNIST files", mnist_files, mnist_folder),
    Reader("TOML specification", toml_files, toml),
    Reader("class names", lambda: json_bytes(seeds.CLASS_NAMES), class_names),
)
