"""Candidates in half precision: verdicts stay those of the model itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import pinprick
from pinprick.data.digits import digits
from pinprick.errors import InputError
from pinprick.targets.callable_target import CallableTarget
from pinprick.targets.torch_target import TorchTarget
from tests.conftest import digits_target, random_images


def test_verdicts_are_those_of_the_model_in_its_own_precision(tmp_path: Path) -> None:
    result = pinprick.attack(
        "cnn-digits", "digits:test", pixels=(1, 3), limit=8, precision="bf16", out=tmp_path, baseline="none"
    )
    rows = result.table.to_pylist()
    assert {row["status"] for row in rows} == {"fooled", "held"}
    own, images = pinprick.load_target("cnn-digits"), digits("test")
    for row in rows:
        image = images.image(images.names.index(row["image"]))[None].copy()
        for y, x, colour in zip(row["rows"], row["columns"], row["colours"], strict=True):
            image[0, :, y, x] = colour
        scores = own.scores(own.images(image))[0]
        assert np.allclose(scores, row["scores_after"], rtol=0, atol=1e-3 * np.abs(scores).max())
        assert (scores.argmax() != row["label"]) == (row["status"] == "fooled")
    with pytest.raises(InputError, match="precision"):
        pinprick.attack("cnn-digits", "digits:test", pixels=(1, 3), limit=8, out=tmp_path, baseline="none")


def test_candidates_are_in_half_precision_and_verifying_passes_are_not() -> None:
    own = digits_target()
    images = own.images(random_images(32, (1, 8, 8)))
    own.prepare(images)
    single, gain = own.fast(images), own.gain
    assert gain == 1.0
    own.search_in("bf16")
    own.prepare(images)
    lower = own.fast(images)
    assert lower.dtype == torch.float32
    difference = float((lower - single).abs().max() / single.abs().max())
    assert 1e-5 < difference < 0.1
    assert torch.equal(own.raw(images), digits_target().raw(images))
    assert own.identity()["precision"] == "bf16"
    own.search_in("fp32")
    own.prepare(images)
    assert torch.equal(own.fast(images), single)
    assert "precision" not in own.identity()


def test_what_has_no_other_precision_or_does_not_work_in_it_is_refused() -> None:
    with pytest.raises(InputError, match=r"--precision bf16: .* is no torch module in single precision"):
        CallableTarget(lambda images: images.mean((2, 3)), "logits").search_in("bf16")
    with pytest.raises(InputError, match=r"--precision bf16: .* is no torch module in single precision"):
        TorchTarget(nn.Linear(3, 2).double(), "logits").search_in("bf16")

    class Fine(nn.Module):
        """Scores that half precision cannot tell apart from others."""

        def __init__(self) -> None:
            super().__init__()
            self.shift = nn.Parameter(torch.tensor(1000.0))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            flat = images.flatten(1)[:, :3]
            return flat + self.shift - self.shift.detach().float().item()

    target = TorchTarget(Fine(), "logits")
    target.search_in("bf16")
    with pytest.raises(InputError, match="--precision bf16: scores of Fine differ by"):
        target.prepare(target.images(random_images(8, (1, 8, 8))))
