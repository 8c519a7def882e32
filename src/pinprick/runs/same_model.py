"""Whether a continued run has the model and images it was begun with: told by the scores of the unchanged images.

Hashes of weights and code miss a function that reads its weights elsewhere, and a module whose ``forward`` is another
one. What the run's own images score misses little: only a model that agrees on every one of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pinprick.errors import InputError
from pinprick.files import whole_file
from pinprick.runs.clean import CLEAN_SCHEMA
from pinprick.runs.sound import check_values

SAME = 1e-4
"""Largest change of a score, relative to the spread of its row, under the same versions on the same machine."""
SIMILAR = 1e-2
"""The same under other versions or on another machine, where arithmetic goes in another order."""

_GROUP_ROWS = 2048
"""Of a row group of ``clean.parquet``: the larger, the more room it takes to write."""


def check_clean(folder: str, old: pa.Table, new: pa.Table, tolerance: float) -> None:
    """Compare the unchanged images' scores, stored and new (tables of :data:`pinprick.runs.clean.CLEAN_SCHEMA`).

    Images that are in one of the tables only are passed over, and so are those without scores in one of them.

    Raises
    ------
    InputError : an image has other pixels, or its scores differ by more than ``tolerance`` of their spread.
    """
    place = {name: row for row, name in enumerate(old["image"].to_pylist())}
    # Images one after the other: lists of numbers for all of them would take many times their room.
    for number, name in enumerate(new["image"].to_pylist()):
        row = place.get(name)
        if row is None:
            continue
        if old["image_digest"][row].as_py() != new["image_digest"][number].as_py():
            raise InputError(
                f"--out {folder}", f"image {name!r} has changed since this run was begun", "Give another folder."
            )
        was, now = old["scores"][row], new["scores"][number]
        if not (was.is_valid and now.is_valid):
            continue
        if distance(was.values.to_numpy(), now.values.to_numpy()) > tolerance:
            raise InputError(
                f"--out {folder}",
                f"the model answers otherwise than when this run was begun (image {name!r}: class "
                f"{old['predicted'][row].as_py()} was foremost, now {new['predicted'][number].as_py()}; scores differ "
                f"by more than {tolerance:g} of their spread)",
                "Give another folder.",
            )


def distance(old: NDArray[np.floating[Any]], new: NDArray[np.floating[Any]]) -> float:
    """The largest difference of two rows of scores ``(K,)``, in parts of the larger one's spread."""
    if len(old) != len(new):
        # A model that gives labels only shows its classes one by one.
        width = max(len(old), len(new))
        old, new = (np.pad(scores, (0, width - len(scores))) for scores in (old, new))
    spread = max(float(np.ptp(old)), float(np.ptp(new)))
    apart = float(np.abs(old.astype(np.float64) - new).max())
    return apart / spread if spread else float(apart > 0)


def merged(old: pa.Table | None, new: pa.Table) -> pa.Table:
    """The new rows, then those old ones that are not among them (a smaller --limit scores fewer images)."""
    if old is None:
        return new
    known = pc.is_in(old["image"], new["image"].combine_chunks())
    return pa.concat_tables([new, old.filter(pc.invert(known))])


def read_clean(folder: Path | None) -> pa.Table | None:
    """The unchanged images of a run as its target scored them, None where the folder (or None) has no such file.

    Raises
    ------
    InputError : the file cannot be read.
    """
    path = None if folder is None else folder / "clean.parquet"
    if path is None or not path.exists():
        return None
    try:
        with path.open("rb") as file:
            stored = pq.read_table(file).cast(CLEAN_SCHEMA)
        stored.validate(full=True)
        check_values(stored)
        return stored
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        right = "Move the file away: the same command goes on without it and writes it anew."
        raise InputError(f"clean scores {path}", f"cannot be read ({reason})", right) from None


def write_clean(folder: Path, table: pa.Table) -> None:
    """Write the unchanged images' scores, atomically.

    Raises
    ------
    InputError : the file cannot be written.
    """
    with whole_file(folder / "clean.parquet") as file:
        pq.write_table(table, file, compression="zstd", row_group_size=_GROUP_ROWS)
