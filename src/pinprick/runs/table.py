"""The table of outcomes, and its Parquet files: which columns there are, what run they are of, whole or refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pinprick.edits import Edits
from pinprick.errors import InputError
from pinprick.files import whole_file
from pinprick.outcomes import Outcome
from pinprick.runs.sound import check_values
from pinprick.units import Unit

SCHEMA_VERSION = 4
"""2: `colours_before`, scores in double precision, files that name their run. 3: vulnerability maps. 4: courses."""
RUN_KEY = b"pinprick_run"
"""Under this key the schema's metadata hold the run that outcomes are of."""

SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("image", pa.string(), nullable=False),
        pa.field("image_digest", pa.string(), nullable=False),
        pa.field("label", pa.int32(), nullable=False),
        pa.field("goal", pa.string(), nullable=False),
        pa.field("target", pa.int32()),
        pa.field("attack", pa.string(), nullable=False),
        pa.field("pixels", pa.int32(), nullable=False),
        pa.field("seed", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
        pa.field("asked", pa.int64(), nullable=False),
        pa.field("answered", pa.int64(), nullable=False),
        pa.field("first_hit", pa.int64()),
        pa.field("gradients", pa.int64(), nullable=False),
        pa.field("changed", pa.int32(), nullable=False),
        pa.field("rows", pa.list_(pa.int32())),
        pa.field("columns", pa.list_(pa.int32())),
        pa.field("colours", pa.list_(pa.list_(pa.uint8()))),
        pa.field("colours_before", pa.list_(pa.list_(pa.uint8()))),
        pa.field("predicted_before", pa.int32(), nullable=False),
        pa.field("confidence_before", pa.float64(), nullable=False),
        pa.field("predicted_after", pa.int32()),
        pa.field("confidence_after", pa.float64()),
        pa.field("scores_before", pa.list_(pa.float64()), nullable=False),
        pa.field("scores_after", pa.list_(pa.float64())),
        pa.field("success_float", pa.bool_()),
        pa.field("draws", pa.int32(), nullable=False),
        pa.field("agree", pa.int32()),
        pa.field("detected", pa.bool_()),
        pa.field("trace", pa.string(), nullable=False),
        pa.field("map_asked", pa.list_(pa.int32())),
        pa.field("map_fooled", pa.list_(pa.int32())),
        pa.field("map_margin", pa.list_(pa.float64())),
        pa.field("course_asked", pa.list_(pa.int64())),
        pa.field("course_pixels", pa.list_(pa.int32())),
    ],
    metadata={b"pinprick_schema_version": str(SCHEMA_VERSION).encode()},
)


def outcome_row(outcome: Outcome) -> dict[str, Any]:
    """One row of the table."""
    unit, found = outcome.unit, outcome.vulnerability
    edits = None if outcome.edits is None else _changes(unit, outcome.edits)
    after = outcome.scores_after
    return {
        "key": unit.key,
        "image": unit.image_name,
        "image_digest": unit.image_digest,
        "label": unit.label,
        "goal": unit.goal.kind,
        "target": unit.goal.target,
        "attack": unit.attack,
        "pixels": unit.pixels,
        "seed": unit.seed,
        "status": outcome.status,
        "reason": outcome.reason,
        "asked": outcome.asked,
        "answered": outcome.answered,
        "first_hit": outcome.first_hit,
        "gradients": outcome.gradients,
        "changed": outcome.changed,
        "rows": None if edits is None else edits.rows[0].tolist(),
        "columns": None if edits is None else edits.columns[0].tolist(),
        "colours": None if edits is None else edits.colours[0].tolist(),
        "colours_before": None if edits is None else unit.image[:, edits.rows[0], edits.columns[0]].T.tolist(),
        "predicted_before": outcome.predicted_before,
        "confidence_before": outcome.confidence_before,
        "predicted_after": outcome.predicted_after,
        "confidence_after": outcome.confidence_after,
        "scores_before": unit.scores.tolist(),
        "scores_after": None if after is None else after.tolist(),
        "success_float": outcome.success_float,
        "draws": outcome.draws,
        "agree": outcome.agree,
        "detected": outcome.detected,
        "trace": json.dumps(outcome.trace, sort_keys=True),
        # Row by row; as arrays, since lists of numbers would take many times the room.
        "map_asked": None if found is None else found.asked.ravel(),
        "map_fooled": None if found is None else found.fooled.ravel(),
        "map_margin": None if found is None or found.margin is None else found.margin.ravel(),
        "course_asked": None if outcome.course is None else [asked for asked, _ in outcome.course],
        "course_pixels": None if outcome.course is None else [pixels for _, pixels in outcome.course],
    }


def _changes(unit: Unit, edits: Edits) -> Edits:
    """What an outcome's edits change: nothing that is set to its own colour, and of a pixel set twice the later."""
    plain = edits.take([0]).canonical(unit.image[None])
    assert plain.count is not None
    kept = slice(0, int(plain.count[0]))
    return Edits(plain.rows[:, kept], plain.columns[:, kept], plain.colours[:, kept])


MAPS = ("map_asked", "map_fooled", "map_margin")
"""Columns with a value for each position of an image."""


def without_maps(table: pa.Table) -> pa.Table:
    """Outcomes without the columns that are many times as large as all others."""
    return table.select([name for name in table.column_names if name not in MAPS])


def read_table(path: Path) -> tuple[pa.Table, str | None]:
    """The outcomes in one file, and the run that they are of (None where it does not say).

    Raises
    ------
    InputError : the file cannot be read, is damaged, or holds something else.
    """
    try:
        # One file at a time and by handle, so that the folder's name cannot be taken for a partition.
        with path.open("rb") as file:
            stored = pq.read_table(file, page_checksum_verification=True)
        table = _sound(stored, 0)
        return table, run_of(stored.schema)
    except _UNREADABLE as error:
        raise _refused(path, error) from None


def read_pieces(path: Path) -> Iterator[tuple[pa.Table, str | None]]:
    """As :func:`read_table`, a row group at a time.

    Raises
    ------
    InputError : as :func:`read_table`, once the piece is reached.
    """
    try:
        with path.open("rb") as file, pq.ParquetFile(file, page_checksum_verification=True) as stored:
            own, first = run_of(stored.schema_arrow), 0
            # Whole row groups: smaller batches would leave out the checksums of what they do not come to.
            for number in range(stored.num_row_groups):
                piece = stored.read_row_group(number)
                yield _sound(piece, first), own
                first += len(piece)
            if not first:
                yield _sound(stored.schema_arrow.empty_table(), 0), own
    except _UNREADABLE as error:
        raise _refused(path, error) from None


_UNREADABLE = (pa.ArrowException, OSError, ValueError)


def _sound(stored: pa.Table, first: int) -> pa.Table:
    """With the columns of this schema, all values looked at; ``first``: the number of its first row in the file."""
    table = _completed(stored).cast(SCHEMA)
    table.validate(full=True)
    check_values(table, first)
    return table


def _refused(path: Path, error: Exception) -> InputError:
    reason = " ".join(str(error).split())
    right = "Move the file away, and its units run again, or give another folder."
    return InputError(f"stored outcomes {path}", f"cannot be read ({reason})", right)


def run_of(schema: pa.Schema) -> str | None:
    """The run that a file of this schema is of, None where it does not say."""
    own = (schema.metadata or {}).get(RUN_KEY)
    return None if own is None else str(own.decode("ascii"))


def _completed(stored: pa.Table) -> pa.Table:
    """With the columns that files of an older schema do not have yet, as nulls where the schema allows for these."""
    for place, column in enumerate(SCHEMA):
        if column.nullable and column.name not in stored.column_names and len(stored.column_names) >= place:
            stored = stored.add_column(place, column, pa.nulls(len(stored), column.type))
    return stored


def combine(tables: list[pa.Table]) -> pa.Table:
    """One table sorted by key; of a key that is there twice the later row stays."""
    if not tables:
        return SCHEMA.empty_table()
    table = pa.concat_tables(tables).combine_chunks()
    last = {key: row for row, key in enumerate(table["key"].to_pylist())}
    return table.take(pa.array([last[key] for key in sorted(last)], pa.int64())).combine_chunks()


def write_table(path: Path, table: pa.Table, run_id: str | None = None) -> None:
    """Write outcomes as Parquet, atomically; equal tables of equal runs give equal bytes."""
    with whole_file(path) as file:
        pq.write_table(table.replace_schema_metadata(named(run_id).metadata), file, **WRITING)


WRITING: dict[str, Any] = {"compression": "zstd", "write_page_checksum": True}
"""How files of outcomes are written."""


def named(run_id: str | None) -> pa.Schema:
    """The schema of files of this run."""
    return SCHEMA.with_metadata(SCHEMA.metadata | ({} if run_id is None else {RUN_KEY: run_id.encode("ascii")}))
