"""Targets that are torch modules."""

from __future__ import annotations

import copy
import time
import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx, nn
from torch.nn.utils import convert_conv2d_weight_memory_format

from pinprick.errors import InputError, one_line
from pinprick.models.preprocessing import Preprocess
from pinprick.models.weights import weights_digest
from pinprick.targets.base import Outputs, Precision, Target
from pinprick.targets.editing import SMALL, Editing
from pinprick.targets.runtime import ROWS, RuntimeCopy, multiplications

_RUNTIME = "onnxruntime"
_NEAR = 0.1
"""The same of low precision, in which candidates are scored but nothing is decided."""
_AGREE = 1e-3
"""Largest difference, relative to the largest score, at which another way of computing counts as the same network."""


class TorchTarget(Target):
    """Any ``torch.nn.Module`` from images to ``(N, K)`` scores.

    The module is put into evaluation mode and moved to ``device``, and is otherwise left as it is. Searches run on a
    copy with batch norm folded where that can be traced and agrees with the module: on the processor in onnxruntime
    where that and onnx are installed, else with channels last. Verdicts come from the module itself.

    Parameters
    ----------
    module : the network; takes ``(N, C, H, W)``, normalised if ``preprocess`` says so.
    preprocess : what happens to pixel values before the module; None passes images in [0, 1].
    device : ``"auto"`` (CUDA where there is one), ``"cpu"``, ``"cuda"``, ``"cuda:1"`` …
    dtype : precision of the passes, to which a copy of the module is cast. By default the module keeps its own, which
        may differ from layer to layer; images then come in that of its first parameter (float32 without any).

    Raises
    ------
    InputError : no torch module, no such device, or a precision that is none or that the module cannot be copied for.
    """

    differentiable = True

    def __init__(
        self,
        module: nn.Module,
        outputs: Outputs = "auto",
        *,
        name: str | None = None,
        preprocess: Preprocess | None = None,
        device: str = "auto",
        dtype: torch.dtype | None = None,
        classes: int | None = None,
        shape: tuple[int, int, int] | None = None,
    ) -> None:
        if not isinstance(module, nn.Module):
            raise InputError("model", f"a {type(module).__name__}, not a torch module", "Give a torch.nn.Module.")
        super().__init__(name or type(module).__name__, outputs, classes=classes, shape=shape)
        self.device = choose_device(device)
        own = (value.dtype for value in module.parameters() if value.is_floating_point())
        self.dtype = dtype or next(own, torch.float32)
        self.was_training = to_evaluation(module)
        self.module = module if dtype is None else cast(module, dtype)
        self.module.to(self.device)
        # A copy: the same preprocessing may serve targets of other precisions and on other devices.
        self.preprocess = None if preprocess is None else copy.deepcopy(preprocess).to(self.device, self.dtype)
        self.engine = "dense"
        self._fast: nn.Module | None = None
        self._runtime: RuntimeCopy | None = None
        self._in_runtime: bool | None = None
        """Whether a run was begun in onnxruntime; None where none was begun."""
        self._channels_last = self._lower = False
        self._precision: Precision = "fp32"
        self.gain = 1.0
        """How many times faster candidates are scored than by torch in single precision."""
        self._editing: dict[tuple[int, int, int], Editing] = {}

    def images(self, pixels: NDArray[np.uint8]) -> torch.Tensor:
        moved = torch.from_numpy(np.require(pixels, requirements=["C", "W"])).to(self.device, non_blocking=True)
        return moved.to(self.dtype).div_(255)

    @torch.inference_mode()
    def raw(self, images: torch.Tensor) -> Any:
        return self.module(self._normalised(images))

    @torch.inference_mode()
    def fast(self, images: torch.Tensor) -> Any:
        if self._fast is None:
            return self.module(self._normalised(images))
        images = self._normalised(images)
        if self._runtime is not None:
            return self._runtime(images)
        if self._channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        if self._lower:
            answer = self._fast(images.to(torch.bfloat16))
            return answer.float() if isinstance(answer, torch.Tensor) else answer
        return self._fast(images)

    def piece(self, *, fast: bool) -> int | None:
        return self._runtime.piece if fast and self._runtime is not None else super().piece(fast=fast)

    def _normalised(self, images: torch.Tensor) -> torch.Tensor:
        return images if self.preprocess is None else self.preprocess(images)

    def search_in(self, precision: Precision) -> None:
        if precision == "bf16" and self.dtype != torch.float32:
            super().search_in(precision)
        self._precision = precision

    def keep_to(self, engine: str | None) -> None:
        self._in_runtime = None if engine is None else _RUNTIME in engine

    def prepare(self, images: torch.Tensor) -> None:
        """Choose between the module as it is and faster copies; keeps whatever agrees.

        Raises
        ------
        InputError : low precision was asked for (:meth:`search_in`), and the module does not work in it.
        """
        self._lower, self.gain, self._runtime = False, 1.0, None
        # It has copies of the weights, which may have changed since.
        self._editing.clear()
        self._prepare(images)
        if self._fast is not None and self._in_runtime is not False:
            self._go_into_runtime(images)
        if self._precision == "bf16":
            self._go_lower(images)

    @torch.inference_mode()
    def _go_into_runtime(self, images: torch.Tensor) -> None:
        """Compute whole images in onnxruntime, if it can, agrees, and gives an image the same bits in any place.

        Only what torch.fx has traced: of other modules the exporter would write down what they did with one example.
        """
        images = images[:ROWS]
        traced, normalised = self._fast, self._normalised(images)
        if not isinstance(traced, fx.GraphModule) or self.device.type != "cpu" or normalised.dtype != torch.float32:
            return
        try:
            if multiplications(self.module, normalised[:1]) < SMALL:
                return
            exact, before = self.raw(images), self._timed(images)
            self._runtime = RuntimeCopy(copy.deepcopy(traced).to(memory_format=torch.contiguous_format), normalised)  # type: ignore[call-overload]
            answer = self.fast(images)
            turned = torch.arange(len(images)).flip(0)
            steady = torch.equal(self.fast(images[turned]), answer[turned])
            near = float((answer - exact).abs().max()) <= _AGREE * max(1.0, float(exact.abs().max()))
        except Exception:
            # Not installed, or a network that it does not know, or torch's counter: torch goes on computing it.
            self._runtime = None
            return
        if not (steady and near):
            self._runtime = None
            return
        self.engine, self.gain = f"dense, batch norm folded, {_RUNTIME}", before / self._timed(images)

    def _go_lower(self, images: torch.Tensor) -> None:
        """Score candidates in bf16, by a copy of what they were scored by."""
        exact, before, self._runtime = self.fast(images), self._timed(images), None
        what = f"--precision {self._precision}"
        try:
            self._fast = copy.deepcopy(self._fast or self.module).to(torch.bfloat16)
            self._lower = True
            answer = self.fast(images)
            apart = float((answer - exact).abs().max() / exact.abs().max())
        except Exception as error:
            raise InputError(what, f"{self.name} does not work in it ({one_line(error)})", "Leave it out.") from error
        if not apart <= _NEAR:
            raise InputError(what, f"scores of {self.name} differ by {apart:.2g} of their size", "Leave it out.")
        self.engine = self.engine.replace(_RUNTIME, "channels last") + ", candidates in bf16"
        self.gain *= before / self._timed(images)

    def _timed(self, images: torch.Tensor) -> float:
        """Seconds of a pass, the least of three."""
        taken = []
        for _ in range(3):
            start = time.perf_counter()
            self.fast(images)
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            taken.append(time.perf_counter() - start)
        return min(taken)

    def _prepare(self, images: torch.Tensor) -> None:
        if not any(isinstance(layer, nn.Conv2d) for layer in self.module.modules()):
            return
        self._fast, self._channels_last, self.engine = None, False, "dense"
        try:
            exact = self.raw(images)
        except Exception:
            return
        if not isinstance(exact, torch.Tensor) or not torch.isfinite(exact).all():
            return
        for fold in (True, False):
            try:
                copied = folded(self.module) if fold else copy.deepcopy(self.module)
                self._fast = convert_conv2d_weight_memory_format(copied, torch.channels_last)
                self._channels_last = True
                answer = self.fast(images)
                same = answer.shape == exact.shape
                scale = max(1.0, float(exact.abs().max()))
                if same and float((answer - exact).abs().max()) <= _AGREE * scale:
                    self.engine = "dense, batch norm folded, channels last" if fold else "dense, channels last"
                    return
            except Exception:  # noqa: S112 (whatever stops the shortcut, the module itself still works)
                continue
        self._fast, self._channels_last = None, False

    def editing(self, shape: tuple[int, int, int]) -> Editing | None:
        """Scoring edits on windows; None where the precision is another than single, and where only labels are told."""
        if self.dtype != torch.float32 or self.outputs == "labels":
            return None
        if shape not in self._editing:
            module = self.module if self.preprocess is None else nn.Sequential(self.preprocess, self.module)
            self._editing[shape] = Editing(module.eval(), shape)
        return self._editing[shape]

    def versions(self) -> dict[str, str]:
        return {} if self._runtime is None else {_RUNTIME: self._runtime.version}

    def identity(self) -> dict[str, Any]:
        lower = {} if self._precision == "fp32" else {"precision": self._precision}
        return (
            super().identity()
            | lower
            | {
                "weights": weights_digest(self.module),
                "engine": self.engine,
                "device": self.device.type,
                "dtype": str(self.dtype).removeprefix("torch."),
                "preprocess": None if self.preprocess is None else self.preprocess.described(),
            }
        )


def to_evaluation(module: nn.Module) -> bool:
    """Put a module into evaluation mode, and return whether any part of it was in training mode.

    Programs made by ``torch.export`` have no modes: theirs was fixed when they were exported.
    """
    before = [(part, part.training) for part in module.modules()]
    _evaluate(module)
    return any(was and not part.training for part, was in before)


def _evaluate(module: nn.Module) -> None:
    try:
        module.eval()
    except NotImplementedError:
        # Of a module that holds an exported program, what stands beside that has a mode still.
        for part in () if module.training else module.children():
            _evaluate(part)


def cast(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A copy of a module in another precision.

    Raises
    ------
    InputError : ``dtype`` is no precision, or the module cannot be copied.
    """
    if not dtype.is_floating_point:
        raise InputError("dtype", f"{dtype}", "Give a floating point type, such as torch.bfloat16.")
    try:
        copied = copy.deepcopy(module)
        copied.to(dtype)
    except Exception as error:
        raise InputError(
            "dtype", f"the module cannot be copied to cast it ({one_line(error)})", "Cast it, and leave dtype out."
        ) from error
    return copied


def folded(module: nn.Module) -> nn.Module:
    """A copy with each batch norm folded into the convolution before it; raises where torch.fx cannot trace it."""
    with warnings.catch_warnings():
        # The module warns of things that concern training, and of its own future, when it is imported.
        warnings.simplefilter("ignore")
        from torch.fx.experimental.optimization import fuse

        fused: nn.Module = fuse(module)
    fused.eval()
    return fused


def choose_device(device: str) -> torch.device:
    """``auto`` is CUDA where there is one.

    Raises
    ------
    InputError : no such device here.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise InputError("--device", f"torch knows no {device!r}", "Give auto, cpu, cuda, cuda:1 and so on.") from None
    try:
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise InputError("--device", f"{device!r} cannot be used ({str(error).splitlines()[0]})", "Try cpu.") from None
    return chosen
