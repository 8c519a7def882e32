"""Strategies that damage valid input: bytes, JSON values, tables."""

from __future__ import annotations

import copy
import io
import json
import math
import struct
import zipfile
import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

BYTES = [0, 1, 2, 0x7F, 0x80, 0xFE, 0xFF]
NUMBERS = [0, 1, -1, 2, 255, 256, 65535, 2**31 - 1, -(2**31), 2**32 - 1, 2**63 - 1, -(2**63)]
WORDS = ["", "fooled", "held", "failed", "targeted", "untargeted", "reduce", "one-pixel", "random", "{}", "[", "x/y"]

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 300)
    | st.sampled_from([*NUMBERS, 10**30, 10**400])
    | st.floats()
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=6,
)
"""Any JSON value, numbers too large for any machine type among them."""


@st.composite
def damaged(draw: st.DrawFn, whole: Sequence[bytes]) -> bytes:
    """One of ``whole`` with a few changes: flipped and set bytes, numbers, cuts, repeats, splices with another."""
    data = bytearray(draw(st.sampled_from(whole)))
    for _ in range(draw(st.integers(0, 4))):
        if not data:
            break
        # Headers are at the beginning and at the end.
        place = draw(st.integers(0, len(data) - 1) | st.integers(0, min(63, len(data) - 1)))
        place = draw(st.sampled_from([place, len(data) - 1 - place]))
        length = draw(st.integers(1, 16) | st.integers(1, len(data)))
        kind = draw(st.sampled_from(["flip", "set", "number", "cut", "end", "repeat", "insert", "splice"]))
        if kind == "flip":
            data[place] ^= 1 << draw(st.integers(0, 7))
        elif kind == "set":
            data[place] = draw(st.sampled_from(BYTES) | st.integers(0, 255))
        elif kind == "number":
            form = draw(st.sampled_from(["<I", ">I", "<H", ">H", "<Q", ">Q"]))
            number = draw(st.sampled_from(NUMBERS)) % 2 ** (8 * struct.calcsize(form))
            data[place : place + struct.calcsize(form)] = struct.pack(form, number)
        elif kind == "cut":
            del data[place : place + length]
        elif kind == "end":
            del data[place:]
        elif kind == "repeat":
            data[place:place] = data[place : place + length]
        elif kind == "insert":
            data[place:place] = draw(st.binary(max_size=16))
        else:
            other = draw(st.sampled_from(whole))
            data[place:] = other[draw(st.integers(0, len(other))) :]
    return bytes(data)


def png_with_checksums(data: bytes) -> bytes:
    """The same chunks with right checksums, so that damage gets past them."""
    result, place = bytearray(data[:8]), 8
    while place + 12 <= len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        chunk = data[place + 4 : place + 8 + size]
        if len(chunk) < 4 + size:
            break
        result += data[place : place + 4] + chunk + struct.pack(">I", zlib.crc32(chunk))
        place += 12 + size
    return bytes(result + data[place:])


def zip_with_checksums(members: dict[str, bytes]) -> bytes:
    """A zip file with right checksums of whatever is in its members, not packed, as torch writes them."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@st.composite
def damaged_zip(draw: st.DrawFn, whole: Sequence[bytes]) -> bytes:
    """A zip file with one of its members damaged, gone or renamed, and right checksums."""
    with zipfile.ZipFile(io.BytesIO(draw(st.sampled_from(whole)))) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    # The pickle, or skops' account of the rest, is what is read; the tensors' bytes may be anything.
    read = [name for name in members if name.endswith(("data.pkl", "schema.json"))]
    name = draw(st.sampled_from(sorted(members)) | st.sampled_from(read))
    kind = draw(st.sampled_from(["change", "change", "change", "delete", "rename"]))
    content = members[name]
    if kind != "change":
        del members[name]
    if kind == "rename":
        members[draw(st.text("abc/.0", min_size=1, max_size=6))] = content
    if kind == "change" and name.endswith(".json"):
        members[name] = draw(json_bytes([json.loads(content)]))
    elif kind == "change":
        members[name] = draw(damaged([content]))
    return zip_with_checksums(members)


@st.composite
def changed_json(draw: st.DrawFn, values: Sequence[Any]) -> Any:
    """One of these JSON values with entries deleted, renamed, added or replaced somewhere in it."""
    value = copy.deepcopy(draw(st.sampled_from(values)))
    for _ in range(draw(st.integers(1, 3))):
        value = _changed(draw, value)
    return value


def _changed(draw: st.DrawFn, value: Any) -> Any:
    if isinstance(value, dict) and value:
        key = draw(st.sampled_from(sorted(value)))
        kind = draw(st.sampled_from(["within", "within", "within", "delete", "rename", "add"]))
        if kind == "within":
            return value | {key: _changed(draw, value[key])}
        if kind == "add":
            return value | {draw(st.text(max_size=5)): draw(JSON)}
        rest = {name: inner for name, inner in value.items() if name != key}
        return rest if kind == "delete" else rest | {draw(st.text(max_size=5)): value[key]}
    if isinstance(value, list) and value and draw(st.booleans()):
        place = draw(st.integers(0, len(value) - 1))
        kind = draw(st.sampled_from(["within", "delete", "repeat"]))
        if kind == "within":
            return [*value[:place], _changed(draw, value[place]), *value[place + 1 :]]
        return value[:place] + value[place + 1 :] if kind == "delete" else [*value, value[place]]
    return draw(JSON)


@st.composite
def json_bytes(draw: st.DrawFn, values: Sequence[Any]) -> bytes:
    """A JSON file: mostly one that parses."""
    if draw(st.integers(0, 9)) == 0:
        return draw(damaged([json.dumps(value, indent=2).encode() for value in values]))
    return json.dumps(draw(changed_json(values))).encode()


@lru_cache
def odd(kind: pa.DataType) -> st.SearchStrategy[Any]:
    """Values of an Arrow type, odd ones preferred."""
    if pa.types.is_integer(kind):
        bits, signed = kind.bit_width, not str(kind).startswith("u")
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        values: st.SearchStrategy[Any] = st.integers(max(low, -2), min(high, 12))
        values |= st.sampled_from([number for number in NUMBERS if low <= number <= high])
    elif pa.types.is_floating(kind):
        values = st.sampled_from([0.0, -0.0, 0.5, 1.0, -1.0, 2.0, 1e308, math.inf, -math.inf, math.nan])
    elif pa.types.is_boolean(kind):
        values = st.booleans()
    elif pa.types.is_binary(kind):
        values = st.binary(max_size=8)
    elif pa.types.is_struct(kind):
        values = st.fixed_dictionaries({field.name: st.none() | odd(field.type) for field in kind})
    elif pa.types.is_list(kind):
        values = st.lists(st.one_of(odd(kind.value_type), odd(kind.value_type), st.none()), max_size=3)
    else:
        values = st.sampled_from(WORDS) | st.text(max_size=5)
    return values


@st.composite
def changed_table(draw: st.DrawFn, tables: Sequence[pa.Table]) -> pa.Table:
    """A table with odd values in one or two columns, or columns and rows gone, repeated or in another order."""
    table = draw(st.sampled_from(tables))
    for _ in range(draw(st.integers(1, 2))):
        place = draw(st.integers(0, table.num_columns - 1))
        column = table.schema.field(place)
        kind = draw(st.sampled_from(["values", "values", "values", "values", "drop", "rows", "cast"]))
        if kind == "values" and len(table) and not pa.types.is_null(column.type):
            values = table[place].to_pylist()
            everywhere = draw(st.booleans())
            for row in range(len(values)) if everywhere else [draw(st.integers(0, len(values) - 1))]:
                values[row] = draw(st.none() | odd(column.type) if column.nullable else odd(column.type))
            table = table.set_column(place, column, pa.array(values, column.type))
        elif kind == "drop" and table.num_columns > 1:
            table = table.remove_column(place)
        elif kind == "rows" and len(table):
            rows = draw(st.lists(st.integers(0, len(table) - 1), max_size=12))
            table = table.take(pa.array(rows, pa.int64()))
        elif kind == "cast":
            other = draw(st.sampled_from([pa.string(), pa.int8(), pa.float32(), pa.null(), pa.list_(pa.int64())]))
            table = table.set_column(place, pa.field(column.name, other), pa.nulls(len(table), other))
    return table
