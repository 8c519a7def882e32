"""A torch target as an ONNX file, preprocessing inside, any number of rows."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import nn

from pinprick.targets.base import Target
from pinprick.targets.torch_target import TorchTarget


def export_onnx(target: Target, path: Path) -> Path:
    """Write the file; images ``(N, C, H, W)`` in [0, 1] go into ``images``, scores come out of ``scores``."""
    assert isinstance(target, TorchTarget)
    assert target.shape is not None
    inside = [target.module] if target.preprocess is None else [target.preprocess, target.module]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            nn.Sequential(*inside).eval(),
            (torch.zeros(2, *target.shape),),
            str(path),
            input_names=["images"],
            output_names=["scores"],
            dynamic_axes={"images": {0: "n"}, "scores": {0: "n"}},
            dynamo=False,
        )
    return path
