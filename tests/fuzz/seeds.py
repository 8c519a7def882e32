"""Valid input of each kind, to be damaged."""

from __future__ import annotations

import gzip
import io
import json
import struct
import tarfile
import tempfile
import warnings
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import skops.io
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image as PILImage
from safetensors.torch import save as as_safetensors
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from pinprick.data.digits import digits
from pinprick.models.registry import build_net
from pinprick.models.weights import Card, save_weights
from pinprick.runs.run import run
from pinprick.runs.same_model import read_clean
from pinprick.runs.spec import make_spec
from pinprick.runs.store import read_outcomes
from tests.bad_input.files import chunked_png
from tests.conftest import digits_target
from tests.data.helpers import image_table, picture, saved
from tests.targets.onnx_files import linear, save, with_external, zipmap


@lru_cache
def images() -> tuple[bytes, ...]:
    """Image files of every format and mode that is read or refused."""
    rgb = PILImage.fromarray(np.ascontiguousarray(picture(1, height=9, width=11).transpose(1, 2, 0)))
    gray = rgb.convert("L")
    turned = PILImage.Exif()
    turned[0x0112] = 6
    found = [saved(rgb, form) for form in ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")]
    found += [saved(gray, form) for form in ("PNG", "JPEG", "BMP", "TIFF", "PPM")]
    found += [saved(rgb.convert(mode), "PNG") for mode in ("P", "1", "RGBA", "LA")]
    found += [saved(rgb, "TIFF", compression=kind) for kind in ("tiff_lzw", "tiff_deflate", "packbits", "jpeg")]
    found += [saved(rgb, "WEBP", lossless=True), saved(rgb.convert("RGBA"), "WEBP"), saved(rgb, "JPEG", exif=turned)]
    found += [saved(rgb, "JPEG", progressive=True), saved(rgb.convert("CMYK"), "JPEG")]
    found += [saved(rgb, "PNG", transparency=(1, 2, 3)), saved(rgb.quantize(4), "PNG", transparency=0)]
    found += [saved(rgb, form, save_all=True, append_images=[rgb]) for form in ("GIF", "MPO", "PNG", "TIFF", "WEBP")]
    found += [chunked_png(3, 2, 16, 2, bytes(40)), b"P5 3 2 255\n" + bytes(6), b"P2 2 1 255\n7 9\n", b"P1 2 1\n0 1\n"]
    return tuple(found)


def parquet_bytes(table: pa.Table, **options: Any) -> bytes:
    """A table as a Parquet file in memory."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **options)
    return buffer.getvalue()


@lru_cache
def image_tables() -> tuple[pa.Table, ...]:
    """Image sets as tables."""
    four = [picture(seed) for seed in range(4)]
    labelled = image_table(four, [0, 2, 1, 0], paths=[f"{row}.png" for row in range(4)])
    plain = pa.table({"img": [saved(PILImage.new("L", (8, 8)), "PNG")] * 2, "label": [0, 1]})
    return labelled, image_table(four, None), plain, image_table(four[:2], [-1, -1])


@lru_cache
def image_parquets() -> tuple[bytes, ...]:
    """Image sets as Parquet files: several row groups, compressions and versions."""
    tables = image_tables()
    found = [parquet_bytes(table, row_group_size=2) for table in tables]
    found += [parquet_bytes(tables[0], compression=kind) for kind in ("none", "gzip", "zstd")]
    return (*found, parquet_bytes(tables[0], use_dictionary=False, data_page_version="2.0", write_statistics=False))


CIFAR_ROWS = 2


def cifar_records() -> bytes:
    """Two records of CIFAR-10's binary version."""
    pixels = np.random.default_rng(0).integers(0, 256, (CIFAR_ROWS, 3073), dtype=np.uint8)
    pixels[:, 0] = [3, 9]
    return pixels.tobytes()


@lru_cache
def cifar_tars() -> tuple[bytes, ...]:
    """The archive of CIFAR-10, not packed yet."""
    found = []
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
            for name in ("readme.html", "test_batch.bin", "data_batch_1.bin"):
                info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
                info.size = len(cifar_records())
                tar.addfile(info, io.BytesIO(cifar_records()))
        found.append(buffer.getvalue())
    return tuple(found)


@lru_cache
def idx_files() -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """MNIST's files of images and of labels."""
    pixels = np.random.default_rng(0).integers(0, 256, 3 * 28 * 28, dtype=np.uint8).tobytes()
    pictures = struct.pack(">4I", 0x803, 3, 28, 28) + pixels
    labels = struct.pack(">2I", 0x801, 3) + bytes([1, 9, 0])
    return (pictures, gzip.compress(pictures)), (labels, gzip.compress(labels))


SPECS = (
    b'model = "cnn-digits"\ndata = "digits:test"\npixels = [1, 3]\nlimit = 20\nbudget = 4000\nout = "runs/x"\n'
    b"save-images = true\n",
    b'model = "net.py:f"\nimage = "x.png"\nattack = "random"\ngoal = "targeted"\ntargets = "random"\nfirst = 3\n'
    b'seed = 7\nbatch-size = 64\nnormalize = "0.5/0.5"\nchannel-order = "bgr"\nresize = 32\ncrop = 28\n'
    b'classes = "c.json"',
)
CLASS_NAMES: tuple[Any, ...] = (["cat", "dog", "ship"], {"cat": 0, "dog": 2, "ship": 1}, ["a"] * 3)


@lru_cache
def safetensors_files() -> tuple[bytes, ...]:
    """Weights with and without a card."""
    torch.manual_seed(0)
    net = build_net("fc-4", 3, (1, 4, 4))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "w.safetensors"
        save_weights(path, net, Card("fc-4", 3, (1, 4, 4), (0.5,), (0.5,), class_names=("a", "b", "c")))
        with_card = path.read_bytes()
    return with_card, as_safetensors(dict(net.state_dict()))


@lru_cache
def state_dicts() -> tuple[bytes, ...]:
    """State dicts as torch.save writes them, alone and in a checkpoint of a training."""
    net = build_net("fc-4", 3, (1, 4, 4))
    state = net.state_dict()
    checkpoint = {"identity": "x", "epoch": 1, "net": state, "optimizer": {"state": {}}, "schedule": {"last_epoch": 1}}
    found = []
    for value in (state, {"state_dict": state}, checkpoint):
        buffer = io.BytesIO()
        torch.save(value, buffer)
        found.append(buffer.getvalue())
    return tuple(found)


@lru_cache
def runs() -> tuple[tuple[dict[str, Any], pa.Table, pa.Table], ...]:
    """Manifest, outcomes and clean scores of finished runs, one untargeted, one derived."""
    found = []
    for options in ({"pixels": (1, 3)}, {"goal": "untargeted-derived"}, {"goal": "targeted", "targets": "random"}):
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "run"
            given = {"model": "digits-net", "data": "digits:test", "attack": "random", "budget": 40, "limit": 3}
            run(make_spec(given | options | {"out": out}), target=digits_target(), images=digits("test"))
            clean = read_clean(out)
            assert clean is not None
            found.append((json.loads((out / "manifest.json").read_text()), read_outcomes(out), clean))
    return tuple(found)


@lru_cache
def skops_files() -> tuple[bytes, ...]:
    """Classifiers of images of 1 x 2 x 2 that skops reads without trust, packed and not."""
    rows = np.random.default_rng(0).random((12, 4))
    labels = np.arange(12) % 3
    made = [
        GaussianNB(),
        make_pipeline(StandardScaler(), LogisticRegression()),
        LinearSVC(),
        MLPClassifier((3,), max_iter=1),
        GridSearchCV(RidgeClassifier(), {"alpha": [0.1, 1]}, cv=2),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = [each.fit(rows, labels) for each in made] + [GaussianNB().fit(rows, np.array(list("abc"))[labels])]
    packed = skops.io.dumps(fitted[0], compression=zipfile.ZIP_DEFLATED)
    return (*(skops.io.dumps(each) for each in fitted), packed)


@lru_cache
def onnx_files() -> tuple[bytes, ...]:
    """Networks in ONNX files, one of them with its weights beside it and one of scikit-learn's kind."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        node, dicts = zipmap(("cat", "dog", "ship"))
        paths = [
            linear(folder / "a.onnx", ("n", 1, 2, 2), 4),
            linear(folder / "b.onnx", (1, 2, 2, 3), 12, element="uint8"),
            with_external(linear(folder / "c.onnx", ("n", 4), 4)),
            save(
                folder / "d.onnx",
                [helper.make_node("Div", ["images", "by"], ["plain"]), node],
                [helper.make_tensor_value_info("images", TensorProto.FLOAT, ("n", 3, 2, 2))],
                [dicts],
                [numpy_helper.from_array(np.full(1, 255, np.float32), "by")],
            ),
        ]
        return tuple(path.read_bytes() for path in paths)
