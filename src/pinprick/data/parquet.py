"""Parquet in the Hugging Face layout: an image column of ``{bytes, path}`` and a label column."""

from __future__ import annotations

import json
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pinprick.data.decode import decode_image
from pinprick.data.digests import file_digest, text_digest
from pinprick.data.image_set import Image, ImageSet
from pinprick.errors import InputError

IMAGE_COLUMNS = ("image", "img", "png", "jpg")
LABEL_COLUMNS = ("label", "labels", "fine_label", "class", "cls")

_CACHED_BYTES = 256 * 1024 * 1024
_UNREADABLE = (pa.ArrowException, OSError, ValueError)


def parquet(path: Path, *, name: str | None = None) -> ImageSet:
    """Read one Parquet file; see :func:`parquet_files`.

    Raises
    ------
    InputError : as :func:`parquet_files`.
    """
    return parquet_files([path], name=name or str(path))


def parquet_files(paths: Sequence[Path], *, name: str) -> ImageSet:
    """Read Parquet files as one set, in the order given.

    Labels and names are read at once; images are read a row group at a time when asked for, and stay encoded.

    The image column (a struct with the file's ``bytes``, or the bytes themselves) is the first of ``image``, ``img``,
    ``png``, ``jpg`` that is there, or else the only column of type Image in the ``huggingface`` schema metadata; the
    label column is the first of ``label``, ``labels``, ``fine_label``, ``class``, ``cls``, or else the only ClassLabel
    there, whose class names are taken. No label column, or -1 in every row (how hidden labels are published), means
    an unlabelled set. An image's name is its ``path``, or else its row number.

    Parameters
    ----------
    paths : one or more files with the same classes.
    name : what the user called the set.

    Raises
    ------
    InputError : not Parquet, no image column, images that are not bytes, labels that are not integers, files that do
        not belong together; on use, a row without an image.
    """
    tables = [_read_table(path) for path in paths]
    first = tables[0]
    for table in tables[1:]:
        if table.classes != first.classes or (table.labels is None) != (first.labels is None):
            raise InputError(
                f"image set {name!r}",
                f"{table.path.name} and {first.path.name} have different classes, so they are no parts of one set",
                "Give one of the files by its own path.",
            )
    rows = sum(len(table.paths) for table in tables)
    digits = len(str(max(rows - 1, 0)))
    names = tuple(
        path or f"{row:0{digits}d}" for row, path in enumerate(path for table in tables for path in table.paths)
    )
    labels = None if first.labels is None else np.concatenate([t.labels for t in tables if t.labels is not None])
    if labels is not None and len(labels) and (labels == -1).all():
        labels = None
    encoded = _EncodedImages(tables)

    def load(index: int) -> Image:
        return decode_image(encoded.get(index, names[index]), names[index])

    digests = [file_digest(path) for path in paths]
    return ImageSet(
        name=name,
        names=names,
        labels=labels,
        load=load,
        classes=first.classes,
        fingerprint=digests[0] if len(digests) == 1 else text_digest(digests),
    )


@dataclass(frozen=True)
class _Table:
    """What of one file is kept in memory."""

    path: Path
    metadata: pq.FileMetaData
    column: str  # what to read to get the images' bytes: "image.bytes", or "image" for a column of plain bytes
    paths: list[str | None]
    labels: NDArray[np.int64] | None
    classes: tuple[str, ...] | None


def _read_table(path: Path) -> _Table:
    what = f"Parquet file {str(path)!r}"
    try:
        with pq.ParquetFile(path) as file:
            schema, metadata = file.schema_arrow, file.metadata
            features = _features(schema)
            column, has_paths = _image_column(schema, features, what)
            label_column = _named(LABEL_COLUMNS, "ClassLabel", schema, features)
            rows = sum(metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))
            if rows != metadata.num_rows:
                raise ValueError(f"{metadata.num_rows} rows in all but {rows} in its row groups")
            paths: list[str | None] = [None] * rows
            if has_paths:
                structs = file.read(columns=[f"{column}.path"]).column(0).to_pylist()
                paths = [struct["path"] if struct else None for struct in structs]
            labels = None if label_column is None else _labels(file, label_column, what)
            if len(paths) != rows or (labels is not None and len(labels) != rows):
                raise ValueError(f"columns of other lengths than its {rows} rows")
    except FileNotFoundError:
        raise InputError(what, "there is no such file", "Give a Parquet file.") from None
    except _UNREADABLE as error:
        raise InputError(what, f"cannot be read ({_first_line(error)})", "Give a whole Parquet file.") from None
    return _Table(
        path=path,
        metadata=metadata,
        column=f"{column}.bytes" if pa.types.is_struct(schema.field(column).type) else column,
        paths=[str(path) if path else None for path in paths],
        labels=labels,
        classes=_class_names(features, label_column),
    )


def _image_column(schema: pa.Schema, features: dict[str, Any], what: str) -> tuple[str, bool]:
    """The image column, and whether it is a struct that has paths."""
    name = _named(IMAGE_COLUMNS, "Image", schema, features)
    if name is None:
        raise InputError(
            what, f"no image column among {', '.join(schema.names)}", f"Call it {' or '.join(IMAGE_COLUMNS)}."
        )
    kind = schema.field(name).type
    if _is_bytes(kind):
        return name, False
    fields = {field.name: field.type for field in kind} if pa.types.is_struct(kind) else {}
    if "bytes" not in fields or not _is_bytes(fields["bytes"]):
        raise InputError(
            what, f"column {name!r} is {kind}", "It should be struct<bytes, path> with the bytes of an image file."
        )
    return name, "path" in fields and (pa.types.is_string(fields["path"]) or pa.types.is_large_string(fields["path"]))


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _labels(file: pq.ParquetFile, column: str, what: str) -> NDArray[np.int64]:
    values = file.read(columns=[column]).column(0)
    right = "Labels are class indices (integers), one a row."
    if not pa.types.is_integer(values.type):
        raise InputError(what, f"column {column!r} is {values.type}", right)
    if values.null_count:
        row = values.is_null().to_pylist().index(True)
        raise InputError(
            what, f"column {column!r} has no label in {values.null_count} of its rows, first in row {row}", right
        )
    labels: NDArray[np.int64] = values.to_numpy().astype(np.int64)
    return labels


def _features(schema: pa.Schema) -> dict[str, Any]:
    """The columns' types as the ``huggingface`` metadata has them; empty where there is none."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}
    return features if isinstance(features, dict) else {}


def _named(known: Sequence[str], kind: str, schema: pa.Schema, features: dict[str, Any]) -> str | None:
    """The first of the known column names that is there, or else the only column of that type."""
    for column in known:
        if column in schema.names:
            return column
    typed = [name for name in schema.names if _field(features, name).get("_type") == kind]
    return typed[0] if len(typed) == 1 else None


def _class_names(features: dict[str, Any], column: str | None) -> tuple[str, ...] | None:
    """Names of a ClassLabel feature, if there are any."""
    names = None if column is None else _field(features, column).get("names")
    return tuple(str(name) for name in names) if isinstance(names, list) and names else None


def _field(features: dict[str, Any], column: str) -> dict[str, Any]:
    feature = features.get(column)
    return feature if isinstance(feature, dict) else {}


class _EncodedImages:
    """The bytes of the images by row; the row groups that were used last stay in memory, 256 MiB at most."""

    def __init__(self, tables: Sequence[_Table]) -> None:
        self._groups = [(table, group) for table in tables for group in range(table.metadata.num_row_groups)]
        sizes = [table.metadata.row_group(group).num_rows for table, group in self._groups]
        self._starts = [0, *np.cumsum(sizes, dtype=np.int64).tolist()]
        self._kept: OrderedDict[int, pa.ChunkedArray] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, row: int, name: str) -> bytes:
        if not 0 <= row < self._starts[-1]:
            raise IndexError(f"row {row} of {self._starts[-1]}")
        number = bisect_right(self._starts, row) - 1
        value = self._group(number)[row - self._starts[number]].as_py()
        data = value.get("bytes") if isinstance(value, dict) else value
        if data is None:
            raise InputError(
                f"image {name!r}",
                f"row {row} has no bytes (a null)",
                "Every row needs the bytes of its image, not only a path.",
            )
        return bytes(data)

    def _group(self, number: int) -> pa.ChunkedArray:
        with self._lock:
            if number in self._kept:
                self._kept.move_to_end(number)
                return self._kept[number]
            table, group = self._groups[number]
            try:
                # Opened anew each time: a file held open would outlive the set, and could not be sent to a worker.
                with pq.ParquetFile(table.path, metadata=table.metadata) as file:
                    column = file.read_row_group(group, columns=[table.column]).column(0)
                rows = table.metadata.row_group(group).num_rows
                if len(column) != rows:
                    raise ValueError(f"{len(column)} rows where {rows} were promised")
            except _UNREADABLE as error:
                raise InputError(
                    f"Parquet file {str(table.path)!r}",
                    f"row group {group} cannot be read ({_first_line(error)})",
                    "The file may be damaged, or was changed meanwhile; copy it anew.",
                ) from None
            self._kept[number] = column
            self._bytes += column.nbytes
            while self._bytes > _CACHED_BYTES and len(self._kept) > 1:
                self._bytes -= self._kept.popitem(last=False)[1].nbytes
            return column


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
