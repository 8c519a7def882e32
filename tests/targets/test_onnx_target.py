"""ONNX files as targets: what they take, what they give, and what is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from benchmarks.same_verdicts import candidates, compare, exported
from numpy.typing import NDArray
from onnx import TensorProto, helper
from torch import nn

import pinprick as pp
from pinprick.data.image_set import ImageSet
from pinprick.data.sets import load_images
from pinprick.errors import InputError
from pinprick.targets.base import Target
from pinprick.targets.loading import load_target
from pinprick.targets.onnx_target import OnnxTarget
from pinprick.targets.passes import ask, row_drift
from pinprick.targets.torch_target import TorchTarget
from tests.conftest import random_images
from tests.data.helpers import real_data as real
from tests.targets.onnx_files import linear, save, weights

RGB = (3, 8, 9)


def shipped(name: str = "cnn-digits") -> TorchTarget:
    target = load_target(name, device="cpu")
    assert isinstance(target, TorchTarget)
    return target


def asked(target: Target, images: NDArray[np.uint8], rows: int = 64) -> NDArray[Any]:
    answers = ask(target, images, rows)
    assert not answers.reasons
    return answers.scores


@pytest.fixture(scope="module")
def digits_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped network for digits as a file."""
    path = tmp_path_factory.mktemp("onnx") / "digits.onnx"
    exported(shipped(), path)
    return path


def test_verdicts_are_those_of_the_network_that_was_exported(digits_file: Path, test_digits: ImageSet) -> None:
    reference, other = shipped(), load_target(str(digits_file), outputs="logits")
    images = candidates(test_digits.stack(range(100)), each=20)
    reference.prepare(reference.images(images[:64]))
    found = compare(reference, other, images)
    assert found.images == 6000
    assert found.differ_not_tied == 0
    assert found.largest < 1e-4


def test_a_row_does_not_depend_on_the_rows_beside_it(digits_file: Path, test_digits: ImageSet) -> None:
    assert row_drift(load_target(str(digits_file), outputs="logits"), test_digits.stack(range(64)), 64) == 0


def test_a_run_is_the_same_twice_and_says_what_ran_it(digits_file: Path, test_digits: ImageSet, tmp_path: Path) -> None:
    options: dict[str, Any] = {"limit": 5, "budget": 60, "pixels": 1, "engine": "auto"}
    said: list[str] = []
    first = pp.attack(str(digits_file), test_digits, out=tmp_path / "run", say=said.append, **options)
    again = pp.attack(str(digits_file), test_digits, **options)
    timeless = [name for name in first.table.column_names if name != "run_id"]
    assert first.table.select(timeless).equals(again.table.select(timeless))
    assert first.attacked == 5
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["passes"] == {"rows": 64, "engine": "onnxruntime, CPU", "incremental": {"1": False}}
    assert manifest["what"]["target"]["target"] == "OnnxTarget"
    assert manifest["versions"]["onnxruntime"].count(".") >= 2
    assert any(line.startswith("outputs of digits.onnx: logits") for line in said)


def test_another_file_is_another_run(digits_file: Path, test_digits: ImageSet, tmp_path: Path) -> None:
    options: dict[str, Any] = {"limit": 2, "budget": 4, "attack": "random", "out": tmp_path / "run"}
    pp.attack(str(digits_file), test_digits, **options)
    exported(shipped(), tmp_path / digits_file.name, rows=64)
    with pytest.raises(InputError, match="digest of the model's weights"):
        pp.attack(str(tmp_path / digits_file.name), test_digits, **options)


SIZES: dict[str, tuple[Any, ...]] = {
    "NCHW": ("n", 3, 8, 9),
    "NHWC": ("n", 8, 9, 3),
    "sizes of any height": ("n", 3, "height", "width"),
    "nothing stated but channels last": (None, None, None, 3),
    "three at a time": (3, 3, 8, 9),
    "one at a time, channels last": (1, 8, 9, 3),
}


def flat(images: NDArray[np.uint8], sizes: Any) -> NDArray[np.float64]:
    """Images in the order of values that an input of these sizes has."""
    return (images.transpose(0, 2, 3, 1) if sizes[-1] == 3 else images).reshape(len(images), -1).astype(np.float64)


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES.keys())
@pytest.mark.parametrize("element", ["float32", "float16", "float64", "uint8", "int32", "int64"])
def test_images_arrive_as_the_file_takes_them(sizes: Any, element: str, tmp_path: Path) -> None:
    target = load_target(str(linear(tmp_path / "net.onnx", sizes, 216, element=element)), outputs="logits")
    images = random_images(10, RGB)
    scale = 255 if "float" in element else 1
    wanted = flat(images, sizes) / scale @ weights(216)
    # A half has 11 bits.
    tolerance = 0.02 if element == "float16" else 1e-5 * 255 / scale
    for rows in (64, 12, 3) if sizes[0] == 3 else (64, 7, 1):
        assert np.allclose(asked(target, images, rows), wanted, atol=tolerance)
    assert target.fixed_rows == (sizes[0] if isinstance(sizes[0], int) else None)
    assert target.shape == (RGB if "height" not in sizes and None not in sizes else None)


def test_batch_size_has_to_suit_a_file_of_a_fixed_one(tmp_path: Path) -> None:
    path = linear(tmp_path / "net.onnx", (3, 3, 8, 9), 216)
    images = (random_images(8, RGB), None)
    options: dict[str, Any] = {"labels": "predicted", "attack": "random", "budget": 8, "limit": 4, "outputs": "logits"}
    with pytest.raises(InputError, match=r"--batch-size: 64.*3 images at a time"):
        pp.attack(str(path), images, batch_size=64, **options)
    small, usual = (pp.attack(str(path), images, batch_size=rows, **options) for rows in (6, None))
    assert small.attacked == 4
    columns = ["key", "status", "asked"]
    assert small.table.select(columns).equals(usual.table.select(columns))


def test_a_batch_that_is_fixed_within_is_found_out(tmp_path: Path) -> None:
    """As exports do it that take the number of rows from their example."""
    reshape = helper.make_node("Reshape", ["plain", "shape"], ["ready"])
    constants = {"shape": np.array([1, 216])}
    path = linear(tmp_path / "net.onnx", ("n", 3, 8, 9), 216, first=[reshape], constants=constants)
    target = load_target(str(path), outputs="logits")
    assert target.fixed_rows == 1
    assert "takes one image at a time" in " ".join(target.notes)
    images = random_images(5, RGB)
    assert np.allclose(asked(target, images), flat(images, SIZES["NCHW"]) / 255 @ weights(216), atol=1e-5)


@pytest.mark.parametrize("sizes", [("n", 1, 8, 8), ("n", 8, 8, 1), ("n", 8, 8), ("n", 64)])
def test_gray_images_of_any_form(sizes: Any, tmp_path: Path) -> None:
    target = load_target(str(linear(tmp_path / "net.onnx", sizes, 64)), outputs="logits")
    images = random_images(10, (1, 8, 8))
    assert np.allclose(asked(target, images), images.reshape(10, 64) / 255 @ weights(64), atol=1e-5)
    with pytest.raises(InputError, match=r"images are RGB.*takes gray|values an image"):
        ask(target, random_images(10, (3, 8, 8)), 64)


@pytest.mark.parametrize("layout", ["auto", "nhwc", "nchw"])
def test_rows_of_colours_are_in_the_order_that_is_said(layout: Any, tmp_path: Path) -> None:
    target = OnnxTarget(linear(tmp_path / "net.onnx", ("n", 216), 216), "logits", layout=layout)
    images = random_images(8, RGB)
    turned = images if layout == "nchw" else images.transpose(0, 2, 3, 1)
    assert np.allclose(asked(target, images), turned.reshape(8, -1) / 255 @ weights(216), atol=1e-5)
    target.prepare(target.images(images))
    assert bool(target.notes) == (layout != "nchw")


def test_a_layout_that_the_file_contradicts_is_refused(tmp_path: Path) -> None:
    path = linear(tmp_path / "net.onnx", SIZES["NHWC"], 216)
    assert load_target(str(path), layout="nhwc").shape == RGB
    with pytest.raises(InputError, match=r"--layout nchw.*takes NHWC"):
        load_target(str(path), layout="nchw")
    with pytest.raises(InputError, match="--layout"):
        load_target(str(path), layout="chwn")  # type: ignore[arg-type]


def test_channels_that_nothing_states_are_where_the_network_looks_for_them(tmp_path: Path) -> None:
    def save_net(name: str, *, turned: bool) -> OnnxTarget:
        nodes = [helper.make_node("Transpose", ["images"], ["x"], perm=[0, 3, 1, 2])] if turned else []
        nodes += [helper.make_node("GlobalAveragePool", ["x" if turned else "images"], ["mean"])]
        nodes += [helper.make_node("Flatten", ["mean"], ["scores"])]
        inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", "a", "b", "c"])]
        outputs = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", "k"])]
        return OnnxTarget(save(tmp_path / name, nodes, inputs, outputs), "logits")

    images = random_images(6, RGB)
    wanted = images.mean(axis=(2, 3)) / 255
    for turned in (False, True):
        assert np.allclose(asked(save_net(f"{turned}.onnx", turned=turned), images), wanted, atol=1e-5)


@pytest.mark.parametrize("order", ["rgb", "bgr"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_normalisation_and_order_are_applied_before_the_network(order: str, layout: str, tmp_path: Path) -> None:
    path = linear(tmp_path / "net.onnx", SIZES[layout], 216)
    target = load_target(str(path), outputs="logits", normalize="0.5,0.4,0.3/0.2,0.25,0.3", order=order)
    images = random_images(8, RGB)
    ready = (images / 255 - np.reshape([0.5, 0.4, 0.3], (3, 1, 1))) / np.reshape([0.2, 0.25, 0.3], (3, 1, 1))
    ready = ready[:, ::-1] if order == "bgr" else ready
    wanted = (ready.transpose(0, 2, 3, 1) if layout == "NHWC" else ready).reshape(8, -1) @ weights(216)
    assert np.allclose(asked(target, images), wanted, atol=1e-4)
    assert target.identity()["preprocess"]["order"] == order


def test_values_from_0_to_255_where_they_are_asked_for(tmp_path: Path) -> None:
    path = linear(tmp_path / "net.onnx", SIZES["NCHW"], 216)
    images = random_images(8, RGB)
    by_name = asked(load_target(str(path), outputs="logits", normalize="0..255"), images)
    assert np.allclose(by_name, images.reshape(8, -1) @ weights(216).astype(float), rtol=1e-5, atol=1e-2)
    caffe = asked(load_target(str(path), outputs="logits", normalize="caffe", order="bgr"), images)
    ready = images.astype(float)[:, ::-1] - np.reshape([103.939, 116.779, 123.68], (3, 1, 1))
    assert np.allclose(caffe, ready.reshape(8, -1) @ weights(216), rtol=1e-4, atol=1e-2)


def test_an_integer_input_is_turned_round_but_not_normalised(tmp_path: Path) -> None:
    path = linear(tmp_path / "net.onnx", SIZES["NHWC"], 216, element="uint8")
    images = random_images(8, RGB)
    turned = asked(load_target(str(path), outputs="logits", order="bgr"), images)
    wanted = flat(np.ascontiguousarray(images[:, ::-1]), SIZES["NHWC"]) @ weights(216)
    assert np.allclose(turned, wanted, atol=1e-2)
    with pytest.raises(InputError, match=r"--normalize.*whole numbers from 0 to 255"):
        load_target(str(path), normalize="imagenet")


TRAPS = [
    ("Div", 255.0, None, "--normalize 0..255"),
    ("Mul", 1 / 255, None, "--normalize 0..255"),
    ("Mul", 1 / 127.5, "imagenet", "--normalize 0..255"),
    ("Sub", [[[123.7]], [[116.8]], [[103.9]]], None, "--normalize 0..255"),
    ("Div", 255.0, "0..255", None),
    ("Sub", [[[123.7]], [[116.8]], [[103.9]]], "caffe", None),
    ("Sub", [[[0.485]], [[0.456]], [[0.406]]], None, None),
    ("Sub", [[[0.485]], [[0.456]], [[0.406]]], "imagenet", "normalises values in [0, 1] itself"),
    ("Mul", 2.0, "half", "normalises values in [0, 1] itself"),
    ("Mul", 1.0, "imagenet", None),
]


@pytest.mark.parametrize(("operator", "value", "normalize", "said"), TRAPS)
def test_values_that_the_network_does_not_expect_are_warned_of(
    operator: str, value: Any, normalize: str | None, said: str | None, tmp_path: Path
) -> None:
    node = helper.make_node(operator, ["plain", "value"], ["ready"])
    constants = {"value": np.array(value, np.float32)}
    path = linear(tmp_path / "net.onnx", SIZES["NCHW"], 216, first=[node], constants=constants)
    notes = load_target(str(path), outputs="logits", normalize=normalize).notes
    assert [note for note in notes if said is not None and said in note] == list(notes)
    assert bool(notes) == (said is not None)


def test_torchs_number_of_threads_is_used(digits_file: Path) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        target = OnnxTarget(digits_file, "logits")
        assert target._session.get_session_options().intra_op_num_threads == 2
    finally:
        torch.set_num_threads(before)


def test_without_onnxruntime_it_is_said_what_to_install(digits_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"onnxruntime.*pip install 'pinprick\[onnx\]'"):
        load_target(str(digits_file))


@pytest.mark.parametrize("device", ["cuda", "mps", "nonsense"])
def test_a_device_that_onnxruntime_does_not_have_is_refused(digits_file: Path, device: str) -> None:
    with pytest.raises(InputError, match="--device"):
        load_target(str(digits_file), device=device)
    assert load_target(str(digits_file), device="cpu").identity()["device"] == "cpu"


def test_a_package_may_be_called_onnx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_package").mkdir()
    (tmp_path / "own_package" / "__init__.py").write_text("")
    (tmp_path / "own_package" / "onnx.py").write_text("def net():\n    return lambda images: images.flatten(1)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load_target("own_package.onnx:net").name == "net"


@pytest.mark.parametrize(("side", "sizes"), [(96, [16, 16, 16]), (95, [64])])
def test_large_images_go_in_a_few_at_a_time(
    side: int, sizes: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a pass which is not full need not be filled up to 64 rows; no row changes by that."""
    net = nn.Sequential(nn.Conv2d(3, 4, 3, 8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)).eval()
    path = tmp_path / "net.onnx"
    exported(TorchTarget(net, "logits", shape=(3, side, side)), path)
    target = load_target(str(path), outputs="logits")
    assert isinstance(target, OnnxTarget)
    images = random_images(40, (3, side, side))
    target.prepare(target.images(images))
    seen: list[int] = []
    inner = target._answer

    def noted(images: torch.Tensor) -> NDArray[Any]:
        seen.append(len(images))
        return inner(images)

    monkeypatch.setattr(target, "_answer", noted)
    whole = asked(target, images)
    assert seen == sizes
    assert np.array_equal(asked(target, images[[5]])[0], whole[5])
    assert np.array_equal(asked(target, images[::-1]), whole[::-1])


def test_a_fixed_batch_is_the_same_network(tmp_path: Path, test_digits: ImageSet) -> None:
    reference = shipped()
    fixed = exported(reference, tmp_path / "fixed.onnx", rows=7)
    assert fixed.fixed_rows == 7
    found = compare(reference, fixed, candidates(test_digits.stack(range(10)), each=5))
    assert found.differ_not_tied == 0
    assert found.largest < 1e-4
    assert row_drift(fixed, test_digits.stack(range(63)), 63) == 0
    options: dict[str, Any] = {"limit": 3, "budget": 40, "baseline": "none"}
    result = pp.attack(fixed, test_digits, **options)
    assert pa.compute.unique(result.table["status"]).to_pylist() != ["failed"]


def test_verdicts_on_cifar10_are_those_of_the_network_that_was_exported(tmp_path: Path) -> None:
    reference = shipped("allconv-cifar10")
    images = candidates(load_images(str(real("cifar10-test-exact.parquet"))).stack(range(10)), each=1)
    found = compare(reference, exported(reference, tmp_path / "net.onnx"), images)
    assert found.images == 30
    assert found.differ_not_tied == 0
    assert found.largest < 1e-4
