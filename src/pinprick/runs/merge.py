"""One table sorted by key from many files of outcomes, a piece at a time: all of them at once may be more than fits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pinprick.files import whole_file
from pinprick.runs.table import SCHEMA, WRITING, named

GROUP_BYTES = 4 * 1024 * 1024
"""Of a row group of the finished table, at most, as far as a row can be that small; what is gathered at a time."""
READINGS = 16
"""How often the files are read through at most; of very many outcomes more are gathered at a time."""

Pieces = Callable[[Path], Iterator[pa.Table]]


def merge(
    path: Path,
    sources: Sequence[Path],
    check: Callable[[Path, pa.Table, int], None],
    pieces: Pieces,
    run_id: str | None,
    without: Sequence[str] = (),
) -> None:
    """Write the rows of ``sources`` to ``path``, sorted by key; of a key that is there twice the later row stays.

    What is written is a function of the rows alone, not of the files that they come from. ``path`` may be a source.

    Parameters
    ----------
    check : called with each piece, its file, and the number of its first row there, before anything is written.
    pieces : the rows of a file in their order.
    without : keys that are left out.

    Raises
    ------
    InputError : the file cannot be written; and what ``check`` and ``pieces`` raise.
    """
    keys: list[pa.ChunkedArray] = []
    widest = 1
    for source in sources:
        first = 0
        for piece in pieces(source):
            check(source, piece, first)
            first += len(piece)
            keys.append(piece["key"].combine_chunks())
            widest = max(widest, _row_bytes(piece))
    rank, count = _ranks(pa.chunked_array(keys, pa.string()), without)
    group = max(1, GROUP_BYTES // widest)
    window = max(1, -(-count // (READINGS * group))) * group
    with whole_file(path) as file, pq.ParquetWriter(file, named(run_id), **WRITING) as writer:
        for start in range(0, max(count, 1), window):
            found = _gathered(sources, pieces, rank, start, start + window)
            writer.write_table(found.replace_schema_metadata(named(run_id).metadata), row_group_size=group)


def _row_bytes(piece: pa.Table) -> int:
    """What the widest row takes at most, in round figures; never under 1."""
    total = 0
    for column in piece.columns:
        if pa.types.is_list(column.type):
            total += 8 * (pc.max(pc.list_value_length(column)).as_py() or 0)
        elif pa.types.is_string(column.type):
            total += pc.max(pc.binary_length(column)).as_py() or 0
        else:
            total += 8
    return total


def _ranks(keys: pa.ChunkedArray, without: Sequence[str]) -> tuple[NDArray[np.int64], int]:
    """The place of each row in the sorted table, -1 where it is not in it; and how many are."""
    rows = pa.table({"key": keys, "row": np.arange(len(keys))})
    # Bytes of UTF-8 sort as code points do.
    order = pc.sort_indices(rows, [("key", "ascending"), ("row", "ascending")]).to_numpy()
    in_order = keys.take(pa.array(order))
    last = np.ones(len(keys), bool)
    last[:-1] = pc.not_equal(in_order[:-1], in_order[1:]).to_numpy()
    if without:
        last &= pc.invert(pc.is_in(in_order, pa.array(without, pa.string()))).to_numpy()
    rank = np.full(len(keys), -1)
    chosen = order[last]
    rank[chosen] = np.arange(len(chosen))
    return rank, len(chosen)


def _gathered(sources: Sequence[Path], pieces: Pieces, rank: NDArray[np.int64], start: int, stop: int) -> pa.Table:
    """The rows that come at ``start`` to ``stop`` of the sorted table, in its order."""
    parts, places = [SCHEMA.empty_table()], [np.zeros(0, np.int64)]
    first = 0
    for source in sources:
        for piece in pieces(source):
            own = rank[first : first + len(piece)]
            first += len(piece)
            wanted = np.flatnonzero((own >= start) & (own < stop))
            if len(wanted):
                parts.append(piece.take(pa.array(wanted)))
                places.append(own[wanted])
    return pa.concat_tables(parts).take(pa.array(np.argsort(np.concatenate(places)))).combine_chunks()
