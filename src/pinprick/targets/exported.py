"""Targets that are programs of ``torch.export``: graphs whose sizes, device and mode were fixed when they were made."""

from __future__ import annotations

import hashlib
import warnings
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram

from pinprick.errors import InputError, one_line
from pinprick.models.preprocessing import Preprocess
from pinprick.targets.base import Outputs, Precision, Target
from pinprick.targets.editing import Editing
from pinprick.targets.passes import ROWS
from pinprick.targets.torch_target import TorchTarget, choose_device

_INPUT = "Export a module that takes one tensor of images (N, C, H, W)."


class ExportedTarget(TorchTarget):
    """A program of ``torch.export``, or the module that one gives.

    It is asked in the number of images that it was exported for, where that is fixed or bounded, and on the device
    that was asked for; there is no faster copy of it, and edits are not computed on windows.

    Parameters
    ----------
    program : takes one tensor of images ``(N, C, H, W)`` of a floating point type.
    preprocess, device : as of :class:`pinprick.targets.torch_target.TorchTarget`.

    Raises
    ------
    InputError : it takes something else, or cannot be moved to the device.
    """

    def __init__(
        self,
        program: ExportedProgram | torch.fx.GraphModule,
        outputs: Outputs = "auto",
        *,
        name: str | None = None,
        preprocess: Preprocess | None = None,
        device: str = "auto",
    ) -> None:
        called = name or "the exported program"
        example = _example(program, called)
        module = program if isinstance(program, nn.Module) else _module(program, example, device, called)
        super().__init__(module, outputs, name=called, preprocess=preprocess, device=device)
        self.dtype, self.engine = example.dtype, "dense, exported"
        if self.preprocess is not None:
            self.preprocess.to(self.dtype)
        rows, *sizes = example.shape
        self.fixed_rows = _rows(rows, ROWS.get(self.device.type, ROWS["cpu"]))
        if all(isinstance(size, int) for size in sizes):
            channels, height, width = sizes
            self.shape = (channels, height, width)
        self._graph = hashlib.blake2b(str(module.code).encode(), digest_size=16).hexdigest()

    def search_in(self, precision: Precision) -> None:
        """Refuse any precision but its own, in which it was made."""
        Target.search_in(self, precision)

    def prepare(self, images: torch.Tensor) -> None:
        """Nothing: a program is as fast as it was made."""

    def editing(self, shape: tuple[int, int, int]) -> Editing | None:  # noqa: ARG002
        return None

    def identity(self) -> dict[str, Any]:
        return super().identity() | {"graph": self._graph}


def _example(program: ExportedProgram | torch.fx.GraphModule, name: str) -> torch.Tensor:
    """The tensor without values that stands for the images in the graph; its sizes are numbers or symbols."""
    nodes = [node for node in program.graph.nodes if node.op == "placeholder"]
    if isinstance(program, ExportedProgram):
        own = program.graph_signature.user_inputs
        nodes = [node for node in nodes if node.name in own]
    if len(nodes) != 1:
        raise InputError(f"--model {name}", f"a program with {len(nodes)} inputs", _INPUT)
    found = nodes[0].meta.get("val")
    if not isinstance(found, torch.Tensor) or found.ndim != 4 or not found.is_floating_point():
        shown = f"{found.dtype} of {found.ndim} dimensions" if isinstance(found, torch.Tensor) else type(found).__name__
        raise InputError(f"--model {name}", f"a program that takes {shown}", _INPUT)
    return found


def _module(program: ExportedProgram, example: torch.Tensor, device: str, name: str) -> nn.Module:
    """The program as a module, on the device: where it makes tensors itself, it says in the graph on which."""
    chosen = choose_device(device)
    if chosen.type != example.device.type:
        try:
            from torch.export.passes import move_to_device_pass

            program = move_to_device_pass(program, str(chosen))
        except Exception as error:
            wrong = f"it was exported for {example.device}, and cannot be moved to {chosen} ({one_line(error)[:120]})"
            raise InputError(f"--model {name}", wrong, f"Give --device {example.device.type}.") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return program.module()


def _rows(rows: Any, usual: int) -> int | None:
    """How many images it has to be given at a time: as many as it was exported with, or as its bounds allow."""
    if isinstance(rows, int):
        return rows
    symbol = rows.node
    bounds = symbol.shape_env.bound_sympy(symbol.expr)
    lower, upper = (_whole(bound) for bound in (bounds.lower, bounds.upper))
    if upper is not None and upper < 2**15:
        return max(lower or 1, min(upper, usual))
    # One image, which is asked for now and then, may be too few.
    return usual if lower is not None and lower > 2 else None


def _whole(bound: Any) -> int | None:
    """A bound as a number, None where there is none."""
    try:
        return int(bound)
    except (TypeError, ValueError, OverflowError, AttributeError):
        return None
