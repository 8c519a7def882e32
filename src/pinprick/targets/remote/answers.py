"""Answers of an endpoint on disk, so that what was asked once is not asked again by the next session."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pinprick.errors import InputError
from pinprick.goals import Scores

FILE = "answers.sqlite"
_TABLES = """
CREATE TABLE IF NOT EXISTS generation (id INTEGER PRIMARY KEY, endpoint TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS canary (
    generation INTEGER NOT NULL, image BLOB NOT NULL, shape TEXT NOT NULL, pixels BLOB NOT NULL, scores BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS answer (
    generation INTEGER NOT NULL, image BLOB NOT NULL, scores BLOB NOT NULL, sure INTEGER NOT NULL,
    PRIMARY KEY (generation, image)) WITHOUT ROWID;
"""


class KeptAnswers:
    """Answers in ``FOLDER/answers.sqlite``, by the bytes of the image and the identity of the endpoint.

    An endpoint's answers are kept in generations: should it score the images of :meth:`canaries` otherwise, it has
    become another one, and a new generation begins. Until it was last seen to be the same (:meth:`confirm`), answers
    are not sure, and go with :meth:`drop`. Several processes may use one folder.

    Raises
    ------
    InputError : the folder or the file cannot be used.
    """

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        self.path = folder / FILE
        self.endpoint = json.dumps(identity, sort_keys=True)
        self.generation = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = error.strerror or error
            raise InputError(f"--answer-cache {folder}", f"cannot be written to ({reason})", "Give a folder.") from None
        with self._sound():
            self._base = sqlite3.connect(self.path, timeout=60, isolation_level=None)
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA synchronous = NORMAL")
            self._base.executescript(_TABLES)

    @contextlib.contextmanager
    def _sound(self) -> Iterator[None]:
        right = "Move it away: answers are asked for anew then."
        try:
            yield
        except sqlite3.Error as error:
            raise InputError(f"kept answers {self.path}", f"cannot be used ({error})", right) from None
        except (ValueError, TypeError) as error:
            # Any column of an SQLite file may hold anything.
            raise InputError(f"kept answers {self.path}", f"damaged ({error})", right) from None

    def generations(self) -> list[int]:
        """This endpoint's generations, the newest first."""
        with self._sound():
            rows = self._base.execute("SELECT id FROM generation WHERE endpoint = ? ORDER BY id DESC", (self.endpoint,))
            return [int(row[0]) for row in rows]

    def canaries(self, generation: int) -> list[tuple[NDArray[np.uint8], Scores]]:
        """The images that tell a generation, and what they scored."""
        with self._sound():
            rows = self._base.execute("SELECT shape, pixels, scores FROM canary WHERE generation = ?", (generation,))
            return [(_image(shape, raw), _row(row)) for shape, raw, row in rows.fetchall()]

    def begin(self, canaries: Sequence[tuple[NDArray[np.uint8], Scores]]) -> None:
        """Begin a new generation, told by these images and their scores."""
        with self._sound(), self._base:
            self._base.execute("BEGIN IMMEDIATE")
            made = self._base.execute("INSERT INTO generation (endpoint) VALUES (?)", (self.endpoint,))
            self.generation = int(made.lastrowid or 0)
            self._base.executemany(
                "INSERT INTO canary VALUES (?, ?, ?, ?, ?)",
                [
                    (self.generation, key(image), json.dumps(image.shape), image.tobytes(), _blob(row))
                    for image, row in canaries
                ],
            )

    def go_on(self, generation: int) -> None:
        """Use this generation: the endpoint was just seen to be the same."""
        self.generation = generation
        self.confirm()

    def confirm(self) -> None:
        """The endpoint is still the same: what it answered so far is sure."""
        with self._sound():
            self._base.execute("UPDATE answer SET sure = 1 WHERE generation = ? AND sure = 0", (self.generation,))

    def drop(self) -> None:
        """Forget what is not sure."""
        with self._sound():
            self._base.execute("DELETE FROM answer WHERE generation = ? AND sure = 0", (self.generation,))

    def get(self, images: NDArray[np.uint8]) -> dict[int, Scores]:
        """Scores ``(K,)`` of those of ``(N, C, H, W)`` images that are known, by their places."""
        found: dict[int, Scores] = {}
        with self._sound():
            for place, image in enumerate(images):
                row = self._base.execute(
                    "SELECT scores FROM answer WHERE generation = ? AND image = ?", (self.generation, key(image))
                ).fetchone()
                if row is not None:
                    found[place] = _row(row[0])
        return found

    def put(self, images: NDArray[np.uint8], rows: Sequence[Scores]) -> None:
        """Keep the scores of images."""
        entries = [(self.generation, key(image), _blob(row)) for image, row in zip(images, rows, strict=True)]
        with self._sound(), self._base:
            self._base.execute("BEGIN IMMEDIATE")
            self._base.executemany("INSERT OR REPLACE INTO answer VALUES (?, ?, ?, 0)", entries)

    def close(self) -> None:
        """Let go of the file."""
        self._base.close()

    def remove(self) -> None:
        """Close and delete the file, and its folder where nothing else is in it."""
        self.close()
        with contextlib.suppress(OSError):
            for end in ("", "-wal", "-shm"):
                self.path.with_name(self.path.name + end).unlink(missing_ok=True)
            self.path.parent.rmdir()


def key(image: NDArray[np.uint8]) -> bytes:
    """What an image is known by: a digest of its shape and pixels."""
    return hashlib.blake2b(repr(image.shape).encode() + image.tobytes(), digest_size=16).digest()


def _blob(row: Scores) -> bytes:
    """Scores ``(K,)`` with their precision."""
    return row.dtype.char.encode() + row.tobytes()


def _row(blob: bytes) -> Scores:
    kind = {b"f": np.float32, b"d": np.float64}.get(blob[:1])
    if kind is None:
        raise ValueError("scores of no known kind")
    row: Scores = np.frombuffer(blob, kind, offset=1).copy()
    if len(row) < 2:
        raise ValueError("scores of fewer than two classes")
    return row


def _image(shape: str, raw: bytes) -> NDArray[np.uint8]:
    image = np.frombuffer(raw, np.uint8).reshape(json.loads(shape))
    if image.ndim != 3:
        raise ValueError("an image that is none")
    return image
