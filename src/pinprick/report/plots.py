"""Which figures a report has, with the words that belong to each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from matplotlib.figure import Figure

from pinprick.metrics.minimum import Minimum
from pinprick.metrics.sparsity import Sparsity
from pinprick.report import figures
from pinprick.report.figures import ACCENT, BASELINE, BROKEN, SERIES, Line
from pinprick.report.tables import chosen_classes
from pinprick.report.words import count, percent, pixels_text, plural
from pinprick.runs.measures import Measures, RowMeasures
from pinprick.runs.summary import Row

Kind = Literal["rates", "minimum", "sparsity", "budget", "pairs", "reached", "place", "maps", "distortion"]


@dataclass(frozen=True)
class Plot:
    """A figure: ``name`` is its file's and id's, ``description`` says in words what it shows. Draw it within the style.

    ``in_page`` is False for those that the page shows as a table.
    """

    kind: Kind
    name: str
    title: str
    description: str
    draw: Callable[[], Figure]
    in_page: bool = True


def run_plots(run: Measures, names: Sequence[str], prefix: str) -> list[Plot]:
    """The figures of one run; none where nothing has ended."""
    main = run.rows[0].row.attack
    ended = [each for each in run.rows if each.row.n]
    if not ended:
        return []
    plots = [_rates(run, main, prefix)]
    for own in (each for each in ended if each.row.attack == main):
        pixels = own.row.pixels
        mark = f"{prefix}{{}}-{pixels}px"
        other = next((each for each in ended if each.row.attack != main and each.row.pixels == pixels), None)
        if own.minimum is not None:
            plots.append(_fewest(run, own.minimum, mark.format("minimum")))
        if own.sparsity is not None and own.sparsity.fooled[-1]:
            plots.append(_sparsity(run, own, own.sparsity, mark.format("sparsity")))
        plots.append(_budget(run, own, other, mark.format("budget")))
        if own.pairs.successes.any():
            plots.append(_pairs(own, names, mark.format("pairs")))
        if own.reached is not None:
            plots.append(_reached(own, other, mark.format("reached")))
        if own.place is not None and own.place.pixels:
            plots.append(_place(own, mark.format("place")))
        if own.vulnerability is not None and own.vulnerability.counts.any():
            plots.append(_maps(own, mark.format("maps")))
    if any(each.distortion is not None for each in ended):
        plots.append(_distortion(run, main, prefix))
    return plots


def side_by_side(runs: Sequence[tuple[str, Measures]]) -> list[Plot]:
    """Success against budget of several runs in one figure: one for each goal and number of pixels that two share."""
    groups: dict[tuple[str, int], list[tuple[int, str, RowMeasures, RowMeasures | None]]] = {}
    for place, (name, run) in enumerate(runs):
        main = run.rows[0].row.attack
        for own in run.rows:
            if own.row.attack == main and own.row.n:
                pixels = own.row.pixels
                other = next((r for r in run.rows if r.row.attack != main and r.row.pixels == pixels and r.row.n), None)
                groups.setdefault((run.goal, pixels), []).append((place, name, own, other))
    plots = []
    for (goal, pixels), members in groups.items():
        if len(members) < 2:
            continue
        lines = []
        # With more than three runs the baselines would be a thicket.
        for place, name, own, other in members:
            colour = SERIES[place % len(SERIES)]
            # Colours come round again after the last; the dashes then are others.
            dashes = place // len(SERIES)
            lines.append(Line(figures.short(name), own.budget, colour, dashes, band=len(members) <= 3))
            if other is not None and len(members) <= 3:
                lines.append(Line(f"{figures.short(name)}, random", other.budget, colour, BROKEN, band=False))
        title = f"{pixels_text(pixels)}, {goal}"
        ends = "; ".join(f"{name}: {_end(own)}" for _, name, own, _ in members)

        def draw(lines: list[Line] = lines, title: str = title, goal: str = goal) -> Figure:
            return figures.budget_figure(lines, title, unit=_unit(goal))

        plots.append(Plot("budget", f"runs-budget-{goal}-{pixels}px", f"Success against budget, {title}", ends, draw))
    return plots


def _unit(goal: str) -> str:
    return "image" if goal == "untargeted" else "image and target class"


def _end(own: RowMeasures) -> str:
    curve = own.budget
    return f"{percent(curve.rate[-1])} of {count(curve.n)} within {count(curve.budgets[-1])} questions"


def _colour(attack: str, main: str) -> str:
    return ACCENT if attack == main else BASELINE


def _label(row: Row) -> str:
    return f"{row.attack}, {pixels_text(row.pixels)}"


def _rates(run: Measures, main: str, prefix: str) -> Plot:
    rows = [
        (_label(row), row.success_rate or 0.0, row.interval, _colour(row.attack, main), row.attack != main)
        for row in sorted((each.row for each in run.rows), key=lambda row: row.pixels)
        if row.n
    ]
    text = "; ".join(f"{label}: {percent(rate)}" for label, rate, *_ in rows)
    title = f"Share fooled ({run.goal}), with 95 % intervals"
    return Plot("rates", f"{prefix}rates", title, text, lambda: figures.rates_figure(rows, title), in_page=False)


def _budget(run: Measures, own: RowMeasures, other: RowMeasures | None, name: str) -> Plot:
    lines = [Line(own.row.attack, own.budget, ACCENT)]
    text = f"{own.row.attack}: {_end(own)}"
    if other is not None:
        lines.append(Line(f"{other.row.attack} (baseline)", other.budget, BASELINE, BROKEN))
        text += f"; {other.row.attack}: {_end(other)}"
    title = pixels_text(own.row.pixels)
    return Plot(
        "budget", name, f"Success against budget, {title}", text,
        lambda: figures.budget_figure(lines, title, unit=_unit(run.goal)),
    )  # fmt: skip


def _fewest(run: Measures, found: Minimum, name: str) -> Plot:
    unit = plural(found.n, "try", "tries") if run.goal == "targeted" else plural(found.n, "image")
    low, high = ("more than the cap" if end is None else count(end) for end in found.interval)
    median = f"with more than {count(found.cap)}" if found.median is None else f"with {pixels_text(found.median)}"
    text = (
        f"Half of {unit} {median} or fewer (95 % interval {low} to {high}); {percent(found.rate[-1])} with up to "
        f"{pixels_text(found.cap)}"
    )
    title = f"Share fooled, up to {pixels_text(found.cap)}"
    return Plot("minimum", name, title, text, lambda: figures.fewest_figure(found, title))


def _sparsity(run: Measures, own: RowMeasures, found: Sparsity, name: str) -> Plot:
    told = [
        f"{count(one)} questions: {'not half fooled' if found.at(one) is None else count(found.at(one))}"
        for one in found.questions
        if one == found.questions[-1] or str(one).strip("0") in ("1", "3")
    ]
    title = "Fewest changed pixels so far, median"
    return Plot(
        "sparsity", name, title, "; ".join(told),
        lambda: figures.sparsity_figure(found, own.row.pixels, title, unit=_unit(run.goal)),
    )  # fmt: skip


def _pairs(own: RowMeasures, names: Sequence[str], name: str) -> Plot:
    title, which = pixels_text(own.row.pixels), chosen_classes(own.pairs)
    text = f"{plural(int(own.pairs.successes.sum()), 'success', 'successes')} by original and target class"
    return Plot(
        "pairs", name, f"Class pairs, {title}", text,
        lambda: figures.pairs_figure(own.pairs, names, which, title), in_page=False,
    )  # fmt: skip


def _reached(own: RowMeasures, other: RowMeasures | None, name: str) -> Plot:
    found, title = own.reached, pixels_text(own.row.pixels)
    assert found is not None
    beside = None if other is None else other.reached
    text = ", ".join(
        f"{plural(images, 'image')} reached {classes}" for classes, images in enumerate(found.counts) if images
    )
    return Plot(
        "reached", name, f"Target classes reached, {title}", text, lambda: figures.reached_figure(found, beside, title)
    )


def _place(own: RowMeasures, name: str) -> Plot:
    found, title = own.place, pixels_text(own.row.pixels)
    assert found is not None
    assert found.middle is not None
    text = (
        f"{plural(found.pixels, 'changed pixel')} of {plural(found.successes, 'success', 'successes')}; "
        f"{percent(found.middle)} of them in the middle of the image, which is {percent(found.middle_area)} of its area"
    )
    return Plot("place", name, f"Where the pixels lie, {title}", text, lambda: figures.place_figure(found, title))


def _maps(own: RowMeasures, name: str) -> Plot:
    found, title = own.vulnerability, pixels_text(own.row.pixels)
    assert found is not None
    fatal = found.counts > 0
    most = float((found.counts[fatal] / found.asked[fatal]).max())
    text = (
        f"{count(int(fatal.sum()))} of {plural(fatal.size, 'position')} can fool in at least one of "
        f"{plural(found.units, 'map')}; the most frequent in {percent(most)} of those that asked it"
    )
    heading = "Fatal positions"
    return Plot("maps", name, f"{heading}, {title}", text, lambda: figures.vulnerability_figure(found, heading))


def _distortion(run: Measures, main: str, prefix: str) -> Plot:
    rows = [
        (_label(each.row), each.distortion.channel, _colour(each.row.attack, main))
        for each in sorted(run.rows, key=lambda each: each.row.pixels)
        if each.distortion is not None
    ]
    text = "; ".join(f"{label}: mean {found.mean:.0f}, median {found.median:.0f}" for label, found, _ in rows)
    title = "Change of the changed pixels' channels"
    return Plot("distortion", f"{prefix}distortion", title, text, lambda: figures.distortion_figure(rows, title))
