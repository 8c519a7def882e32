"""Figures and sentences for people: percentages, counts, and the verdict in plain words."""

from __future__ import annotations

import re
from typing import Any

from pinprick.data.sets import without_folder
from pinprick.metrics.minimum import Minimum
from pinprick.runs.measures import Measures, RowMeasures
from pinprick.runs.summary import DERIVED

SPACE = "\N{NO-BREAK SPACE}"
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_SMALL = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def printable(text: str) -> str:
    """The text without control characters and half characters, which are no text in HTML or SVG; each becomes ``�``."""
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def percent(share: float) -> str:
    """``23.3 %``, ``5.6 %``, ``99.7 %``: exact 0 and 1 only are said to be so."""
    value = 100 * share
    if share <= 0 or share >= 1:
        return f"{value:.0f}{SPACE}%"
    if value < 0.1:
        return f"< 0.1{SPACE}%"
    if value > 99.9:
        return f"> 99.9{SPACE}%"
    return f"{value:.1f}{SPACE}%"


def percent_range(interval: tuple[float, float]) -> str:
    """``12.2 to 41.0 %``."""
    low, high = (percent(end) for end in interval)
    return f"{low.removesuffix(f'{SPACE}%')} to {high}"


def engine_text(passes: dict[str, Any]) -> str:
    """How candidates are computed, from a manifest's ``passes``: ``windows of 1, 3 pixels; whole images: dense``."""
    whole = f"whole images: {passes.get('engine', 'dense')}"
    numbers = [number for number, used in (passes.get("incremental") or {}).items() if used]
    if not numbers:
        return whole
    return f"windows of {', '.join(numbers)} pixel{'' if numbers == ['1'] else 's'}; {whole}"


def share(value: float | None) -> str:
    """``23.3 %`` for tables, an en dash where there is none."""
    return "–" if value is None else f"{100 * value:.1f}{SPACE}%"


def fine_share(value: float) -> str:
    """``0.24 %`` for tables of small shares; 0 and 100 % only where they are exact."""
    if 0 < value < 0.00005:
        return f"< 0.01{SPACE}%"
    return f"{100 * value:.2f}{SPACE}%" if value < 0.1 else f"{100 * value:.1f}{SPACE}%"


def fine_range(interval: tuple[float, float]) -> str:
    """``0.12 to 0.31 %`` for tables."""
    low, high = (fine_share(end) for end in interval)
    return f"{low.removesuffix(f'{SPACE}%')} to {high}"


def signed_figure(value: float) -> str:
    """``4.12``, ``−0.38``, ``24.1``: a margin, with a proper minus."""
    text = f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"
    return text.replace("-", "−") if float(text) else text.lstrip("-")


def share_range(interval: tuple[float, float]) -> str:
    """``12.2 to 41.0 %`` for tables."""
    return f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}{SPACE}%"


def count(value: float | None) -> str:
    """``40 401``; a mean or median under 1 000 with one decimal, ``36.5``; an en dash where there is none."""
    if value is None:
        return "–"
    places = 0 if value >= 1000 or value == int(value) else 1
    return f"{value:,.{places}f}".replace(",", SPACE)


def number(value: int) -> str:
    """``three`` up to nine, then digits."""
    return _SMALL[value] if 0 <= value < len(_SMALL) else count(value)


def plural(value: int, one: str, many: str | None = None) -> str:
    """``1 image``, ``12 images``."""
    return f"{count(value)}{SPACE}{one if value == 1 else many or one + 's'}"


def pixels_text(value: int) -> str:
    """``1 pixel``, ``3 pixels``."""
    return plural(value, "pixel")


def normalisation(run: Measures) -> str | None:
    """``mean 0.49, 0.48 and 0.45, standard deviation 0.25, 0.24 and 0.26``; None where pixel values stay in [0, 1]."""
    own = run.manifest["what"]["target"].get("preprocess")
    if not isinstance(own, dict):
        return None
    told = []
    for name, called in (("mean", "mean"), ("std", "standard deviation")):
        values = own.get(name)
        if not isinstance(values, list) or not values or not all(isinstance(value, int | float) for value in values):
            return None
        # As they were given: single precision holds 0.49 as 0.49000000953674316.
        told.append(f"{called} {listed([f'{value:.6g}' for value in values])}")
    return ", ".join([*told, *(["channels in BGR order"] if own.get("order") == "bgr" else [])])


def few(value: int | None, cap: int) -> str:
    """A number of pixels for tables; ``> 50`` where it is more than the ``cap``."""
    return f">{SPACE}{count(cap)}" if value is None else count(value)


def source_name(text: str) -> str:
    """A model or an image set as a title has it: the last part where it is a path, ``@FOLDER`` left out."""
    text = without_folder(text)
    if text.startswith("hf:") or "/" not in text.replace("\\", "/"):
        return text
    head, colon, path = text.rpartition(":") if ".safetensors" in text else ("", "", text)
    return head + colon + path.replace("\\", "/").rstrip("/").rpartition("/")[2]


def listed(parts: list[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def budget_text(run: Measures) -> str:
    """``801 questions``, or ``8 193 questions with 1 pixel and 24 561 with 3`` where the numbers of pixels differ."""
    if len({questions for _, questions in run.budgets}) <= 1:
        return plural(run.budget, "question")
    (first, most), *others = run.budgets
    parts = [f"{count(questions)} with {count(pixels)}" for pixels, questions in others]
    return listed([f"{plural(most, 'question')} with {pixels_text(first)}", *parts])


def verdict(run: Measures) -> tuple[str, ...]:
    """What a run found, in plain sentences; the first is the verdict, the others what belongs to it."""
    if run.attacked is None:
        return ("This run was stopped before any image was attacked: there is nothing to say yet.",)
    if run.attacked == 0:
        return (
            f"Nothing was attacked: of {plural(run.images or 0, 'image')} this classifier gets none right before any "
            "pixel is changed.",
            "Usual causes are the order of the classes or of the channels, and the normalisation.",
        )
    ended = [row for row in run.rows if row.row.attack == run.rows[0].row.attack and row.row.n]
    if not ended:
        return (f"Nothing can be said yet: {plural(run.attacked, 'image')} to attack, and no attack has ended.",)
    first, *more = ended
    if first.minimum is not None:
        # A smaller cap is asked about by the largest as well.
        first, more = max(ended, key=lambda each: each.row.pixels), []
    fewest = first.minimum
    median = None if fewest is None else fewest.median
    what = _found(run, first) if fewest is None or median is None else _fewest(run, first, fewest, median)
    # What has ended is no fair part of the run: those that are fooled end first.
    what = what if run.finished else f"So far, {what[0].lower()}{what[1:]}"
    sentences = [f"{what}{_baseline(run, first)}."]
    if fewest is not None and median is None and first.row.successes:
        sentences.append(f"That is under half: half would take more than {pixels_text(fewest.cap)}.")
    if more:
        sentences.append(f"{_more(more)}.")
    if first.other_row is not None and first.other_row.n and run.goal == "targeted":
        other = first.other_row
        sentences.append(f"By image, {_of(other.successes, other.n)} can be turned into at least one wrong class.")
    if own_labels(run):
        sentences.append("There were no labels: the classifier's own answers before the change are taken for right.")
    if run.failed:
        counts = "counts" if run.failed == 1 else "count"
        sentences.append(f"{plural(run.failed, 'unit')} of {count(run.units)} failed and {counts} as not fooled.")
    if not run.finished:
        of = "" if run.units_expected is None else f" of {count(run.units_expected)}"
        sentences.append(
            f"The run is not finished: {count(run.units)}{of} units have ended. Those that are fooled end first, so "
            "the rates may still come down."
        )
    return tuple(sentences)


def own_labels(run: Measures) -> bool:
    """Whether the classifier's own predictions were taken for right."""
    return bool(run.manifest["what"]["spec"].get("labels") == "predicted")


def _found(run: Measures, measured: RowMeasures) -> str:
    """The first sentence: what a row found, with its interval."""
    row = measured.row
    few = "one pixel" if row.pixels == 1 else f"up to {number(row.pixels)} pixels"
    # The attack, not the pixel: where it finds nothing, the baseline or another attack may.
    change = f"Changing {few}, {'random search' if row.attack == 'random' else f'the {row.attack} attack'}"
    interval = f"95{SPACE}% interval {percent_range(row.interval)}"
    rate = f"({percent(row.success_rate or 0.0)}, {interval})"
    right = "" if own_labels(run) else " it gets right"
    if row.goal == "targeted":
        wrong = {"random": "a wrong class drawn at random", "least-likely": "its least likely class"}
        goal = wrong.get(run.targets, "a given wrong class")
        if not row.successes:
            return f"{change} turned no image into {goal} in {plural(row.n, 'try', 'tries')} {rate}"
        return f"{change} turns an image into {goal} in {_of(row.successes, row.n)} {_tries(row.n)} {rate}"
    if row.goal == DERIVED:
        right = right.replace(" it ", " this classifier ")
        if not row.successes:
            return f"{change} turned {_of(0, row.n)} {_images(row.n)}{right} into any wrong class {rate}"
        return (
            f"{change} turns {_of(row.successes, row.n)} {_images(row.n)}{right} into at least one wrong class {rate}"
        )
    if not row.successes:
        any_of = "the only image" if row.n == 1 else f"any of {count(row.n)} images"
        return f"{change} did not fool this classifier on {any_of}{right} {rate}"
    return f"{change} fools this classifier on {_of(row.successes, row.n)} {_images(row.n)}{right} {rate}"


def _fewest(run: Measures, measured: RowMeasures, found: Minimum, median: int) -> str:
    """The first sentence where the attack looked for few pixels and fooled half or more."""
    row, one = measured.row, measured.row.n == 1
    thing, does = ("image", "turns wrong" if one else "turn wrong")
    unit = _images(row.n)
    if row.goal == "targeted":
        thing, does, unit = "try", "succeeds" if one else "succeed", _tries(row.n)
    elif row.goal == DERIVED:
        does = "can be turned into a wrong class"
    many = "tries" if thing == "try" else f"{thing}s"
    which = " to turn an image into a given wrong class" if thing == "try" else " this classifier gets right"
    which = "" if own_labels(run) and thing == "image" else which
    finds = f"as far as the {row.attack} attack finds"
    if one:
        return f"The only {thing}{which} {does} with {pixels_text(median)} of at most {count(found.cap)}, {finds}"
    low, high = found.interval
    ends = f"{count(low)} to {f'more than {count(found.cap)}' if high is None else count(high)}"
    fewer = pixels_text(median) if median == 1 else f"{pixels_text(median)} or fewer"
    return (
        f"Half of the {many}{which} {does} with {fewer} (95{SPACE}% interval {ends}), {finds}; with up to "
        f"{pixels_text(found.cap)} it is {_of(row.successes, row.n)} {unit} "
        f"({percent(row.success_rate or 0.0)}, 95{SPACE}% interval {percent_range(row.interval)})"
    )


def _images(n: int) -> str:
    return "image" if n == 1 else "images"


def _tries(n: int) -> str:
    return "try" if n == 1 else "tries"


def _of(successes: int, n: int) -> str:
    """``7 of 30``, ``none of 30``, ``all of 30``; of a single one ``1 of 1`` or ``0 of 1``."""
    if n > 1 and successes in (0, n):
        return f"{'all' if successes else 'none'} of {count(n)}"
    return f"{count(successes)} of {count(n)}"


def _baseline(run: Measures, measured: RowMeasures) -> str:
    """``; random pixels with the same budget fool 5``; nothing without a baseline that has ended units."""
    row = measured.row
    other = next((r.row for r in run.rows if r.row.attack != row.attack and r.row.pixels == row.pixels), None)
    if other is None or not other.n:
        return ""
    if other.n != row.n:
        amount = f"{_of(other.successes, other.n)} so far"
    elif other.successes == other.n > 1:
        amount = f"all {count(other.n)}"
    else:
        amount = count(other.successes) if other.successes else "none"
    verb = {"targeted": "succeed in", DERIVED: "turn"}.get(row.goal, "fool")
    # Those of an attack that looks for few pixels are as many as it could change at most.
    many = f"{number(row.pixels)} " if measured.minimum is not None and row.pixels > 1 else ""
    return f"; {many}random pixels with the same budget {verb} {amount}"


def _more(rows: list[RowMeasures]) -> str:
    """``With up to three pixels it is all of 30, with up to five all of 30``."""
    parts = []
    for place, row in enumerate(each.row for each in rows):
        unit = "" if place else " pixels it is"
        parts.append(f"with up to {number(row.pixels)}{unit} {_of(row.successes, row.n)}")
    text = listed(parts)
    return text[0].upper() + text[1:]
