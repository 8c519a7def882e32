"""What functions and objects may answer, and objects whose predict takes arrays."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from pinprick.api import attack
from pinprick.data.digits import digits
from pinprick.errors import InputError, TargetError
from pinprick.targets.arrays import ArrayPixels
from pinprick.targets.base import as_array
from pinprick.targets.callable_target import CallableTarget
from pinprick.targets.loading import as_target, load_target
from tests.conftest import digits_net, random_images

ROWS = np.arange(12, dtype=np.float32).reshape(3, 4)
TENSOR = torch.from_numpy(ROWS)


class Array:
    """An array of another library."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return ROWS


class Output(OrderedDict[str, Any]):
    """As models of transformers answer: a dict whose entries are attributes too."""

    def __getattr__(self, name: str) -> Any:
        return self[name]


@dataclass
class Named:
    """An answer with fields."""

    logits: Any
    hidden: Any = None


@pytest.mark.parametrize(
    "answer",
    [
        TENSOR,
        TENSOR.double(),
        ROWS,
        ROWS.tolist(),
        list(TENSOR),
        tuple(ROWS),
        Array(),
        {"logits": TENSOR, "features": torch.zeros(3, 2)},
        Output(loss=None, logits=TENSOR),
        Named(TENSOR),
        {"dense": ROWS},
        [ROWS],
        (TENSOR,),
    ],
    ids=lambda answer: type(answer).__name__,
)
def test_scores_are_found_in_what_holds_them(answer: Any) -> None:
    assert np.array_equal(as_array(answer), ROWS)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"a": ROWS, "b": ROWS}, "a dict with 'a', 'b'; it should return scores"),
        ({}, "a dict with nothing in it"),
        ((TENSOR, torch.zeros(3, 2)), r"2 arrays, of shapes \(3, 4\), \(3, 2\)"),
        ([torch.zeros(2), torch.zeros(3)], "rows of differing lengths"),
        (SimpleNamespace(scores=ROWS), "a SimpleNamespace; it should"),
        (["cat"], "a list"),
        (None, "a NoneType"),
    ],
)
def test_what_is_not_clear_is_told(answer: Any, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        as_array(answer)


def test_a_list_of_one_row_is_one_image() -> None:
    assert as_array([torch.arange(4)]).shape == (1, 4)
    assert as_array([torch.zeros(1, 4)]).shape == (1, 4)
    assert as_array([torch.tensor(3), torch.tensor(1)]).tolist() == [3, 1]


class Keras:
    """Has what pinprick uses of a Keras model: predict, input_shape, get_weights; on rows of digits."""

    def __init__(self, shape: Any = (None, 8, 8, 1), white: float = 1, axes: tuple[int, ...] = (0, 3, 1, 2)) -> None:
        self.input_shape, self.white, self.axes = shape, white, axes
        self.asked: list[Any] = []

    def __call__(self, inputs: Any) -> Any:
        raise AssertionError("predict is asked and not this")

    def predict(self, x: Any, batch_size: int | None = None, verbose: str | int = "auto") -> Any:
        assert isinstance(x, np.ndarray)
        assert verbose == 0, "no bars of progress"
        self.asked.append(x)
        with torch.no_grad():
            tensor = torch.from_numpy(x.transpose(self.axes).copy() / np.float32(self.white))
            return digits_net()(tensor).softmax(1).numpy()

    def get_weights(self) -> list[Any]:
        return [value.numpy() for value in digits_net().state_dict().values()]


def own_scores(images: Any) -> Any:
    with torch.no_grad():
        return digits_net()(torch.from_numpy(images).float() / 255).softmax(1).numpy()


@pytest.mark.parametrize(
    ("model", "options"),
    [
        (Keras(), {}),
        (Keras(white=255), {"normalize": "0..255"}),
        (Keras((5, 8, 8, 1)), {}),
        (Keras((None, 1, 8, 8), axes=(0, 1, 2, 3)), {}),
        (Keras(None, axes=(0, 1, 2, 3)), {"layout": "nchw"}),
        (Keras(None), {}),
    ],
)
def test_objects_with_predict_get_arrays(model: Keras, options: dict[str, Any]) -> None:
    target = as_target(model, **options)
    images = random_images(7, (1, 8, 8))
    assert np.allclose(target.scores(target.images(images)), own_scores(images), atol=1e-5)
    assert model.asked[-1].dtype == np.float32
    if model.input_shape is not None:
        assert target.shape == (1, 8, 8)
        assert target.fixed_rows == model.input_shape[0]
    assert target.identity()["weights"] == as_target(Keras()).identity()["weights"] != ""


def test_colours_go_in_last_unless_the_model_says_first() -> None:
    seen: list[Any] = []

    def predict(images: Any) -> Any:
        seen.append(images)
        return images.reshape(len(images), -1)[:, :4]

    images = random_images(2, (3, 8, 9))
    options: list[dict[str, Any]] = [{}, {"layout": "nchw"}, {"order": "bgr"}]
    for more in options:
        target = as_target(SimpleNamespace(predict=predict), outputs="logits", **more)
        target.scores(target.images(images))
    scaled = images.astype(np.float64) / 255
    assert np.allclose(seen[0], scaled.transpose(0, 2, 3, 1))
    assert np.allclose(seen[1], scaled)
    assert np.allclose(seen[2], scaled[:, ::-1].transpose(0, 2, 3, 1))


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((None, 64), {}, r"it takes \(None, 64\)\. Give a function"),
        ((None, 8, 8, 1), {"layout": "nchw"}, r"--layout nchw: the model takes \(None, 8, 8, 1\)"),
        ((None, 8, 8, 1), {"device": "meta"}, "--device"),
    ],
)
def test_what_does_not_go_with_a_predictor(shape: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        as_target(Keras(shape), **options)


def test_a_pipeline_of_transformers_is_told_how_to_go_in() -> None:
    pipeline = SimpleNamespace(predict=lambda images: [], image_processor=object(), model=digits_net())
    with pytest.raises(InputError, match=r"model: a pipeline of transformers\. Give its model by name, hf:OWNER/NAME"):
        as_target(pipeline)


def test_a_predictor_is_attacked_and_named_in_a_file(tmp_path: Path) -> None:
    result = attack(Keras(), digits("test"), limit=3, budget=60, baseline="none")
    assert (result.rows[0].n, result.rows[0].failed) == (3, 0)
    (tmp_path / "mine.py").write_text("from tests.targets.test_answers import Keras\nmodel = Keras()\n")
    for name in ("model", "Keras"):
        target = load_target(f"{tmp_path}/mine.py:{name}")
        assert isinstance(target, CallableTarget)
        assert target.shape == (1, 8, 8)


def test_keras_on_torch_is_a_module_besides_and_asked_by_predict() -> None:
    class OnTorch(Keras, torch.nn.Module):
        def __init__(self) -> None:
            torch.nn.Module.__init__(self)
            Keras.__init__(self)

    class WithPredict(torch.nn.Flatten):
        def predict(self, images: torch.Tensor) -> torch.Tensor:
            raise AssertionError("forward is asked and not this")

    model = OnTorch()
    target = as_target(model)
    target.scores(target.images(random_images(2, (1, 8, 8))))
    assert model.asked
    other = as_target(WithPredict(), device="cpu")
    assert other.scores(other.images(random_images(2, (1, 8, 8)))).shape == (2, 64)


def test_functions_of_arrays_say_so() -> None:
    def brightness(images: Any) -> Any:
        assert isinstance(images, np.ndarray)
        return np.stack([images.mean(axis=(1, 2, 3)), images.max(axis=(1, 2, 3))], axis=1)

    pixels = ArrayPixels.of("0..255", None, "nhwc")
    target = CallableTarget(brightness, "logits", pixels=pixels)
    images = random_images(3, (3, 8, 8))
    expected = np.stack([images.mean(axis=(1, 2, 3)), images.max(axis=(1, 2, 3))], axis=1)
    assert np.allclose(target.scores(target.images(images)), expected, rtol=1e-5)
    assert target.identity() != CallableTarget(brightness, "logits").identity()


def test_a_dict_with_logits_is_attacked() -> None:
    def model(images: torch.Tensor) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            return {"logits": digits_net()(images), "features": images.flatten(1)}

    taken: Callable[[torch.Tensor], Any] = model
    result = attack(taken, digits("test"), limit=3, budget=60, baseline="none")
    assert (result.rows[0].n, result.rows[0].failed) == (3, 0)
