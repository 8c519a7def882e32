"""Tables for people, on stdout."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from pinprick.errors import plain
from pinprick.runs.summary import Row

WIDTH = 2000
"""Wide enough for every table, so that nothing is cut; a terminal that is narrower breaks the lines."""
# fmt: off
ROW_COLUMNS = (
    "attack", "pixels", "goal", "n", "fooled", "rate", "95 % interval",
    "questions", "median", "to success", "confidence", "failed",
)
# fmt: on


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]], left: Sequence[str] = ()) -> None:
    """Print a plain table; columns are right-justified but for those named in ``left``."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in header:
        table.add_column(name, justify="left" if name in left else "right", no_wrap=True)
    for row in rows:
        table.add_row(*map(plain, row))
    Console(highlight=False, markup=False, emoji=False, width=WIDTH).print(table)


def print_rows(rows: Iterable[Row]) -> None:
    """The rows of a run, as `pinprick attack` prints them."""
    print_table(
        ROW_COLUMNS,
        [
            (
                row.attack,
                str(row.pixels),
                row.goal,
                str(row.n),
                str(row.successes),
                figure(row.success_rate, "{:.1%}"),
                share_range(row.interval) if row.n else "-",
                amount(row.mean_queries),
                amount(row.median_queries),
                amount(row.mean_queries_to_success),
                figure(row.confidence, "{:.1%}"),
                str(row.failed),
            )
            for row in rows
        ],
        left=("attack", "goal"),
    )


def unfinished(ended: int, units: int | None) -> str:
    """That a run's figures are of some of its units only."""
    of = "" if units is None else f" of {units:,}"
    return f"unfinished: {ended:,}{of} units have ended. Fooled ones end first, so that rates may still fall"


def figure(value: float | None, form: str) -> str:
    """A figure in the form of :meth:`str.format`, a dash where there is none."""
    return "-" if value is None else form.format(value)


def amount(value: float | None) -> str:
    """``40,401``; a mean or median under 1,000 with one decimal, ``36.5``; a dash where there is none."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 1000 or value == int(value) else f"{value:,.1f}"


def share_range(interval: tuple[float, float]) -> str:
    """``3.1% to 9.8%``."""
    return f"{interval[0]:.1%} to {interval[1]:.1%}"
