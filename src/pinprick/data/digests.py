"""Fingerprints of what an image set was read from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_CHUNK = 1 << 20
_THREADS = 8
_FILES_A_TASK = 64
"""Small files are read faster than a thread can be asked for one of them."""


def file_digest(path: Path) -> str:
    """BLAKE2b of a file's bytes, hex."""
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def file_digests(paths: Sequence[Path]) -> list[str]:
    """:func:`file_digest` of many files, read by several threads at once, since most of the time goes into waiting.

    On two cores 50 000 files of 2 KB took 1 s, and 4 s where none was in memory; 5 000 of 110 KB took 0.7 s and 1.1 s.

    Raises
    ------
    OSError : a file cannot be read; its ``filename`` is that of the first such file.
    """

    def some(start: int) -> list[str]:
        found = []
        for path in paths[start : start + _FILES_A_TASK]:
            try:
                found.append(file_digest(path))
            except OSError as error:
                error.filename = str(path)
                raise
        return found

    with ThreadPoolExecutor(_THREADS) as threads:
        return [digest for part in threads.map(some, range(0, len(paths), _FILES_A_TASK)) for digest in part]


def text_digest(parts: Iterable[str]) -> str:
    """BLAKE2b of a list of texts, hex; each counts with its length, so that their borders matter."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        encoded = part.encode("utf-8", "surrogateescape")
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.hexdigest()
