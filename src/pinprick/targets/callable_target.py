"""Targets that are plain functions, or objects with a ``predict`` such as Keras models have."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from pinprick.errors import InputError
from pinprick.targets.arrays import ArrayPixels, Layout
from pinprick.targets.base import Outputs, Target


class CallableTarget(Target):
    """Any function from images ``(N, C, H, W)``, a float32 CPU tensor in [0, 1], to scores ``(N, K)`` or labels.

    Parameters
    ----------
    function : returns a tensor, an array, nested lists, or what holds one of these (see
        :func:`pinprick.targets.base.as_array`).
    pixels : how images go in; None: as a tensor, as above. With :class:`pinprick.targets.arrays.ArrayPixels` the
        function gets float32 NumPy arrays ``(N, H, W, C)`` or ``(N, C, H, W)``, in the range that this says.
    remote : the function asks something over a wire; it is then never padded to a fixed number of rows, and
        ``outputs`` must be given.
    deterministic : whether equal images get equal scores; where not, several passes decide on each image.
    fixed_rows : images that the function takes at a time, where it takes no other number; None for any.
    identity : what tells this function from another in a run's manifest, such as a hash of its weights.
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        outputs: Outputs = "auto",
        *,
        name: str | None = None,
        classes: int | None = None,
        shape: tuple[int, int, int] | None = None,
        remote: bool = False,
        deterministic: bool = True,
        fixed_rows: int | None = None,
        pixels: ArrayPixels | None = None,
        identity: str = "",
    ) -> None:
        if not callable(function):
            raise InputError("model", f"a {type(function).__name__}, which cannot be called", "Give a function.")
        if fixed_rows is not None and fixed_rows < 1:
            raise InputError("fixed_rows", f"{fixed_rows}", "Give the number of images it takes at a time, or None.")
        super().__init__(name or str(getattr(function, "__name__", "callable")), outputs, classes=classes, shape=shape)
        self.function, self.local, self.deterministic, self._identity = function, not remote, deterministic, identity
        self.fixed_rows, self.pixels = fixed_rows, pixels

    def raw(self, images: torch.Tensor) -> Any:
        return self.function(images if self.pixels is None else self.pixels(images).astype(np.float32))

    def identity(self) -> dict[str, Any]:
        own = super().identity() | {"function": self.name, "weights": self._identity}
        return own if self.pixels is None else own | {"preprocess": self.pixels.identity()}


def predictor_target(
    model: Any,
    outputs: Outputs = "auto",
    *,
    name: str | None = None,
    normalize: str | None = None,
    order: str | None = None,
    layout: Layout = "auto",
) -> CallableTarget:
    """The target of an object whose ``predict`` takes an array of images and gives scores, as Keras models have it.

    Images go in as float32 arrays in [0, 1], ``(N, H, W, C)`` unless ``layout`` or ``model.input_shape`` says
    otherwise. That also says how many images it takes at a time, and of which size, where these are fixed.

    Raises
    ------
    InputError : a normalisation, order or layout that there is not; an input that is no image; a pipeline.
    """
    if hasattr(model, "image_processor") and hasattr(model, "model"):
        right = "Give its model by name, hf:OWNER/NAME: pictures in and words out leave no place for single pixels."
        raise InputError(f"--model {name}" if name else "model", "a pipeline of transformers", right)
    shape = getattr(model, "input_shape", None)
    rows, size, found = _input(shape, name or type(model).__name__)
    pixels = ArrayPixels.of(normalize, order, found if layout == "auto" else layout)
    if layout not in ("auto", found) and size is not None:
        raise InputError(f"--layout {layout}", f"the model takes {shape}", "Leave it out.")
    quiet = {"verbose": 0} if "verbose" in _parameters(model.predict) else {}
    target = CallableTarget(
        lambda images: model.predict(images, **quiet),
        outputs,
        name=name or type(model).__name__,
        shape=size,
        fixed_rows=rows,
        pixels=pixels,
        identity=_weights_of(model),
    )
    target.suspects = (
        "the range of the pixel values (--normalize 0..255, or -1..1; without it they are in [0, 1]), the order of the "
        "channels (--channel-order), or of the classes (--classes)"
    )
    return target


def _input(shape: Any, name: str) -> tuple[int | None, tuple[int, int, int] | None, Layout]:
    """Rows at a time, ``(C, H, W)`` and layout that ``(N, H, W, C)`` or ``(N, C, H, W)`` says, as far as it does."""
    if not isinstance(shape, tuple):
        return None, None, "nhwc"
    if len(shape) != 4:
        raise InputError(f"--model {name}", f"it takes {shape}", "Give a function that brings images into that shape.")
    rows, *sizes = shape
    layout: Layout = "nchw" if sizes[0] in (1, 3) and sizes[2] not in (1, 3) else "nhwc"
    channels, height, width = sizes if layout == "nchw" else (sizes[2], sizes[0], sizes[1])
    whole = None if None in sizes else (int(channels), int(height), int(width))
    return None if rows is None else int(rows), whole, layout


def _parameters(function: Any) -> tuple[str, ...]:
    try:
        return tuple(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return ()


def _weights_of(model: Any) -> str:
    """BLAKE2b of what ``get_weights`` gives, nothing where there is none."""
    if not callable(getattr(model, "get_weights", None)):
        return ""
    digest = hashlib.blake2b(digest_size=16)
    for array in map(np.asarray, model.get_weights()):
        digest.update(f"{array.dtype} {array.shape};".encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
