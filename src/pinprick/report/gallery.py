"""The gallery: which units are shown, and what is shown of each."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pinprick.data.decode import encode_png
from pinprick.data.image_set import Image
from pinprick.edits import Edits
from pinprick.errors import InputError
from pinprick.goals import softmax
from pinprick.report.originals import Originals
from pinprick.runs.measures import Measures
from pinprick.runs.table import without_maps

PICTURES = 120
"""Units shown in a report, over all its runs."""
BYTES = 3_000_000
"""Of pictures in a report, encoded; large images are fewer."""
LISTED = 6
"""Changed pixels that a card lists; all of them are marked."""
_SHARES = {"fooled": 4, "held": 1, "baseline fooled": 1, "baseline held": 0}
"""Out of each kind of unit, in turns, for as long as there are any."""


@dataclass(frozen=True)
class Changed:
    """One changed pixel: where it lies, and its colours before and after as CSS and as numbers."""

    row: int
    column: int
    before: str
    after: str
    before_text: str
    after_text: str


@dataclass(frozen=True)
class Card:
    """A unit as the gallery shows it. Confidences are None where the classifier gives labels only.

    ``watched`` is the class whose confidence a held unit tried to move: its own, pushed down to ``watched_share``, or
    (targeted) the target, pushed up to it. Of ``draws`` deciding passes ``agree`` met the goal, None of a single one.
    """

    image: str
    attack: str
    pixels: int
    status: str
    label: int
    target: int | None
    predicted_before: int
    confidence_before: float | None
    predicted_after: int
    confidence_after: float | None
    watched_share: float | None
    draws: int
    agree: int | None
    asked: int
    first_hit: int | None
    height: int
    width: int
    changed: tuple[Changed, ...]
    original: str
    adversarial: str


@dataclass(frozen=True)
class Group:
    """How many units of one kind there are, and how many of them are shown."""

    attack: str
    pixels: int
    status: str
    shown: int
    units: int


@dataclass(frozen=True)
class Gallery:
    """Cards, the counts behind the choice, and why pictures are missing (reason: images) where they are."""

    cards: tuple[Card, ...]
    groups: tuple[Group, ...]
    missing: tuple[tuple[str, int], ...]
    full: bool
    """Whether the pictures reached the size that is allowed before they reached their number."""

    @property
    def units(self) -> int:
        """Units with a verdict, shown or not."""
        return sum(group.units for group in self.groups)


def make_gallery(run: Measures, table: pa.Table, originals: Originals, most: int, size: int = BYTES) -> Gallery:
    """Choose units and draw their cards.

    Units are taken by their keys, which are hashes and know nothing of the outcome, so that what is shown is no choice
    of anybody's; from the kinds of units (attack, number of pixels, outcome) in turns.

    Parameters
    ----------
    table : outcomes of the run.
    most : cards at most. ``size``: bytes of encoded pictures at most.
    """
    order = list(dict.fromkeys(row.row.attack for row in run.rows))
    units: dict[tuple[str, int, str], list[dict[str, Any]]] = {}
    for unit in without_maps(table).to_pylist():  # sorted by key
        if unit["status"] in ("fooled", "held") and unit["rows"] is not None and unit["attack"] in order:
            units.setdefault((unit["attack"], unit["pixels"], unit["status"]), []).append(unit)
    cards: list[Card] = []
    shown: dict[tuple[str, int, str], int] = {}
    bytes_used, full = 0, False
    outputs = run.manifest["what"]["target"].get("outputs")
    for kind, unit in _in_turns(units, order[0]):
        if len(cards) >= most:
            break
        image = originals.get(unit["image"], unit["image_digest"])
        if image is None:
            continue
        card = _card(unit, image, outputs)
        bytes_used += len(card.original) + len(card.adversarial)
        if bytes_used > size and cards:
            full = True
            break
        cards.append(card)
        shown[kind] = shown.get(kind, 0) + 1
    groups = [Group(*kind, shown.get(kind, 0), len(units[kind])) for kind in units]
    groups.sort(key=lambda group: (order.index(group.attack), group.pixels, group.status))
    reasons: dict[str, int] = {}
    for reason in originals.missing.values():
        reasons[reason] = reasons.get(reason, 0) + 1
    return Gallery(tuple(cards), tuple(groups), tuple(sorted(reasons.items(), key=lambda item: -item[1])), full)


def _in_turns(
    units: dict[tuple[str, int, str], list[dict[str, Any]]], attack: str
) -> Iterator[tuple[tuple[str, int, str], dict[str, Any]]]:
    """All units: in each round four fooled ones of the attack to one held one and one of the baseline's successes."""
    lanes: dict[str, list[tuple[tuple[str, int, str], dict[str, Any]]]] = {name: [] for name in _SHARES}
    for name, lane in lanes.items():
        kinds = [kind for kind in units if name == ("" if kind[0] == attack else "baseline ") + kind[2]]
        kinds.sort(key=lambda kind: kind[1])
        # Within a lane, one unit of each number of pixels after the other.
        for row in zip_longest(*([(kind, unit) for unit in units[kind]] for kind in kinds)):
            lane += [entry for entry in row if entry is not None]
    queues = {name: iter(lane) for name, lane in lanes.items()}
    while True:
        took = False
        for name, turns in _SHARES.items():
            for _ in range(turns):
                entry = next(queues[name], None)
                if entry is not None:
                    took = True
                    yield entry
        if not took:
            break
    yield from queues["baseline held"]


def _card(unit: dict[str, Any], image: Image, outputs: str | None) -> Card:
    edits = Edits(
        np.array([unit["rows"]], np.int32).reshape(1, -1),
        np.array([unit["columns"]], np.int32).reshape(1, -1),
        np.array([unit["colours"]], np.uint8).reshape(1, len(unit["rows"]), image.shape[0]),
    )
    if edits.pixels and not _inside(edits, image):
        raise InputError(
            f"stored outcome {unit['key']}", "it changes pixels outside of its image", "Give a folder that is whole."
        )
    after: NDArray[np.uint8] = edits.apply(image[None])[0]
    sure = outputs != "labels"
    return Card(
        image=unit["image"],
        attack=unit["attack"],
        pixels=unit["pixels"],
        status=unit["status"],
        label=unit["label"],
        target=unit["target"],
        predicted_before=unit["predicted_before"],
        confidence_before=unit["confidence_before"] if sure else None,
        predicted_after=unit["predicted_after"],
        confidence_after=unit["confidence_after"] if sure else None,
        watched_share=_watched(unit, outputs) if sure and unit["status"] == "held" else None,
        draws=unit["draws"],
        agree=unit["agree"],
        asked=unit["asked"],
        first_hit=unit["first_hit"],
        height=image.shape[1],
        width=image.shape[2],
        changed=tuple(
            Changed(
                int(row),
                int(column),
                _css(image[:, row, column]),
                _css(after[:, row, column]),
                _colour(image[:, row, column]),
                _colour(after[:, row, column]),
            )
            for row, column in np.argwhere((image != after).any(axis=0))
        ),
        original=data_uri(image),
        adversarial=data_uri(after),
    )


def _inside(edits: Edits, image: Image) -> bool:
    places = ((edits.rows, image.shape[1]), (edits.columns, image.shape[2]))
    return all(int(where.min()) >= 0 and int(where.max()) < side for where, side in places)


def _watched(unit: dict[str, Any], outputs: str | None) -> float | None:
    """Probability of the label (targeted: of the target) on the best candidate of a held unit."""
    scores = unit["scores_after"]
    if scores is None:
        return None
    shares = softmax(np.array(scores, np.float32)[None])[0] if outputs == "logits" else np.array(scores, float)
    return float(shares[unit["label"] if unit["target"] is None else unit["target"]])


def data_uri(image: Image) -> str:
    """An image ``(C, H, W)`` uint8 as a PNG in a data URI, at its own size."""
    return "data:image/png;base64," + base64.b64encode(encode_png(image)).decode("ascii")


def _css(colour: NDArray[np.uint8]) -> str:
    red, green, blue = (int(value) for value in (colour if len(colour) == 3 else np.repeat(colour, 3)))
    return f"#{red:02x}{green:02x}{blue:02x}"


def _colour(colour: NDArray[np.uint8]) -> str:
    return ", ".join(str(int(value)) for value in colour)
