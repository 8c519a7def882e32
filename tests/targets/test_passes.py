"""Passes of a fixed number of rows, and rows that go wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pinprick.errors import OutOfMemoryError
from pinprick.models.registry import build_net
from pinprick.targets.callable_target import CallableTarget
from pinprick.targets.passes import ask, fitting_rows, row_drift
from pinprick.targets.torch_target import TorchTarget
from tests.conftest import colour_target, random_images

SHAPE = (3, 9, 12)
ROWS = 64


@given(st.integers(1, 150), st.integers(0, 2**32 - 1))
@settings(max_examples=15, deadline=None)
def test_a_row_does_not_depend_on_the_rows_beside_it(n: int, seed: int) -> None:
    target = colour_target()
    images = random_images(150, SHAPE)
    target.prepare(target.images(images[:32]))
    for fast in (True, False):
        whole = ask(target, images, ROWS, pad=images[0], fast=fast).scores
        order = np.random.default_rng(seed).permutation(150)[:n]
        assert np.array_equal(ask(target, images[order], ROWS, pad=images[7], fast=fast).scores, whole[order])


@pytest.mark.parametrize(
    ("net", "shape"),
    [("lenet", (1, 28, 28)), ("resnet32", (3, 32, 32)), ("allconv", (3, 16, 16)), ("nin", (3, 16, 16))],
)
def test_rows_of_the_victims_are_stable_bit_for_bit(net: str, shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    target = TorchTarget(build_net(net, 10, shape), "logits")
    images = random_images(ROWS, shape)
    target.prepare(target.images(images[:32]))
    assert "folded" in target.engine
    assert row_drift(target, images, ROWS) == 0


def test_a_model_that_mixes_images_is_found_out() -> None:
    def mixing(images: torch.Tensor) -> torch.Tensor:
        ranks = torch.arange(len(images), dtype=torch.float32)[:, None]
        return images.flatten(1)[:, :4] + ranks

    assert row_drift(CallableTarget(mixing, "logits"), random_images(8, (1, 8, 8)), 8) > 1e-3


def test_the_fast_way_agrees_with_the_module_and_leaves_it_alone() -> None:
    target = colour_target()
    before = {name: value.clone() for name, value in target.module.state_dict().items()}
    images = random_images(64, SHAPE)
    target.prepare(target.images(images))
    fast, plain = (ask(target, images, ROWS, pad=images[0], fast=way).scores for way in (True, False))
    assert np.abs(fast - plain).max() < 1e-4
    assert all(torch.equal(value, before[name]) for name, value in target.module.state_dict().items())


def test_every_pass_has_the_full_number_of_rows_and_is_padded_with_the_base() -> None:
    seen = []

    def watching(images: torch.Tensor) -> torch.Tensor:
        seen.append(images)
        return images.flatten(1)[:, :4]

    images = random_images(10, (1, 8, 8))
    answers = ask(CallableTarget(watching, "logits"), images, 4, pad=images[9])
    assert [len(batch) for batch in seen] == [4, 4, 4]
    assert torch.equal(seen[2][2], torch.from_numpy(images[9]).float() / 255)
    assert len(answers.scores) == 10


def test_a_remote_target_is_never_padded() -> None:
    seen = []

    def watching(images: torch.Tensor) -> torch.Tensor:
        seen.append(len(images))
        return images.flatten(1)[:, :4]

    ask(
        CallableTarget(watching, "logits", remote=True),
        random_images(10, (1, 8, 8)),
        4,
        pad=np.zeros((1, 8, 8), np.uint8),
    )
    assert seen == [4, 4, 2]


@given(st.sets(st.integers(0, 39), max_size=12))
@settings(max_examples=40, deadline=None)
def test_guilty_rows_are_found_and_the_others_keep_their_scores(guilty: set[int]) -> None:
    images = random_images(40, (1, 8, 8))
    images[:, 0, 0, 0] = 200
    images[sorted(guilty), 0, 0, 0] = 0
    sizes = set()

    def touchy(batch: torch.Tensor) -> torch.Tensor:
        sizes.add(len(batch))
        if (batch[:, 0, 0, 0] == 0).any():
            raise ValueError("a black corner")
        return batch.flatten(1)[:, :5]

    pad = np.full((1, 8, 8), 100, np.uint8)
    answers = ask(CallableTarget(touchy, "logits"), images, 16, pad=pad)
    assert set(answers.reasons) == guilty
    assert all(reason == "ValueError: a black corner" for reason in answers.reasons.values())
    good = [row for row in range(40) if row not in guilty]
    assert np.array_equal(answers.scores[good], (images[good].reshape(len(good), -1)[:, :5] / np.float32(255)))
    assert np.isnan(answers.scores[sorted(guilty)]).all()
    assert sizes == {16}


def test_rows_that_are_not_finite_have_a_reason() -> None:
    def half(images: torch.Tensor) -> torch.Tensor:
        scores = images.flatten(1)[:, :4].clone()
        scores[1, 2] = float("nan")
        scores[3, 0] = float("inf")
        return scores

    answers = ask(CallableTarget(half, "logits"), random_images(4, (1, 8, 8)), 4, pad=np.zeros((1, 8, 8), np.uint8))
    assert sorted(answers.reasons) == [1, 3]


def test_the_class_count_may_not_change() -> None:
    sizes = iter([4, 5, 5, 5, 5, 5, 5])

    def growing(images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1)[:, : next(sizes)]

    answers = ask(CallableTarget(growing, "logits"), random_images(4, (1, 8, 8)), 2, pad=np.zeros((1, 8, 8), np.uint8))
    assert sorted(answers.reasons) == [2, 3]
    assert "5 classes where it has 4" in answers.reasons[2]


def test_rows_are_halved_until_a_pass_fits() -> None:
    def small_memory(images: torch.Tensor) -> torch.Tensor:
        if len(images) > 10:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")
        return images.flatten(1)[:, :4]

    target = CallableTarget(small_memory, "logits")
    assert fitting_rows(target, np.zeros((1, 8, 8), np.uint8), 64) == 8
    with pytest.raises(OutOfMemoryError):
        ask(target, random_images(16, (1, 8, 8)), 16, pad=np.zeros((1, 8, 8), np.uint8))
