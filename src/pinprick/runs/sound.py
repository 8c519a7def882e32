"""Whether stored tables hold what a run writes, value by value: all that reads them may rely on it."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pinprick.goals import Kind
from pinprick.outcomes import LARGEST_MARGIN, Status
from pinprick.runs.shape import LARGEST_SIDE
from pinprick.targets.base import MOST_LABELS
from pinprick.targets.passes import PROBABILITY_OVER

_WORDS = {"status": get_args(Status), "goal": get_args(Kind)}
_CLASSES = ("label", "target", "predicted_before", "predicted_after")
_COUNTS = ("pixels", "asked", "answered", "first_hit", "gradients", "changed", "draws", "agree")
_PLACES = ("rows", "columns")
_COLOURS = ("colours", "colours_before")
_MAPS = ("map_asked", "map_fooled", "map_margin")
"""Lists of one value for each position of the image, row by row."""
_COURSES = ("course_asked", "course_pixels")
_SCORES = ("scores_before", "scores_after", "scores")
_CONFIDENCES = ("confidence_before", "confidence_after")
_NEAR = 1e-4
"""How far a stored confidence may be from what its scores give."""
_VERDICTS = ("fooled", "held")


def check_values(table: pa.Table, first: int = 0) -> None:
    """Check outcomes, or the scores of unchanged images; of the columns only those that are there.

    ``first``: the number of the first row in its file.

    Raises
    ------
    ValueError : names the column, and the first row that holds something else.
    """
    names = set(table.column_names)
    table = _numbered(table, first)
    _check_alone(table, names)
    if {"goal", "target"} <= names:
        targeted = pc.equal(table["goal"], "targeted")
        _refuse(table, "target", pc.not_equal(targeted, pc.is_valid(table["target"])), "not what its goal asks for")
    if names.issuperset(_PLACES):
        _check_edits(table)
    if {"status", "goal", "label"} <= names:
        _check_verdicts(table)
    _check_scores(table, names)
    if names.issuperset(_MAPS):
        _check_maps(table)
    if names.issuperset(_COURSES):
        _check_courses(table)


def _check_alone(table: pa.Table, names: set[str]) -> None:
    """Values that tell by themselves that they are none."""
    for name, words in _WORDS.items():
        if name in names:
            _refuse(table, name, pc.invert(pc.is_in(table[name], pa.array(words))), f"none of {', '.join(words)}")
    for name in _CLASSES:
        if name in names:
            _refuse(table, name, _outside(table[name], 0, MOST_LABELS - 1), "no class")
    for name in _COUNTS:
        if name in names:
            _refuse(table, name, pc.less(table[name], 0), "less than none")
    for name in _SCORES:
        if name in names:
            lengths = pc.list_value_length(table[name])
            _refuse(table, name, _outside(lengths, 2, MOST_LABELS), "no scores of two or more classes")
            _check_inner(name, table[name])
    for name in _CONFIDENCES:
        if name in names:
            inside = pc.and_(
                pc.greater_equal(table[name], -PROBABILITY_OVER), pc.less_equal(table[name], 1 + PROBABILITY_OVER)
            )
            _refuse(table, name, pc.invert(inside), "no probability")


def _check_edits(table: pa.Table) -> None:
    """Rows, columns and colours have an entry a pixel each, or all are null; colours before may be null alone."""
    pixels = pc.list_value_length(table["rows"])
    for name in (*_PLACES, *_COLOURS):
        _check_inner(name, table[name])
        same = pc.equal(pc.fill_null(pc.list_value_length(table[name]), -1), pc.fill_null(pixels, -1))
        if name == "colours_before":
            same = pc.or_(same, pc.is_null(table[name]))
        _refuse(table, name, pc.invert(same), "not one entry a pixel")
    for name in _PLACES:
        if pc.any(_outside(pc.list_flatten(table[name]), 0, LARGEST_SIDE - 1)).as_py():
            raise ValueError(f"column {name}: a place outside of the image")
    channels = [pc.list_value_length(pc.list_flatten(table[name])) for name in _COLOURS]
    widths = {width for lengths in channels for width in pc.unique(lengths).to_pylist()}
    if not widths <= {1} and not widths <= {3}:
        raise ValueError(f"column colours: {' and '.join(sorted(map(str, widths)))} values a pixel, not 1 or 3")


def _check_verdicts(table: pa.Table) -> None:
    """A verdict has what it was made from, and follows from it as far as the columns tell."""
    judged = pc.is_in(table["status"], pa.array(_VERDICTS))
    fooled = pc.equal(table["status"], "fooled")
    for name in ("predicted_after", "confidence_after", "scores_after", "rows"):
        _refuse(table, name, pc.and_(judged, pc.is_null(table[name])), "none of a unit with a verdict")
    _refuse(table, "pixels", pc.less(table["pixels"], 1), "no number of pixels that may change")
    _refuse(table, "changed", pc.and_(judged, pc.greater(table["changed"], table["pixels"])), "more than may change")
    _refuse(table, "changed", pc.and_(fooled, pc.less(table["changed"], 1)), "no change, and fooled")
    _refuse(table, "first_hit", pc.less(table["first_hit"], 1), "no number of a question")
    _refuse(table, "first_hit", pc.greater(table["first_hit"], table["asked"]), "more than were asked")
    _refuse(table, "draws", pc.less(table["draws"], 1), "no number of passes")
    several = pc.and_(judged, pc.greater(table["draws"], 1))
    _refuse(table, "agree", pc.not_equal(pc.is_valid(table["agree"]), several), "not told of several passes alone")
    _refuse(table, "agree", pc.greater(table["agree"], table["draws"]), "more than there were passes")
    most = pc.greater(pc.multiply(table["agree"], 2), table["draws"])
    _refuse(table, "status", pc.not_equal(most, fooled), "not what most of its passes say")
    _refuse(table, "target", pc.equal(table["target"], table["label"]), "the label itself")
    _refuse(table, "predicted_before", pc.not_equal(table["predicted_before"], table["label"]), "not the label")
    left = pc.not_equal(table["predicted_after"], table["label"])
    reached = pc.equal(table["predicted_after"], table["target"])
    for goal, met in (("untargeted", left), ("targeted", reached)):
        odd = pc.and_(pc.and_(judged, pc.equal(table["goal"], goal)), pc.not_equal(fooled, met))
        _refuse(table, "status", odd, "not what the class after the change says")
    _check_changed(table.filter(pc.and_(judged, pc.is_valid(table["colours_before"]))))


def _check_changed(table: pa.Table) -> None:
    """``changed`` counts the places whose colour is another one than before; of a place twice the later counts."""
    lengths = pc.list_value_length(table["rows"]).to_numpy().astype(np.int64)
    if not lengths.sum():
        counts = np.zeros(len(table), np.int64)
    else:
        unit = np.repeat(np.arange(len(table)), lengths)
        rows, columns = (pc.list_flatten(table[name]).to_numpy().astype(np.int64) for name in _PLACES)
        after, before = (
            pc.list_flatten(pc.list_flatten(table[name])).to_numpy().reshape(len(unit), -1) for name in _COLOURS
        )
        place = (unit * LARGEST_SIDE + rows) * LARGEST_SIDE + columns
        _, from_end = np.unique(place[::-1], return_index=True)
        last = len(place) - 1 - from_end
        counts = np.bincount(unit[last][(after[last] != before[last]).any(axis=1)], minlength=len(table))
    odd = pa.chunked_array([pa.array(table["changed"].to_numpy() != counts, pa.bool_())])
    _refuse(table, "changed", odd, "not how many colours differ from those before")


def _check_scores(table: pa.Table, names: set[str]) -> None:
    """Scores are finite, and their foremost class is the one that is told."""
    pairs = {"scores_before": "predicted_before", "scores_after": "predicted_after", "scores": "predicted"}
    for scores, predicted in pairs.items():
        if not {scores, predicted} <= names:
            continue
        told = table.filter(pc.and_(pc.is_valid(table[scores]), pc.is_valid(table[predicted])))
        if not len(told):
            continue
        values, starts = _ragged(told[scores])
        if not np.isfinite(values).all():
            raise ValueError(f"column {scores}: a score that is not finite")
        odd = _foremost(values, starts) != told[predicted].to_numpy()
        _refuse(told, predicted, pa.chunked_array([pa.array(odd)]), f"not the foremost class of {scores}")


def _ragged(column: pa.ChunkedArray) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """All values of lists, none of which is empty, and where each list starts."""
    lengths = pc.list_value_length(column).to_numpy().astype(np.int64)
    return pc.list_flatten(column).to_numpy(), np.cumsum(lengths) - lengths


def _foremost(values: NDArray[np.float64], starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of each list the place of its largest value, the first of equal ones."""
    lengths = np.diff(np.append(starts, len(values)))
    unit = np.repeat(np.arange(len(starts)), lengths)
    at = np.flatnonzero(values == np.maximum.reduceat(values, starts)[unit])
    _, first = np.unique(unit[at], return_index=True)
    place: NDArray[np.int64] = at[first] - starts
    return place


def check_run(table: pa.Table, manifest: dict[str, Any], first: int = 0) -> None:
    """Check outcomes, sound by themselves, against the manifest of their run; ``first`` as in :func:`check_values`.

    Raises
    ------
    ValueError : names the column, and the first row that cannot be of this run.
    """
    what, table = manifest["what"], _numbered(table, first)
    _refuse(table, "attack", pc.invert(pc.is_in(table["attack"], pa.array(list(what["attacks"])))), "none of this run")
    numbers = pa.array(what["spec"]["pixels"], pa.int32())
    _refuse(table, "pixels", pc.invert(pc.is_in(table["pixels"], numbers)), "none of this run")
    goal = "untargeted" if what["spec"]["goal"] == "untargeted" else "targeted"
    _refuse(table, "goal", pc.not_equal(table["goal"], goal), "not the goal of this run")
    shape = manifest["data"].get("shape")
    if shape is not None:
        _check_places(table, *shape)
    _check_confidence(table, what["target"].get("outputs"))


def _check_places(table: pa.Table, channels: int, height: int, width: int) -> None:
    """Edits and maps are of images of that shape."""
    for name, side in (("rows", height), ("columns", width)):
        if pc.any(_outside(pc.list_flatten(table[name]), 0, side - 1)).as_py():
            raise ValueError(f"column {name}: a place outside of images of {height} x {width}")
    for name in _COLOURS:
        if pc.any(pc.not_equal(pc.list_value_length(pc.list_flatten(table[name])), channels)).as_py():
            raise ValueError(f"column {name}: not {channels} values a colour")
    lengths = pc.list_value_length(table["map_asked"])
    _refuse(table, "map_asked", pc.not_equal(lengths, height * width), f"no map of {height} x {width} positions")


def _check_confidence(table: pa.Table, outputs: str | None) -> None:
    """A confidence is what its scores give, where it is known what the classifier puts out."""
    if outputs not in ("logits", "probabilities", "labels"):
        return
    for when in ("before", "after"):
        scores, name = f"scores_{when}", f"confidence_{when}"
        told = table.filter(pc.and_(pc.is_valid(table[scores]), pc.is_valid(table[name])))
        if not len(told):
            continue
        values, starts = _ragged(told[scores])
        found = np.maximum.reduceat(values, starts)
        if outputs == "logits":
            lengths = np.diff(np.append(starts, len(values)))
            with np.errstate(over="ignore"):
                below = np.maximum(values - np.repeat(found, lengths), -800)
            found = 1 / np.add.reduceat(np.exp(below), starts)
        odd = np.abs(found - told[name].to_numpy()) > _NEAR
        _refuse(told, name, pa.chunked_array([pa.array(odd)]), f"not what {scores} give")


def _check_maps(table: pa.Table) -> None:
    """Maps have an entry a position each, or all are null; margins may be null alone, and are NaN where none was asked.

    No more colours fool at a position than were asked there.
    """
    positions = pc.list_value_length(table["map_asked"])
    for name in _MAPS:
        _check_inner(name, table[name])
        same = pc.equal(pc.fill_null(pc.list_value_length(table[name]), -1), pc.fill_null(positions, -1))
        if name == "map_margin":
            same = pc.or_(same, pc.is_null(table[name]))
        _refuse(table, name, pc.invert(same), "not one entry a position")
    asked, fooled = (pc.list_flatten(table[name]) for name in _MAPS[:2])
    if pc.any(pc.less(fooled, 0)).as_py() or pc.any(pc.less(asked, fooled)).as_py():
        raise ValueError("column map_fooled: not 0 to as many as were asked")
    with_margin = table.filter(pc.is_valid(table["map_margin"]))
    margin = pc.list_flatten(with_margin["map_margin"])
    none_asked = pc.equal(pc.list_flatten(with_margin["map_asked"]), 0)
    # Comparisons with NaN are false.
    too_large = pc.greater(pc.abs(margin), LARGEST_MARGIN)
    if pc.any(pc.not_equal(pc.is_nan(margin), none_asked)).as_py() or pc.any(too_large).as_py():
        raise ValueError("column map_margin: not a finite number where something was asked, and NaN elsewhere")


def _check_courses(table: pa.Table) -> None:
    """Questions go up and pixels down, none is missing in one of the two, and nothing was asked after the end."""
    lengths = [pc.list_value_length(table[name]) for name in _COURSES]
    same = pc.equal(*(pc.fill_null(length, -1) for length in lengths))
    for name in _COURSES:
        _check_inner(name, table[name])
        _refuse(table, name, pc.invert(same), "not one entry a step")
    told = table.filter(pc.greater(lengths[0], 0))
    if not len(told):
        return
    asked, starts = _ragged(told[_COURSES[0]])
    pixels, _ = _ragged(told[_COURSES[1]])
    first = np.zeros(len(asked), bool)
    first[starts] = True
    rising = first | (np.diff(asked, prepend=0) > 0)
    falling = first | (np.diff(pixels, prepend=0) < 0)
    last = np.append(starts[1:], len(asked)) - 1
    for name, odd, wrong in (
        (_COURSES[0], ~np.logical_and.reduceat(rising & (asked > 0), starts), "not rising from 1 on"),
        (_COURSES[1], ~np.logical_and.reduceat(falling & (pixels >= 0), starts), "not falling"),
        (_COURSES[0], asked[last] > told["asked"].to_numpy(), "beyond what was asked"),
    ):
        _refuse(told, name, pa.chunked_array([pa.array(odd)]), wrong)


def _check_inner(name: str, column: pa.ChunkedArray) -> None:
    """Refuse nulls inside of lists."""
    while pa.types.is_list(column.type):
        column = pc.list_flatten(column)
        if column.null_count:
            raise ValueError(f"column {name}: a null inside of a list")


def _outside(column: pa.ChunkedArray, least: int, most: int) -> pa.ChunkedArray:
    return pc.or_(pc.less(column, least), pc.greater(column, most))


_ROW = "row of the file"


def _numbered(table: pa.Table, first: int) -> pa.Table:
    """With the number of each row, which it keeps where rows are left out."""
    return table.append_column(_ROW, pa.array(np.arange(first, first + len(table))))


def _refuse(table: pa.Table, name: str, bad: pa.ChunkedArray, wrong: str) -> None:
    """Raise where ``bad`` is true; nulls are not. ``table`` is numbered."""
    row = pc.index(pc.fill_null(bad, False), True).as_py()
    if row >= 0:
        text = repr(table[name][row].as_py())
        raise ValueError(f"column {name}, row {table[_ROW][row]}: {text[:40]} is {wrong}")
