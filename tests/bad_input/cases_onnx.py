"""ONNX files, and looking models over."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from onnx import TensorProto, helper

from tests.bad_input.case import Case, Section
from tests.bad_input.files import one
from tests.targets.onnx_files import CLASSES, linear, relocated, save, with_external

NET = "--model net.onnx"
SIZES = ("n", 3, 12, 10)


def net(*sizes: Any, **options: Any) -> Callable[[Path], object]:
    """``net.onnx`` for the photos, or for images of other sizes."""
    return lambda folder: linear(folder / "net.onnx", sizes or SIZES, options.pop("values", 360), **options)


def cut_off(folder: Path) -> None:
    path = linear(folder / "net.onnx", SIZES, 360)
    path.write_bytes(path.read_bytes()[:-900])


def own_operator(folder: Path) -> None:
    inputs, outputs = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes)]
        for name, sizes in (("images", SIZES), ("scores", ("n", 3)))
    )
    save(folder / "net.onnx", [helper.make_node("Own", ["images"], ["scores"], domain="com.own")], inputs, outputs)


def two_inputs(folder: Path) -> None:
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, SIZES) for name in ("images", "mask")]
    output = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ("n", 3))
    save(folder / "net.onnx", [helper.make_node("Add", ["images", "mask"], ["scores"])], infos, [output])


def two_scores() -> Callable[[Path], object]:
    names = ("main", "auxiliary")
    last = [helper.make_node("Identity", ["scores"], [name]) for name in names]
    return net(last=last, outputs=[(name, TensorProto.FLOAT, ("n", CLASSES)) for name in names])


def maps_only(folder: Path) -> None:
    linear(folder / "net.onnx", SIZES, 360, outputs=[("plain", TensorProto.FLOAT, SIZES)])


def beside(change: Callable[[Path], object]) -> Callable[[Path], None]:
    """``net.onnx`` with its weights in ``weights.bin``, and a change to the folder."""

    def make(folder: Path) -> None:
        with_external(linear(folder / "net.onnx", SIZES, 360))
        change(folder)

    return make


@contextlib.contextmanager
def not_installed(folder: Path) -> Iterator[None]:
    with mock.patch.dict(sys.modules, {"onnxruntime": None}):
        yield


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1000\n"

SECTIONS = (
    Section(
        "ONNX files",
        "They are looked through before onnxruntime runs them. What onnxruntime itself says stands in brackets.",
        (
            Case("onnxruntime is not installed", NET, net(), not_installed),
            Case("a file that is not there", NET),
            Case("a folder", NET, lambda folder: (folder / "net.onnx").mkdir()),
            Case("a file of 0 bytes", NET, one(b"", "net.onnx")),
            Case("no ONNX", NET, one(b"these are my notes", "net.onnx")),
            Case("a pointer of Git LFS", NET, one(LFS, "net.onnx")),
            Case("a file that is cut off", NET, cut_off),
            Case("an operator that onnxruntime does not have", NET, own_operator),
            Case("several inputs", NET, two_inputs),
            Case("an input that is no batch of images", NET, net(5, 3, 2, 12, 10, values=720)),
            Case("an input of a type that is not for images", NET, net(element="int8")),
            Case("several outputs that may be scores", NET, two_scores()),
            Case("an output that there is not", "--model net.onnx:man", two_scores()),
            Case("no output named behind the colon", "--model net.onnx:", net()),
            Case("outputs that are no scores", NET, maps_only),
            Case("weights in another file that is gone", NET, beside(lambda f: (f / "weights.bin").unlink())),
            Case(
                "weights in another file that is cut off", NET, beside(lambda f: (f / "weights.bin").write_bytes(b""))
            ),
            Case("weights outside of its folder", NET, beside(lambda f: relocated(f / "net.onnx", "../../etc/passwd"))),
            Case("RGB images for a network that takes gray ones", NET, net("n", 1, "height", "width")),
            Case("images of another size", f"{NET} --resize 16", net()),
            Case("`--batch-size` that is no multiple of a fixed batch", f"{NET} --batch-size 8", net(3, 3, 12, 10)),
            Case("`--normalize` for an integer input", f"{NET} --normalize imagenet", net(element="uint8")),
            Case("`--device` that onnxruntime does not have", f"{NET} --device cuda", net()),
            Case("`--trust-pickle`", f"{NET} --trust-pickle", net()),
            Case("a fixed batch: passes are cut up", NET, net(3, 3, 12, 10)),
        ),
    ),
    Section(
        "Looking a model over",
        "",
        (
            Case("a model that there is not", "targets check cnn-digit"),
            Case("images that are not there", "targets check model.py:net --data ./nowhere"),
            Case("images of another size", "targets check net.onnx --data photos --resize 16", net()),
            Case("too few questions", "targets check cnn-digits --questions 9"),
            Case("a model that fails on every image", "targets check model.py:raises_when_called --data photos"),
            Case("scores in one column", "targets check model.py:one_column --data photos"),
            Case("`--strict`, and there is a warning", "targets check model.py:dropout --data photos --strict"),
        ),
    ),
)
