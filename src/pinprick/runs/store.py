"""The store: outcomes as Parquet parts, written atomically, and one finished table sorted by unit key.

A run's folder::

    manifest.json        what the run is: spec, target, data, versions, machine, rows a pass, schema version
    clean.parquet        what the unchanged images scored
    parts/               outcomes as they come; each part appears whole or not at all
    outcomes.parquet     the finished table, sorted by key; holds no times
    summary.json         the rows that were printed
    log.jsonl            times and events
    ledger.jsonl         what was sent to a remote model, and what became of it
    answers/             what it answered, until every unit has ended
    images/              PNG files, with --save-images

The folder is locked while a run writes to it; the lock goes with the process, however that ends. Its file stays: were
it removed, two runs could each hold a lock of that name. Each file of
outcomes says which run it is of, so that no run adopts those of another.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from filelock import FileLock, Timeout

from pinprick.errors import InputError
from pinprick.files import append_line, write_atomically, writing
from pinprick.outcomes import Outcome
from pinprick.paths import given_path
from pinprick.runs.manifest import run_id as identity_of
from pinprick.runs.merge import merge
from pinprick.runs.shape import check_manifest, parse_manifest
from pinprick.runs.sound import check_run
from pinprick.runs.table import SCHEMA, SCHEMA_VERSION, combine, outcome_row, read_pieces, read_table, write_table

__all__ = [
    "SCHEMA",
    "SCHEMA_VERSION",
    "Store",
    "outcome_row",
    "read_manifest",
    "read_outcomes",
    "write_atomically",
]

FLUSH_SECONDS = 5.0
FLUSH_ROWS = 512
"""A part is written once so many outcomes wait for it, or for so long."""
READ_ATTEMPTS = 20
"""How often a folder is read anew whose files go while it is read."""
OWN_FILES = {"manifest.json", "manifest.json.part", "parts", "lock", "log.jsonl", "ledger.jsonl", "ledger.jsonl.part"}
"""What may be in a folder before its manifest is; anything else belongs to somebody."""
LEFT_OVER = (
    "manifest.json.part",
    "outcomes.parquet.part",
    "clean.parquet.part",
    "summary.json.part",
    "ledger.jsonl.part",
)
"""Files that a run which was killed may leave half written, beside those in ``parts``."""


class Store:
    """Outcomes of one run, in a folder or (``folder`` None) in memory only.

    Use as a context manager: leaving it writes what is still in memory and gives the lock back.

    ``run_id``, set once it is known which run this is, is written into every file of outcomes; from then on a file
    with another one, or with none, is refused.

    Raises
    ------
    InputError : the folder cannot be written to, holds something else, or another run is writing to it. So does each
        method whose file cannot be written or read; what had been stored before stays as it was.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.run_id: str | None = None
        self._pending: list[dict[str, Any]] = []
        self._kept: list[pa.Table] = []
        self._flushed = time.monotonic()
        self._lock: FileLock | None = None
        if folder is None:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _check_free(folder)
            (folder / "parts").mkdir(exist_ok=True)
            self._lock = FileLock(folder / "lock", timeout=0)
            self._lock.acquire()
            for path in [*(folder / "parts").glob("part-*.parquet.part"), *(folder / name for name in LEFT_OVER)]:
                path.unlink(missing_ok=True)
        except Timeout:
            raise InputError(
                f"--out {folder}", "another run is writing to it", "Wait for it, or give another folder."
            ) from None
        except OSError as error:
            reason = "it is a file" if folder.is_file() else error.strerror or error
            where = Path(str(error.filename or folder))
            inside = f"{where.name} in it " if where.parent == folder else ""
            raise InputError(
                f"--out {folder}", f"{inside}cannot be written to ({reason})", "Give another folder."
            ) from None

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: object, stopped_by: BaseException | None, trace: object) -> None:
        try:
            self.flush()
        except Exception as error:
            if stopped_by is None:
                raise
            # What stopped the run is what its user has to know first.
            why = "." if str(error) == str(stopped_by) else f": {error}"
            stopped_by.add_note(f"The last outcomes are not stored{why}")
        finally:
            if self._lock is not None:
                self._lock.release()

    # The manifest and the log.

    def manifest(self) -> dict[str, Any] | None:
        """The folder's manifest, None where there is none yet.

        Raises
        ------
        InputError : it is not JSON, not a run's, of a newer schema, or missing beside stored outcomes.
        """
        return None if self.folder is None else read_manifest(self.folder)

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        """Write the manifest, atomically."""
        if self.folder is not None:
            text = json.dumps(manifest, indent=2, sort_keys=True, allow_nan=False)
            write_atomically(self.folder / "manifest.json", text + "\n")

    def log(self, event: str, **facts: Any) -> None:
        """Add a line with the time to the log."""
        if self.folder is None:
            return
        line = json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "event": event} | facts, allow_nan=False)
        append_line(self.folder / "log.jsonl", line)

    # Outcomes.

    def add(self, outcomes: Iterable[Outcome]) -> None:
        """Keep outcomes; every few seconds they are written out as a part."""
        self._pending += [outcome_row(outcome) for outcome in outcomes]
        if len(self._pending) >= FLUSH_ROWS or time.monotonic() - self._flushed > FLUSH_SECONDS:
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
            parts = stored_parts(self.folder)
            number = _number(parts[-1]) + 1 if parts else 1
            write_table(self.folder / "parts" / f"part-{number:06d}.parquet", table, self.run_id)
        self._pending = []

    def table(self) -> pa.Table:
        """All outcomes so far, sorted by key; of a key stored twice the later one."""
        self.flush()
        return combine(self._kept) if self.folder is None else read_outcomes(self.folder, self.run_id)

    def statuses(self) -> dict[str, str]:
        """The status of each unit that has an outcome, by its key."""
        self.flush()
        found: dict[str, str] = {}
        for piece in self._pieces():
            found.update(zip(*(piece[name].to_pylist() for name in ("key", "status")), strict=True))
        return found

    def forget(self, keys: Iterable[str]) -> None:
        """Drop the outcomes of these keys, so that their units run again."""
        self._merge(list(keys))

    def finish(self) -> None:
        """Write the finished table, and drop the parts that are now in it."""
        self._merge([])

    def select(self, columns: list[str]) -> pa.Table:
        """These columns of the finished table."""
        return pa.concat_tables([piece.select(columns) for piece in self._pieces()])

    def rows(self, columns: list[str], status: str) -> Iterator[dict[str, Any]]:
        """These columns of the outcomes with this status, in the order of the finished table."""
        for piece in self._pieces():
            yield from piece.select(columns).filter(pc.equal(piece["status"], status)).to_pylist()

    def _pieces(self) -> Iterator[pa.Table]:
        """All that is stored, a piece at a time, looked at as :func:`read_outcomes` does; none waits to be written."""
        if self.folder is None:
            yield from self._kept or [SCHEMA.empty_table()]
            return
        check, any_file = self._check(), False
        for path in _stored_files(self.folder):
            first, any_file = 0, True
            for piece in self._read(path):
                check(path, piece, first)
                first += len(piece)
                yield piece
        if not any_file:
            yield SCHEMA.empty_table()

    def _read(self, path: Path) -> Iterator[pa.Table]:
        for piece, own in read_pieces(path):
            if self.run_id is not None and own != self.run_id:
                raise _foreign(path, own, f"the folder is of {_called(self.run_id)}")
            yield piece

    def _check(self) -> Callable[[Path, pa.Table, int], None]:
        manifest = self.manifest()

        def check(path: Path, piece: pa.Table, first: int) -> None:
            if manifest is not None:
                _check_of_run(path, piece, manifest, first)

        return check

    def _merge(self, without: list[str]) -> None:
        self.flush()
        if self.folder is None:
            kept = combine(self._kept)
            self._kept = [kept.filter(pc.invert(pc.is_in(kept["key"], pa.array(without, pa.string()))))]
            return
        files = _stored_files(self.folder)
        merge(self.folder / "outcomes.parquet", files, self._check(), self._read, self.run_id, without)
        with writing(self.folder / "parts"):
            for part in stored_parts(self.folder):
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
        with writing(aside):
            aside.mkdir()
            for path in [*stored_parts(self.folder), self.folder / "outcomes.parquet"]:
                if path.exists():
                    path.replace(aside / path.name)


def _check_free(folder: Path) -> None:
    """Refuse a folder that is neither a run's nor free for one."""
    if (folder / "manifest.json").exists():
        return
    _check_orphans(folder, f"--out {folder}")
    strange = sorted(path.name for path in folder.iterdir() if path.name not in OWN_FILES)
    if strange:
        raise InputError(f"--out {folder}", f"it holds other files ({strange[0]!r})", "Give a new or an empty folder.")


def _check_orphans(folder: Path, what: str) -> None:
    """Refuse outcomes of which no manifest tells what they are of."""
    parts = folder / "parts"
    found = sorted(parts.iterdir()) if parts.is_dir() else []
    if (folder / "outcomes.parquet").exists():
        found.insert(0, folder / "outcomes.parquet")
    if found:
        raise InputError(
            what,
            f"outcomes without a manifest ({found[0].relative_to(folder).as_posix()!r})",
            "Give another folder, or put its manifest.json back.",
        )


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a run's folder, None where there is none.

    Raises
    ------
    InputError : it is not JSON, lacks what every run's has, was written by a newer version of pinprick, or is missing
        beside stored outcomes.
    """
    path = folder / "manifest.json"
    try:
        manifest = parse_manifest(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        _check_orphans(folder, f"run folder {folder}")
        return None
    except (ValueError, RecursionError, OSError) as error:
        raise InputError(f"manifest {path}", f"cannot be read ({error})", "Give another folder.") from None
    version = manifest.get("schema_version") if isinstance(manifest, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise InputError(
            f"run folder {folder}",
            f"its schema version is {version}, this pinprick knows {SCHEMA_VERSION}",
            "Update pinprick, or give another folder.",
        )
    check_manifest(manifest, path)
    checked: dict[str, Any] = manifest
    return checked


def read_outcomes(folder: str | Path, run_id: str | None = None) -> pa.Table:
    """The outcomes stored in a run's folder, finished or not, sorted by key.

    Parameters
    ----------
    run_id : the run that they must be of; without it, that of the folder's manifest, and where there is none they must
        be of one run, whichever.

    Raises
    ------
    InputError : there is no such folder, a file of it cannot be read, is of another run, or holds what its run cannot
        have written.
    """
    folder = given_path(folder, f"run folder {folder}")
    if not folder.is_dir():
        raise InputError(f"run folder {folder}", "there is no such folder", "Give what was given to --out.")
    paths, found = _read_all(folder)
    manifest = read_manifest(folder) if (folder / "manifest.json").exists() else None
    # Before schema 2 files did not name their run.
    if run_id is None and manifest is not None and manifest["schema_version"] > 1:
        run_id = identity_of(manifest)
    for path, (_, own) in zip(paths, found, strict=True):
        if run_id is not None and own != run_id:
            raise _foreign(path, own, f"the folder is of {_called(run_id)}")
        if own != found[0][1]:
            raise _foreign(path, own, f"{paths[0].name} is of {_called(found[0][1])}")
    if manifest is not None:
        for path, (table, _) in zip(paths, found, strict=True):
            _check_of_run(path, table, manifest, 0)
    return combine([table for table, _ in found])


def _check_of_run(path: Path, table: pa.Table, manifest: dict[str, Any], first: int) -> None:
    try:
        check_run(table, manifest, first)
    except ValueError as error:
        raise InputError(f"stored outcomes {path}", f"they are not of its run ({error})", _AWAY) from None


def _read_all(folder: Path) -> tuple[list[Path], list[tuple[pa.Table, str | None]]]:
    """The files that hold outcomes, and what is in them.

    A run that ends meanwhile, or is extended, puts its parts into the finished table: what was listed is gone then,
    and all is listed and read again.
    """
    attempt = 0
    while True:
        attempt += 1
        paths = _stored_files(folder)
        try:
            return paths, [read_table(path) for path in paths]
        except InputError:
            if attempt == READ_ATTEMPTS or all(path.exists() for path in paths):
                raise


_AWAY = "Move the file away, and its units run again, or give another folder."


def _foreign(path: Path, own: str | None, other: str) -> InputError:
    return InputError(f"stored outcomes {path}", f"they are of {_called(own)}, and {other}", _AWAY)


def _called(run_id: str | None) -> str:
    return "a run that is not named" if run_id is None else f"run {run_id[:12]}"


def stored_parts(folder: Path) -> list[Path]:
    """The parts of a run's folder in the order in which they were written."""
    return sorted((folder / "parts").glob("part-*.parquet"), key=lambda path: (_number(path), path.name))


def _stored_files(folder: Path) -> list[Path]:
    """The files that hold outcomes, those written later after the others."""
    paths = stored_parts(folder)
    # Looked for after the parts: it is there before they go.
    if (folder / "outcomes.parquet").exists():
        paths.insert(0, folder / "outcomes.parquet")
    return paths


def _number(part: Path) -> int:
    """The number in a part's name; 0 where somebody has named it otherwise."""
    found = re.fullmatch(r"part-([0-9]{1,18})\.parquet", part.name)
    return int(found[1]) if found else 0
