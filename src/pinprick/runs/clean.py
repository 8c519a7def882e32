"""The clean pass: images are scored in order until enough of them are found that the classifier gets right."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pinprick.data.image_set import ImageSet
from pinprick.errors import InputError
from pinprick.goals import Scores
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
    scores: Scores = field(repr=False)


class RightImages(Sequence[RightImage]):
    """The right images of a clean pass, each made from its row when it is asked for: objects for all take much room.

    Parameters
    ----------
    scored : columns of :data:`CLEAN_SCHEMA`.
    rows, indices, labels, kinds : of each right image its row in ``scored``, its index in the set, its label, and the
        type of its scores (``f`` or ``d``, float32 or float64).
    """

    def __init__(
        self, scored: pa.Table, rows: Sequence[int], indices: Sequence[int], labels: Sequence[int], kinds: bytes
    ) -> None:
        self.scored, self.rows, self.indices, self.labels, self.kinds = scored, rows, indices, labels, kinds

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, place: int) -> RightImage: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[RightImage, ...]: ...
    def __getitem__(self, place: int | slice) -> RightImage | tuple[RightImage, ...]:
        if isinstance(place, slice):
            return tuple(self[number] for number in range(*place.indices(len(self))))
        row = self.rows[place]
        name, digest = (self.scored[column][row].as_py() for column in ("image", "image_digest"))
        scores = self.scored["scores"][row].values.to_numpy().astype(chr(self.kinds[place]))
        return RightImage(self.indices[place], name, digest, self.labels[place], scores)


@dataclass(frozen=True)
class CleanPass:
    """What the clean pass found.

    ``images`` were scored, up to the last right one that is used; ``failed`` of them gave no finite scores.
    ``scored`` holds a row for each of them (columns of :data:`CLEAN_SCHEMA`).
    """

    right: Sequence[RightImage]
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
    target: Target,
    images: ImageSet,
    *,
    wanted: int,
    order: NDArray[np.int64],
    rows_a_pass: int,
    predicted: bool,
    draws: int = 1,
    check: Callable[[pa.Table], None] | None = None,
) -> CleanPass:
    """Score images in ``order`` until ``wanted`` right ones are found, or all are scored.

    ``predicted``: labels are the classifier's own predictions, so that every image with finite scores is right.
    ``draws``: passes over each image; an image of several is right where more than half of them are, and its class is
    the most frequent one. ``check`` is given the rows of each pass (columns of :data:`CLEAN_SCHEMA`) before another one
    is asked for; what it raises ends the clean pass.

    Raises
    ------
    InputError : the set has no labels, labels and classes disagree, or the first 20 images all fail.
    """
    if images.labels is None and not predicted:
        raise InputError(
            f"--data {images.name}", "the images have no labels", "Give --labels predicted, or one sub-folder a class."
        )
    found, checked = _Found(), predicted or images.labels is None or target.grows
    for indices, pixels, scores, reasons, sure in _scored(target, images, order, rows_a_pass, draws):
        found.latest = []
        for row, index in enumerate(indices.tolist()):
            name, digest = images.names[index], image_digest(pixels[row])
            given = None if images.labels is None else int(images.labels[index])
            if row in reasons:
                found.add((name, digest, given, None, None, reasons[row]))
                found.failed += 1
                found.reason = found.reason or reasons[row]
                continue
            own = target.own_row(scores[row])
            guess = int(np.argmax(own))
            found.add((name, digest, given, guess, own.astype(np.float64), None))
            label = guess if predicted or given is None else given
            if not checked:
                check_labels(images, len(own))
                checked = True
            if guess == label and sure[row]:
                found.right(index, label, own.dtype.char)
            if len(found.rows) == wanted:
                return found.done()
        if found.failed == found.count and found.failed >= min(20, len(order)):
            right = "See what it returns for one image; a model that takes one image at a time needs --batch-size 1."
            if not target.local:
                right = "See what it answers to one image; check its address, its description and --auth-env."
            wrong = f"it failed on each of the first {found.failed} unchanged images ({found.reason})"
            raise InputError(f"--model {target.name}", wrong, right)
        if check is not None:
            check(pa.Table.from_batches([_batch(found.latest)], schema=CLEAN_SCHEMA))
    return found.done()


_TOGETHER = 1024
"""Images whose rows are made into a piece of the table at once."""


class _Found:
    """What a clean pass has found so far, as arrays."""

    def __init__(self) -> None:
        self.count = self.failed = 0
        self.reason: str | None = None
        self.rows, self.indices, self.labels = array("q"), array("q"), array("q")
        self._kinds = bytearray()
        self._pending: list[tuple[object, ...]] = []
        self.latest: list[tuple[object, ...]] = []
        """The rows of the latest pass."""
        self._pieces: list[pa.RecordBatch] = []

    def add(self, row: tuple[object, ...]) -> None:
        """A row with the columns of :data:`CLEAN_SCHEMA`."""
        self.count += 1
        self.latest.append(row)
        self._pending.append(row)
        if len(self._pending) == _TOGETHER:
            self._pack()

    def right(self, index: int, label: int, kind: str) -> None:
        """The image of the latest row is right."""
        for column, value in ((self.rows, self.count - 1), (self.indices, index), (self.labels, label)):
            column.append(value)
        self._kinds += kind.encode()

    def done(self) -> CleanPass:
        self._pack()
        scored = pa.Table.from_batches(self._pieces, schema=CLEAN_SCHEMA)
        right = RightImages(scored, self.rows, self.indices, self.labels, bytes(self._kinds))
        return CleanPass(right, self.count, self.failed, self.reason, scored)

    def _pack(self) -> None:
        if self._pending:
            self._pieces.append(_batch(self._pending))
            self._pending = []


def _batch(rows: list[tuple[object, ...]]) -> pa.RecordBatch:
    columns = zip(*rows, strict=True)
    arrays = [pa.array(list(column), kind.type) for column, kind in zip(columns, CLEAN_SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=CLEAN_SCHEMA)


def check_labels(images: ImageSet, classes: int) -> None:
    """Raise InputError where a label of the set is no class of the model, also of an image that is not scored."""
    assert images.labels is not None
    beyond = np.flatnonzero(images.labels >= classes)
    if len(beyond):
        index, label = int(beyond[0]), int(images.labels[beyond[0]])
        raise InputError(
            f"--data {images.name}",
            f"image {images.names[index]!r} has label {label}, and the model has {classes} classes",
            f"Labels go from 0 to {classes - 1}; check that the set belongs to the model.",
        )


def _scored(
    target: Target, images: ImageSet, order: NDArray[np.int64], rows: int, draws: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8], Scores, dict[int, str], NDArray[np.bool_]]]:
    """Indices, pixels, scores, reasons why there are none, and whether more than half of the draws agree."""
    shape: tuple[int, ...] | None = None
    for start in range(0, len(order), rows):
        indices = order[start : start + rows]
        pixels = images.stack(indices)
        # A pass of its own may be all of another size: the searches take one size for all.
        if shape is not None and pixels.shape[1:] != shape:
            images.stack([order[0], indices[0]])
        shape = pixels.shape[1:]
        check_shape(target, images, pixels.shape[1:])
        answers = ask(target, np.repeat(pixels, draws, axis=0), rows)
        reasons = {row // draws: reason for row, reason in sorted(answers.reasons.items(), reverse=True)}
        found, sure = _together(answers.scores.reshape(len(pixels), draws, -1))
        yield indices, pixels, found, reasons, sure


def _together(scores: Scores) -> tuple[Scores, NDArray[np.bool_]]:
    """Of draws ``(N, D, K)`` each image's first of the most frequent class, ``(N, K)``, and whether most are of it."""
    guesses = np.argmax(np.nan_to_num(scores, nan=-np.inf), axis=2)
    votes = (guesses[:, :, None] == np.arange(scores.shape[2])).sum(axis=1)
    foremost = votes.argmax(axis=1)
    first = (guesses == foremost[:, None]).argmax(axis=1)
    return scores[np.arange(len(scores)), first], 2 * votes.max(axis=1) > scores.shape[1]


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
