"""Targets: what is attacked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from pinprick.errors import InputError, TargetError, UnknownNameError
from pinprick.goals import softmax

Outputs = Literal["auto", "logits", "probabilities", "labels"]
OUTPUTS = ("auto", "logits", "probabilities", "labels")


class Target(ABC):
    """A classifier under attack: images ``(N, C, H, W)`` float in [0, 1], RGB or gray, to scores ``(N, K)``.

    Parameters
    ----------
    name : what the user called it.
    outputs : ``logits``, ``probabilities``, ``labels``, or ``auto`` until :func:`pinprick.targets.outputs.settle`
        has decided.
    classes : K; None until the first pass shows it. With ``labels`` it must be given.
    shape : ``(C, H, W)`` that it takes, or None where any will do.
    """

    differentiable = False
    deterministic = True
    local = True
    """Local targets are asked in passes of one fixed number of rows; a remote one is never padded."""

    def __init__(
        self,
        name: str,
        outputs: Outputs = "auto",
        *,
        classes: int | None = None,
        shape: tuple[int, int, int] | None = None,
    ) -> None:
        if outputs not in OUTPUTS:
            raise UnknownNameError("outputs", str(outputs), OUTPUTS)
        if classes is not None and classes < 2:
            raise InputError("classes", f"{classes}", "A classifier has two or more.")
        self.name, self.outputs, self.classes, self.shape = name, outputs, classes, shape

    @abstractmethod
    def raw(self, images: torch.Tensor) -> Any:
        """What the classifier itself returns for images ``(N, C, H, W)`` float32 in [0, 1]."""

    def fast(self, images: torch.Tensor) -> Any:
        """As :meth:`raw`, by the fastest way that agrees with it; searches use this, verdicts do not."""
        return self.raw(images)

    def prepare(self, images: torch.Tensor) -> None:  # noqa: B027 (optional)
        """Called once before a run with images as they will come, to choose the fastest way."""

    def identity(self) -> dict[str, Any]:
        """What belongs to a run's identity: weights' hash, engine, dtype, device and the like.

        The number of classes is not among it: some targets show it only when they are first asked.
        """
        return {"target": type(self).__name__, "outputs": self.outputs}

    def images(self, pixels: NDArray[np.uint8]) -> torch.Tensor:
        """8-bit images ``(N, C, H, W)`` as the float tensor in [0, 1] that the classifier takes."""
        return torch.from_numpy(np.ascontiguousarray(pixels)).float().div_(255)

    def scores(self, images: torch.Tensor, *, fast: bool = False) -> NDArray[np.float32]:
        """Scores ``(N, K)`` float32; labels become one-hot rows.

        Raises
        ------
        TargetError : the answer is not ``(N, K)`` numbers, or K changed.
        """
        answer = as_array(self.fast(images) if fast else self.raw(images))
        n = images.shape[0]
        if self.outputs == "labels":
            return self._one_hot(answer, n)
        if answer.ndim != 2 or len(answer) != n or answer.shape[1] < 2 or answer.dtype.kind not in "fiu":
            raise TargetError(
                f"{self.name} returned {answer.dtype} of shape {answer.shape} for {n} images; "
                f"scores are numbers of shape ({n}, number of classes)"
            )
        if self.classes is None:
            self.classes = answer.shape[1]
        elif self.classes != answer.shape[1]:
            raise TargetError(f"{self.name} returned {answer.shape[1]} classes where it has {self.classes}")
        return answer.astype(np.float32, copy=False)

    def _one_hot(self, answer: NDArray[Any], n: int) -> NDArray[np.float32]:
        if self.classes is None:
            raise InputError(
                f"target {self.name!r}", "it returns labels and its classes are not known", "Give classes."
            )
        labels = answer.reshape(-1)
        if len(labels) != n or labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= self.classes:
            raise TargetError(
                f"{self.name} returned {answer.dtype} of shape {answer.shape} for {n} images; "
                f"labels are {n} integers from 0 to {self.classes - 1}"
            )
        rows: NDArray[np.float32] = np.eye(self.classes, dtype=np.float32)[labels]
        return rows

    def probabilities(self, scores: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probabilities ``(N, K)`` of scores: softmax of logits, anything else as it is."""
        return softmax(scores) if self.outputs == "logits" else scores.astype(np.float64)


def as_array(answer: Any) -> NDArray[Any]:
    """A classifier's answer as a NumPy array: a tensor, an array, or nested lists.

    Raises
    ------
    TargetError : it is none of these (a dict or an object with named fields, say).
    """
    if isinstance(answer, torch.Tensor):
        answer = answer.detach()
        array: NDArray[Any] = (answer.float() if answer.is_floating_point() else answer).cpu().numpy()
        return array
    if isinstance(answer, np.ndarray):
        return answer
    if isinstance(answer, list | tuple) and answer and not isinstance(answer[0], torch.Tensor | dict | str):
        try:
            return np.asarray(answer)
        except ValueError as error:
            raise TargetError(f"the classifier returned lists of differing lengths ({error})") from None
    raise TargetError(
        f"the classifier returned a {type(answer).__name__}; it should return scores as a tensor or array (N, K)"
    )
