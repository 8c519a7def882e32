"""What `pinprick summary` does: every measure of stored runs, for people or as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import typer

from pinprick.attacks.registry import following_budget
from pinprick.cli.console import tell
from pinprick.cli.tables import amount, figure, print_rows, print_table, share_range, unfinished
from pinprick.metrics.minimum import Minimum
from pinprick.metrics.pairs import ClassPairs
from pinprick.metrics.rates import Rate
from pinprick.metrics.spread import Spread
from pinprick.runs.measures import Measures, RowMeasures, measures
from pinprick.targets.ledger import COUNTS, Counts, stored_ledger

TOP_PAIRS = 3
MOST_CLASSES = 12
"""Numbers of reached classes that get a column of their own."""
FEW = (1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 500, 1000)
"""Numbers of pixels that get a column of their own."""
_SPREAD = ("n", "mean", "95 % interval", "median", "5 % to 95 %")


def print_summaries(folders: Sequence[Path], *, as_json: bool) -> None:
    """Print the measures of each folder.

    Raises
    ------
    InputError : one of them cannot be read; then nothing is printed.
    """
    runs = [measures(folder) for folder in folders]
    if as_json:
        ledgers = [stored_ledger(folder) for folder in folders]
        counts = [None if one is None else {name: vars(each) for name, each in one.items()} for one in ledgers]
        told = [run.as_dict() | {"ledger": count} for run, count in zip(runs, counts, strict=True)]
        typer.echo(json.dumps({"runs": told}, allow_nan=False))
        return
    for number, run in enumerate(runs):
        if number:
            typer.echo("\n")
        _print(run)
        _ledger(stored_ledger(folders[number]))


def _ledger(ledger: dict[str, Counts] | None) -> None:
    if ledger is None:
        return
    typer.echo("\nWhat was asked of the model, in images: asked = remembered + … + lost, sent = first times + retried")
    lines = [(name, *(f"{value:,}" for value in vars(counts).values())) for name, counts in ledger.items()]
    print_table(("images", *COUNTS), lines, left=("images",))


def _print(run: Measures) -> None:
    targets = f" ({run.targets})" if run.goal == "targeted" else ""
    tell(f"{run.folder}: {run.model} on {run.data}, {run.goal}{targets}, {_questions(run)} a unit")
    if run.attacked is not None:
        rate = figure(run.clean_accuracy, "{:.1%}")
        image = "image" if run.attacked == 1 else "images"
        typer.echo(f"{run.attacked} right {image} of {run.images} scored, clean accuracy {rate}")
    _state(run)
    if not run.units:
        return
    typer.echo()
    print_rows(row.row for row in run.rows)
    sections = (
        _other,
        _against,
        _agreement,
        _fewest,
        _fewest_curve,
        _sparsity,
        _budget,
        _budget_course,
        _first_hit,
        _confidence,
    )
    for section in (*sections, _reached, _pairs, _distortion, _places, _maps):
        section(run)


def _questions(run: Measures) -> str:
    """The budget: once where units of all numbers of pixels have the same, else for each number."""
    if len({questions for _, questions in run.budgets}) <= 1:
        return f"{run.budget:,} questions"
    return ", ".join(f"{questions:,} ({pixels} px)" for pixels, questions in run.budgets) + " questions"


def _state(run: Measures) -> None:
    """What keeps the figures from being those of a whole run."""
    if run.attacked is None:
        typer.echo("unfinished: it was stopped before the unchanged images were scored")
    elif not run.attacked:
        typer.echo("the model got none of the images right, so there is nothing to measure")
    elif not run.finished:
        typer.echo(unfinished(run.units, run.units_expected))
    left_out = max((row.left_out for row in run.rows), default=0)
    if left_out:
        typer.echo(f"images with targets still to come are left out, up to {left_out} a row")
    for failure in run.failures:
        listed = ", ".join(failure.images[:3]) + (", …" if len(failure.images) > 3 else "")
        tell(f"failed units, in n and not fooled: {failure.count} with {failure.reason!r} (of {listed})")
    if run.attacked and not run.units:
        typer.echo("no unit has ended, so there is nothing to measure")


def _section(title: str, header: Sequence[str], lines: Iterable[tuple[RowMeasures, Sequence[str]]]) -> None:
    """A table whose lines begin with attack and pixels; nothing where there are no lines."""
    whole = [(each.row.attack, str(each.row.pixels), *cells) for each, cells in lines]
    if whole:
        typer.echo(f"\n{title}")
        print_table(("attack", "pixels", *header), whole, left=("attack", "pairs"))


def _other(run: Measures) -> None:
    others = [row.other_row for row in run.rows if row.other_row is not None and row.other_row.n]
    if others:
        typer.echo("\nThe same outcomes counted by " + ("target" if run.goal == "untargeted-derived" else "image"))
        print_rows(others)


def _against(run: Measures) -> None:
    lines = []
    for each in run.against_baseline:
        pair = each.paired
        if pair.n:
            low, high = pair.interval
            rates = (f"{pair.attack_rate:.1%}", f"{pair.baseline_rate:.1%}", f"{pair.difference:+.1%}")
            only = (str(pair.attack_only), str(pair.baseline_only), f"{pair.p_value:.2g}")
            names = (each.attack, str(each.pixels), each.baseline, str(pair.n))
            lines.append((*names, *rates, f"{low:+.1%} to {high:+.1%}", *only))
    if lines:
        typer.echo("\nBeside the baseline, on the units that both have")
        header = ("attack", "pixels", "baseline", "n", "rate", "baseline's", "difference", "95 % interval")
        print_table((*header, "only attack", "only baseline", "p"), lines, left=("attack", "baseline"))


def _agreement(run: Measures) -> None:
    lines = []
    for row in run.rows:
        found = row.agreement
        if found is not None:
            rates = [figure(one.rate, "{:.1%}") for one in (found.any, found.most, found.every)]
            lines.append((row, (str(found.share.n), str(found.draws), *rates, *_mean(found.share, "{:.1%}"))))
    header = ("n", "passes", "any", "most: fooled", "all", "share of passes", "95 % interval")
    _section("A random model: of how many units any, most and all deciding passes met the goal", header, lines)


def _fewest(run: Measures) -> None:
    lines = []
    for row, found in _minima(run):
        low, high = (_pixels(end, found) for end in found.interval)
        half = (str(found.n), _pixels(found.median, found), f"{low} to {high}")
        lines.append((row, (*half, str(found.fooled[-1]), *_mean(found.fewest, "{:.2f}"))))
    counted = "tries" if run.goal == "targeted" else "images"
    header = ("n", "median", "95 % interval", "fooled", "mean of these", "95 % interval")
    _section(f"The fewest pixels that fool, over {counted}", header, lines)


def _fewest_curve(run: Measures) -> None:
    found = _minima(run)
    end = max((each.cap for _, each in found), default=0)
    points = [one for one in FEW if one < end] + [end]
    lines = [(row, [figure(each.at(point), "{:.1%}") for point in points]) for row, each in found]
    _section("Share fooled with so many pixels or fewer", [f"{point:,} px" for point in points], lines)


def _sparsity(run: Measures) -> None:
    found = [(row, row.sparsity) for row in run.rows if row.sparsity is not None and row.sparsity.n]
    end = max((each.questions[-1] for _, each in found), default=0)
    points = [factor * 10**power for power in range(2, 19) for factor in (1, 3) if factor * 10**power < end] + [end]
    lines = [(row, ["-" if each.at(one) is None else f"{each.at(one):,}" for one in points]) for row, each in found]
    title = "Fewest changed pixels that fooled after so many questions, median (-: less than half fooled)"
    _section(title, [f"{point:,}" for point in points], lines)


def _minima(run: Measures) -> list[tuple[RowMeasures, Minimum]]:
    return [(row, row.minimum) for row in run.rows if row.minimum is not None and row.minimum.n]


def _pixels(value: int | None, found: Minimum) -> str:
    """A number of pixels; ``> 50`` where it is more than could be changed."""
    return f"> {found.cap:,}" if value is None else f"{value:,}"


def _budget(run: Measures) -> None:
    end = max((row.budget.budgets[-1] for row in run.rows if row.budget.n), default=0)
    points = [10**power for power in range(1, 19) if 10**power < end] + [end]
    _section(
        "Success against budget: share fooled within so many questions a unit",
        [f"{point:,}" for point in points],
        [(row, [figure(row.budget.at(point), "{:.1%}") for point in points]) for row in run.rows if row.budget.n],
    )


def _budget_course(run: Measures) -> None:
    pixels = [number for number, _ in run.budgets]
    for name, numbers in following_budget([row.row.attack for row in run.rows[:1]], pixels):
        which = "" if len(numbers) == len(pixels) else f" with {', '.join(map(str, numbers))} pixels"
        tell(
            f"note: {name}{which} goes another way under another budget: the curve is of this run's, and what a "
            "smaller one comes to can differ"
        )


def _spread(found: Spread, text: Callable[[float], str]) -> list[str]:
    """The figures of a spread, under the header ``_SPREAD``."""
    return [
        str(found.n),
        text(found.mean),
        "-" if found.interval is None else " to ".join(text(end) for end in found.interval),
        text(found.median),
        f"{text(found.p5)} to {text(found.p95)}",
    ]


def _first_hit(run: Measures) -> None:
    found = [(row, row.questions.first_hit) for row in run.rows]
    lines = [(row, _spread(hits, amount)) for row, hits in found if hits is not None]
    _section("Questions up to the first hit, of fooled " + _counted(run), _SPREAD, lines)


def _confidence(run: Measures) -> None:
    lines = [(row, _spread(row.confidence, "{:.1%}".format)) for row in run.rows if row.confidence is not None]
    _section("Confidence in the wrong class, of fooled " + _counted(run), _SPREAD, lines)


def _counted(run: Measures) -> str:
    return "images" if run.goal == "untargeted-derived" else "units"


def _reached(run: Measures) -> None:
    found = [(row, row.reached) for row in run.rows if row.reached is not None]
    numbers = range(min(max((len(each.counts) for _, each in found), default=0), MOST_CLASSES))
    lines = []
    for row, each in found:
        mean = "-" if each.reached is None else f"{each.reached.mean:.2f}"
        lines.append((row, (str(each.images), mean, *(str(each.counts[number]) for number in numbers))))
    header = ("images", "mean", *(str(number) for number in numbers))
    _section("Target classes reached: of how many images so many", header, lines)


def _pairs(run: Measures) -> None:
    lines = []
    for row in run.rows:
        found = [pair for pair in row.pairs.pairs if pair.rate.successes]
        found.sort(key=lambda pair: (-pair.rate.successes, pair.rate.n, pair.original, pair.target))
        listed = [
            f"{run.class_name(pair.original)} -> {run.class_name(pair.target)} ({pair.rate.successes} of {pair.rate.n})"
            for pair in found[:TOP_PAIRS]
        ]
        if found:
            lines.append((row, (", ".join(listed), *_most(run, row.pairs))))
    _section("Class pairs, the most frequent", ("pairs", "most from", "most into"), lines)


def _most(run: Measures, pairs: ClassPairs) -> list[str]:
    """The class with the most successes as original and as target."""

    def text(totals: Sequence[Rate]) -> str:
        top = max(range(len(totals)), key=lambda index: totals[index].successes)
        return f"{run.class_name(top)} ({totals[top].successes} of {totals[top].n})"

    return [text(pairs.as_original), text(pairs.as_target)]


def _distortion(run: Measures) -> None:
    lines = []
    for row in run.rows:
        if row.distortion is not None:
            lengths = (("{:.2f}", row.distortion.l0), ("{:.2f}", row.distortion.l2), ("{:.2f}", row.distortion.linf))
            means = [form.format(each.mean) for form, each in lengths]
            lines.append((row, [*_spread(row.distortion.channel, "{:.1f}".format), *means]))
    title = "Distortion of fooled units: change of a channel of the changed pixels (0 to 255), mean norms (0 to 1)"
    _section(title, (*_SPREAD, "L0", "L2", "Linf"), lines)


def _places(run: Measures) -> None:
    lines = []
    for row in run.rows:
        if row.place is not None and row.place.middle is not None:
            counts = row.place.counts
            where, column = divmod(int(counts.argmax()), counts.shape[1])
            most = f"{where}, {column} ({int(counts.max())} of {row.place.successes})"
            shares = (f"{row.place.middle:.1%}", f"{row.place.middle_area:.1%}")
            lines.append((row, (str(row.place.pixels), *shares, most)))
    header = ("changed", "in the middle", "middle's area", "most often: row, column")
    _section("Place of the pixels that fooled", header, lines)


def _maps(run: Measures) -> None:
    lines = []
    for row in run.rows:
        found = row.vulnerability
        if found is not None:
            lines.append(
                (
                    row,
                    (
                        str(found.units),
                        str(found.whole),
                        str(found.ceiling.successes),
                        figure(found.ceiling.rate, "{:.1%}"),
                        share_range(found.ceiling.interval),
                        *_mean(found.positions, "{:.2%}"),
                        figure(None if found.changes is None else found.changes.mean, "{:.2%}"),
                        figure(None if found.least_margin is None else found.least_margin.median, "{:.2f}"),
                    ),
                )
            )
    header = ("n", "whole", "with a fatal pixel", "rate", "95 % interval", "fatal positions", "95 % interval")
    _section("Maps of single pixels", (*header, "fatal changes", "least margin, median"), lines)


def _mean(found: Spread | None, form: str) -> tuple[str, str]:
    """Mean and interval of a spread."""
    if found is None or found.interval is None:
        return figure(None if found is None else found.mean, form), "-"
    low, high = found.interval
    return form.format(found.mean), f"{form.format(low)} to {form.format(high)}"
