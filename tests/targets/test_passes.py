"""Passes of a fixed number of rows, and rows that go wrong."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pinprick.errors import InputError, OutOfMemoryError
from pinprick.models.registry import build_net
from pinprick.targets.base import Outputs
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


def watched() -> tuple[Callable[[torch.Tensor], torch.Tensor], list[torch.Tensor]]:
    """A model, and the batches that it is given from now on."""
    seen: list[torch.Tensor] = []

    def model(images: torch.Tensor) -> torch.Tensor:
        seen.append(images)
        return images.flatten(1)[:, :4]

    return model, seen


def test_every_pass_has_the_full_number_of_rows_and_is_padded_with_the_base() -> None:
    watching, seen = watched()
    images = random_images(10, (1, 8, 8))
    answers = ask(CallableTarget(watching, "logits"), images, 4, pad=images[9])
    assert [len(batch) for batch in seen] == [4, 4, 4]
    assert torch.equal(seen[2][2], torch.from_numpy(images[9]).float() / 255)
    assert len(answers.scores) == 10


def test_a_pass_is_padded_no_further_than_a_whole_piece() -> None:
    watching, seen = watched()
    images = random_images(10, (1, 8, 8))
    target = CallableTarget(watching, "logits")
    target.fixed_rows = 2
    answers = ask(target, images[:7], 6, pad=images[9])
    assert [len(batch) for batch in seen] == [2, 2, 2, 2]
    assert torch.equal(seen[3][1], torch.from_numpy(images[9]).float() / 255)
    assert len(answers.scores) == 7


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


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_double_precision_scores_keep_their_order(seed: int) -> None:
    """A huge offset, or differences of 1e-12: in single precision whole rows would be ties."""
    rng = np.random.default_rng(seed)
    wanted = rng.normal(size=(4, 6)) * 10.0 ** rng.integers(-12, 3) + 10.0 ** rng.integers(-3, 5)

    def exact(images: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(wanted)

    answers = ask(CallableTarget(exact, "logits"), random_images(4, (1, 8, 8)), 4)
    assert np.array_equal(answers.scores, wanted)


@pytest.mark.parametrize(
    ("dtype", "kept"),
    [
        (torch.float32, np.float32),
        (torch.float16, np.float32),
        (torch.bfloat16, np.float32),
        (torch.float64, np.float64),
        (torch.int64, np.float64),
        (torch.uint8, np.float32),
    ],
)
def test_scores_are_as_exact_as_the_target_gives_them_and_no_wider(dtype: torch.dtype, kept: type) -> None:
    values = torch.arange(8).view(2, 4).to(dtype)
    scores = CallableTarget(lambda _: values, "logits").scores(torch.zeros(2, 1, 8, 8))
    assert scores.dtype == kept
    assert scores.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_whole_numbers_beyond_single_precision_are_no_ties() -> None:
    values = torch.tensor([[2**24, 2**24 + 1]] * 2)
    scores = CallableTarget(lambda _: values, "logits").scores(torch.zeros(2, 1, 8, 8))
    assert scores.argmax(axis=1).tolist() == [1, 1]


@pytest.mark.parametrize("kind", ["torch", "numpy"])
@pytest.mark.parametrize("outputs", ["logits", "labels"])
def test_a_function_that_uses_one_buffer_again_spoils_no_earlier_pass(kind: str, outputs: Outputs) -> None:
    """The first pass raises and is split; the answer to its second half is written where that to the first was."""
    buffer = torch.zeros(8, 4) if outputs == "logits" else torch.zeros(8, dtype=torch.int64)
    calls = 0

    def answers(images: torch.Tensor) -> object:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ValueError("not yet")
        plain = images.flatten(1)[:, :4]
        buffer.copy_(plain if outputs == "logits" else plain.argmax(1))
        return buffer if kind == "torch" else buffer.numpy()

    images = random_images(24, (1, 8, 8))
    found = ask(CallableTarget(answers, outputs, classes=4), images, 8, pad=images[0])
    assert not found.reasons
    plain = images.reshape(24, 64)[:, :4]
    assert np.array_equal(found.scores.argmax(axis=1), plain.argmax(axis=1))


@given(st.sets(st.integers(0, 19), max_size=4), st.integers(1, 8))
@settings(max_examples=30, deadline=None)
def test_every_row_that_goes_to_a_remote_target_is_counted(guilty: set[int], rows: int) -> None:
    images = random_images(20, (1, 8, 8))
    images[:, 0, 0, 0] = 200
    images[sorted(guilty), 0, 0, 0] = 0
    got = np.zeros(20, np.int64)
    known = {image.tobytes(): row for row, image in enumerate(images)}

    def touchy(batch: torch.Tensor) -> torch.Tensor:
        for image in batch.mul(255).round().byte().numpy():
            got[known[image.tobytes()]] += 1
        if (batch[:, 0, 0, 0] == 0).any():
            raise ValueError("a black corner")
        return batch.flatten(1)[:, :5]

    answers = ask(CallableTarget(touchy, "logits", remote=True), images, rows)
    assert set(answers.reasons) == guilty
    assert answers.sent.tolist() == got.tolist()


@pytest.mark.parametrize("rows", [2**16 + 1, 10**12, 10**30])
def test_passes_of_absurd_size_are_refused_before_memory_is_taken(rows: int) -> None:
    target = CallableTarget(lambda x: x.flatten(1)[:, :4], "logits")
    with pytest.raises(InputError, match=r"--batch-size.*65536"):
        fitting_rows(target, np.zeros((1, 8, 8), np.uint8), rows)
    with pytest.raises(InputError, match="--batch-size"):
        ask(target, random_images(2, (1, 8, 8)), rows)


def test_the_largest_pass_depends_on_the_size_of_the_images() -> None:
    target = CallableTarget(lambda x: x.flatten(1)[:, :4], "logits")
    with pytest.raises(InputError, match=r"--batch-size.*3 x 512 x 512.*at most 2730"):
        fitting_rows(target, np.zeros((3, 512, 512), np.uint8), 2**16)
    remote = CallableTarget(lambda x: x.flatten(1)[:, :4], "logits", remote=True)
    assert fitting_rows(remote, np.zeros((3, 512, 512), np.uint8), 2000) == 2000, "no pass of its own is asked"


def test_an_exception_that_cannot_be_shown_fails_its_row_only() -> None:
    class MuteError(RuntimeError):
        def __str__(self) -> str:
            raise TypeError("no text")

    def mute(images: torch.Tensor) -> torch.Tensor:
        if (images[:, 0, 0, 0] == 0).any():
            raise MuteError
        return images.flatten(1)[:, :4]

    images = np.full((6, 1, 8, 8), 9, np.uint8)
    images[4, 0, 0, 0] = 0
    answers = ask(CallableTarget(mute, "logits"), images, 3)
    assert answers.reasons == {4: "MuteError: its message cannot be shown (TypeError)"}
