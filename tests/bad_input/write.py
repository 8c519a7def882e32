"""Writes docs/errors.md anew: ``python -m tests.bad_input.write``."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.bad_input.case import result_of
from tests.bad_input.cases import SECTIONS
from tests.bad_input.document import PATH, TOP, head, row


def main() -> None:
    """Run every case and write what came of it."""
    parts = []
    for section in SECTIONS:
        rows = []
        for case in section.cases:
            with tempfile.TemporaryDirectory() as folder:
                rows.append(row(case, result_of(case, Path(folder))))
        parts.append(head(section) + "\n".join(rows) + "\n")
    PATH.write_text(TOP + "\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
