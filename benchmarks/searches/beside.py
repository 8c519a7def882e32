"""Two stored runs unit by unit: what both fool, what one of them does alone, and how many times the questions.

    python -m benchmarks.searches.beside results/nin-few-pixel-3 results/nin-one-pixel-3 [FIRST OTHER …]

A row for each pair and number of pixels, over the units that both have. Questions are means of a unit, failures
included; their ratio has a 95 % interval by a bootstrap over images.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from benchmarks.searches.runs import of, print_table

import pinprick
from pinprick.errors import PinprickError
from pinprick.metrics.bootstrap import resampled_ratios
from pinprick.metrics.paired import paired
from pinprick.runs.store import read_manifest

HEADS = ("`--model`", "pixels", "units", "{other} fools", "{first} fools", "both", "{other} alone", "{first} alone",
         "questions, {other}", "{first}", "times as many")  # fmt: skip


def units_of(table: pa.Table) -> list[tuple[str, int | None]]:
    """Which image and target each row is about."""
    return list(zip(table["image"].to_pylist(), table["target"].to_pylist(), strict=True))


def shared(table: pa.Table, other: pa.Table) -> pa.Table:
    """The rows of units that the other table has too."""
    known = set(units_of(other))
    return table.filter(pa.array([unit in known for unit in units_of(table)]))


def times(first: pa.Table, other: pa.Table) -> tuple[float, float, float]:
    """Questions of ``other`` over those of ``first``, and the ends of the interval; both of the same units."""
    names = sorted(set(first["image"].to_pylist()))
    sums = []
    for table in (other, first):
        owner = np.searchsorted(names, table["image"].to_pylist())
        sums.append(np.bincount(owner, weights=table["asked"].to_numpy(), minlength=len(names)).astype(float))
    low, high = np.quantile(resampled_ratios(sums[0][:, None], sums[1])[:, 0], [0.025, 0.975])
    return float(sums[0].sum() / sums[1].sum()), float(low), float(high)


def rows(first: str, other: str) -> Iterator[Sequence[str]]:
    """The cells of a pair's rows."""
    manifest = read_manifest(Path(first))
    model = "" if manifest is None else manifest["given"]["model"]
    tables = [pinprick.read_outcomes(folder) for folder in (first, other)]
    for pixels in sorted(set(tables[1]["pixels"].to_pylist())):
        one, two = (of(table, pixels) for table in tables)
        one, two = shared(one, two), shared(two, one)
        found = paired(one, two)
        if not found.n:
            continue
        ratio, low, high = times(one, two)
        yield (
            f"`{model}`",
            str(pixels),
            str(found.n),
            str(found.both + found.baseline_only),
            str(found.both + found.attack_only),
            str(found.both),
            str(found.baseline_only),
            str(found.attack_only),
            _number(float(np.mean(two["asked"].to_numpy()))),
            _number(float(np.mean(one["asked"].to_numpy()))),
            f"{ratio:.0f} ({low:.0f} to {high:.0f})",
        )


def _number(value: float) -> str:
    return f"{value:,.0f}".replace(",", " ")


def heads(first: str, other: str) -> list[str]:
    """The first line, with the names of both attacks."""
    names = [pinprick.read_outcomes(folder)["attack"][0].as_py() for folder in (first, other)]
    return [head.format(first=f"`{names[0]}`", other=f"`{names[1]}`") for head in HEADS]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", help="folders in pairs: a run, and the one that it is held against")
    given = parser.parse_args().runs
    if len(given) % 2:
        parser.error(f"{len(given)} folders; give them in pairs")
    pairs = zip(given[::2], given[1::2], strict=True)
    print_table(heads(given[0], given[1]), [cells for pair in pairs for cells in rows(*pair)])


if __name__ == "__main__":
    try:
        main()
    except PinprickError as error:
        sys.exit(f"error: {error}")
