"""PNG files of a run: originals and adversarial images, with a table that says which is which."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from pinprick.data.decode import decode_image, encode_png
from pinprick.data.image_set import Image, ImageSet
from pinprick.edits import Edits
from pinprick.errors import InputError
from pinprick.files import write_atomically, writing
from pinprick.runs.plan import PlannedUnit
from pinprick.streams import image_digest

COLUMNS = ["key", "image", "image_digest", "target", "attack", "pixels", "rows", "columns", "colours", "label"]
COLUMNS += ["predicted_after", "changed"]
"""What of an outcome is needed for its picture."""


def save_pictures(folder: Path, rows: Iterable[dict[str, Any]], units: Iterable[PlannedUnit], images: ImageSet) -> None:
    """Write ``NAME/original.png`` and, for each fooled unit, ``NAME/ATTACK-dPIXELS-GOAL.png`` under ``folder``.

    ``metadata.jsonl`` (as Hugging Face's image folders have it) names each file's unit key, label and prediction. It
    covers the fooled ones among ``units`` and those of earlier calls whose files are still there, so that a call for
    fewer images takes none away. A file that does not hold what the table says is written anew.

    Parameters
    ----------
    rows : all fooled units of the run, their :data:`COLUMNS`.
    units : those whose pictures are wanted.

    Raises
    ------
    InputError : a file cannot be written.
    """
    wanted = {planned.key: planned.image.index for planned in units}
    lines = []
    for row in rows:
        original, example = _names(row)
        index = wanted.get(row["key"])
        if index is not None:
            image = images.image(index)
            _write(folder / original, encode_png(image))
        else:
            earlier = _earlier(folder / original, row["image_digest"])
            if earlier is None or not (folder / example).exists():
                continue
            image = earlier
        _write(folder / example, encode_png(_edited(image, row)))
        lines.append(
            json.dumps(
                {
                    "file_name": example,
                    "original": original,
                    "key": row["key"],
                    "label": row["label"],
                    "predicted": row["predicted_after"],
                    "changed": row["changed"],
                }
            )
        )
    _make_folder(folder)
    write_atomically(folder / "metadata.jsonl", "".join(line + "\n" for line in sorted(lines)))


def _names(row: dict[str, Any]) -> tuple[str, str]:
    """The names of a row's original and of its example, relative to the folder."""
    # Names may hold folders and odd characters; the digest keeps two of them apart.
    own = f"{re.sub(r'[^A-Za-z0-9._-]+', '_', row['image'])[-60:]}-{row['image_digest'][:8]}"
    goal = "untargeted" if row["target"] is None else f"target{row['target']}"
    return f"{own}/original.png", f"{own}/{row['attack']}-d{row['pixels']}-{goal}.png"


def _edited(image: Image, row: dict[str, Any]) -> Image:
    """The image with the row's edits in it."""
    edits = Edits(
        np.array([row["rows"]], np.int32),
        np.array([row["columns"]], np.int32),
        np.array([row["colours"]], np.uint8),
    )
    edited: Image = edits.apply(image[None])[0]
    return edited


def _earlier(path: Path, digest: str) -> Image | None:
    """The original that an earlier call has written; None where there is none, or another one in its place."""
    try:
        image = decode_image(path.read_bytes(), str(path))
    except (FileNotFoundError, InputError):
        return None
    return image if image_digest(image) == digest else None


def _write(path: Path, content: bytes) -> None:
    """Write a file that does not hold this already."""
    with writing(path):
        if path.exists() and path.read_bytes() == content:
            return
    _make_folder(path.parent)
    write_atomically(path, content)


def _make_folder(folder: Path) -> None:
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
