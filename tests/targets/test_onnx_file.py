"""ONNX files that are damaged, incomplete, or made to do harm."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from pinprick.errors import InputError, OutOfMemoryError
from pinprick.targets.onnx_file import LARGEST_BYTES, read_onnx
from pinprick.targets.onnx_target import OnnxTarget
from pinprick.targets.passes import ask
from tests.conftest import random_images
from tests.targets.onnx_files import CLASSES, linear, relocated, save, weights, with_external

GRAY = (1, 8, 8)


@pytest.fixture
def net(tmp_path: Path) -> Path:
    return linear(tmp_path / "net.onnx", ("n", *GRAY), 64)


def refused(path: Path, match: str) -> None:
    with pytest.raises(InputError, match=match) as raised:
        OnnxTarget(path, "logits")
    assert "\n" not in str(raised.value)


def test_weights_in_a_file_beside_it_are_used_and_are_part_of_what_it_is(net: Path) -> None:
    alone = OnnxTarget(net, "logits").identity()["weights"]
    with_external(net)
    target = OnnxTarget(net, "logits")
    images = random_images(10, GRAY)
    wanted = images.reshape(10, 64) / 255 @ weights(64)
    assert np.allclose(ask(target, images, 64).scores, wanted, atol=1e-5)
    beside = net.parent / "weights.bin"
    beside.write_bytes(weights(64, seed=1).tobytes())
    other = OnnxTarget(net, "logits")
    assert np.allclose(ask(other, images, 64).scores, images.reshape(10, 64) / 255 @ weights(64, seed=1), atol=1e-5)
    assert len({alone, target.identity()["weights"], other.identity()["weights"]}) == 3


def test_weights_beside_it_are_found_from_any_folder(
    net: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with_external(net)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert OnnxTarget("../net.onnx", "logits").classes == CLASSES


def test_weights_beside_it_that_are_gone_or_cut_off(net: Path) -> None:
    with_external(net)
    beside = net.parent / "weights.bin"
    beside.write_bytes(beside.read_bytes()[:-1])
    refused(net, r"'weights.bin', the file of its weights, is cut off")
    beside.unlink()
    refused(net, r"weights are in 'weights.bin', and there is no such file. Copy it too, beside net.onnx")


@pytest.mark.parametrize(
    "location", ["../secret", "/etc/passwd", "", "a/../../secret", "*/_ORT_MEM_ADDR_/*", "no\0name", "x" * 300]
)
def test_weights_elsewhere_are_refused(net: Path, location: str) -> None:
    """The third but last is how onnxruntime itself says that weights are at an address of its memory."""
    with_external(net)
    (net.parent.parent / "secret").write_bytes(bytes(2000))
    relocated(net, location)
    refused(net, "outside of its folder|no such file|cannot be looked up")


@pytest.mark.parametrize(("offset", "length"), [("-8", "1024"), ("0", "9" * 30), ("1e3", "8"), ("2", "1024")])
def test_weights_at_places_that_are_none_are_refused(net: Path, offset: str, length: str) -> None:
    with_external(net)
    relocated(net, "weights.bin", offset=offset, length=length)
    refused(net, "no numbers|cut off|cannot load it")


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="this system has no links")
def test_a_link_that_leads_out_of_the_folder_is_refused(net: Path, tmp_path: Path) -> None:
    with_external(net)
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "net.onnx").write_bytes(net.read_bytes())
    (folder / "weights.bin").symlink_to(net.parent / "weights.bin")
    refused(folder / "net.onnx", "outside of its folder")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", r"the file is empty \(0 bytes\)"),
        (b"these are my notes", "no ONNX file, or one that is cut off or damaged"),
        (b"<!DOCTYPE html><html>not found</html>", "no ONNX file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "a pointer of Git LFS"),
        (b"\x08\x08", "no network in it"),
        (b"\x3a\x80" * 4000, "no ONNX file|no network"),
    ],
)
def test_files_that_are_something_else(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    refused(path, said)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    with path.open("wb") as file:
        file.truncate(LARGEST_BYTES + 1)
    refused(path, r"2147483648 bytes.*external data")


def test_a_graph_within_graphs_within_graphs(tmp_path: Path) -> None:
    """Deeper than a reader should follow; such a file has to be written by hand."""

    def field(number: int, content: bytes) -> bytes:
        size, length = b"", len(content)
        while length > 127:
            size, length = size + bytes([length & 127 | 128]), length >> 7
        return bytes([number << 3 | 2]) + size + bytes([length]) + content

    graph = field(1, field(4, b"Identity"))
    for _ in range(2000):
        # A graph's node's attribute's graph.
        graph = field(1, field(5, field(6, graph)))
    (tmp_path / "net.onnx").write_bytes(field(7, graph))
    refused(tmp_path / "net.onnx", "no ONNX file")


def test_a_tensor_of_absurd_size_fails_the_pass_and_not_the_program(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["huge"]),
        helper.make_node("ReduceSum", ["huge"], ["sum"], keepdims=0),
        helper.make_node("Add", ["scores", "sum"], ["more"]),
    ]
    constants = {"shape": np.array([10**6, 10**6, 10**3])}
    outputs = [("more", TensorProto.FLOAT, ("n", CLASSES))]
    path = linear(tmp_path / "net.onnx", ("n", *GRAY), 64, last=nodes, constants=constants, outputs=outputs)
    with pytest.raises(OutOfMemoryError, match="memory"):
        ask(OnnxTarget(path, "logits"), random_images(2, GRAY), 2)


@pytest.mark.parametrize(
    ("node", "said"),
    [
        (helper.make_node("Frobnicate", ["images"], ["scores"]), "Frobnicate"),
        (helper.make_node("Own", ["images"], ["scores"], domain="com.example"), "com.example"),
    ],
)
def test_operators_that_there_are_not(node: onnx.NodeProto, said: str, tmp_path: Path) -> None:
    inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", *GRAY])]
    outputs = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 4])]
    refused(save(tmp_path / "net.onnx", [node], inputs, outputs), f"onnxruntime cannot load it.*{said}")


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ((5, 4, 8, 8), "takes 5 x 4 x 8 x 8, no batch"),
        ((3, 8, 8), "takes 3 x 8 x 8"),
        ((5, 1, 3, 8, 8), "no batch of gray or RGB images"),
        ((5,), "takes 5, no batch of gray or RGB images"),
    ],
)
def test_inputs_that_are_no_images(sizes: tuple[int, ...], said: str, tmp_path: Path) -> None:
    refused(linear(tmp_path / "net.onnx", sizes, int(np.prod(sizes[1:]))), said)


def test_an_input_of_a_type_that_images_do_not_fit(tmp_path: Path) -> None:
    refused(linear(tmp_path / "net.onnx", ("n", *GRAY), 64, element="int8"), r"tensor\(int8\).*Images are float")


def test_several_inputs_and_none(tmp_path: Path) -> None:
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in ("images", "mask", "scores")]
    two = save(tmp_path / "net.onnx", [helper.make_node("Add", ["images", "mask"], ["scores"])], info[:2], info[2:])
    refused(two, r"2 inputs \(images, mask\)")
    constant = helper.make_node("Constant", [], ["scores"], value_floats=[1.0, 2.0])
    out = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [2])]
    refused(save(tmp_path / "none.onnx", [constant], [], out), r"0 inputs \(none\)")


def test_outputs_that_are_no_scores(tmp_path: Path) -> None:
    outputs = [("plain", TensorProto.FLOAT, ("n", 1, 8, 8))]
    path = linear(tmp_path / "net.onnx", ("n", *GRAY), 64, outputs=outputs)
    refused(path, r"no output that may be scores of classes, a row an image \(plain\)")


@pytest.mark.parametrize("place", ["folder", "nothing"])
def test_a_path_that_is_no_file(place: str, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    if place == "folder":
        path.mkdir()
    refused(path, "it is a folder" if place == "folder" else "there is no file")


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_file_is_refused_or_answers(data: st.DataObject, tmp_path: Path) -> None:
    path = linear(tmp_path / "net.onnx", ("n", *GRAY), 64)
    if data.draw(st.booleans()):
        with_external(path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content[: data.draw(st.integers(1, len(content)))]))
    try:
        target = OnnxTarget(path, "logits")
    except InputError as error:
        assert f"--model {path}" in str(error)  # noqa: PT017 (it may also load, so that nothing is raised)
        return
    answers = ask(target, random_images(2, GRAY), 2) if target.shape in (None, GRAY) else None
    assert answers is None or len(answers.scores) == 2


def test_reading_does_not_load_what_is_in_other_files(net: Path) -> None:
    with_external(net)
    file = read_onnx(net, "net")
    assert file.external == ("weights.bin",)
    assert not file.model.graph.initializer[0].raw_data
