"""Vulnerability maps of single images, as pictures: how many colours fool at each position, and by what margin."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image as PILImage

from pinprick.data.image_set import Image
from pinprick.goals import Goal, GoalRows, Scores, softmax
from pinprick.metrics.vulnerability import is_whole, maps
from pinprick.outcomes import LARGEST_MARGIN, VulnerabilityMap
from pinprick.report.gallery import data_uri
from pinprick.report.originals import Originals
from pinprick.runs.measures import Measures
from pinprick.runs.table import without_maps

MAPS = 12
"""Images whose maps are shown in a report, over all its runs."""
BYTES = 1_000_000
"""Of their pictures, encoded."""
MOST_CELLS = 128
"""Cells of a map a side; of larger images, blocks of positions are shown by the worst among them."""
FOOLED, NEAR, UNASKED = (222, 98, 12), (42, 132, 204), (128, 128, 128)
"""Colours, over which alpha says how much; they stand out on light and dark alike."""


@dataclass(frozen=True)
class MapCard:
    """One unit's map.

    ``picture`` is the unchanged image, None where it is not to be had; ``counts`` and ``margins`` are maps, the latter
    None where the classifier gives labels. ``best`` is row and column of the least margin (or of the most colours that
    fool), ``block`` how many positions a cell of the maps is wide, ``filled`` the side of the blocks over which what
    was asked is spread where most was not, else 1.
    """

    image: str
    pixels: int
    label: int
    target: int | None
    confidence: float | None
    height: int
    width: int
    picture: str | None
    counts: str
    margins: str | None
    colours: int
    positions: int
    positions_asked: int
    positions_fooled: int
    changes: int
    changes_fooled: int
    whole: bool
    most: int
    before: float | None
    least: float | None
    best: tuple[int, int]
    block: int
    filled: int


def map_cards(
    run: Measures, table: pa.Table, originals: Originals, most: int, size: int = BYTES
) -> tuple[MapCard, ...]:
    """The maps that are shown: of the attack's smallest number of pixels, since a map is of single pixels in any case.

    Units are taken by their keys, which are hashes and know nothing of the outcome: in turns one with a position that
    fools and one without, for as long as there are both.

    Parameters
    ----------
    most : cards at most. ``size``: bytes of encoded pictures at most.
    """
    if run.shape is None:
        return ()
    _, height, width = run.shape
    mapped = [each.row for each in run.rows if each.vulnerability is not None]
    if not mapped:
        return ()
    pixels = min(row.pixels for row in mapped)
    rows = without_maps(table)
    lanes: dict[bool, list[tuple[dict[str, Any], VulnerabilityMap]]] = {True: [], False: []}
    for row, found in maps(table, height, width):  # sorted by key
        lane = lanes[bool(found.fooled.any())]
        # As many of each as can be shown are enough.
        if found.asked.any() and len(lane) < most:
            unit = rows.slice(row, 1).to_pylist()[0]
            if unit["attack"] == mapped[0].attack and unit["pixels"] == pixels:
                lane.append((unit, found))
    cards: list[MapCard] = []
    used = 0
    for unit, found in _in_turns(lanes[True], lanes[False]):
        card = _card(unit, found, originals.get(unit["image"], unit["image_digest"]), run)
        used += sum(len(picture or "") for picture in (card.picture, card.counts, card.margins))
        if len(cards) >= most or (used > size and cards):
            break
        cards.append(card)
    return tuple(cards)


def _in_turns(*lanes: list[Any]) -> Iterator[Any]:
    for entries in zip_longest(*lanes):
        yield from (entry for entry in entries if entry is not None)


def _card(unit: dict[str, Any], found: VulnerabilityMap, image: Image | None, run: Measures) -> MapCard:
    outputs = run.manifest["what"]["target"].get("outputs")
    height, width = found.asked.shape
    block = -(-max(height, width) // MOST_CELLS)
    before = None if found.margin is None else _margin_before(unit, str(outputs))
    # A power of 2, as the cells of a sweep are; with about one position asked in each.
    filled = 1 << max(0, (found.asked.size // int((found.asked > 0).sum())).bit_length() - 1) // 2
    shown = filled_map(found, filled)
    best = int(found.fooled.argmax() if found.margin is None else np.nanargmin(found.margin))
    return MapCard(
        image=unit["image"],
        pixels=unit["pixels"],
        label=unit["label"],
        target=unit["target"],
        confidence=None if outputs == "labels" else unit["confidence_before"],
        height=height,
        width=width,
        picture=None if image is None else data_uri(_smaller(image, block)),
        counts=counts_picture(shown, block),
        margins=None if shown.margin is None or before is None else margins_picture(shown, before, block),
        colours=int(found.asked.max()),
        positions=found.asked.size,
        positions_asked=int((found.asked > 0).sum()),
        positions_fooled=int((found.fooled > 0).sum()),
        changes=int(found.asked.sum()),
        changes_fooled=int(found.fooled.sum()),
        whole=is_whole(found),
        most=int(found.fooled.max()),
        before=before,
        least=None if found.margin is None else float(np.nanmin(found.margin)),
        best=divmod(best, width),
        block=block,
        filled=filled,
    )


def filled_map(found: VulnerabilityMap, block: int) -> VulnerabilityMap:
    """A map whose positions that were not asked have the worst of their block; a few dots could not be seen."""
    if block == 1:
        return found
    left = found.asked == 0
    asked = np.where(left, _worst(found.asked, block, 0, np.max), found.asked)
    fooled = np.where(left, _worst(found.fooled, block, 0, np.max), found.fooled)
    if found.margin is None:
        return VulnerabilityMap(asked, fooled, None)
    known = np.where(np.isnan(found.margin), np.inf, found.margin)
    margin = np.where(left, _worst(known, block, np.inf, np.min), known)
    return VulnerabilityMap(asked, fooled, np.where(np.isinf(margin), np.nan, margin))


def _worst(values: NDArray[Any], block: int, fill: float, worst: Callable[..., NDArray[Any]]) -> NDArray[Any]:
    """At each position of ``(H, W)`` the worst of its block."""
    height, width = values.shape
    each = worst(_blocks(values, block, fill), axis=(1, 3))
    return each.repeat(block, axis=0).repeat(block, axis=1)[:height, :width]


def _margin_before(unit: dict[str, Any], outputs: str) -> float | None:
    """The margin of the unchanged image, None where its scores tell none."""
    scores: Scores = np.array([unit["scores_before"]], float)
    target = unit["target"]
    goal = Goal() if target is None else Goal("targeted", target)
    logits = outputs == "logits"
    with np.errstate(all="ignore"):
        shares = softmax(scores) if logits else scores.astype(np.float64)
        margin = float(GoalRows.of([goal], [unit["label"]]).margin(scores, shares, logits=logits)[0])
    return margin if abs(margin) <= LARGEST_MARGIN else None


def counts_picture(found: VulnerabilityMap, block: int = 1) -> str:
    """How many colours fool: the more of those asked, the deeper. Gray where none was asked."""
    asked, fooled = _blocks(found.asked, block, 0).max(axis=(1, 3)), _blocks(found.fooled, block, 0).max(axis=(1, 3))
    depth = np.where(fooled > 0, 0.2 + 0.8 * fooled / max(int(asked.max()), 1), 0)
    return _picture([(FOOLED, depth), (UNASKED, np.where(asked == 0, 0.45, 0))])


def margins_picture(found: VulnerabilityMap, before: float, block: int = 1) -> str:
    """How near each position comes to the goal, from none of the way (nothing) to the nearest (deep); under 0 apart."""
    assert found.margin is not None
    margin = _blocks(np.where(np.isnan(found.margin), np.inf, found.margin), block, np.inf).min(axis=(1, 3))
    unasked = np.isinf(margin)
    known = np.where(unasked, before, margin)
    least = float(known.min())
    met = known < 0
    near = np.clip((before - known) / max(before - max(least, 0.0), 1e-12), 0, 1)
    deep = 0.4 + 0.6 * known / min(least, -1e-12)
    return _picture(
        [
            (NEAR, np.where(met, 0, 0.95 * near)),
            (FOOLED, np.where(met, deep, 0)),
            (UNASKED, np.where(unasked, 0.45, 0)),
        ]
    )


def _blocks(values: NDArray[Any], block: int, fill: float) -> NDArray[Any]:
    """``values`` ``(H, W)`` cut into blocks: ``(rows, block, columns, block)``, padded with ``fill``."""
    height, width = values.shape
    padded = np.pad(values, ((0, -height % block), (0, -width % block)), constant_values=fill)
    return padded.reshape(padded.shape[0] // block, block, padded.shape[1] // block, block)


def _smaller(image: Image, block: int) -> Image:
    """The image ``(C, H, W)`` at about one cell a block."""
    if block == 1:
        return image
    planes = [_blocks(plane.astype(float), block, 0) for plane in image]
    inside = _blocks(np.ones(image.shape[1:]), block, 0).sum(axis=(1, 3))
    return np.stack([np.rint(plane.sum(axis=(1, 3)) / inside) for plane in planes]).astype(np.uint8)


def _picture(layers: list[tuple[tuple[int, int, int], NDArray[np.float64]]]) -> str:
    """A PNG in a data URI, of layers of one colour each that do not overlap: where, and how opaque, 0 to 1."""
    shape = layers[0][1].shape
    pixels = np.zeros((*shape, 4), np.uint8)
    for colour, depth in layers:
        on = depth > 0
        pixels[on, :3] = colour
        pixels[on, 3] = np.rint(255 * np.clip(depth[on], 0, 1))
    buffer = io.BytesIO()
    PILImage.fromarray(pixels, "RGBA").save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
