"""Every reader of what a user can give."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.fuzz import readers_data, readers_models, readers_remote, readers_runs
from tests.fuzz.reader import Reader

READERS: tuple[Reader, ...] = (
    *readers_data.READERS,
    *readers_runs.READERS,
    *readers_models.READERS,
    *readers_remote.READERS,
)


def emptied(folder: Path) -> Path:
    """The folder with nothing in it."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                Path(entry.path).unlink()
    return folder
