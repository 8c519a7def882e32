"""Targets that are plain functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from pinprick.errors import InputError
from pinprick.targets.base import Outputs, Target


class CallableTarget(Target):
    """Any function from images ``(N, C, H, W)``, a float32 CPU tensor in [0, 1], to scores ``(N, K)`` or labels.

    Parameters
    ----------
    function : returns a tensor, an array or nested lists.
    remote : the function asks something over a wire; it is then never padded to a fixed number of rows, and
        ``outputs`` must be given.
    deterministic : whether equal images get equal scores.
    fixed_rows : images that the function takes at a time, where it takes no other number; None for any.
    identity : what tells this function from another in a run's manifest, such as a hash of its weights.
    """

    def __init__(
        self,
        function: Callable[[torch.Tensor], Any],
        outputs: Outputs = "auto",
        *,
        name: str | None = None,
        classes: int | None = None,
        shape: tuple[int, int, int] | None = None,
        remote: bool = False,
        deterministic: bool = True,
        fixed_rows: int | None = None,
        identity: str = "",
    ) -> None:
        if not callable(function):
            raise InputError("model", f"a {type(function).__name__}, which cannot be called", "Give a function.")
        if fixed_rows is not None and fixed_rows < 1:
            raise InputError("fixed_rows", f"{fixed_rows}", "Give the number of images it takes at a time, or None.")
        super().__init__(name or str(getattr(function, "__name__", "callable")), outputs, classes=classes, shape=shape)
        self.function, self.local, self.deterministic, self._identity = function, not remote, deterministic, identity
        self.fixed_rows = fixed_rows

    def raw(self, images: torch.Tensor) -> Any:
        return self.function(images)

    def identity(self) -> dict[str, Any]:
        return super().identity() | {"function": self.name, "weights": self._identity}
