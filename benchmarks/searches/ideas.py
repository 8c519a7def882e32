"""What each idea of `few-pixel` does by itself: the search without it, and a simpler one beside.

    python -m benchmarks.searches.ideas --data cifar10:test --models resnet32-cifar10 --pixels 1 3

Each line is `few-pixel` as it comes with one constant changed, under the same budget. The sketch is
`benchmarks/searches/sketch.py`.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from benchmarks.searches.runs import Images, asked, common, kept, of, print_table, share, to_success

from pinprick.search import descent, few_pixel, surrogate


def _none(*_: object) -> list[np.ndarray]:
    return []


CHANGES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "as it comes": ("as-it-comes", {}, {}),
    "all changes taken for equally strong, the lattice first": ("no-strength", {}, {"prior": "even"}),
    "the lattice first": ("lattice", {"strongest": _none}, {}),
    "one class modelled, not three": ("one-class", {"CLASSES": 1}, {}),
    "no doubt: what is expected, not what is hoped for": ("no-doubt", {"BOLD": 0.0}, {}),
    "no exchanges in the best sets": ("no-exchanges", {"EXCHANGES": (0.0, 0.0)}, {}),
    "gives up near misses too": ("no-near", {"NEAR": (0.0, 0)}, {}),
    "no descent where it is stuck": ("no-descent", {"STALL": 1_000_000}, {}),
    "one base, not two": ("one-base", {"BASES": 1, "EXCHANGES": (1 / 2,)}, {}),
    "batches of 64 from the beginning": ("large-batches", {"BATCHES": (64, 64)}, {}),
    "never gives up": ("to-the-end", {}, {"give_up": False}),
}


@contextlib.contextmanager
def changed(constants: dict[str, Any]) -> Iterator[None]:
    """The search with other constants, wherever a part of it has one of that name."""
    homes = [
        (module, name) for name in constants for module in (few_pixel, descent, surrogate) if hasattr(module, name)
    ]
    old = [getattr(module, name) for module, name in homes]
    try:
        for module, name in homes:
            setattr(module, name, constants[name])
        yield
    finally:
        for (module, name), value in zip(homes, old, strict=True):
            setattr(module, name, value)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    common(parser, models=("resnet32-cifar10",), pixels=(1, 3, 5))
    parser.add_argument("--changes", nargs="*", default=[short for short, _, _ in CHANGES.values()])
    given = parser.parse_args()
    images, pixels = Images(given.data, given.images, given.out), tuple(given.pixels)
    rows = []
    for model in given.models:
        tables = {"the sketch": kept(images, "sketch", model, "sketch", pixels=pixels).table}
        for words, (short, constants, parameters) in CHANGES.items():
            if short in given.changes:
                with changed(constants):
                    run = kept(images, f"idea-{short}", model, "few-pixel", pixels=pixels, parameters=parameters)
                tables[words] = run.table
        for number in pixels:
            for words, table in tables.items():
                part = of(table, number)
                fooled = sum(status == "fooled" for status in part["status"].to_pylist())
                rows.append([f"`{model}`", number, words, share(fooled, len(part)), asked(part), to_success(part)])
    print_table(["`--model`", "pixels", "search", "fooled", "questions a unit", "to success"], rows)


if __name__ == "__main__":
    main()
