"""PNG files of a run: originals and adversarial images, with a table that says which is which."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa

from pinprick.data.decode import encode_png
from pinprick.data.image_set import ImageSet
from pinprick.edits import Edits
from pinprick.runs.plan import PlannedUnit
from pinprick.runs.store import write_atomically
from pinprick.verify import edited_image


def save_pictures(folder: Path, table: pa.Table, units: list[PlannedUnit], images: ImageSet) -> None:
    """Write ``NAME/original.png`` and, for each fooled unit, ``NAME/ATTACK-dPIXELS-GOAL.png`` under ``folder``.

    ``metadata.jsonl`` (as Hugging Face's image folders have it) names each file's unit key, label and prediction.
    Files that are there already are left alone.
    """
    outcomes = {row["key"]: row for row in table.to_pylist()}
    lines = []
    for planned in units:
        row = outcomes.get(planned.key)
        if row is None or row["status"] != "fooled":
            continue
        unit = planned.unit(images)
        # Names may hold folders and odd characters; the digest keeps two of them apart.
        own = f"{re.sub(r'[^A-Za-z0-9._-]+', '_', unit.image_name)[-60:]}-{unit.image_digest[:8]}"
        goal = "untargeted" if unit.goal.target is None else f"target{unit.goal.target}"
        edits = Edits(
            np.array([row["rows"]], np.int32),
            np.array([row["columns"]], np.int32),
            np.array([row["colours"]], np.uint8),
        )
        for name, pixels in (
            (f"{own}/original.png", unit.image),
            (f"{own}/{unit.attack}-d{unit.pixels}-{goal}.png", edited_image(unit, edits)),
        ):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                path.write_bytes(encode_png(pixels))
        lines.append(
            json.dumps(
                {
                    "file_name": name,
                    "original": f"{own}/original.png",
                    "key": unit.key,
                    "label": unit.label,
                    "predicted": row["predicted_after"],
                    "changed": row["changed"],
                }
            )
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "metadata.jsonl", "".join(line + "\n" for line in sorted(lines)))
