"""Pinprick's attacks as the benchmark runs them: the same answers as elsewhere, and every question counted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from benchmarks.peers.adapters import seed_globals
from benchmarks.peers.engines import PeerNet, Setting, Way, fastest, rate, told
from benchmarks.peers.ours import CountedTarget, Ours, few_pixel, one_pixel
from torch.utils.hooks import RemovableHandle

from pinprick.attacks.one_pixel import OnePixel
from pinprick.data.image_set import ImageSet
from pinprick.goals import Goal
from pinprick.streams import image_digest, unit_seed
from pinprick.targets.passes import VERIFYING_ROWS
from pinprick.targets.torch_target import TorchTarget
from tests.conftest import digits_target, random_images

SEEDS = [f"{number:032x}" for number in range(1, 5)]


def setting(target: TorchTarget, *, generations: int = 2) -> Setting:
    target.shape = (1, 8, 8)
    target.prepare(target.images(random_images(64, (1, 8, 8))))
    return Setting(target, {}, random_images(400, (1, 8, 8)), 1, generations)


def test_alone_and_together_an_image_gets_the_same_answer(target: TorchTarget, test_digits: ImageSet) -> None:
    adapter = one_pixel(setting(target))
    assert isinstance(adapter, Ours)
    pictures = test_digits.stack(range(4))
    labels = target.scores(target.images(pictures)).argmax(axis=1).tolist()
    together = adapter.attack_all(list(zip(pictures, labels, SEEDS, strict=True)))
    for picture, label, seed, answer in zip(pictures, labels, SEEDS, together, strict=True):
        alone = adapter.attack(picture, label, seed)
        assert alone.questions == answer.questions
        assert np.array_equal(alone.image, answer.image)


def test_it_is_the_attack_that_everybody_gets(target: TorchTarget, test_digits: ImageSet) -> None:
    made = one_pixel(setting(target))
    picture = test_digits.image(0)
    label = int(target.scores(target.images(picture[None])).argmax())
    attack = OnePixel(generations=2)
    seed = unit_seed(7, image_digest(picture), label, str(Goal()), attack.name, attack.draws(), 1)
    answer = made.attack(picture, label, seed)
    (outcome,) = attack(digits_target(), picture[None], seed=7)
    assert made.budget == 1201
    assert answer.questions == outcome.asked
    assert outcome.edits is not None
    assert np.array_equal(np.rint(answer.image * 255), outcome.edits.apply(picture[None])[0])


@contextmanager
def closing_hook(hook: RemovableHandle) -> Iterator[None]:
    try:
        yield
    finally:
        hook.remove()


@pytest.mark.parametrize("make", [one_pixel, few_pixel])
def test_rows_are_all_that_went_through_the_network(make: object, test_digits: ImageSet) -> None:
    target = digits_target()
    seen = 0
    made = (one_pixel if make is one_pixel else few_pixel)(setting(target))

    def count(_module: object, inputs: tuple[torch.Tensor], _output: object) -> None:
        nonlocal seen
        seen += len(inputs[0])

    picture = test_digits.image(3)
    label = int(target.scores(target.images(picture[None])).argmax())
    assert target._fast is not None
    # Other tests share the network: it is to be left as it was.
    with (
        closing_hook(target.module.register_forward_hook(count)),
        closing_hook(target._fast.register_forward_hook(count)),
    ):
        answer = made.attack(picture, label, SEEDS[0])
    # One row more: the scores of the unchanged image, which every library is spared.
    assert answer.rows == seen - 1
    assert answer.rows % 64 == VERIFYING_ROWS
    assert answer.questions <= made.budget


def test_the_counted_target_puts_out_what_the_target_does(target: TorchTarget) -> None:
    setting(target)
    counted = CountedTarget(target)
    images = target.images(random_images(5, (1, 8, 8)))
    assert np.array_equal(counted.scores(images), target.scores(images))
    assert np.array_equal(counted.scores(images, fast=True), target.scores(images, fast=True))
    assert counted.rows == 10


def test_the_net_of_the_others_counts_rows_and_appends_a_softmax(target: TorchTarget) -> None:
    images = target.images(random_images(7, (1, 8, 8)))
    plain, soft = PeerNet(target.raw), PeerNet(target.raw, softmax=True)
    scores = plain(images)
    assert np.array_equal(scores.numpy(), target.scores(images))
    assert torch.allclose(soft(images), scores.softmax(dim=1))
    plain(images[:2])
    assert plain.counted() == 9
    assert plain.counted() == 0
    assert soft.counted() == 7


def test_the_device_of_the_net_can_be_asked_of_its_first_parameter(target: TorchTarget) -> None:
    assert next(PeerNet(target.raw).parameters()).device.type == "cpu"


def test_the_fastest_way_is_taken_and_told_first() -> None:
    rates = {Way("slow", 1): 3.0, Way("fast", 64): 2000.0}
    assert fastest(rates) == Way("fast", 64)
    assert told(rates) == "fast, batch 64: 2,000/s; slow, batch 1: 3/s"


def test_the_fastest_way_is_chosen_once(target: TorchTarget) -> None:
    calls: list[Way] = []

    def work(way: Way) -> None:
        calls.append(way)
        for _ in range({"slow": 500, "fast": 50}[way.engine] // way.batch):
            np.linalg.inv(np.eye(50))

    given = setting(target)
    ways = {way: partial(work, way) for way in (Way(engine, batch) for engine in ("slow", "fast") for batch in (1, 50))}
    chosen, rates = given.choose("attack", ways, 1)
    assert chosen == Way("fast", 50)
    assert str(chosen) == "fast, batch 50"
    assert rates.startswith("fast, batch 50: ")
    # The slow engine is timed at its first batch only.
    assert Way("slow", 50) not in calls
    before = len(calls)
    assert replace(given, generations=1).choose("attack", ways, 1) == (chosen, rates)
    assert len(calls) == before


def test_a_rate_is_rows_over_the_quickest_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 2.0, 10.0, 10.5, 20.0, 21.0])
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    calls: list[None] = []
    assert rate(lambda: calls.append(None), 100, seconds=0.0, least=3) == 200
    assert len(calls) == 4  # one to warm up


def test_every_global_generator_starts_anew() -> None:
    def draw() -> tuple[float, float]:
        return float(np.random.rand()), float(torch.rand(1))  # noqa: NPY002 (what other libraries draw from)

    seed_globals(SEEDS[2])
    first = draw()
    seed_globals(SEEDS[2])
    assert draw() == first
    seed_globals(SEEDS[3])
    assert draw() != first
