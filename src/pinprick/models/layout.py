"""How a network's weights lie in memory."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)


def in_channels_last(module: Module) -> Module:
    """Lay the weights of four dimensions out with channels last; returns the module, which is changed.

    ``module.to(memory_format=torch.channels_last)`` does it too, but raises where a value has five dimensions.
    """
    for value in (*module.parameters(), *module.buffers()):
        if value.dim() == 4:
            value.data = value.data.contiguous(memory_format=torch.channels_last)
    return module
