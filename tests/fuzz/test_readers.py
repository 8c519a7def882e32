"""Whatever is given to a reader, it gives a result or a PinprickError: no other exception, no hang, no flood of memory.

`make test` tries the same few hundred inputs for each reader every time; `make fuzz` tries others for an hour, or for
as many seconds as the environment variable ``FUZZ_SECONDS`` says, and keeps the input at hand in ``FUZZ_FOLDER``.
"""

from __future__ import annotations

import contextlib
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from pinprick.errors import PinprickError
from tests.fuzz.limits import limited, watched
from tests.fuzz.reader import Given, Reader
from tests.fuzz.readers import READERS, emptied

SECONDS = float(os.environ.get("FUZZ_SECONDS", "3600"))
SHORT = 250
"""Inputs for each reader in `make test`."""
AT_ONCE = 500


def plain(data: Given) -> Given:
    """Input with all that is in its tables, which show only a part of themselves."""
    if isinstance(data, tuple):
        return tuple(plain(part) for part in data)
    return (str(data.schema), data.to_pylist()) if isinstance(data, pa.Table) else data


def trying(reader: Reader, folder: Path, examples: int, *, same: bool) -> Callable[[], None]:
    """A function that tries ``examples`` inputs; the ``same`` ones each time, or others."""

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=same,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(data=reader.given())
    def each(data: Given) -> None:
        if not same:
            text = f"{reader.name}\n{plain(data)!r}\n"
            (folder / "input.txt").write_text(text, encoding="utf-8", errors="backslashreplace")
        place = folder / "files"
        place.mkdir(exist_ok=True)
        with limited(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with contextlib.suppress(PinprickError):
                reader.read(emptied(place), data)

    return each


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_damaged_input_gives_a_result_or_a_clear_error(reader: Reader, tmp_path: Path) -> None:
    with watched():
        trying(reader, tmp_path, SHORT, same=True)()


@pytest.mark.fuzz
@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_for_long(reader: Reader, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(os.environ.get("FUZZ_FOLDER", str(tmp_path)))
    folder.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + SECONDS / len(READERS)
    tried = 0
    while time.monotonic() < end:
        with watched():
            trying(reader, folder, AT_ONCE, same=False)()
        tried += AT_ONCE
    with capsys.disabled():
        print(f"{reader.name}: {tried} inputs")  # noqa: T201 (what an hour was spent on)
