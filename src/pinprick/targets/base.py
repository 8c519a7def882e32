"""Targets: what is attacked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from pinprick.data.transform import Preparation
from pinprick.errors import InputError, TargetError, UnknownNameError
from pinprick.goals import Scores, softmax

if TYPE_CHECKING:
    from pinprick.targets.editing import Editing
    from pinprick.targets.ledger import Ledger
    from pinprick.targets.passes import Answers

Outputs = Literal["auto", "logits", "probabilities", "labels"]
Precision = Literal["fp32", "bf16"]
"""What candidates are scored in; verdicts are in the target's own."""
OUTPUTS = ("auto", "logits", "probabilities", "labels")
MOST_LABELS = 100_000
"""Labels go below this where no number of classes was stated; a row holds a number for each of them."""


class Target(ABC):
    """A classifier under attack: images ``(N, C, H, W)`` float in [0, 1], RGB or gray, to scores ``(N, K)``.

    Parameters
    ----------
    name : what the user called it.
    outputs : ``logits``, ``probabilities``, ``labels``, or ``auto`` until :func:`pinprick.targets.outputs.settle`
        has decided.
    classes : K; None until the first pass shows it. Labels do not show it: unless it is given, rows are as wide as
        the highest label among them needs (see :meth:`assume_classes`).
    shape : ``(C, H, W)`` that it takes, or None where any will do.
    """

    differentiable = False
    deterministic = True
    local = True
    """Local targets are asked in passes of one fixed number of rows; a remote one is never padded."""
    fixed_rows: int | None = None
    """The one number of rows that it takes at a time, where that is fixed in the model; None where any will do. Passes
    are cut and filled up to it in :meth:`answer`; nothing else has to know."""
    notes: tuple[str, ...] = ()
    """What its user should know before a run: lines that begin with ``note:`` or ``warning:``."""
    usual_rows: int | None = None
    """Rows a pass by default, where not those that are usual on its device."""
    class_names: tuple[str, ...] | None = None
    """Its classes by name, where it states them; several names of one class have commas between them. Labels of a set
    with class names are carried over by name (:func:`pinprick.targets.class_names.matched`)."""
    preparation: Preparation | None = None
    """How images are brought to the size that it was trained with, where it states that; done to the image set, before
    any pixel is changed (:func:`pinprick.runs.ready.settled_images`)."""
    channels: int | None = None
    """Channels of the images that it takes, where it states them."""
    strict_names = False
    """Whether images of classes that are not among :attr:`class_names` are refused, or warned of."""
    suspects = (
        "the order of the classes (--classes), of the channels (--channel-order), or the normalisation (--normalize)"
    )
    """Why it may get few images right that it should get right."""

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
        self.labels_of_scores = False
        """Whether it gives scores and is to give labels: of each row only the foremost class is told."""
        self.ledger: Ledger | None = None
        """Counts what is sent and how much more may be, where a run wants that."""
        self.at_least = 2
        """Width of rows made of labels, at least, while :attr:`grows`."""

    @property
    def grows(self) -> bool:
        """Whether rows differ in width: it gives labels, and no one stated how many classes there are."""
        return self.outputs == "labels" and self.classes is None

    def assume_classes(self, n: int) -> None:
        """Make rows of labels ``n`` wide or wider while their number is not known, as a set of ``n`` classes suggests.

        A guess for the run at hand, which the next one replaces. A label beyond it widens its own row and those
        beside it, and changes nothing for later ones: :attr:`classes` stays None. Targets whose classes are known, or
        that give scores, are left as they are.

        Raises
        ------
        InputError : more than :data:`MOST_LABELS`.
        """
        if n > MOST_LABELS:
            raise InputError("classes", f"{n}", f"Labels may go from 0 to {MOST_LABELS - 1}.")
        self.at_least = max(2, n)

    def own_row(self, row: Scores) -> Scores:
        """One row ``(K,)`` in the width that is its own, whatever the rows beside it needed; what is stored of it."""
        if not self.grows or np.isnan(row).any():
            return row
        return row[: max(self.at_least, int(row.argmax()) + 1)]

    @abstractmethod
    def raw(self, images: torch.Tensor) -> Any:
        """What the classifier itself returns for images ``(N, C, H, W)`` float32 in [0, 1]."""

    def fast(self, images: torch.Tensor) -> Any:
        """As :meth:`raw`, by the fastest way that agrees with it; searches use this, verdicts do not."""
        return self.raw(images)

    def choose_outputs(self, images: torch.Tensor) -> str | None:  # noqa: ARG002
        """Set :attr:`outputs` where the classifier itself shows what they are, and return a line that says so.

        Of others it is told by their answers (:func:`pinprick.targets.outputs.settle`); for them this is None.
        """
        return None

    def prepare(self, images: torch.Tensor) -> None:  # noqa: B027 (optional)
        """Called once before a run with images as they will come, to choose the fastest way."""

    def keep_to(self, engine: str | None) -> None:  # noqa: B027 (optional)
        """Choose the way that a run was begun with at each :meth:`prepare` from now on, if it can; None: any."""

    def search_in(self, precision: Precision) -> None:
        """Score candidates in this precision from the next :meth:`prepare` on.

        Raises
        ------
        InputError : another than fp32, of targets that have no choice.
        """
        if precision != "fp32":
            wrong = f"{self.name} is no torch module in single precision"
            raise InputError(f"--precision {precision}", wrong, "Leave it out.")

    def editing(self, shape: tuple[int, int, int]) -> Editing | None:  # noqa: ARG002
        """The way to score edits of images of ``shape`` from what was computed of these, of targets that have one."""
        return None

    def answers(self, images: NDArray[np.uint8], rows: int, *, fresh: bool) -> Answers | None:  # noqa: ARG002
        """Scores of 8-bit images ``(N, C, H, W)`` row by row, of targets that see to failures themselves; else None.

        ``rows``: of a pass at most. ``fresh``: the classifier itself is asked, whatever is remembered.
        """
        return None

    def identity(self) -> dict[str, Any]:
        """What belongs to a run's identity: weights' hash, engine, dtype, device and the like.

        The number of classes is not among it: some targets show it only when they are first asked.
        """
        return {"target": type(self).__name__, "outputs": self.outputs}

    def versions(self) -> dict[str, str]:
        """Versions of what runs it, by name, beside those that every manifest has."""
        return {}

    def note(self, line: str) -> None:
        """Add to :attr:`notes` what is not among them yet."""
        if line not in self.notes:
            self.notes = (*self.notes, line)

    def images(self, pixels: NDArray[np.uint8]) -> torch.Tensor:
        """8-bit images ``(N, C, H, W)`` as the float tensor in [0, 1] that the classifier takes."""
        return torch.from_numpy(np.require(pixels, requirements=["C", "W"])).float().div_(255)

    def piece(self, *, fast: bool) -> int | None:  # noqa: ARG002 (fast ways may differ)
        """Images that are computed at a time whatever is asked, which a pass need be no longer than; None: the pass."""
        return self.fixed_rows

    def answer(self, images: torch.Tensor, *, fast: bool = False) -> NDArray[Any]:
        """What the classifier returns for images ``(N, C, H, W)``, as an array; asked ``fixed_rows`` at a time.

        Raises
        ------
        TargetError : the answer is no array, or none of ``fixed_rows`` rows where these are fixed.
        """
        ask = self.fast if fast else self.raw
        if self.fixed_rows is None or len(images) == self.fixed_rows:
            return as_array(ask(images))
        parts = []
        for start in range(0, len(images), self.fixed_rows):
            part = images[start : start + self.fixed_rows]
            missing = self.fixed_rows - len(part)
            full = torch.cat([part, part[-1:].expand(missing, *part.shape[1:])]) if missing else part
            answer = as_array(ask(full))
            if answer.shape[:1] != (self.fixed_rows,):
                raise TargetError(f"{self.name} returned shape {answer.shape} for {self.fixed_rows} images")
            # A copy: the classifier may write its next answer where it wrote this one.
            parts.append(answer[: len(part)].copy())
        return np.concatenate(parts)

    def scores(self, images: torch.Tensor, *, fast: bool = False) -> Scores:
        """Scores ``(N, K)``, an array of their own; labels become one-hot rows.

        They are float32, or float64 where float32 does not hold all that the classifier gives: two of its scores may
        differ by less, and the foremost class is what verdicts are about.

        Raises
        ------
        TargetError : the answer is not ``(N, K)`` numbers, or K changed.
        """
        return self.as_scores(self.answer(images, fast=fast), images.shape[0])

    def as_scores(self, answer: Any, n: int) -> Scores:
        """The classifier's answer to ``n`` images as :meth:`scores` gives it; raises as that does."""
        answer = as_array(answer)
        if self.outputs == "labels":
            return self._one_hot(self._foremost(answer, n) if self.labels_of_scores else answer, n)
        if answer.ndim != 2 or len(answer) != n or answer.shape[1] < 2 or answer.dtype.kind not in "fiu":
            raise TargetError(
                f"{self.name} returned {answer.dtype} of shape {answer.shape} for {n} images; "
                f"scores are numbers of shape ({n}, number of classes)"
            )
        if self.classes is None:
            self.classes = answer.shape[1]
        elif self.classes != answer.shape[1]:
            raise TargetError(f"{self.name} returned {answer.shape[1]} classes where it has {self.classes}")
        # A copy in any case: the classifier may write its next answer where it wrote this one.
        scores: Scores = answer.astype(np.float32 if np.can_cast(answer.dtype, np.float32) else np.float64)
        return scores

    def _foremost(self, answer: NDArray[Any], n: int) -> NDArray[Any]:
        """Labels ``(N,)`` of rows of scores, NaN for a row that is not finite."""
        if answer.ndim != 2 or len(answer) != n or answer.shape[1] < 2 or answer.dtype.kind not in "fiu":
            raise TargetError(f"{self.name} returned {answer.dtype} of shape {answer.shape} for {n} images")
        finite = np.isfinite(answer.astype(np.float64)).all(axis=1)
        labels: NDArray[Any] = np.where(finite, answer.argmax(axis=1), np.nan)
        return labels

    def _one_hot(self, answer: NDArray[Any], n: int) -> NDArray[np.float32]:
        """Rows ``(N, K)`` from labels: ``(N,)`` or ``(N, 1)`` whole numbers, floats among them."""
        below = self.classes or MOST_LABELS
        if answer.shape not in ((n,), (n, 1)) or answer.dtype.kind not in "iufb":
            raise TargetError(
                f"{self.name} returned {answer.dtype} of shape {answer.shape} for {n} images; "
                f"labels are {n} integers from 0 to {below - 1}"
            )
        labels = answer.reshape(n)
        exact = labels.astype(np.float64)
        odd = labels[~((exact >= 0) & (exact < below) & (exact == np.floor(exact)))]
        if odd.size:
            raise TargetError(f"{self.name} returned label {odd[0]}; labels are integers from 0 to {below - 1}")
        whole = labels.astype(np.int64)
        rows = np.zeros((n, self.classes or max(self.at_least, int(whole.max()) + 1)), np.float32)
        rows[np.arange(n), whole] = 1
        return rows

    def probabilities(self, scores: Scores) -> NDArray[np.float64]:
        """Probabilities ``(N, K)`` of scores: softmax of logits, anything else as it is."""
        return softmax(scores) if self.outputs == "logits" else scores.astype(np.float64)


def as_array(answer: Any) -> NDArray[Any]:
    """A classifier's answer as a NumPy array.

    It may be a tensor, an array, anything that NumPy makes one of (``__array__``), nested lists or a list of tensors,
    a row for each image; a dict or an object with ``logits``, as models of transformers give; or a dict, list or tuple
    with one of these in it and nothing else.

    Raises
    ------
    TargetError : it is none of these, and of several arrays it is not clear which are the scores.
    """
    answer = _unwrapped(answer)
    if isinstance(answer, torch.Tensor):
        answer = answer.detach()
        # NumPy has no bfloat16; what is double stays so.
        single = answer.is_floating_point() and answer.dtype != torch.float64
        array: NDArray[Any] = (answer.float() if single else answer).cpu().numpy()
        return array
    if isinstance(answer, np.ndarray):
        return answer
    if isinstance(answer, list | tuple) and answer and not isinstance(answer[0], dict | str):
        try:
            return np.stack([as_array(row) for row in answer]) if _is_array(answer[0]) else np.asarray(answer)
        except ValueError as error:
            raise TargetError(f"the classifier returned rows of differing lengths ({error})") from None
    if hasattr(answer, "__array__"):
        return np.asarray(answer)
    what = f"a {type(answer).__name__}"
    if isinstance(answer, Mapping):
        what += f" with {', '.join(repr(str(name)) for name in list(answer)[:5]) or 'nothing in it'}"
    raise TargetError(f"the classifier returned {what}; it should return scores as a tensor or array (N, K)")


def _unwrapped(answer: Any) -> Any:
    """The scores in an answer that holds them under a name, or nothing else."""
    if isinstance(answer, Mapping):
        if "logits" in answer:
            return answer["logits"]
        return next(iter(answer.values())) if len(answer) == 1 else answer
    if not _is_array(answer) and _is_array(logits := getattr(answer, "logits", None)):
        return logits
    # A row for each image has one dimension at most; what has more holds all rows.
    if isinstance(answer, list | tuple) and len(answer) == 1 and _is_array(answer[0]) and answer[0].ndim > 1:
        return answer[0]
    if isinstance(answer, list | tuple) and answer and all(_is_array(part) and part.ndim > 1 for part in answer):
        shapes = ", ".join(str(tuple(part.shape)) for part in answer[:4])
        raise TargetError(
            f"the classifier returned {len(answer)} arrays, of shapes {shapes}; it should return the scores alone"
        )
    return answer


def _is_array(value: Any) -> bool:
    return isinstance(value, torch.Tensor | np.ndarray)
