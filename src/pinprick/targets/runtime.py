"""A torch network in onnxruntime: on processors the faster way to compute whole images."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

ROWS = 16
"""Images that onnxruntime gets at a time. More leave the caches of a core: resnet32 takes a tenth longer with 64."""


class RuntimeCopy:
    """A torch network as onnxruntime computes it, always :data:`ROWS` images at a time.

    Parameters
    ----------
    module : from images ``(N, C, H, W)`` to scores ``(N, K)``, float32 on the processor; its forward pass must be the
        same for all images, as it is written down for one example. What ``torch.fx`` traces is so.
    example : images ``(N, C, H, W)``.

    Raises
    ------
    ImportError : onnx or onnxruntime is not installed.
    Exception : whatever torch's exporter or onnxruntime raise of a network that they do not know how to compute.
    """

    def __init__(self, module: nn.Module, example: torch.Tensor) -> None:
        import onnx
        import onnxruntime

        self.version: str = onnxruntime.__version__
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            # The exporter that needs no further package says that it is the older one.
            warnings.simplefilter("ignore")
            rows = example[torch.arange(ROWS) % len(example)].contiguous()
            path = Path(folder) / "net.onnx"
            torch.onnx.export(module, (rows,), path, dynamo=False, input_names=["images"], output_names=["scores"])
            file = path.read_bytes()
        onnx.checker.check_model(file)
        self._session: Any = onnxruntime.InferenceSession(
            file, session_options(onnxruntime), providers=["CPUExecutionProvider"], enable_fallback=0
        )

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Scores ``(N, K)`` of images ``(N, C, H, W)``."""
        images = images.contiguous()
        missing = -len(images) % ROWS
        if missing:
            images = torch.cat([images, images[-1:].expand(missing, *images.shape[1:])])
        parts = [
            torch.from_numpy(self._session.run(None, {"images": images[start : start + ROWS].numpy()})[0])
            for start in range(0, len(images), ROWS)
        ]
        return torch.cat(parts)[: len(images) - missing]


def multiplications(module: nn.Module, images: torch.Tensor) -> int:
    """Multiplications of one image, seen in a pass of ``images``: of convolutions and matrix products."""
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        module(images)
    return int(counted.get_total_flops()) // (2 * len(images))


def session_options(runtime: Any) -> Any:
    """How onnxruntime computes here: on as many threads as torch, always the same, and silent.

    What goes wrong is raised as well; onnxruntime would print it besides.
    """
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    # Threads that wait by spinning take the cores that the search computes on between passes.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options
