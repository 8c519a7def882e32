"""The clean pass: images are scored in order until enough of them are found that the classifier gets right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pinprick.data.image_set import ImageSet
from pinprick.errors import InputError
from pinprick.streams import choice_seed, generator, image_digest
from pinprick.targets.base import Target
from pinprick.targets.passes import ask

CLEAN_SCHEMA = pa.schema(
    [
        pa.field("image", pa.string(), nullable=False),
        pa.field("image_digest", pa.string(), nullable=False),
        pa.field("label", pa.int32()),
        pa.field("predicted", pa.int32()),
        pa.field("scores", pa.list_(pa.float64())),
        pa.field("reason", pa.string()),
    ]
)
"""The unchanged images of a run as the target scored them; ``predicted`` and ``scores`` are null where it failed,
``label`` where the set has none."""


@dataclass(frozen=True)
class RightImage:
    """An image that the classifier got right before the attack; its pixels stay in the set."""

    index: int
    name: str
    digest: str
    label: int
    scores: NDArray[np.float32] = field(repr=False)


@dataclass(frozen=True)
class CleanPass:
    """What the clean pass found.

    ``images`` were scored, up to the last right one that is used; ``failed`` of them gave no finite scores.
    ``scored`` holds a row for each of them (columns of :data:`CLEAN_SCHEMA`).
    """

    right: tuple[RightImage, ...]
    images: int
    failed: int
    first_reason: str | None
    scored: pa.Table = field(repr=False)

    @property
    def accuracy(self) -> float | None:
        """Right images over scored ones, None without any."""
        return len(self.right) / self.images if self.images else None


def image_order(images: ImageSet, seed: int, *, shuffled: bool) -> NDArray[np.int64]:
    """Indices of the set's images in its own order, or in the permutation that belongs to ``seed``."""
    if not shuffled:
        return np.arange(len(images))
    return generator(choice_seed(seed, "order"), 0).permutation(len(images))


def clean_pass(
    target: Target, images: ImageSet, *, wanted: int, order: NDArray[np.int64], rows_a_pass: int, predicted: bool
) -> CleanPass:
    """Score images in ``order`` until ``wanted`` right ones are found, or all are scored.

    ``predicted``: labels are the classifier's own predictions, so that every image with finite scores is right.

    Raises
    ------
    InputError : the set has no labels, labels and classes disagree, or the first 20 images all fail.
    """
    if images.labels is None and not predicted:
        raise InputError(
            f"--data {images.name}", "the images have no labels", "Give --labels predicted, or one sub-folder a class."
        )
    right: list[RightImage] = []
    rows: list[dict[str, object]] = []
    failed = 0
    reason: str | None = None

    def done() -> CleanPass:
        return CleanPass(tuple(right), len(rows), failed, reason, pa.Table.from_pylist(rows, schema=CLEAN_SCHEMA))

    for indices, pixels, scores, reasons in _scored(target, images, order, rows_a_pass):
        for row, index in enumerate(indices):
            name, digest = images.names[index], image_digest(pixels[row])
            given = None if images.labels is None else int(images.labels[index])
            rows.append({"image": name, "image_digest": digest, "label": given, "reason": reasons.get(row)})
            if row in reasons:
                failed += 1
                reason = reason or reasons[row]
                continue
            own = target.own_row(scores[row]).copy()
            guess = int(np.argmax(own))
            rows[-1] |= {"predicted": guess, "scores": own.tolist()}
            label = guess if predicted or given is None else given
            if not target.grows:
                check_label(images, index, label, len(own))
            if guess == label:
                right.append(RightImage(int(index), name, digest, label, own))
            if len(right) == wanted:
                return done()
        if failed == len(rows) and failed >= min(20, len(order)):
            raise InputError(
                f"--model {target.name}",
                f"it failed on each of the first {failed} unchanged images ({reason})",
                "See what it returns for one image; a model that takes one image at a time needs --batch-size 1.",
            )
    return done()


def check_label(images: ImageSet, index: int, label: int, classes: int) -> None:
    """Raise InputError where a label is no class of the model."""
    if label >= classes:
        raise InputError(
            f"--data {images.name}",
            f"image {images.names[index]!r} has label {label}, and the model has {classes} classes",
            f"Labels go from 0 to {classes - 1}; check that the set belongs to the model.",
        )


def _scored(
    target: Target, images: ImageSet, order: NDArray[np.int64], rows: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.float32], dict[int, str]]]:
    shape: tuple[int, ...] | None = None
    for start in range(0, len(order), rows):
        indices = order[start : start + rows]
        pixels = images.stack(indices)
        # A pass of its own may be all of another size: the searches take one size for all.
        if shape is not None and pixels.shape[1:] != shape:
            images.stack([order[0], indices[0]])
        shape = pixels.shape[1:]
        check_shape(target, images, pixels.shape[1:])
        answers = ask(target, pixels, rows)
        yield indices, pixels, answers.scores, answers.reasons


def check_shape(target: Target, images: ImageSet, shape: tuple[int, ...]) -> None:
    """Raise InputError where the images are not of the shape that the target takes."""
    if target.shape is not None and shape != target.shape:
        channels, height, width = target.shape
        raise InputError(
            f"--data {images.name}",
            f"images of {' x '.join(map(str, shape))} where {target.name} takes {channels} x {height} x {width}",
            "Use --resize and --crop, or a set of that shape.",
        )
    if len(shape) == 3 and not (min(shape[1:]) >= 8 and max(shape[1:]) <= 512):
        raise InputError(
            f"--data {images.name}", f"images of {shape[1]} x {shape[2]} pixels", "8 x 8 to 512 x 512 are attacked."
        )
