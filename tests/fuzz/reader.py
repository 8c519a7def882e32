"""What a reader is, and what several of them need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

Given = Any


@dataclass(frozen=True)
class Reader:
    """``given`` makes input, ``read`` reads it in an empty folder; it may raise nothing but a PinprickError."""

    name: str
    given: Callable[[], st.SearchStrategy[Given]]
    read: Callable[[Path, Given], object]


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path
