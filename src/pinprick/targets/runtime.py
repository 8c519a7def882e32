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
FEW = 4
"""What is left over is filled up to a multiple of this, where it has the same bits in so short passes."""


class RuntimeCopy:
    """A torch network as onnxruntime computes it, :data:`ROWS` images at a time and what is left over.

    Attributes
    ----------
    piece : images come in multiples of so many; others are filled up. :data:`FEW`, or :data:`ROWS` where shorter passes
        have other bits.

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
            names = ("images", "scores")
            free = {name: {0: "n"} for name in names}
            torch.onnx.export(
                module, (rows,), path, dynamo=False, input_names=names[:1], output_names=names[1:], dynamic_axes=free
            )
            file = path.read_bytes()
        onnx.checker.check_model(file)
        self._session: Any = onnxruntime.InferenceSession(
            file, session_options(onnxruntime), providers=["CPUExecutionProvider"], enable_fallback=0
        )
        self.piece = FEW if self._same_bits(rows) else ROWS

    def _same_bits(self, images: torch.Tensor) -> bool:
        """Whether passes of fewer images than :data:`ROWS` are possible and give each the same bits."""
        whole = self._scores(images)
        try:
            for count in range(FEW, ROWS, FEW):
                # From the beginning and from the end in turn: no image may depend on its place either.
                part = slice(0, count) if count % (2 * FEW) else slice(ROWS - count, ROWS)
                if not torch.equal(self._scores(images[part]), whole[part]):
                    return False
        except Exception:
            # A network with the number of images written into it; onnxruntime's errors have no class of their own.
            return False
        return True

    def _scores(self, images: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = torch.from_numpy(self._session.run(None, {"images": images.numpy()})[0])
        return found

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Scores ``(N, K)`` of images ``(N, C, H, W)``."""
        images = images.contiguous()
        missing = -len(images) % self.piece
        if missing:
            images = torch.cat([images, images[-1:].expand(missing, *images.shape[1:])])
        parts = [self._scores(images[start : start + ROWS]) for start in range(0, len(images), ROWS)]
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
