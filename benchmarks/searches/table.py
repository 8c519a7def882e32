"""Stored runs as the rows of one Markdown table, as docs/results.md has them.

    python -m benchmarks.searches.table runs/nin-few runs/nin-paper

A row for each run, attack, number of pixels and goal, in the order given. Questions are means of a unit, failures
included; of derived goals those of a whole image. Distortion is the mean change of a channel of the changed pixels.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence

from benchmarks.searches.runs import print_table

from pinprick.errors import PinprickError
from pinprick.metrics.spread import Spread
from pinprick.runs.measures import Measures, measures
from pinprick.runs.summary import Row

HEADS = ("`--model`", "attack", "pixels", "goal", "fooled", "95 % interval", "questions", "to the first hit",
         "confidence", "distortion")  # fmt: skip


def rows(run: Measures) -> Iterator[Sequence[str]]:
    """The cells of a run's rows; of derived goals the same units by target as well."""
    for each in run.rows:
        channel = None if each.distortion is None else each.distortion.channel
        rest = (_mean(each.questions.first_hit), _mean(each.confidence, 100, 1, " %"), _mean(channel))
        yield _cells(run.model, each.row) + rest
        if each.other_row is not None:
            yield (*_cells(run.model, each.other_row), "", "", "")


def _cells(model: str, row: Row) -> tuple[str, ...]:
    low, high = row.interval
    return (
        f"`{model}`",
        f"`{row.attack}`",
        str(row.pixels),
        row.goal,
        f"{row.successes} of {row.n}",
        f"{100 * low:.1f} to {100 * high:.1f} %",
        f"{row.mean_queries:,.0f}".replace(",", " "),
    )


def _mean(values: Spread | None, factor: float = 1, digits: int = 0, unit: str = "") -> str:
    return "" if values is None or not values.n else f"{factor * values.mean:,.{digits}f}".replace(",", " ") + unit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", help="folders, as given to --out of pinprick attack")
    print_table(HEADS, [cells for folder in parser.parse_args().runs for cells in rows(measures(folder))])


if __name__ == "__main__":
    try:
        main()
    except PinprickError as error:
        sys.exit(f"error: {error}")
