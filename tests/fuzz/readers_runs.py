"""Readers of what a run has stored."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from pinprick.data.decode import encode_png
from pinprick.errors import InputError
from pinprick.report.page import write_report
from pinprick.runs.manifest import check_same, run_id
from pinprick.runs.measures import measures
from pinprick.runs.same_model import check_clean, read_clean
from pinprick.runs.store import read_manifest, read_outcomes
from pinprick.runs.table import RUN_KEY
from tests.fuzz import seeds
from tests.fuzz.mutations import (
    changed_table,
    damaged,
    json_bytes,
)
from tests.fuzz.reader import Given, Reader, put


def write_run(folder: Path, manifest: bytes, table: pa.Table, clean: pa.Table) -> Path:
    """A run's folder of these."""
    out = folder / "run"
    put(out / "manifest.json", manifest)
    metadata = (table.schema.metadata or {}) | {RUN_KEY: b"0" * 32}
    put(out / "outcomes.parquet", seeds.parquet_bytes(table.replace_schema_metadata(metadata)))
    put(out / "clean.parquet", seeds.parquet_bytes(clean))
    return out


def manifests() -> st.SearchStrategy[Given]:
    return st.integers(0, len(seeds.runs()) - 1).flatmap(
        lambda number: st.tuples(st.just(number), json_bytes([seeds.runs()[number][0]]))
    )


def manifest(folder: Path, given: Given) -> None:
    number, data = given
    whole, table, clean = seeds.runs()[number]
    out = write_run(folder, data, table, clean)
    stored = read_manifest(out)
    assert stored is not None
    run_id(stored)
    with contextlib.suppress(InputError):
        check_same(str(out), stored, whole)
    json.dumps(measures(out).as_dict())


def outcome_files() -> st.SearchStrategy[Given]:
    tables = [parts[1] for parts in seeds.runs()] + [parts[2] for parts in seeds.runs()]
    whole = [seeds.parquet_bytes(table, write_page_checksum=True) for table in tables]
    return damaged(whole) | damaged([seeds.parquet_bytes(table, compression="none") for table in tables])


def outcome_file(folder: Path, data: bytes) -> None:
    put(folder / "parts" / "part-000001.parquet", data)
    put(folder / "clean.parquet", data)
    with contextlib.suppress(InputError):
        read_clean(folder)
    read_outcomes(folder)


def outcome_tables() -> st.SearchStrategy[Given]:
    return st.integers(0, len(seeds.runs()) - 1).flatmap(
        lambda number: st.tuples(st.just(number), changed_table([seeds.runs()[number][1]]))
    )


def outcome_table(folder: Path, given: Given) -> None:
    number, table = given
    whole, _, clean = seeds.runs()[number]
    json.dumps(measures(write_run(folder, json.dumps(whole).encode(), table, clean)).as_dict())


def reports() -> st.SearchStrategy[Given]:
    lines = st.lists(json_bytes([{"key": "a/digit_1332", "original": "x/original.png", "file_name": "x/y.png"}]))
    return st.integers(0, len(seeds.runs()) - 1).flatmap(
        lambda number: st.tuples(
            st.just(number),
            json_bytes([seeds.runs()[number][0]]),
            changed_table([seeds.runs()[number][1]]) | st.just(seeds.runs()[number][1]),
            lines,
            damaged([encode_png(np.zeros((1, 8, 8), np.uint8))]),
        )
    )


def report(folder: Path, given: Given) -> None:
    number, data, table, lines, picture = given
    out = write_run(folder, data, table, seeds.runs()[number][2])
    put(out / "images" / "metadata.jsonl", b"\n".join(lines))
    put(out / "images" / "x" / "original.png", picture)
    write_report([out], folder / "report.html")


def clean_tables() -> st.SearchStrategy[Given]:
    return changed_table([parts[2] for parts in seeds.runs()])


def clean_table(folder: Path, given: Given) -> None:
    put(folder / "clean.parquet", seeds.parquet_bytes(given))
    stored = read_clean(folder)
    assert stored is not None
    check_clean(str(folder), stored, seeds.runs()[0][2], 1e-4)


READERS = (
    Reader("manifest", manifests, manifest),
    Reader("stored part", outcome_files, outcome_file),
    Reader("stored outcomes of other values", outcome_tables, outcome_table),
    Reader("report of a changed run", reports, report),
    Reader("clean scores of other values", clean_tables, clean_table),
)
