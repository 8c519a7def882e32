"""Passes of large images have few rows, where that changes nothing; a run keeps to the rows that it was begun with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import pinprick
from pinprick.runs import run as run_module
from pinprick.runs.store import read_manifest
from pinprick.targets.torch_target import TorchTarget

SETS = (np.random.default_rng(0).integers(0, 256, (20, 3, 96, 96), dtype=np.uint8), None)
GIVEN: dict[str, Any] = {"attack": "random", "budget": 3, "labels": "predicted", "baseline": "none"}


class Placed(nn.Module):
    """Scores of a large image that depend on its place in a pass of fewer rows than ``least``, by rounding."""

    def __init__(self, least: int) -> None:
        super().__init__()
        self.least = least

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        means = images.mean(dim=(2, 3))
        place = torch.arange(len(images))[:, None] * (1e-6 if len(images) < self.least else 0.0)
        return means + place


@pytest.mark.parametrize(("least", "rows"), [(0, 16), (17, 64)])
def test_large_images_go_few_at_a_time_where_their_place_does_not_matter(least: int, rows: int, tmp_path: Path) -> None:
    target = TorchTarget(Placed(least).eval(), "logits", device="cpu")
    said: list[str] = []
    pinprick.attack(target, SETS, limit=2, say=said.append, out=tmp_path, **GIVEN)
    manifest = read_manifest(tmp_path)
    assert manifest is not None
    assert manifest["passes"]["rows"] == rows
    assert not [line for line in said if "place in a pass" in line]


def test_a_run_goes_on_with_the_rows_that_it_was_begun_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(limit: int) -> int:
        pinprick.attack(TorchTarget(Placed(0).eval(), "logits", device="cpu"), SETS, limit=limit, out=tmp_path, **GIVEN)
        manifest = read_manifest(tmp_path)
        assert manifest is not None
        return int(manifest["passes"]["rows"])

    with monkeypatch.context() as before:
        # As an earlier version had it.
        before.setattr(run_module, "default_rows", lambda *_: 64)
        assert run(2) == 64
    assert run(3) == 64
    assert len(pinprick.read_outcomes(tmp_path)) == 3
