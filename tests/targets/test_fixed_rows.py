"""Models that take one number of images at a time: passes are cut and filled for them, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pinprick.api import attack
from pinprick.data.digits import digits
from pinprick.errors import InputError, OutOfMemoryError, TargetError
from pinprick.targets.callable_target import CallableTarget
from pinprick.targets.outputs import settle
from pinprick.targets.passes import ask, default_rows, fewer_rows, fitting_rows
from tests.conftest import digits_net, random_images

IMAGES = random_images(70, (1, 8, 8))


def fixed(rows: int, memory: int | None = None) -> CallableTarget:
    """The net of digits, for exactly ``rows`` images at a time, and with memory for so many."""

    def score(images: torch.Tensor) -> torch.Tensor:
        if len(images) != rows:
            raise ValueError(f"{len(images)} images where the graph has {rows}")
        if memory is not None and rows > memory:
            raise MemoryError
        with torch.no_grad():
            scores: torch.Tensor = digits_net()(images)
        return scores

    return CallableTarget(score, name="fixed", fixed_rows=rows)


@given(st.integers(1, 40), st.integers(1, 70), st.integers(1, 70))
@settings(max_examples=15, deadline=None)
def test_scores_are_those_of_the_model_for_any_number_of_images(fixed_rows: int, n: int, rows: int) -> None:
    target = fixed(fixed_rows)
    with torch.no_grad():
        plain = digits_net()(torch.from_numpy(IMAGES[:n]).float() / 255).numpy()
    for found in (target.scores(target.images(IMAGES[:n])), ask(target, IMAGES[:n], rows).scores):
        assert np.allclose(found, plain, atol=1e-5)


def test_what_it_puts_out_is_found_out_as_of_any_other() -> None:
    target = fixed(7)
    assert settle(target, IMAGES[:5]) is not None
    assert (target.outputs, target.classes) == ("logits", 10)


@pytest.mark.parametrize(("rows", "usual"), [(1, 64), (10, 60), (64, 64), (100, 100)])
def test_passes_are_a_multiple_of_what_it_takes(rows: int, usual: int) -> None:
    assert default_rows(fixed(rows)) == usual


def test_less_memory_makes_passes_smaller_down_to_what_it_takes() -> None:
    target = fixed(10)
    steps = [60]
    while fewer := fewer_rows(target, steps[-1]):
        steps.append(fewer)
    assert steps == [60, 30, 10]
    assert [fewer_rows(CallableTarget(abs), rows) for rows in (64, 3, 1)] == [32, 1, 0]
    with pytest.raises(OutOfMemoryError):
        fitting_rows(fixed(10, memory=5), IMAGES[0], 60)


def test_other_batch_sizes_are_refused() -> None:
    with pytest.raises(InputError, match=r"--batch-size: 32, and fixed takes 10 images at a time\. Give a multiple of"):
        attack(fixed(10), digits("test"), batch_size=32)
    with pytest.raises(InputError, match="fixed_rows: 0"):
        CallableTarget(abs, fixed_rows=0)


def test_an_answer_of_other_rows_is_told() -> None:
    target = CallableTarget(lambda images: images.flatten(1)[:1], fixed_rows=4, name="one row")
    with pytest.raises(TargetError, match=r"one row returned shape \(1, 64\) for 4 images"):
        target.scores(target.images(IMAGES[:6]))


def test_an_attack_runs_and_finds_what_it_finds_without() -> None:
    options = {"pixels": 1, "limit": 4, "budget": 100, "baseline": "none", "outputs": "logits"}
    found = [attack(target, digits("test"), **options) for target in (fixed(10), digits_net())]  # type: ignore[arg-type]
    assert found[0].rows[0].n == found[1].rows[0].n == 4
    assert found[0].rows[0].failed == 0


@pytest.mark.parametrize(
    ("side", "fixed_rows", "remote", "rows"),
    [(95, None, False, 64), (96, None, False, 16), (96, 10, False, 10), (96, 32, False, 32), (96, None, True, 64)],
)
def test_passes_of_large_images_have_few_rows(side: int, fixed_rows: int | None, remote: bool, rows: int) -> None:
    target = CallableTarget(abs, fixed_rows=fixed_rows, remote=remote, outputs="logits")
    assert default_rows(target, (3, side, side)) == rows
