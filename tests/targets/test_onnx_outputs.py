"""Which output of an ONNX file is read, and as what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

import pinprick as pp
from pinprick.data.image_set import ImageSet
from pinprick.errors import InputError
from pinprick.goals import softmax
from pinprick.targets.base import Target
from pinprick.targets.loading import load_target
from pinprick.targets.outputs import settle
from pinprick.targets.passes import ask
from tests.conftest import random_images
from tests.targets.onnx_files import CLASSES, linear, weights, zipmap

RGB = (3, 8, 9)
SIZES = ("n", *RGB)


def asked(target: Target, images: NDArray[np.uint8], rows: int = 64) -> NDArray[Any]:
    answers = ask(target, images, rows)
    assert not answers.reasons
    return answers.scores


@pytest.mark.parametrize("within", [False, True])
def test_logits_and_probabilities_are_told_apart(within: bool, tmp_path: Path) -> None:
    last = [helper.make_node("Softmax", ["scores"], ["probabilities"])] if within else []
    output = ("probabilities" if within else "scores", TensorProto.FLOAT, ("n", CLASSES))
    target = load_target(str(linear(tmp_path / "net.onnx", SIZES, 216, last=last, outputs=[output])))
    images = random_images(40, RGB)
    assert settle(target, images) is not None
    assert target.outputs == ("probabilities" if within else "logits")
    wanted = softmax((images.reshape(40, -1) / 255 @ weights(216)).astype(np.float32))
    assert np.allclose(target.probabilities(asked(target, images)), wanted, atol=1e-4)


def both(path: Path, labels: Any = None) -> Path:
    """A label and probabilities, as scikit-learn's models have them; with ``labels`` in dicts."""
    nodes = [helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0)]
    graph = [("label", TensorProto.INT64, ("n",)), ("scores", TensorProto.FLOAT, ("n", CLASSES))]
    if labels is None:
        return linear(path, ("n", 64), 64, last=nodes, outputs=graph)
    linear(path, ("n", 64), 64, last=nodes, outputs=graph[:1])
    model = onnx.load(str(path))
    node, output = zipmap(labels)
    model.graph.node.append(node)
    model.graph.output.append(output)
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (None, "of the outputs of net.onnx 'scores' is read, not label"),
        ([0, 1, 2, 3], "come as dicts; what is in them is read"),
        ([7, 8, 9, 10], "come as dicts"),
        (["ant", "bee", "cat", "dog"], "come as dicts"),
    ],
)
def test_of_label_and_probabilities_these_are_read(labels: Any, said: str, tmp_path: Path) -> None:
    target = load_target(str(both(tmp_path / "net.onnx", labels)), outputs="logits")
    images = random_images(10, (1, 8, 8))
    assert np.allclose(asked(target, images), images.reshape(10, 64) / 255 @ weights(64), atol=1e-5)
    assert said in target.notes[0]
    assert target.class_names == (None if labels in (None, [0, 1, 2, 3]) else tuple(map(str, labels)))


def test_labels_of_a_set_go_by_the_names_that_the_file_states(tmp_path: Path) -> None:
    images = random_images(40, (1, 8, 8))
    right = (images.reshape(40, 64) / 255 @ weights(64)).argmax(axis=1)
    names = ["wren", "ant", "cat", "bee"]
    called = sorted(names)
    labels = np.array([called.index(names[place]) for place in right])
    given = ImageSet.from_arrays(images, labels, name="animals", classes=called)
    said: list[str] = []
    options: dict[str, Any] = {"attack": "random", "budget": 4, "limit": 40, "outputs": "logits"}
    result = pp.attack(str(both(tmp_path / "net.onnx", names)), given, say=said.append, **options)
    assert (result.images, result.attacked) == (40, 40)
    assert any("go by name" in line for line in said)


def test_an_output_may_be_named(tmp_path: Path) -> None:
    path = both(tmp_path / "net.onnx")
    target = load_target(f"{path}:label")
    images = random_images(40, (1, 8, 8))
    assert "labels (one integer an image" in str(settle(target, images))
    wanted = (images.reshape(40, 64) / 255 @ weights(64)).argmax(axis=1)
    assert asked(target, images).argmax(axis=1).tolist() == wanted.tolist()
    with pytest.raises(InputError, match=r"there is no 'lable'. Did you mean label"):
        load_target(f"{path}:lable")
    with pytest.raises(InputError, match="colon"):
        load_target(f"{path}:")


def test_several_scores_have_to_be_named(tmp_path: Path) -> None:
    last = [helper.make_node("Relu", ["scores"], ["other"])]
    outputs = [(name, TensorProto.FLOAT, ("n", CLASSES)) for name in ("scores", "other")]
    path = linear(tmp_path / "net.onnx", SIZES, 216, last=last, outputs=outputs)
    with pytest.raises(InputError, match=r"several outputs.*scores, other.*net.onnx:scores"):
        load_target(str(path))
    assert (asked(load_target(f"{path}:other", outputs="logits"), random_images(4, RGB)) >= 0).all()


def test_maps_of_features_beside_scores_are_no_scores(tmp_path: Path) -> None:
    outputs = [("plain", TensorProto.FLOAT, ("n", 3, 8, 9)), ("scores", TensorProto.FLOAT, ("n", CLASSES))]
    target = load_target(str(linear(tmp_path / "net.onnx", SIZES, 216, outputs=outputs)))
    assert "'scores' is read, not plain" in target.notes[0]


def test_height_and_width_of_1_behind_the_classes_are_taken_off(tmp_path: Path) -> None:
    last = [helper.make_node("Reshape", ["scores", "shape"], ["tall"])]
    outputs = [("tall", TensorProto.FLOAT, ("n", CLASSES, 1, 1))]
    constants = {"shape": np.array([-1, CLASSES, 1, 1])}
    path = linear(tmp_path / "net.onnx", SIZES, 216, last=last, constants=constants, outputs=outputs)
    images = random_images(5, RGB)
    wanted = images.reshape(5, -1) / 255 @ weights(216)
    assert np.allclose(asked(load_target(str(path), outputs="logits"), images), wanted, atol=1e-5)


@pytest.mark.parametrize("outputs", ["probabilities", "logits"])
def test_a_single_column_is_the_second_class_where_it_is_said_what_it_is(outputs: Any, tmp_path: Path) -> None:
    last = [helper.make_node("Gather", ["scores", "one"], ["column"], axis=1)]
    last += [helper.make_node("Sigmoid", ["column"], ["probability"])]
    read = "probability" if outputs == "probabilities" else "column"
    declared = [(read, TensorProto.FLOAT, ("n", 1))]
    constants = {"one": np.array([2])}
    path = linear(tmp_path / "net.onnx", SIZES, 216, last=last, constants=constants, outputs=declared)
    images = random_images(40, RGB)
    target = load_target(str(path), outputs=outputs)
    logit = (images.reshape(40, -1) / 255 @ weights(216))[:, 2]
    found = target.probabilities(asked(target, images))
    assert np.allclose(found[:, 1], 1 / (1 + np.exp(-logit)), atol=1e-4)
    with pytest.raises(InputError, match="one float an image"):
        settle(load_target(str(path)), images)
