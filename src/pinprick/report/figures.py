"""The figures, drawn by matplotlib: the same for the page and for files of their own.

Colours come from one palette (after Okabe and Ito, which colour-blind readers can tell apart). In the page each of
them becomes a CSS variable, so that a figure follows the light or dark of the page.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator
from numpy.typing import NDArray

from pinprick.metrics.budget import BudgetCurve
from pinprick.metrics.minimum import Minimum
from pinprick.metrics.pairs import ClassPairs
from pinprick.metrics.place import Place
from pinprick.metrics.reach import ReachedClasses
from pinprick.metrics.sparsity import Sparsity
from pinprick.metrics.spread import Spread
from pinprick.metrics.vulnerability import Vulnerability
from pinprick.report.words import SPACE, count

INK, MUTED, RULE, PAPER = "#1c1b19", "#67635b", "#dedad2", "#fefefe"
SERIES = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
ACCENT, BASELINE = SERIES[0], "#77736b"
VARIABLES = {INK: "--ink", MUTED: "--muted", RULE: "--rule", PAPER: "--paper", BASELINE: "--baseline"} | {
    colour: f"--series-{place + 1}" for place, colour in enumerate(SERIES)
}
"""CSS variable of each colour that a figure may have."""
MOST_CELLS = 64
"""Cells of a map a side; larger images are counted in blocks."""
LINEAR = 30
"""Numbers of pixels up to which the axis of the fewest pixels is even; beyond it is logarithmic."""
LONGEST_NAME = 24
DASHES = ("solid", (0, (4, 2)), (0, (1, 1.4)), (0, (6, 1.6, 1, 1.6)))
BROKEN = 1
"""The dashes of a baseline."""


@dataclass(frozen=True)
class Line:
    """A curve of a figure of success against budget; ``dashes`` is a place in :data:`DASHES`."""

    label: str
    curve: BudgetCurve
    colour: str
    dashes: int = 0
    band: bool = True


@contextmanager
def style() -> Iterator[None]:
    """The look of all figures; nothing of the user's own matplotlib settings."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(
            {
                "svg.fonttype": "none",  # text stays text
                "text.parse_math": False,  # a dollar in a class name is a dollar
                "font.family": "DejaVu Sans",  # comes with matplotlib
                "font.size": 8.5,
                "axes.edgecolor": RULE,
                "axes.labelcolor": MUTED,
                "axes.titlecolor": INK,
                "axes.titlesize": 9.5,
                "axes.titlelocation": "left",
                "axes.titlepad": 8,
                "axes.spines.top": False,
                "axes.spines.right": False,
                "axes.axisbelow": True,
                "grid.color": RULE,
                "grid.linewidth": 0.8,
                "xtick.color": MUTED,
                "ytick.color": MUTED,
                "text.color": INK,
                "legend.frameon": False,
                "figure.facecolor": PAPER,
                "axes.facecolor": "none",
                "pdf.fonttype": 42,
            }
        )
        yield


def short(name: str) -> str:
    """A class name that fits onto an axis."""
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def _share_axis(axes: Axes) -> None:
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f}{SPACE}%"))
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axes.grid(visible=True, axis="y")
    axes.tick_params(length=0)
    axes.spines["left"].set_visible(False)


def budget_figure(lines: Sequence[Line], title: str, *, unit: str = "image") -> Figure:
    """Share fooled within so many questions; steps, each with its pointwise 95 % band."""
    few = len(lines) <= 2
    figure, axes = _figure(3.5, 2.7) if few else _figure(5.2, 3.2 + 0.1 * len(lines))
    end = max((line.curve.budgets[-1] for line in lines if line.curve.n), default=10)
    for line in lines:
        curve = line.curve
        if not curve.n:
            continue
        if line.band:
            axes.fill_between(
                curve.budgets, curve.low, curve.high, step="post", color=line.colour, alpha=0.14, linewidth=0
            )
        axes.step(
            curve.budgets,
            curve.rate,
            where="post",
            color=line.colour,
            label=line.label,
            linewidth=1.8,
            linestyle=DASHES[line.dashes % len(DASHES)],
        )
    axes.set_xscale("log")
    axes.set_xlim(1, max(end, 10))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: count(value)))
    axes.xaxis.minorticks_off()
    _share_axis(axes)
    axes.set_xlabel(f"questions for each {unit}")
    axes.set_title(title)
    if few and any(line.curve.n for line in lines):
        axes.legend(loc="upper left", fontsize=8, handlelength=2.2, borderaxespad=0.2)
    elif not few:
        # Curves begin low at the left, so that two names find room there; more are put underneath.
        figure.legend(loc="outside lower left", ncols=2, fontsize=8, handlelength=2.2)
    return figure


def fewest_figure(found: Minimum, title: str) -> Figure:
    """Share fooled with so many pixels or fewer: steps with their band, and the median with its interval."""
    figure, axes = _figure(5.2, 3.0)
    log = found.cap > LINEAR
    # Room for the step at the cap itself.
    end = found.cap * 1.12 if log else found.cap + max(0.5, found.cap / 24)
    pixels = [*found.pixels, end]
    low, rate, high = ([*values, values[-1]] for values in (found.low, found.rate, found.high))
    axes.fill_between(pixels, low, high, step="post", color=ACCENT, alpha=0.14, linewidth=0)
    axes.step(pixels, rate, where="post", color=ACCENT, linewidth=1.8)
    least, most = (end if one is None else one for one in found.interval)
    axes.plot([least, most], [0.5, 0.5], color=INK, linewidth=3, alpha=0.45, solid_capstyle="butt")
    if found.median is not None:
        axes.plot([found.median, found.median], [0, 0.5], color=INK, linewidth=1, linestyle=DASHES[BROKEN])
        axes.plot([found.median], [0.5], "o", color=INK, markersize=5)
    text = "half: " + (f"more than {count(found.cap)}" if found.median is None else count(found.median))
    # Where the curve is not: it runs from the lower left to the upper right.
    left = found.median is not None and _place(found.median, end, log) > 0.5
    before = left or most == end
    axes.annotate(
        text, (least if left else most, 0.5), (-4 if before else 4, 5), textcoords="offset points",
        ha="right" if before else "left", va="bottom", color=INK,
    )  # fmt: skip
    if log:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
        axes.xaxis.minorticks_off()
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=10))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: count(value)))
    axes.set_xlim(1 if log else 0, end)
    _share_axis(axes)
    axes.set_xlabel("changed pixels, at most")
    axes.set_title(title)
    return figure


def sparsity_figure(found: Sparsity, cap: int, title: str, *, unit: str = "image") -> Figure:
    """The fewest changed pixels that fooled after so many questions: steps of the median with its interval."""
    figure, axes = _figure(5.2, 3.0)
    rows = [(found.low, 0.0), (found.median, 1.8), (found.high, 0.0)]
    low, middle, high = (np.array([np.nan if one is None else one for one in row], float) for row, _ in rows)
    known = np.isfinite(low)
    # Where the upper end is more than any number, the band runs out of the picture.
    top = max(float(np.nanmax(np.append(high, [cap]))), float(np.nanmax(np.append(middle, [cap]))))
    upper = np.where(np.isfinite(high), high, 10 * top)
    axes.fill_between(
        np.array(found.questions)[known], low[known], upper[known], step="post", color=ACCENT, alpha=0.14, linewidth=0
    )
    axes.step(found.questions, middle, where="post", color=ACCENT, linewidth=1.8)
    axes.axhline(cap, color=INK, linewidth=1, linestyle=DASHES[BROKEN])
    axes.annotate("may change", (found.questions[-1], cap), (0, 3), textcoords="offset points", ha="right", color=INK)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(1, max(found.questions[-1], 10))
    axes.set_ylim(1, 1.3 * max(top, 2))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: count(value)))
    axes.yaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
    axes.minorticks_off()
    axes.grid(visible=True, axis="y")
    axes.tick_params(length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(f"questions for each {unit}")
    axes.set_title(title)
    return figure


def _place(value: float, end: float, log: bool) -> float:
    """Where a value lies on an axis that ends at ``end``, 0 to 1."""
    return float(np.log(max(value, 1)) / np.log(end)) if log else value / end


def rates_figure(rows: Sequence[tuple[str, float, tuple[float, float], str, bool]], title: str) -> Figure:
    """Rates with their intervals, one line each: label, rate, interval, colour, whether it is the baseline."""
    figure, axes = _figure(5.4, 0.9 + 0.3 * len(rows))
    for place, (_, rate, (low, high), colour, baseline) in enumerate(rows):
        axes.plot([low, high], [place, place], color=colour, linewidth=2, alpha=0.6, solid_capstyle="butt")
        axes.plot(
            [rate], [place], "o", color=colour, markersize=6, markerfacecolor=PAPER if baseline else colour,
            markeredgewidth=1.6,
        )  # fmt: skip
    axes.set_yticks(range(len(rows)), [row[0] for row in rows], color=INK)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(-0.02, 1.02)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f}{SPACE}%"))
    axes.grid(visible=True, axis="x")
    axes.tick_params(length=0)
    axes.spines["left"].set_visible(False)
    axes.set_title(title)
    return figure


def reached_figure(found: ReachedClasses, other: ReachedClasses | None, title: str) -> Figure:
    """How many images were pushed to none, one, two … other classes; the baseline beside as outlines."""
    figure, axes = _figure(3.5, 2.6)
    numbers = np.arange(len(found.counts))
    axes.bar(numbers, np.array(found.counts) / found.images, width=0.72, color=ACCENT, label="attack")
    if other is not None and other.images:
        heights = np.array(other.counts) / other.images
        axes.bar(numbers, heights, width=0.9, fill=False, edgecolor=BASELINE, linewidth=1.4, label="random baseline")
        axes.legend(loc="upper right", fontsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=12))
    axes.set_xlim(-0.6, len(found.counts) - 0.4)
    top = axes.get_ylim()[1]
    _share_axis(axes)
    axes.set_ylim(0, min(1.0, max(top, 0.05)))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel("target classes reached")
    axes.set_ylabel("share of images")
    axes.set_title(title)
    return figure


def place_figure(found: Place, title: str) -> Figure:
    """A map over the image: the more successes changed a pixel, the deeper its colour; the middle is outlined."""
    counts, block = blocks(found.counts)
    height, width = found.counts.shape
    figure, axes = _map_figure(counts / max(int(counts.max()), 1), block, height, width, title)
    top, left = height // 4, width // 4
    axes.add_patch(
        Rectangle(
            (left, top), width - 2 * left, height - 2 * top,
            fill=False, edgecolor=INK, linewidth=0.9, linestyle=(0, (2, 2)),
        )
    )  # fmt: skip
    return figure


def vulnerability_figure(found: Vulnerability, title: str) -> Figure:
    """A map over the image: the more units are fooled by a colour at a position, of those asked there, the deeper."""
    counts, block = blocks(found.counts)
    shares = counts / np.maximum(blocks(found.asked)[0], 1)
    height, width = found.counts.shape
    return _map_figure(shares / max(float(shares.max()), 1e-9), block, height, width, title)[0]


def _map_figure(depths: NDArray[np.float64], block: int, height: int, width: int, title: str) -> tuple[Figure, Axes]:
    """A map of an image of ``height`` x ``width`` in cells ``block`` wide, as deep in colour as ``depths``, 0 to 1."""
    figure, axes = _figure(2.7, 0.65 + 2.2 * height / width if height <= 2 * width else 5.0)
    axes.add_patch(Rectangle((0, 0), width, height, facecolor="none", edgecolor=BASELINE, linewidth=1))
    for row, column in np.argwhere(depths > 0).tolist():
        axes.add_patch(
            Rectangle(
                (column * block, row * block),
                min(block, width - column * block),
                min(block, height - row * block),
                facecolor=ACCENT,
                alpha=0.12 + 0.88 * float(depths[row, column]),
                linewidth=0,
            )
        )
    axes.set_xlim(-0.02 * width, width * 1.02)
    axes.set_ylim(height * 1.02, -0.02 * height)
    axes.set_aspect("equal")
    axes.set_xticks([0.5, width - 0.5], ["0", str(width - 1)])
    axes.set_yticks([0.5, height - 0.5], ["0", str(height - 1)])
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xlabel("column")
    axes.set_ylabel("row")
    axes.set_title(title)
    return figure, axes


def blocks(counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """Counts in square blocks, so that a map has :data:`MOST_CELLS` a side at most, and how wide a block is."""
    height, width = counts.shape
    block = -(-max(height, width) // MOST_CELLS)
    if block == 1:
        return counts, 1
    padded = np.pad(counts, ((0, -height % block), (0, -width % block)))
    return padded.reshape(padded.shape[0] // block, block, padded.shape[1] // block, block).sum(axis=(1, 3)), block


def distortion_figure(rows: Sequence[tuple[str, Spread, str]], title: str) -> Figure:
    """Mean change of a channel over successes, one line each: the middle nine tenths, the middle half, the median."""
    figure, axes = _figure(5.4, 0.9 + 0.36 * max(len(rows), 1))
    for place, (_, found, colour) in enumerate(rows):
        axes.plot([found.p5, found.p95], [place, place], color=colour, linewidth=1.2)
        axes.add_patch(
            Rectangle((found.p25, place - 0.22), found.p75 - found.p25, 0.44, facecolor=colour, alpha=0.3, linewidth=0)
        )
        axes.plot([found.median, found.median], [place - 0.22, place + 0.22], color=colour, linewidth=2)
        axes.plot([found.mean], [place], "D", color=INK, markersize=3.5)
    axes.set_yticks(range(len(rows)), [row[0] for row in rows], color=INK)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(0, 255)
    axes.set_xticks([0, 64, 128, 192, 255])
    axes.grid(visible=True, axis="x")
    axes.tick_params(length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("mean change of a channel of a changed pixel (0 to 255)")
    axes.set_title(title)
    return figure


def pairs_figure(found: ClassPairs, names: Sequence[str], which: Sequence[int], title: str) -> Figure:
    """Heat map of class pairs, original class down and reached class across, for the classes ``which``."""
    side = len(which)
    figure, axes = _figure(1.6 + 0.36 * side, 1.3 + 0.32 * side)
    targeted = found.kind == "targeted"
    values = found.rates if targeted else found.successes.astype(float)
    shown = values[np.ix_(which, which)]
    most = max(float(np.nanmax(shown)), 1e-9) if np.isfinite(shown).any() else 1.0
    for row in range(side):
        for column in range(side):
            value = shown[row, column]
            if row == column:
                axes.add_patch(Rectangle((column, row), 1, 1, facecolor=RULE, alpha=0.5, linewidth=0))
            elif np.isfinite(value) and value > 0:
                axes.add_patch(
                    Rectangle((column, row), 1, 1, facecolor=ACCENT, alpha=0.1 + 0.6 * value / most, linewidth=0)
                )
                text = f"{100 * value:.0f}" if targeted else f"{value:.0f}"
                axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=7.5)
    labels = [short(names[index]) for index in which]
    axes.set_xlim(0, side)
    axes.set_ylim(side, 0)
    axes.set_aspect("equal")
    axes.set_xticks(np.arange(side) + 0.5, labels, rotation=90 if max(map(len, labels), default=0) > 2 else 0)
    axes.set_yticks(np.arange(side) + 0.5, labels)
    axes.tick_params(length=0)
    axes.set_xlabel("target class, % of units that reached it" if targeted else "class reached, number of images")
    axes.set_ylabel("original class")
    axes.set_title(title)
    return figure
