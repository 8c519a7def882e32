"""A target is looked over: what is planted is found, and nothing is found in one that is as it should be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from torch import nn

import pinprick as pp
from pinprick.data.digits import digits
from pinprick.data.image_set import ImageSet
from pinprick.errors import InputError
from pinprick.runs.check_target import SHAPES, made_up
from pinprick.targets.callable_target import CallableTarget
from pinprick.targets.torch_target import TorchTarget
from tests.conftest import digits_net, digits_target
from tests.servers_http import V2, serving


class Tail(nn.Module):
    """The net for digits with something behind it, or before it."""

    def __init__(self, after: Callable[[torch.Tensor], torch.Tensor], before: Any = None) -> None:
        super().__init__()
        self.net, self.after, self.before = digits_net(), after, before

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.after(self.net(images if self.before is None else self.before(images)))


def same(values: torch.Tensor) -> torch.Tensor:
    return values


def report(after: Any = same, before: Any = None, images: ImageSet | None = None, **options: Any) -> pp.TargetReport:
    return pp.check_target(Tail(after, before), images, **options)


def names(found: pp.TargetReport) -> list[str]:
    return [trap.name for trap in found.traps]


def test_a_target_that_is_as_it_should_be(test_digits: ImageSet) -> None:
    found = pp.check_target(digits_target(), test_digits)
    assert found.traps == ()
    assert found.unchecked == ()
    assert (found.kind, found.shape, found.shape_from, found.classes) == ("TorchTarget", (1, 8, 8), "images", 10)
    assert (found.outputs, found.decided) == ("logits", "declared")
    assert (found.again, found.reordered) == (0, 0)
    assert found.alone is not None
    assert found.alone < 1e-4
    assert set(found.speeds) == {1, 8, 64, 256}
    assert found.best_rows in found.speeds
    assert found.incremental is False
    assert found.questions_at_most == 100 * 1001
    assert found.seconds_at_most == pytest.approx(100 * 1001 / found.speeds[64])
    assert found.accuracy is not None
    assert found.accuracy.n == 500
    assert 0.85 < found.accuracy.right / 500 <= 1
    assert found.identity["weights"]


def test_without_images_the_rest_is_checked_and_that_is_said() -> None:
    target = digits_target()
    target.shape = (1, 8, 8)
    found = pp.check_target(target)
    assert found.accuracy is None
    assert found.shape_from == "model"
    assert len(found.unchecked) == 1
    assert "no --data was given" in found.unchecked[0]


def test_a_shape_that_nothing_tells_is_tried() -> None:
    found = report()
    assert (found.shape, found.shape_from) == ((1, 8, 8), "tried")
    with pytest.raises(InputError, match=r"does not say which images it takes, and fails on 3 x 32 x 32.*--data"):
        pp.check_target(nn.Sequential(nn.Flatten(), nn.Linear(7, 3)))


@pytest.mark.parametrize("shape", SHAPES)
def test_made_up_images_are_of_all_kinds(shape: tuple[int, int, int]) -> None:
    images = made_up(6, shape)
    assert images.shape == (6, *shape)
    assert len(np.unique(images.reshape(6, -1), axis=0)) == 6
    steps = np.abs(np.diff(images.astype(int), axis=3)).mean(axis=(1, 2, 3))
    assert (steps[1::2] < steps[::2]).all(), "every other is smooth"


def mixing(scores: torch.Tensor) -> torch.Tensor:
    return scores - scores.mean(dim=0)


@pytest.mark.parametrize(
    ("after", "options", "wanted"),
    [
        (lambda s: nn.functional.dropout(s, 0.5, training=True), {}, ["random"]),
        (mixing, {}, ["mixes-images"]),
        (lambda s: s.softmax(1).softmax(1), {}, ["softmax-twice"]),
        (lambda s: (s * 40).softmax(1), {}, ["saturated"]),
        (torch.sigmoid, {}, ["outputs"]),
        (torch.sigmoid, {"outputs": "probabilities"}, ["sums"]),
        (lambda s: s.softmax(1), {"outputs": "logits"}, ["outputs"]),
        (lambda s: s.half().float(), {}, ["half-precision"]),
        (lambda s: s.argmax(1), {}, ["labels-only"]),
    ],
)
def test_what_answers_show(after: Any, options: dict[str, Any], wanted: list[str], test_digits: ImageSet) -> None:
    found = report(after, images=test_digits, **options)
    # Half precision goes with ties, and a mixed batch with a lower accuracy.
    assert [name for name in names(found) if name not in ("ties", "unmoved", "near-chance")] == wanted


def test_scores_that_single_pixels_do_not_move(test_digits: ImageSet) -> None:
    found = report(lambda s: (s / 8).round() * 8 + torch.linspace(0, 1, 10), images=test_digits)
    assert "unmoved" in names(found)


def test_plain_images_that_get_no_scores(test_digits: ImageSet) -> None:
    found = report(before=lambda x: x / x.amax((1, 2, 3), keepdim=True), images=test_digits)
    assert "not-finite" in names(found)
    assert "a black image" in next(trap.found for trap in found.traps if trap.name == "not-finite")


def test_training_mode_is_said(test_digits: ImageSet) -> None:
    net = Tail(same).train()
    found = pp.check_target(net, test_digits)
    assert names(found) == []
    assert "was in training mode" in found.notes[0]


def test_a_model_that_takes_one_image_at_a_time(test_digits: ImageSet) -> None:
    def single(images: torch.Tensor) -> torch.Tensor:
        if len(images) != 1:
            raise ValueError("made for a batch of 1")
        with torch.no_grad():
            scores: torch.Tensor = digits_net()(images)
        return scores

    found = pp.check_target(CallableTarget(single, "logits"), test_digits, questions=900)
    assert "one-at-a-time" in names(found)
    assert set(found.speeds) == {1}


@pytest.mark.parametrize(
    ("before", "normalize", "advice"),
    [
        (lambda x: x / 255, None, "--normalize 0..255"),
        (lambda x: (x + 1) / 2, None, "--normalize half"),
        (same, "imagenet-like", "--normalize none"),
    ],
)
def test_values_in_another_range(before: Any, normalize: str | None, advice: str, test_digits: ImageSet) -> None:
    options = {"normalize": "0.9/0.05"} if normalize else {}
    found = report(before=before, images=test_digits, **options)
    assert names(found) == ["normalisation"]
    assert advice in found.traps[0].advice


def test_of_a_function_it_is_said_what_to_do_inside(test_digits: ImageSet) -> None:
    def scaled(images: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            scores: torch.Tensor = digits_net()(images / 255)
        return scores

    found = pp.check_target(scaled, test_digits)
    assert found.traps[0].advice == "Give the network values as --normalize 0..255 makes them, inside the function."


def test_the_range_that_a_forest_was_fitted_on(test_digits: ImageSet) -> None:
    train = digits("train")
    rows = train.stack().reshape(len(train), -1) * (16 / 255)
    forest = RandomForestClassifier(20, random_state=0).fit(rows, train.labels)
    found = pp.check_target(forest, test_digits)
    advice = {trap.name: trap.advice for trap in found.traps}
    assert advice["normalisation"] == "Give --normalize 0..16."
    right = pp.check_target(forest, test_digits, normalize="0..16")
    assert right.accuracy is not None
    assert right.accuracy.right > 400
    assert "normalisation" not in names(right)


def coloured(n: int = 120) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Noise whose brightest channel is the class."""
    draws = np.random.default_rng(0)
    images = draws.integers(0, 120, (n, 3, 16, 16), dtype=np.uint8)
    labels = draws.integers(0, 3, n)
    images[np.arange(n), labels] += 60
    return images, labels


class Channels(nn.Module):
    """The class is the channel with the highest mean, of channels as they should be ordered."""

    def __init__(self, *, turned: bool, side: int = 0) -> None:
        super().__init__()
        self.turned, self.side = turned, side

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        means = images.mean((2, 3))
        # Of another size than it was made for nothing comes of it.
        means = means if self.side in (0, images.shape[2]) else torch.sin(images.flatten(1)[:, :3] * 1e3)
        return (means.flip(1) if self.turned else means) * 10


def test_channels_in_another_order() -> None:
    found = pp.check_target(Channels(turned=True), coloured())
    assert [trap.name for trap in found.traps if trap.name != "class-order"] == ["channel-order"]
    assert next(trap.advice for trap in found.traps if trap.name == "channel-order") == "Give --channel-order bgr."
    right = pp.check_target(Channels(turned=True), coloured(), channel_order="bgr")
    assert names(right) == []


def test_images_of_another_size() -> None:
    found = pp.check_target(Channels(turned=False, side=64), coloured())
    assert names(found)[-1] == "size"
    assert found.traps[-1].advice == "Give --resize 64."


def test_classes_in_another_order(test_digits: ImageSet) -> None:
    moved = torch.tensor([3, 1, 2, 0, 4, 5, 6, 9, 8, 7])
    found = report(lambda s: s[:, moved], images=test_digits)
    assert names(found) == ["class-order"]
    assert "label 0 is its 3, 3 is its 0, 7 is its 9, 9 is its 7" in found.traps[0].found
    assert "--classes" in found.traps[0].advice


def test_a_class_for_the_background_in_front(test_digits: ImageSet) -> None:
    found = report(lambda s: torch.cat([s[:, :1] - 50, s], 1), images=test_digits)
    assert "the label's number and one higher" in found.traps[0].found


def test_images_that_are_not_the_models(test_digits: ImageSet) -> None:
    labels = np.random.default_rng(1).integers(0, 10, len(test_digits))
    found = pp.check_target(digits_target(), (test_digits.stack(), labels))
    assert names(found) == ["near-chance"]


def test_too_few_images_to_tell_the_order_of_the_classes(test_digits: ImageSet) -> None:
    few = (test_digits.stack(range(20)), np.random.default_rng(1).integers(0, 10, 20))
    assert any("too few for 10" in line for line in pp.check_target(digits_target(), few).unchecked)


@pytest.mark.parametrize("questions", [64, 100, 200, 1000])
@pytest.mark.parametrize("remote", [False, True])
def test_no_more_is_asked_than_may_be(questions: int, remote: bool, test_digits: ImageSet) -> None:
    seen = 0

    def counting(images: torch.Tensor) -> torch.Tensor:
        nonlocal seen
        seen += len(images)
        with torch.no_grad():
            scores: torch.Tensor = digits_net()(images)
        return scores

    target = CallableTarget(counting, "logits", remote=remote)
    found = pp.check_target(target, test_digits, questions=questions)
    assert found.asked <= questions
    assert bool(found.unchecked) == (questions < 1000 or not remote)
    if remote:
        assert seen == found.asked


def test_a_remote_target_is_asked_little_by_default(test_digits: ImageSet) -> None:
    target = CallableTarget(lambda images: digits_net()(images).detach(), "auto", remote=True)
    with pytest.raises(InputError, match=r"--questions: 7. Give 8 or more"):
        pp.check_target(target, test_digits, questions=7)
    assert pp.check_target(target, test_digits, questions=8).asked <= 8
    found = pp.check_target(target, test_digits)
    assert found.asked <= 100
    assert found.outputs == "logits"
    assert names(found) == []


@pytest.mark.parametrize(("server", "wanted"), [(V2(), []), (V2(datatype="UINT8"), [])])
def test_a_model_behind_http(server: V2, wanted: list[str], test_digits: ImageSet) -> None:
    with serving(server) as url:
        found = pp.check_target(f"{url}/v2/models/digits", test_digits, retries=0)
    assert names(found) == wanted
    assert found.outputs == "logits"
    assert found.asked <= 100
    assert found.accuracy is not None
    assert found.accuracy.right > 0.7 * found.accuracy.n


@pytest.mark.parametrize("questions", [0, -5, 63])
def test_too_few_questions_are_refused(questions: int) -> None:
    with pytest.raises(InputError, match=r"--questions.*64 or more"):
        report(questions=questions)


def test_options_that_are_not_about_the_model_are_refused() -> None:
    with pytest.raises(InputError, match="pixels"):
        pp.check_target("cnn-digits", pixels=3)


def test_a_target_that_fails_on_everything() -> None:
    def fails(images: torch.Tensor) -> torch.Tensor:
        raise ValueError("not today")

    with pytest.raises(InputError, match="fails"):
        pp.check_target(CallableTarget(fails, "logits", shape=(1, 8, 8)))


def test_one_column_stops_with_what_to_say(test_digits: ImageSet) -> None:
    with pytest.raises(InputError, match="one float an image"):
        pp.check_target(TorchTarget(Tail(lambda s: s[:, :1])), test_digits)
