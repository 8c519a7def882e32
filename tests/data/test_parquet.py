"""Parquet in the Hugging Face layout: single files, folders, splits."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinprick.data import parquet as parquet_module
from pinprick.data.decode import encode_png
from pinprick.data.digests import file_digest
from pinprick.data.parquet import parquet, parquet_files
from pinprick.data.sets import load_images
from pinprick.data.shards import parquet_folder, pick_shards, shard
from pinprick.errors import InputError, UnknownNameError
from tests.data.helpers import image_table, picture, real_data, write_parquet, write_pngs

FIVE = [picture(i) for i in range(5)]
LABELS = [2, 0, 1, 1, 0]


def test_one_file(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "x.parquet", image_table(FIVE, LABELS, paths=["a.png", "b.png", None, "a.png", ""]))
    images = load_images(str(path))
    assert images.names == ("a.png", "b.png", "2", "a.png#1", "4")
    assert images.labels is not None
    assert images.labels.tolist() == LABELS
    assert images.classes == ("cat", "dog", "ship")
    assert images.fingerprint == file_digest(path)
    assert np.array_equal(images.stack([4, 0, 3, 2, 1]), np.stack([FIVE[i] for i in (4, 0, 3, 2, 1)]))
    with pytest.raises(IndexError):
        images.image(5)


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_plain_bytes_and_no_labels(tmp_path: Path, kind: pa.DataType) -> None:
    table = pa.table({"img": pa.array([encode_png(image) for image in FIVE], type=kind), "text": ["x"] * 5})
    images = parquet(write_parquet(tmp_path / "x.parquet", table))
    assert images.labels is None
    assert images.classes is None
    assert np.array_equal(images.stack(), np.stack(FIVE))


def test_columns_found_by_their_type(tmp_path: Path) -> None:
    table = image_table(FIVE, LABELS, column="photo", label="species")
    images = parquet(write_parquet(tmp_path / "x.parquet", table))
    assert images.classes == ("cat", "dog", "ship")
    assert np.array_equal(images.image(1), FIVE[1])


def test_hidden_labels_are_no_labels(tmp_path: Path) -> None:
    images = parquet(write_parquet(tmp_path / "x.parquet", image_table(FIVE, [-1] * 5)))
    assert images.labels is None
    with pytest.raises(InputError, match="label of -1"):
        parquet(write_parquet(tmp_path / "x.parquet", image_table(FIVE, [-1, 0, 0, 0, 0])))


@pytest.mark.parametrize(
    ("table", "wrong"),
    [
        (pa.table({"label": [1]}), "no image column among label"),
        (pa.table({"image": [[1, 2]], "label": [1]}), "column 'image' is list"),
        (pa.table({"image": [{"path": "a.png"}]}), "column 'image' is struct<path: string>"),
        (pa.table({"image": [b"x"], "label": ["cat"]}), "column 'label' is string"),
        (image_table(FIVE[:2], [0, None]), "column 'label' has no label in 1 of its rows, first in row 1"),
        (image_table(FIVE[:1], [3]), "label of 3 .*only 3 class names"),
        (image_table([], []), "no images in it"),
    ],
)
def test_other_tables_are_refused(tmp_path: Path, table: pa.Table, wrong: str) -> None:
    with pytest.raises(InputError, match=wrong):
        parquet(write_parquet(tmp_path / "x.parquet", table))


def test_rows_without_an_image_are_named_on_use(tmp_path: Path) -> None:
    images = parquet(write_parquet(tmp_path / "x.parquet", image_table([FIVE[0], None], [0, 1], paths=["a", "b"])))
    assert np.array_equal(images.image(0), FIVE[0])
    with pytest.raises(InputError, match="image 'b': row 1 has no bytes"):
        images.image(1)


def test_missing_foreign_and_changed_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        parquet(tmp_path / "none.parquet")
    (tmp_path / "x.parquet").write_text("no Parquet")
    with pytest.raises(InputError, match="cannot be read"):
        parquet(tmp_path / "x.parquet")
    path = write_parquet(tmp_path / "x.parquet", image_table(FIVE, LABELS))
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(InputError, match="cannot be read"):
        parquet(path)
    images = parquet(write_parquet(path, image_table(FIVE, LABELS)))
    path.unlink()
    with pytest.raises(InputError, match="row group 0 cannot be read"):
        images.image(0)


@settings(max_examples=60, deadline=None)
@given(changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4))
def test_damaged_files_raise_nothing_but_input_error(
    changes: list[tuple[int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = write_parquet(tmp_path_factory.mktemp("damaged") / "x.parquet", image_table(FIVE[:2], LABELS[:2]))
    data = bytearray(path.read_bytes())
    for place, value in changes:
        data[place % len(data)] = value
    path.write_bytes(bytes(data))
    with contextlib.suppress(InputError):
        parquet(path).stack()


def test_few_row_groups_stay_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_module, "_CACHED_BYTES", 1)
    images = parquet(write_parquet(tmp_path / "x.parquet", image_table(FIVE, LABELS), group=1))
    for index in (0, 4, 2, 0, 0):
        assert np.array_equal(images.image(index), FIVE[index])


def test_files_of_one_set(tmp_path: Path) -> None:
    first = write_parquet(tmp_path / "a.parquet", image_table(FIVE[:3], LABELS[:3]))
    second = write_parquet(tmp_path / "b.parquet", image_table(FIVE[3:], LABELS[3:]))
    images = parquet_files([first, second], name="both")
    assert images.names == ("0", "1", "2", "3", "4")
    assert images.labels is not None
    assert images.labels.tolist() == LABELS
    assert np.array_equal(images.stack(), np.stack(FIVE))
    assert images.fingerprint != parquet_files([second, first], name="both").fingerprint
    write_parquet(second, image_table(FIVE[3:], LABELS[3:], classes=["x", "y", "z"]))
    with pytest.raises(InputError, match=r"b.parquet and a.parquet have different classes"):
        parquet_files([first, second], name="both")


@pytest.mark.parametrize(
    ("name", "config", "split"),
    [
        ("train-00000-of-00002.parquet", "", "train"),
        ("data/test-00000-of-00001-0123456789abcdef.parquet", "", "test"),
        ("plain_text/my-split-00000-of-00001.parquet", "plain_text", "my-split"),
        ("default/train/0000.parquet", "default", "train"),
        ("test.parquet", "", "test"),
        ("test_1.parquet", "", "test"),
        ("validation-a.parquet", "", "validation"),
        ("testing.parquet", "", ""),
        ("cifar10-test-exact.parquet", "", ""),
        ("0000.parquet", "", ""),
    ],
)
def test_names_of_shards(name: str, config: str, split: str) -> None:
    assert (shard(name).config, shard(name).split) == (config, split)


def test_picking_shards() -> None:
    two = ["train-00001-of-00002.parquet", "train-00000-of-00002.parquet", "test-00000-of-00001.parquet"]
    assert pick_shards(two, "train", "", "x") == ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"]
    with pytest.raises(InputError, match=r"x: several splits \(test, train\) and none was chosen"):
        pick_shards(two, "", "", "x")
    with pytest.raises(UnknownNameError, match="Did you mean test"):
        pick_shards(two, "tests", "", "x")
    with pytest.raises(InputError, match=r"1 of the 2 parts of split 'train' missing \(the first: part 00001\)"):
        pick_shards(two[1:], "train", "", "x")
    configs = ["a/test/0000.parquet", "b/test/0000.parquet", "b/train/0000.parquet"]
    assert pick_shards(configs, "test", "b", "x") == ["b/test/0000.parquet"]
    assert pick_shards(configs, "train", "", "x") == ["b/train/0000.parquet"]
    with pytest.raises(InputError, match="several configurations: a, b"):
        pick_shards(configs, "test", "", "x")
    with pytest.raises(UnknownNameError, match="configuration: there is no 'c'"):
        pick_shards(configs, "test", "c", "x")
    with pytest.raises(InputError, match="in several folders"):
        pick_shards(["test.parquet", "data/test.parquet"], "test", "", "x")


def test_folders(tmp_path: Path) -> None:
    write_parquet(tmp_path / "data" / "test-00000-of-00002.parquet", image_table(FIVE[:3], LABELS[:3]))
    write_parquet(tmp_path / "data" / "test-00001-of-00002.parquet", image_table(FIVE[3:], LABELS[3:]))
    (tmp_path / "data" / ".hidden.parquet").write_text("not read")
    images = load_images(str(tmp_path))
    assert images.name == str(tmp_path)
    assert np.array_equal(images.stack(), np.stack(FIVE))
    assert load_images(f"{tmp_path}:test").fingerprint == images.fingerprint
    write_parquet(tmp_path / "data" / "train-00000-of-00001.parquet", image_table(FIVE[:1], LABELS[:1]))
    assert len(load_images(f"{tmp_path}:train")) == 1
    with pytest.raises(InputError, match="several splits"):
        load_images(str(tmp_path))
    with pytest.raises(InputError, match="there is no 'valid'"):
        load_images(f"{tmp_path}:valid")
    write_pngs(tmp_path, ["a.png"])
    with pytest.raises(InputError, match="both Parquet files and images"):
        load_images(str(tmp_path))
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="no Parquet file"):
        parquet_folder(tmp_path / "none")


def test_real_images_are_the_published_ones() -> None:
    images = load_images(str(real_data("cifar10-test-exact.parquet")))
    assert len(images) == 1017
    assert images.names[42] == "test_00042.png"
    assert images.labels is not None
    assert np.bincount(images.labels).tolist() == [105, 93, 100, 104, 92, 87, 114, 102, 110, 110]
    assert images.classes is not None
    assert images.classes[:2] == ("airplane", "automobile")
    assert images.stack(range(5)).shape == (5, 3, 32, 32)
    resized = load_images(str(real_data("imagenet-sample.parquet")), resize=64, crop=56)
    assert resized.stack([0, 199]).shape == (2, 3, 56, 56)


def test_unrelated_real_files_are_not_joined() -> None:
    folder = real_data("cifar10-test-exact.parquet").parent
    real_data("mnist-test.parquet")
    with pytest.raises(InputError, match="different classes"):
        load_images(str(folder))
