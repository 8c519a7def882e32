"""The operations that windows are carried through, and with which attributes; whatever is not named here is dense."""

# ruff: noqa: ARG001 (all are called alike, and take what torch takes)
from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from pinprick.incremental.allow_pools import (
    adaptive,
    adaptive_module,
    average_pool,
    average_pool_module,
    max_pool,
    max_pool_module,
    mean,
)
from pinprick.incremental.arguments import Image, Unknown, image_of, pair_of
from pinprick.incremental.ops import Affine, Channels, Concat, Conv, Field, Op, Pair, Pick, Pointwise, Same, Sum
from pinprick.models.preprocessing import Preprocess


def op_of_module(module: nn.Module, given: torch.Tensor, made: torch.Tensor) -> Op:
    """What a layer does; ``given`` and ``made`` are values that it takes and returns, ``(2, C, H, W)``.

    Raises
    ------
    Unknown : a layer, or an attribute of it, that is not on the list. Subclasses are not: they may do anything.
    """
    found = _MODULES.get(type(module))
    if found is None:
        raise Unknown(type(module).__name__)
    return found(module, given, made)


def op_of_function(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], made: torch.Tensor) -> Op:
    """What a function or a tensor's method (by its name) does; values of images stand as :class:`Image`.

    Raises
    ------
    Unknown : a function, or an argument of it, that is not on the list.
    """
    found = _METHODS.get(function) if isinstance(function, str) else _FUNCTIONS.get(function)
    if found is None:
        raise Unknown(str(function))
    # torch.fx writes it down where it was left out; what is in place was made out of place before.
    given = {name: value for name, value in kwargs.items() if name != "inplace" or value is not False}
    try:
        return found(made, *args, **given)
    except TypeError as error:
        # Arguments that the list does not have.
        raise Unknown(str(error)) from None


# Convolutions


def _conv(
    made: torch.Tensor,
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Op:
    given = image_of(x)
    if not isinstance(weight, torch.Tensor) or isinstance(bias, Image) or weight.dim() != 4:
        raise Unknown("weights that depend on the image")
    kernel, steps, spread = (weight.shape[2], weight.shape[3]), pair_of(stride), pair_of(dilation)
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise Unknown(padding)
        # As torch pads: the odd one of "same" goes behind.
        before = [spread[axis] * (kernel[axis] - 1) // 2 if padding == "same" else 0 for axis in (0, 1)]
        pads: Pair = (before[0], before[1])
    else:
        pads = pair_of(padding)
    if given.dtype != torch.float32:
        raise Unknown("precision")
    return Conv(Field(kernel, steps, pads, spread), weight.detach(), groups)


def _conv_module(module: nn.Module, given: torch.Tensor, made: torch.Tensor) -> Op:
    assert isinstance(module, nn.Conv2d)
    if module.padding_mode != "zeros":
        raise Unknown(f"padding_mode {module.padding_mode}")
    return _conv(
        made,
        Image(given),
        module.weight,
        module.bias,
        module.stride,
        module.padding,
        module.dilation,
        module.groups,
    )


# A value for each channel


def _norm_module(module: nn.Module, given: torch.Tensor, made: torch.Tensor) -> Op:
    assert isinstance(module, nn.BatchNorm2d)
    if module.running_mean is None or module.running_var is None:
        raise Unknown("statistics of the batch")
    scale = (module.running_var.double() + module.eps).rsqrt()
    scale = scale if module.weight is None else scale * module.weight.detach().double()
    return Affine(scale.float())


def _preprocess(module: nn.Module, given: torch.Tensor, made: torch.Tensor) -> Op:
    assert isinstance(module, Preprocess)
    channels = given.shape[1]
    scale = module.std.flatten().double().reciprocal().float().expand(channels).contiguous()
    if module.order == "rgb":
        return Affine(scale)
    return Affine(scale.flip(0), torch.arange(channels - 1, -1, -1, device=scale.device))


def _per_channel(constant: Any, channels: int, device: torch.device) -> torch.Tensor:
    """A number, or a tensor that broadcasts over all but the channels, as ``(C,)``."""
    if isinstance(constant, (int, float)) and not isinstance(constant, bool):
        return torch.full((channels,), float(constant), device=device)
    if not isinstance(constant, torch.Tensor):
        raise Unknown("an operand that is neither map nor constant")
    shape = (1,) * (4 - constant.dim()) + tuple(constant.shape)
    if len(shape) != 4 or shape[0] != 1 or shape[2:] != (1, 1) or shape[1] not in (1, channels):
        raise Unknown("a constant that differs by position")
    return constant.detach().float().reshape(shape[1]).expand(channels).contiguous()


def _add(made: torch.Tensor, left: Any, right: Any, *, alpha: float = 1, sign: float = 1.0) -> Op:
    if alpha != 1:
        raise Unknown("alpha")
    if isinstance(left, Image) and isinstance(right, Image):
        if left.value.shape != right.value.shape:
            raise Unknown("a sum of two shapes")
        return Sum(sign)
    map_, constant = (left, right) if isinstance(left, Image) else (right, left)
    value = image_of(map_)
    _per_channel(constant, value.shape[1], value.device)
    if value.shape != made.shape:
        raise Unknown("a sum of two shapes")
    if map_ is right and sign < 0:
        return Affine(torch.full((value.shape[1],), -1.0, device=value.device))
    return Same()


def _multiply(made: torch.Tensor, left: Any, right: Any) -> Op:
    map_, constant = (left, right) if isinstance(left, Image) else (right, left)
    value = image_of(map_)
    if isinstance(constant, Image) or value.shape != made.shape:
        raise Unknown("a product of maps")
    return Affine(_per_channel(constant, value.shape[1], value.device))


def _divide(made: torch.Tensor, left: Any, right: Any) -> Op:
    value = image_of(left)
    if isinstance(right, Image) or value.shape != made.shape:
        raise Unknown("division by a map")
    return Affine(_per_channel(right, value.shape[1], value.device).double().reciprocal().float())


# Every value by itself


def _relu(value: torch.Tensor) -> torch.Tensor:
    return value.clamp_min(0)


def _relu_function(made: torch.Tensor, x: Any) -> Op:
    image_of(x)
    return Pointwise(_relu, relu=True)


def _pointwise_function(function: Callable[..., torch.Tensor]) -> Callable[..., Op]:
    def build(made: torch.Tensor, x: Any, *args: Any, **kwargs: Any) -> Op:
        if image_of(x).shape != made.shape:
            raise Unknown("a function that changes the shape")
        if not all(isinstance(one, (int, float, str, type(None))) for one in [*args, *kwargs.values()]):
            raise Unknown("an argument that is no number")
        return Pointwise(lambda value: function(value, *args, **kwargs))

    return build


def _pointwise_module(module: nn.Module, given: torch.Tensor, made: torch.Tensor) -> Op:
    if given.shape != made.shape:
        raise Unknown("a layer that changes the shape")
    return Pointwise(module)


def _relu_module(module: nn.Module, given: torch.Tensor, made: torch.Tensor) -> Op:
    return Pointwise(_relu, relu=True)


def _same_module(module: nn.Module, given: torch.Tensor, made: torch.Tensor) -> Op:
    return Same()


def _same_function(made: torch.Tensor, x: Any) -> Op:
    image_of(x)
    return Same()


def _dropout(made: torch.Tensor, x: Any, p: float = 0.5, training: bool = True) -> Op:
    image_of(x)
    if training is not False:
        raise Unknown("dropout in training mode")
    return Same()


# Maps put together and cut


def _concat(made: torch.Tensor, tensors: Any, dim: Any = 0) -> Op:
    if dim not in (1, -3) or not isinstance(tensors, (tuple, list)) or not tensors:
        raise Unknown("concatenation along something else than channels")
    for one in tensors:
        image_of(one)
    return Concat()


def _channels(order: list[int], given: torch.Tensor) -> Op:
    return Channels(torch.tensor(order, device=given.device))


def _slice(made: torch.Tensor, x: Any, index: Any) -> Op:
    given = image_of(x)
    parts = index if isinstance(index, tuple) else (index,)
    if len(parts) > 4 or not all(isinstance(part, slice) for part in parts) or made.dim() != 4:
        raise Unknown("an index that is no slice")
    bounds = []
    for axis, size in enumerate(given.shape):
        part = parts[axis] if axis < len(parts) else slice(None)
        if not all(one is None or type(one) is int for one in (part.start, part.stop, part.step)):
            raise Unknown("a slice that depends on the image")
        bounds.append(range(size)[part])
    if len(bounds[0]) != given.shape[0]:
        raise Unknown("a slice of the batch")
    if bounds[2] == range(given.shape[2]) and bounds[3] == range(given.shape[3]):
        return Same() if bounds[1] == range(given.shape[1]) else _channels(list(bounds[1]), given)
    if bounds[1] != range(given.shape[1]):
        raise Unknown("channels and positions cut at once")
    rows, columns = bounds[2], bounds[3]
    return Pick(Field((1, 1), (rows.step, columns.step), (-rows.start, -columns.start)))


def _pad(made: torch.Tensor, x: Any, pad: Any, mode: str = "constant", value: float | None = None) -> Op:
    given = image_of(x)
    if mode != "constant" or value not in (None, 0) or not isinstance(pad, (tuple, list)):
        raise Unknown("padding with something else than zeros")
    if len(pad) > 6 or len(pad) % 2 or any(type(one) is not int for one in pad):
        raise Unknown("padding of the batch")
    left, right, top, bottom, front, back = list(pad) + [0] * (6 - len(pad))
    if (left, right, top, bottom) == (0, 0, 0, 0) and front >= 0 and back >= 0:
        return _channels([-1] * front + list(range(given.shape[1])) + [-1] * back, given)
    if front or back:
        raise Unknown("channels and positions padded at once")
    return Pick(Field(padding=(top, left)))


_MODULES: dict[type[nn.Module], Callable[[nn.Module, torch.Tensor, torch.Tensor], Op]] = {
    nn.Conv2d: _conv_module,
    nn.BatchNorm2d: _norm_module,
    Preprocess: _preprocess,
    nn.ReLU: _relu_module,
    nn.Identity: _same_module,
    nn.Dropout: _same_module,
    nn.Dropout2d: _same_module,
    nn.MaxPool2d: max_pool_module,
    nn.AvgPool2d: average_pool_module,
    nn.AdaptiveAvgPool2d: adaptive_module,
}
_POINTWISE: tuple[type[nn.Module], ...] = (
    *(nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Sigmoid, nn.Tanh),
    *(nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.Softplus, nn.Softsign, nn.LogSigmoid, nn.Tanhshrink),
)
_MODULES.update(dict.fromkeys(_POINTWISE, _pointwise_module))

_FUNCTIONS: dict[Any, Callable[..., Op]] = {
    F.conv2d: _conv,
    torch.conv2d: _conv,
    F.relu: _relu_function,
    torch.relu: _relu_function,
    F.dropout: _dropout,
    operator.add: _add,
    torch.add: _add,
    operator.sub: partial(_add, sign=-1.0),
    torch.sub: partial(_add, sign=-1.0),
    operator.mul: _multiply,
    torch.mul: _multiply,
    operator.truediv: _divide,
    torch.div: _divide,
    F.max_pool2d: max_pool,
    torch.max_pool2d: max_pool,
    F.avg_pool2d: average_pool,
    F.adaptive_avg_pool2d: adaptive,
    torch.mean: mean,
    torch.cat: _concat,
    torch.concat: _concat,
    operator.getitem: _slice,
    F.pad: _pad,
}
for _function in (F.relu6, F.leaky_relu, F.elu, F.gelu, F.silu, F.hardtanh, F.hardswish, torch.sigmoid, torch.tanh):
    _FUNCTIONS[_function] = _pointwise_function(_function)

MADE_ANEW: tuple[type[nn.Module], ...] = (
    *_POINTWISE,
    *(nn.Conv2d, nn.Linear, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d),
)
"""Layers whose result shares no memory with what they are given, unless they work in place."""

MAKE_ANEW = (
    *(F.conv2d, torch.conv2d, F.linear, F.relu, torch.relu, F.relu6, F.gelu, F.silu, torch.sigmoid, torch.tanh),
    *(operator.add, operator.sub, operator.mul, operator.truediv, torch.add, torch.sub, torch.mul, torch.div),
    *(torch.cat, torch.concat, torch.mean, F.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d),
)
"""Functions of which the same is true."""

_METHODS: dict[str, Callable[..., Op]] = {
    "relu": _relu_function,
    "add": _add,
    "sub": partial(_add, sign=-1.0),
    "mul": _multiply,
    "div": _divide,
    "mean": mean,
    "contiguous": _same_function,
    "sigmoid": _pointwise_function(torch.sigmoid),
    "tanh": _pointwise_function(torch.tanh),
}
