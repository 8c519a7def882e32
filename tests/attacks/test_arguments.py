"""What an attack may be called with in Python: every wrong argument is named, and tensors do as well as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pinprick.attacks.arguments import eight_bit, takes_single_images, whole_number
from pinprick.attacks.one_pixel import OnePixel
from pinprick.attacks.random_pixels import RandomPixels
from pinprick.data.digits import digits
from pinprick.data.image_set import ImageSet
from pinprick.errors import InputError, PinprickError
from pinprick.goals import Goal
from pinprick.targets.callable_target import CallableTarget
from pinprick.targets.torch_target import TorchTarget
from tests.conftest import digits_net

RANDOM = RandomPixels()


def attacked(target: Any, images: Any, **options: Any) -> list[tuple[str, int, int]]:
    found = RANDOM(target, images, **{"budget": 66} | options)
    return [(outcome.status, outcome.asked, outcome.unit.label) for outcome in found]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x[:0], "images: there are none. Give at least one image"),
        (lambda x: x[0], "a single image as image\\[None\\]"),
        (lambda x: x[0, 0], r"images: an array of uint8 and shape \(8, 8\)\. Give \(N, C, H, W\)"),
        (lambda x: x.transpose(0, 2, 3, 1), r"Channels come first: images.transpose\(0, 3, 1, 2\)"),
        (lambda x: np.repeat(x, 2, axis=1), "with 1 or 3 channels"),
        (lambda x: x[:, :, :7], "images: 7 x 8 pixels. 8 x 8 to 512 x 512 are attacked"),
        (lambda x: np.zeros((1, 1, 8, 513), np.uint8), "images: 8 x 513 pixels"),
        (lambda x: x.astype(np.int64), "images: values of type int64. Give uint8"),
        (lambda x: x.astype(np.float32), r"images: floats from 0 to 255. Give floats in \[0, 1\]; normalisation"),
        (lambda x: x / 255 - 0.5, "images: floats from -0.5 to 0.5"),
        (lambda x: np.full(x.shape, np.nan), "images: floats from nan to nan"),
        (lambda x: np.full(x.shape, np.inf), "images: floats from inf to inf"),
        (lambda x: [[1, 2], [3]], "images: .*Give"),
        (lambda x: "digits:test", "images: an array of .* and shape"),
        (lambda x: None, "images: an array of object and shape"),
        (lambda x: ImageSet.from_arrays(x, None), "images: an ImageSet. Give its images as an array, images.stack"),
        (lambda x: np.zeros((2, 3, 8, 8), np.uint8), "images: 3 x 8 x 8 where digits takes 1 x 8 x 8"),
    ],
)
def test_images_that_cannot_be_attacked_are_refused(test_digits: ImageSet, change: Any, message: str) -> None:
    target = TorchTarget(digits_net(), "logits", name="digits", shape=(1, 8, 8))
    with pytest.raises(InputError, match=message):
        RANDOM(target, change(test_digits.stack(range(4))), budget=3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": [1, -1]}, "labels: -1 for image 1, and the target has 10 classes. Labels go from 0 to 9"),
        ({"labels": [1, 10]}, "labels: 10 for image 1"),
        ({"labels": [1, 1.5]}, r"labels: values of type float64. Give one class index \(integer\) an image"),
        ({"labels": [True, False]}, "labels: values of type bool"),
        ({"labels": ["1", "2"]}, "labels: values of type"),
        ({"labels": [1]}, r"labels: shape \(1,\) for 2 images"),
        ({"labels": [1, 2, 3]}, r"labels: shape \(3,\) for 2 images"),
        ({"labels": [[1, 2]]}, r"labels: shape \(1, 2\) for 2 images"),
        ({"labels": [[1], [1, 2]]}, "labels: "),
        ({"labels": 3}, r"labels: shape \(\) for 2 images"),
        ({"goals": [Goal()]}, "goals: 1 for 2 images. Give one for all images, or one an image"),
        ({"goals": [Goal()] * 3}, "goals: 3 for 2 images"),
        ({"goals": "untargeted"}, "goals: 'untargeted'. Give pinprick.Goal"),
        ({"goals": 3}, "goals: 3. Give pinprick.Goal"),
        ({"goals": [Goal(), 3]}, "goals, image 1: 3. Give pinprick.Goal"),
        ({"goals": Goal("targeted", 10)}, "target class: 10 of 10 classes"),
        ({"pixels": 0}, "pixels: 0. Give a whole number of 1 or more"),
        ({"pixels": 65}, "pixels: 65. Give a whole number of 64 or less"),
        ({"pixels": 1.0}, "pixels: 1.0. Give a whole number"),
        ({"pixels": True}, "pixels: True. Give a whole number"),
        ({"pixels": (1, 3)}, r"pixels: \(1, 3\). Give a whole number"),
        ({"pixels": "3"}, "pixels: '3'. Give a whole number"),
        ({"budget": 1}, "budget: 1. Give a whole number of 2 or more"),
        ({"budget": 2.5}, "budget: 2.5. Give a whole number"),
        ({"budget": 2**63}, "budget: 9223372036854775808. Give a whole number of 9223372036854775807 or less"),
        ({"budget": 10**5000}, "budget: a number of thousands of digits"),
        ({"rows": 0}, "rows: 0. Give a whole number of 1 or more"),
        ({"rows": 10**9}, "rows: 1000000000. Give a whole number of 65536 or less"),
        ({"rows": "64"}, "rows: '64'"),
        ({"seed": -1}, "seed: -1. Give a whole number of 0 or more"),
        ({"seed": 1.5}, "seed: 1.5"),
        ({"seed": None}, "seed: None"),
    ],
)
def test_arguments_that_make_no_sense_are_named(
    target: TorchTarget, test_digits: ImageSet, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        RANDOM(target, test_digits.stack(range(2)), **{"budget": 3} | options)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("cnn-digits", r"target: 'cnn-digits' is a name. Give pinprick.load_target\('cnn-digits'\)"),
        (None, "target: a NoneType. Give a pinprick.Target, a torch module, or a function"),
        ([1.0], "target: a list"),
        (nn.Flatten, "target: the class Flatten"),
    ],
)
def test_what_is_no_target_is_refused(test_digits: ImageSet, model: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        RANDOM(model, test_digits.stack(range(2)), budget=3)


def test_modules_and_functions_do_as_well_as_targets(target: TorchTarget, test_digits: ImageSet) -> None:
    images = test_digits.stack(range(4))
    net = digits_net()

    def scores(batch: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return net(batch)  # type: ignore[no-any-return]

    there = attacked(target, images)
    assert {status for status, _, _ in there} <= {"fooled", "held"}
    assert attacked(net, images) == there
    assert attacked(scores, images) == there


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(torch.from_numpy, id="uint8 tensor"),
        pytest.param(lambda x: torch.from_numpy(x) / 255, id="float tensor"),
        pytest.param(lambda x: (torch.from_numpy(x) / 255).double().requires_grad_(), id="double with gradient"),
        pytest.param(lambda x: x.astype(np.float32) / 255, id="float array"),
        pytest.param(lambda x: (x / 255).tolist(), id="lists"),
    ],
)
def test_images_and_labels_in_any_form_give_the_same_answer(
    target: TorchTarget, test_digits: ImageSet, form: Any
) -> None:
    images, labels = test_digits.stack(range(4)), test_digits.labels
    assert labels is not None
    there = attacked(target, images, labels=labels[:4])
    assert [label for _, _, label in there] == labels[:4].tolist()
    assert attacked(target, form(images), labels=torch.from_numpy(labels[:4])) == there
    assert attacked(target, form(images), labels=labels[:4].tolist()) == there


def test_numbers_of_numpy_are_numbers(target: TorchTarget, test_digits: ImageSet) -> None:
    images = test_digits.stack(range(3))
    there = attacked(target, images, pixels=3, seed=5, rows=16)
    assert (
        attacked(target, images, pixels=np.int64(3), seed=np.uint8(5), rows=np.int32(16), budget=np.int16(66)) == there
    )
    assert OnePixel(population=np.int64(8)).parameters() == OnePixel(population=8).parameters()  # type: ignore[arg-type]
    with pytest.raises(InputError, match="pixels: tensor"):
        whole_number("pixels", torch.tensor([1, 2]), 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"population": 3}, "population: 3. Give a whole number of 4 or more"),
        ({"population": 400.0}, "population: 400.0"),
        ({"population": 10**12}, "population: 1000000000000. Give a whole number of 1000000 or less"),
        ({"generations": -1}, "generations: -1. Give a whole number of 0 or more"),
        ({"generations": "many"}, "generations: 'many'"),
        ({"weight": float("nan")}, "weight: nan. Give a finite number"),
        ({"weight": float("inf")}, "weight: inf. Give a finite number"),
        ({"weight": "half"}, "weight: 'half'"),
        ({"position_bounds": "wrap"}, "position_bounds: there is no 'wrap'"),
        ({"colour_bounds": None}, "colour_bounds: there is no 'None'"),
        ({"stop": "soon"}, "--stop: there is no 'soon'"),
        ({"target_above": 2}, "target_above: 2. Give a number from 0 to 1"),
        ({"label_below": True}, "label_below: True"),
    ],
)
def test_hyper_parameters_out_of_range_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        OnePixel(**options)
    if options.keys() <= {"stop", "target_above", "label_below"}:
        with pytest.raises(InputError, match=message):
            RandomPixels(**options)


def one_at_a_time(images: torch.Tensor) -> torch.Tensor:
    """A network exported for batches of one."""
    if len(images) != 1:
        raise RuntimeError(f"got {len(images)} images for a batch of 1")
    with torch.no_grad():
        return digits_net()(images)  # type: ignore[no-any-return]


def test_a_model_for_batches_of_one_is_told_from_one_that_fails(test_digits: ImageSet) -> None:
    images = test_digits.stack(range(2))
    target = CallableTarget(one_at_a_time, "logits", name="exported")
    with pytest.raises(InputError, match=r"rows: exported fails on passes of 64 rows .*batch of 1.* Give rows=1"):
        RANDOM(target, images, budget=3)
    assert len(RANDOM(target, images, budget=3, rows=1)) == 2
    assert takes_single_images(target, images[0], 64)
    assert not takes_single_images(target, images[0], 1)

    def broken(batch: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("no weights")

    with pytest.raises(PinprickError, match="no weights"):
        RANDOM(CallableTarget(broken, "logits"), images, budget=3)
    assert not takes_single_images(CallableTarget(broken, "logits"), images[0], 64)


def test_floats_are_rounded_to_the_nearest_of_256() -> None:
    values = torch.arange(256, dtype=torch.float32).reshape(1, 1, 16, 16)
    assert np.array_equal(eight_bit(values / 255).ravel(), np.arange(256))
    assert np.array_equal(eight_bit((values / 255).to(torch.float64)).ravel(), np.arange(256))


def test_a_model_of_labels_may_know_classes_that_it_has_not_shown_yet() -> None:
    images = digits("test").stack(range(4))
    model = CallableTarget(lambda batch: digits_net()(batch).argmax(1).clamp(max=2), "labels")
    found = RandomPixels()(model, images, labels=[0, 1, 7, 8], budget=3)
    assert [outcome.unit.label for outcome in found] == [0, 1, 7, 8]
    assert [outcome.status for outcome in found][2:] == ["fooled", "fooled"]
