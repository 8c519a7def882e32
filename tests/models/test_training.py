"""Training: exact seeds, sensible refusals, and an accuracy measured on the file that is written."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from pinprick.errors import InputError, UnknownNameError
from pinprick.intervals import wilson
from pinprick.models import training
from pinprick.models.registry import NETS, Recipe
from pinprick.models.settings import LabelledImages, Settings, check_device, default_recipe
from pinprick.models.training import Progress, Trainer, accuracy, train
from pinprick.models.weights import Card, load_net, read_card, save_weights, weights_digest

DIGITS = Settings("cnn", Recipe(epochs=2, batch=128, learning_rate=0.1), 10, (1, 8, 8), precision="fp32")


def some(data: LabelledImages, count: int) -> LabelledImages:
    return replace(data, images=data.images[:count], labels=data.labels[:count])


def noise(count: int, shape: tuple[int, int, int], classes: int = 2) -> LabelledImages:
    images = np.random.default_rng(0).integers(0, 256, (count, *shape), dtype=np.uint8)
    return LabelledImages(images, np.arange(count) % classes, "noise", "0123")


def settings(net: str, shape: tuple[int, int, int], **recipe: Any) -> Settings:
    return Settings(
        net, Recipe(**{"epochs": 1, "batch": 8, "learning_rate": 0.05} | recipe), 2, shape, precision="fp32"
    )


def test_equal_seeds_give_equal_weights_and_other_seeds_others(digits_train: LabelledImages, tmp_path: Path) -> None:
    data = some(digits_train, 640)
    digests = []
    for index, seed in enumerate((3, 3, 4)):
        torch.manual_seed(index)  # what the caller did with torch's generator before must not matter
        trainer = Trainer(replace(DIGITS, seed=seed), data, tmp_path / str(index))
        torch.rand(index + 1)
        digests.append(weights_digest(trainer.fit()))
    assert digests[0] == digests[1]
    assert digests[0] != digests[2]


@pytest.mark.parametrize("net", ["lenet", "resnet32", "fc-12"])
def test_augmented_trainings_are_exact_too(net: str, tmp_path: Path) -> None:
    data, how = noise(24, (3, 16, 16)), replace(settings(net, (3, 16, 16), epochs=2), augment="crop-flip")
    digests = {weights_digest(Trainer(how, data, tmp_path / str(run)).fit()) for run in range(2)}
    assert len(digests) == 1
    assert weights_digest(Trainer(replace(how, augment="none"), data, tmp_path / "none").fit()) not in digests


def test_every_step_and_epoch_is_reported(digits_train: LabelledImages, tmp_path: Path) -> None:
    steps: list[Progress] = []
    epochs: list[tuple[int, float]] = []
    Trainer(
        DIGITS,
        some(digits_train, 300),
        tmp_path / "c",
        on_step=steps.append,
        on_epoch=lambda epoch, loss, seconds: epochs.append((epoch, loss)),
    ).fit()
    assert [(p.epoch, p.step) for p in steps] == [(0, 1), (0, 2), (1, 1), (1, 2)]
    assert {(p.epochs, p.steps) for p in steps} == {(2, 2)}
    assert epochs == [(1, steps[1].loss), (2, steps[3].loss)]
    assert epochs[1][1] < epochs[0][1]


def test_an_epoch_sees_each_image_once_in_an_order_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Image i is filled with i, so what reaches the augmentation tells which images were drawn.
    images = np.broadcast_to(np.arange(24, dtype=np.uint8)[:, None, None, None], (24, 1, 4, 4))
    data = LabelledImages(np.ascontiguousarray(images), np.arange(24) % 2, "counted", "0123")
    drawn: list[list[int]] = []

    def note(batch: NDArray[np.uint8], how: str, generator: np.random.Generator) -> NDArray[np.uint8]:
        drawn.append(batch[:, 0, 0, 0].tolist())
        return batch

    monkeypatch.setattr(training, "augment_batch", note)
    Trainer(settings("fc", (1, 4, 4), epochs=2), data, tmp_path / "c").fit()
    assert [len(batch) for batch in drawn] == [8] * 6
    first, second = ([index for batch in part for index in batch] for part in (drawn[:3], drawn[3:]))
    assert sorted(first) == sorted(second) == list(range(24))
    assert first != second != sorted(second)


def test_digits_are_learnt_and_measured_on_the_stored_file(
    digits_train: LabelledImages, digits_test: LabelledImages, tmp_path: Path
) -> None:
    out = tmp_path / "cnn-digits.safetensors"
    facts = train(Trainer(DIGITS, digits_train, tmp_path / "c"), digits_test, out)
    net, card = load_net(out)
    right = accuracy(net, card, digits_test)
    assert facts["accuracy"] == right / 500 > 0.85
    assert facts["interval"] == list(wilson(right, 500))
    assert (facts["n"], facts["images"], facts["test"]) == (500, 1297, "digits:test")
    assert facts["seconds"] > 0
    assert card.class_names == tuple("0123456789")
    assert card.training == {key: facts[key] for key in facts.keys() - {"seconds", "weights", "machine"}}
    assert f"{right / 500:.2%} of 500 images" in out.with_suffix(".md").read_text()
    # Per-channel mean and deviation of the training images, in [0, 1].
    pixels = digits_train.images / 255
    np.testing.assert_allclose((card.mean[0], card.std[0]), (pixels.mean(), pixels.std()), atol=1e-4)


def test_the_accuracy_is_that_of_the_file_even_where_storing_changed_the_weights(
    digits_train: LabelledImages, digits_test: LabelledImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forget(path: Path, module: nn.Module, card: Card) -> None:
        empty = copy.deepcopy(module)
        with torch.no_grad():
            for parameter in empty.parameters():
                parameter.zero_()
        save_weights(path, empty, card)

    monkeypatch.setattr(training, "save_weights", forget)
    facts = train(Trainer(DIGITS, some(digits_train, 256), tmp_path / "c"), digits_test, tmp_path / "w")
    # Logits of zero: class 0 everywhere.
    assert facts["accuracy"] == np.mean(digits_test.labels == 0)


def test_without_test_images_there_is_no_accuracy(digits_train: LabelledImages, tmp_path: Path) -> None:
    facts = train(Trainer(DIGITS, some(digits_train, 256), tmp_path / "c"), None, tmp_path / "w.safetensors")
    assert [facts[key] for key in ("test", "n", "accuracy", "interval")] == [None] * 4
    assert "Test accuracy" not in (tmp_path / "w.md").read_text()
    json.dumps(facts, allow_nan=False)


@pytest.mark.parametrize("folder", ["/home/somebody/sets/", "C:\\Users\\somebody\\", "./"])
def test_no_folder_gets_into_card_or_header(
    folder: str, digits_train: LabelledImages, digits_test: LabelledImages, tmp_path: Path
) -> None:
    data = replace(some(digits_train, 256), name=f"{folder}a.parquet + {folder}b.parquet")
    out = tmp_path / "w.safetensors"
    train(Trainer(DIGITS, data, tmp_path / "c"), replace(digits_test, name=f"{folder}t.parquet"), out)
    facts = read_card(out).training
    assert facts is not None
    assert (facts["data"], facts["test"]) == ("a.parquet + b.parquet", "t.parquet")
    for text in (json.dumps(facts), (tmp_path / "w.md").read_text()):
        assert "somebody" not in text
        assert str(tmp_path) not in text


@pytest.mark.parametrize("epochs", range(1, 7))
def test_schedules_of_very_few_steps_train(epochs: int, tmp_path: Path) -> None:
    # Four steps in all made torch's one-cycle schedule divide by zero; one to three began at a rate of zero.
    trainer = Trainer(settings("fc-4", (1, 4, 4), epochs=epochs), noise(6, (1, 4, 4)), tmp_path / "c")
    before = weights_digest(trainer.net)
    assert trainer.optimizer.param_groups[0]["lr"] > 1e-3
    assert weights_digest(trainer.fit()) != before


def test_a_batch_beyond_the_data_is_all_of_it(tmp_path: Path) -> None:
    data = noise(6, (1, 4, 4))
    seen: list[Progress] = []
    trainer = Trainer(settings("fc-4", (1, 4, 4), batch=1000), data, tmp_path / "c", on_step=seen.append)
    facts = train(trainer, None, tmp_path / "w")
    assert facts["batch"] == 6
    assert [(p.step, p.steps) for p in seen] == [(1, 1)]
    same = Trainer(settings("fc-4", (1, 4, 4), batch=6), data, tmp_path / "other").fit()
    assert weights_digest(same) == weights_digest(trainer.net)


def test_one_image_a_step_is_refused_where_batch_norm_would_have_one_value(tmp_path: Path) -> None:
    data = noise(2, (1, 16, 16))
    with pytest.raises(InputError, match=r"batch norm has nothing to average over\. Give --batch 2 or more"):
        Trainer(settings("vgg16", (1, 16, 16), batch=1), data, tmp_path / "c").fit()
    Trainer(settings("lenet", (1, 16, 16), batch=1), data, tmp_path / "d").fit()


def test_a_loss_that_runs_away_says_what_to_change(digits_train: LabelledImages, tmp_path: Path) -> None:
    wild = replace(DIGITS, net="fc-50", recipe=Recipe(epochs=5, batch=64, learning_rate=1e15))
    checkpoint = tmp_path / "c"
    with pytest.raises(
        InputError, match=r"the loss became (nan|inf) in epoch 1\. Give a learning rate \(--lr\) below 1e\+15\.$"
    ):
        Trainer(wild, digits_train, checkpoint).fit()

    def poison(step: Progress) -> None:
        if (step.epoch, step.step) == (1, 1):
            with torch.no_grad():
                next(trainer.net.parameters()).fill_(float("nan"))

    trainer = Trainer(DIGITS, some(digits_train, 256), checkpoint, on_step=poison)
    with pytest.raises(InputError, match=r"the loss became nan in epoch 2.* and delete 'c', or give another --out"):
        trainer.fit()


def change(data: LabelledImages, **fields: Any) -> LabelledImages:
    return replace(data, **fields)


BAD_IMAGES: list[tuple[dict[str, Any], str]] = [
    ({"labels": np.array([0, 1, 2])}, "a label of 2 where there are 2 classes. Labels are 0 .. 1"),
    ({"labels": np.array([0, -1, 1])}, "a label of -1 where there are 2 classes"),
    ({"labels": np.array([0, 1])}, "3 images with labels of shape (2,)"),
    ({"labels": np.array([0.0, 1.0, 1.0])}, "type float64. Give one class index (integer) an image"),
    ({"images": np.zeros((3, 1, 4, 5), np.uint8)}, "images of 1 x 4 x 5 where the network takes 1 x 4 x 4"),
    ({"images": np.zeros((3, 1, 4, 4), np.float32)}, "an array of float32"),
    ({"images": np.zeros((3, 4, 4), np.uint8)}, "an array of uint8 and shape (3, 4, 4)"),
    ({"images": np.zeros((0, 1, 4, 4), np.uint8), "labels": np.zeros(0, np.int64)}, "no images"),
    ({"class_names": ("a", "b", "c")}, "3 class names where there are 2 classes"),
]


@pytest.mark.parametrize(("fields", "message"), BAD_IMAGES)
def test_images_and_labels_that_do_not_fit(fields: dict[str, Any], message: str, tmp_path: Path) -> None:
    how, bad = settings("fc-4", (1, 4, 4)), change(noise(3, (1, 4, 4)), **fields)
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        Trainer(how, bad, tmp_path / "c")
    assert str(caught.value).startswith("training images 'noise': ")
    steps: list[Progress] = []
    trainer = Trainer(how, noise(3, (1, 4, 4)), tmp_path / "c", on_step=steps.append)
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        train(trainer, bad, tmp_path / "w")
    assert str(caught.value).startswith("test images 'noise': ")
    assert not steps
    assert not list(tmp_path.iterdir())


def test_small_label_types_are_fine(tmp_path: Path) -> None:
    data = change(noise(3, (1, 4, 4)), labels=np.array([0, 1, 1], np.uint8))
    wide = change(data, labels=data.labels.astype(np.int64))
    small, large = (Trainer(settings("fc-4", (1, 4, 4)), one, tmp_path / one.labels.dtype.name) for one in (data, wide))
    assert weights_digest(small.fit()) == weights_digest(large.fit())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"seed": -1}, "seed: it is -1"),
        ({"seed": 2**32}, "seed: it is 4294967296. Give a whole number from 0 to 4294967295"),
        ({"recipe": Recipe(epochs=0)}, "0 epochs"),
        ({"recipe": Recipe(batch=0)}, "0 images a step"),
        ({"recipe": Recipe(learning_rate=0.0)}, "learning rate: it is 0.0. Give a number above 0"),
        ({"recipe": Recipe(learning_rate=-0.1)}, "learning rate: it is -0.1"),
        ({"recipe": Recipe(learning_rate=float("nan"))}, "learning rate: it is nan"),
        ({"recipe": Recipe(learning_rate=float("inf"))}, "learning rate: it is inf"),
        ({"augment": "crop"}, "augmentation: there is no 'crop'. Did you mean crop-flip"),
        ({"precision": "fp16"}, "precision: there is no 'fp16'. Did you mean"),
        ({"net": "lenett"}, "there is no 'lenett'"),
        ({"classes": 11}, "10 class names where there are 11 classes"),
    ],
)
def test_settings_out_of_range(
    fields: dict[str, Any], message: str, digits_train: LabelledImages, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        Trainer(replace(DIGITS, **fields), digits_train, tmp_path / "c")


def test_the_largest_seed_works(tmp_path: Path) -> None:
    trained = [
        Trainer(replace(settings("fc", (1, 4, 4)), seed=seed), noise(6, (1, 4, 4)), tmp_path / str(seed)).fit()
        for seed in (2**32 - 1, 2**32 - 2)
    ]
    first, second = map(weights_digest, trained)
    assert first != second


@pytest.mark.parametrize("device", ["tpu9", "", "cuda:99", "mps", "meta"])
def test_devices_that_are_not_there(device: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=re.escape(f"device {device!r}")):
        check_device(device)
    with pytest.raises(InputError, match="device"):
        Trainer(settings("fc", (1, 4, 4)), noise(6, (1, 4, 4)), tmp_path / "c", device=device)


def test_auto_depends_on_the_images_the_network_and_the_device_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def augment(shape: tuple[int, int, int]) -> str:
        return Settings("cnn", Recipe(), 2, shape).resolved().augment

    assert [augment(shape) for shape in ((3, 8, 8), (1, 28, 28), (1, 8, 8))] == ["crop-flip", "shift", "none"]
    for has_bf16 in (True, False):
        monkeypatch.setattr("pinprick.models.settings._cpu_has_bf16", lambda has=has_bf16: has)
        # A CUDA device that is there but not used says nothing of the processor.
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda has=has_bf16: not has)
        large, small = (Settings(net, default_recipe(net), 10, (3, 32, 32)) for net in ("allconv", "lenet"))
        assert large.resolved("cpu").precision == ("bf16" if has_bf16 else "fp32")
        assert large.resolved("cuda:0").precision == ("fp32" if has_bf16 else "bf16")
        assert small.resolved("cpu").precision == small.resolved("cuda").precision == "fp32"


@pytest.mark.parametrize("name", NETS)
def test_recipes_are_usable_as_they_are(name: str) -> None:
    recipe = default_recipe(name)
    assert Settings(name, recipe, 10, (3, 32, 32)).resolved().recipe is recipe


def test_an_unknown_network_has_no_recipe() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean allconv"):
        default_recipe("allcon")
