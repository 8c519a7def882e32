"""The store: outcomes as Parquet parts, written atomically, and one finished table sorted by unit key.

A run's folder::

    manifest.json        what the run is: spec, target, data, versions, machine, rows a pass, schema version
    parts/               outcomes as they come; each part appears whole or not at all
    outcomes.parquet     the finished table, sorted by key; holds no times
    summary.json         the rows that were printed
    log.jsonl            times and events
    images/              PNG files, with --save-images

The folder is locked while a run writes to it; the lock goes with the process, however that ends.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from pinprick.errors import InputError
from pinprick.outcomes import Outcome

SCHEMA_VERSION = 1
FLUSH_SECONDS = 5.0
OWN_FILES = {"manifest.json", "manifest.json.part", "parts", "lock", "log.jsonl"}
"""What may be in a folder before its manifest is; anything else belongs to somebody."""

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
        pa.field("predicted_before", pa.int32(), nullable=False),
        pa.field("confidence_before", pa.float64(), nullable=False),
        pa.field("predicted_after", pa.int32()),
        pa.field("confidence_after", pa.float64()),
        pa.field("scores_before", pa.list_(pa.float32()), nullable=False),
        pa.field("scores_after", pa.list_(pa.float32())),
        pa.field("success_float", pa.bool_()),
        pa.field("draws", pa.int32(), nullable=False),
        pa.field("agree", pa.int32()),
        pa.field("detected", pa.bool_()),
        pa.field("trace", pa.string(), nullable=False),
    ],
    metadata={b"pinprick_schema_version": str(SCHEMA_VERSION).encode()},
)


def outcome_row(outcome: Outcome) -> dict[str, Any]:
    """One row of the table."""
    unit, edits = outcome.unit, outcome.edits
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
    }


class Store:
    """Outcomes of one run, in a folder or (``folder`` None) in memory only.

    Use as a context manager: leaving it writes what is still in memory and gives the lock back.

    Raises
    ------
    InputError : the folder cannot be written to, or another run is writing to it.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._pending: list[dict[str, Any]] = []
        self._kept: list[pa.Table] = []
        self._flushed = time.monotonic()
        self._lock: FileLock | None = None
        if folder is None:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            strange = sorted(path.name for path in folder.iterdir() if path.name not in OWN_FILES)
            if strange and not (folder / "manifest.json").exists():
                raise InputError(
                    f"--out {folder}", f"it holds other files ({strange[0]!r})", "Give a new or an empty folder."
                )
            (folder / "parts").mkdir(exist_ok=True)
            self._lock = FileLock(folder / "lock", timeout=0)
            self._lock.acquire()
        except Timeout:
            raise InputError(
                f"--out {folder}", "another run is writing to it", "Wait for it, or give another folder."
            ) from None
        except OSError as error:
            raise InputError(f"--out {folder}", f"cannot be written to ({error})", "Give another folder.") from None

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            self.flush()
        finally:
            if self._lock is not None:
                self._lock.release()

    # The manifest and the log.

    def manifest(self) -> dict[str, Any] | None:
        """The folder's manifest, None where there is none yet.

        Raises
        ------
        InputError : it is not JSON, of a newer schema, or missing beside stored outcomes.
        """
        return None if self.folder is None else read_manifest(self.folder)

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        """Write the manifest, atomically."""
        if self.folder is not None:
            write_atomically(self.folder / "manifest.json", json.dumps(manifest, indent=2, sort_keys=True) + "\n")

    def log(self, event: str, **facts: Any) -> None:
        """Add a line with the time to the log."""
        if self.folder is None:
            return
        line = json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "event": event} | facts)
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    # Outcomes.

    def add(self, outcomes: Iterable[Outcome]) -> None:
        """Keep outcomes; every few seconds they are written out as a part."""
        self._pending += [outcome_row(outcome) for outcome in outcomes]
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write out what is in memory as one part."""
        self._flushed = time.monotonic()
        if not self._pending:
            return
        table = pa.Table.from_pylist(self._pending, schema=SCHEMA)
        if self.folder is None:
            self._kept.append(table)
        else:
            parts = self.folder / "parts"
            numbers = [int(path.stem.removeprefix("part-")) for path in parts.glob("part-*.parquet")]
            write_table(parts / f"part-{max(numbers, default=0) + 1:06d}.parquet", table)
        self._pending = []

    def table(self) -> pa.Table:
        """All outcomes so far, sorted by key; of a key stored twice the later one."""
        self.flush()
        return combine(self._kept) if self.folder is None else read_outcomes(self.folder)

    def forget(self, keys: Iterable[str]) -> None:
        """Drop the outcomes of these keys, so that their units run again."""
        table = self.table()
        kept = table.filter(pc.invert(pc.is_in(table["key"], pa.array(list(keys), pa.string()))))
        if self.folder is None:
            self._kept = [kept]
        else:
            self._replace(kept)

    def finish(self) -> pa.Table:
        """Write the finished table, drop the parts that are now in it, and return it."""
        table = self.table()
        if self.folder is not None:
            self._replace(table)
        return table

    def _replace(self, table: pa.Table) -> None:
        assert self.folder is not None
        write_table(self.folder / "outcomes.parquet", table)
        for part in (self.folder / "parts").glob("part-*.parquet"):
            part.unlink()

    def set_aside(self, name: str) -> None:
        """Start again with no outcomes; what was stored moves to the sub-folder ``name``."""
        self._pending, self._kept = [], []
        if self.folder is None:
            return
        aside = self.folder / name
        number = 1
        while aside.exists():
            number += 1
            aside = self.folder / f"{name}-{number}"
        aside.mkdir()
        for path in [*(self.folder / "parts").glob("part-*.parquet"), self.folder / "outcomes.parquet"]:
            if path.exists():
                path.replace(aside / path.name)


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a run's folder, None where there is none.

    Raises
    ------
    InputError : it is not JSON, or was written by a newer version of pinprick.
    """
    path = folder / "manifest.json"
    if not path.exists():
        if (folder / "outcomes.parquet").exists():
            raise InputError(f"run folder {folder}", "outcomes without a manifest", "Give another folder.")
        return None
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = int(manifest["schema_version"])
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise InputError(f"manifest {path}", f"cannot be read ({error})", "Give another folder.") from None
    if version > SCHEMA_VERSION:
        raise InputError(
            f"run folder {folder}",
            f"its schema version is {version}, this pinprick knows {SCHEMA_VERSION}",
            "Update pinprick, or give another folder.",
        )
    return manifest


def read_outcomes(folder: str | Path) -> pa.Table:
    """The outcomes stored in a run's folder, finished or not, sorted by key.

    Raises
    ------
    InputError : a file of the folder cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"run folder {folder}", "there is no such folder", "Give what was given to --out.")
    paths = sorted((folder / "parts").glob("part-*.parquet"))
    if (folder / "outcomes.parquet").exists():
        paths.insert(0, folder / "outcomes.parquet")
    tables = []
    for path in paths:
        try:
            # One file at a time and by handle, so that the folder's name cannot be taken for a partition.
            with path.open("rb") as file:
                tables.append(pq.read_table(file).cast(SCHEMA))
        except (pa.ArrowInvalid, OSError, ValueError) as error:
            raise InputError(f"stored outcomes {path}", f"cannot be read ({error})", "Give another folder.") from None
    return combine(tables)


def combine(tables: list[pa.Table]) -> pa.Table:
    """One table sorted by key; of a key that is there twice the later row stays."""
    if not tables:
        return SCHEMA.empty_table()
    table = pa.concat_tables(tables).combine_chunks()
    last = {key: row for row, key in enumerate(table["key"].to_pylist())}
    return table.take(pa.array([last[key] for key in sorted(last)], pa.int64())).combine_chunks()


def write_table(path: Path, table: pa.Table) -> None:
    """Write Parquet, atomically; equal tables give equal bytes."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        pq.write_table(table.replace_schema_metadata(SCHEMA.metadata), file, compression="zstd")
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def write_atomically(path: Path, text: str) -> None:
    """Write a text file so that it is there whole or not at all."""
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
