"""The page: one HTML file with everything in it, made of one or several runs' folders."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from pinprick import __version__
from pinprick.attacks.arguments import whole_number
from pinprick.attacks.registry import following_budget
from pinprick.errors import InputError
from pinprick.files import check_writable, write_atomically
from pinprick.paths import given_path
from pinprick.report import methods, tables, words
from pinprick.report.drawing import inline_svg, write_figures
from pinprick.report.figures import style
from pinprick.report.gallery import BYTES, PICTURES, Gallery, make_gallery
from pinprick.report.maps import BYTES as MAP_BYTES
from pinprick.report.maps import MAPS, MapCard, map_cards
from pinprick.report.originals import find_originals
from pinprick.report.plots import Plot, run_plots, side_by_side
from pinprick.runs.measures import Measures, RowMeasures, measures
from pinprick.runs.store import read_outcomes
from pinprick.targets.ledger import Counts, stored_ledger

PICTURE_SIDE = 144
"""CSS pixels of a gallery picture's longer side, or a little less: pixels are enlarged by whole numbers."""


SECTIONS = {
    "summary": "Summary",
    "agreement": "How often a random classifier agrees",
    "minimum": "How few pixels are enough",
    "budget": "Success against budget",
    "gallery": "Gallery",
    "pairs": "Which classes turn into which",
    "reached": "How many classes an image can be turned into",
    "maps": "Position by position, colour by colour",
    "place": "Where the fatal pixels lie",
    "distortion": "How far the colours moved",
    "failed": "Failed units",
    "ledger": "What was asked of the model",
    "methods": "Methods",
    "record": "Record",
}


@dataclass(frozen=True)
class Report:
    """A report that was written: its file, its size in bytes, the figures beside it, pictures shown and missing."""

    path: Path
    size: int
    figures: tuple[Path, ...]
    pictures: int
    missing: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class RunPage:
    """What the page holds of one run. ``mark`` begins the ids of its elements."""

    mark: str
    name: str
    run: Measures
    class_names: tuple[str, ...]
    verdict: tuple[str, ...]
    lines: list[tables.SummaryLine]
    gallery: Gallery
    maps: tuple[MapCard, ...]
    plots: dict[str, list[tuple[Plot, Markup]]]
    matrices: list[tuple[str, tables.Matrix]]
    methods: str
    record: str
    ledger: dict[str, Counts] | None
    several: bool

    @property
    def of_run(self) -> str:
        """What tells labels of one run's elements from those of another's."""
        return f", {self.name}" if self.several else ""

    @property
    def measured(self) -> list[RowMeasures]:
        """Rows by number of pixels, the attack before the baseline."""
        return sorted(self.run.rows, key=lambda each: each.row.pixels)

    @property
    def mapped(self) -> list[RowMeasures]:
        """Rows that have vulnerability maps."""
        return [each for each in self.measured if each.vulnerability is not None]

    @property
    def left_out(self) -> int:
        """Images that a derived row leaves out because targets are still to come; of the row with the most."""
        return max((each.left_out for each in self.run.rows), default=0)

    @property
    def labels_only(self) -> bool:
        """Whether the classifier gives labels, so that there are no confidences."""
        return bool(self.run.manifest["what"]["target"].get("outputs") == "labels")

    @property
    def other_courses(self) -> bool:
        """Whether the attack goes another way under another budget, with some number of pixels."""
        numbers = [number for number, _ in self.run.budgets]
        return bool(following_budget([self.run.rows[0].row.attack], numbers))

    @property
    def any_pairs(self) -> bool:
        """Whether the attack had a success that has a class pair."""
        return any(found.total != "0" for _, found in self.matrices)

    def choices(self, field: str) -> list[tuple[str, str]]:
        """Value and text of each option of a filter: the values that cards have."""
        values = sorted({getattr(card, field) for card in self.gallery.cards})
        classes = field in ("label", "predicted_after")
        return [(str(value), self.class_name(value) if classes else str(value)) for value in values]

    @property
    def sections(self) -> list[tuple[str, str]]:
        """Key and heading of each section that the run has."""
        ended = self.run.units > 0
        there = {
            "summary": ended and not self.several,
            "agreement": any(each.agreement is not None for each in self.run.rows),
            "minimum": "minimum" in self.plots,
            "budget": ended,
            "gallery": ended,
            "pairs": bool(self.matrices),
            "reached": "reached" in self.plots,
            "maps": bool(self.mapped),
            "place": "place" in self.plots,
            "distortion": "distortion" in self.plots,
            "failed": bool(self.run.failures),
            "ledger": self.ledger is not None,
            "methods": True,
            "record": True,
        }
        return [(key, SECTIONS[key]) for key, wanted in there.items() if wanted]

    @property
    def facts(self) -> list[tuple[str, str]]:
        """The record in short: name and value."""
        manifest, run = self.run.manifest, self.run
        machine, versions = manifest.get("machine") or {}, manifest.get("versions") or {}
        found = [
            ("model", words.source_name(run.model)),
            ("images", words.source_name(run.data)),
            ("normalisation", words.normalisation(run) or "none"),
            ("goal", run.goal + (f", targets: {run.targets}" if run.goal == "targeted" else "")),
            ("images scored", words.count(run.images)),
            ("right, and attacked", words.count(run.attacked)),
            ("clean accuracy", words.share(run.clean_accuracy)),
            ("budget", f"{words.budget_text(run)} a unit"),
            ("stop", run.stop),
            ("seed", str(run.seed)),
            ("units ended", _ended(run)),
            ("rows a pass", str((manifest.get("passes") or {}).get("rows", "–"))),
            ("candidates are computed", words.engine_text(manifest.get("passes") or {})),
            ("processor", str(machine.get("gpu") or machine.get("processor") or "–")),
            ("weights, BLAKE2b", str(manifest["what"]["target"].get("weights") or "–")),
            ("images, fingerprint", str(manifest["what"].get("data") or "–")),
        ]
        return found + [(name, str(version)) for name, version in sorted(versions.items())]

    @property
    def picture_width(self) -> int:
        """CSS pixels across a gallery picture."""
        height, width = (self.run.shape or (1, 1, 1))[1:]
        return max(PICTURE_SIDE // max(height, width), 1) * width

    @property
    def palette(self) -> str:
        """The colours of a sweep, in words."""
        settings = self.run.manifest["what"]["attacks"].get("sweep") or {}
        if settings.get("colours") == "all":
            return "each of the 256 values"
        if self.run.shape is not None and self.run.shape[0] == 1:
            return "black and to white"
        return "each of the 8 corners of the colour cube"

    def class_name(self, index: int) -> str:
        """The name of a class."""
        return self.class_names[index] if index < len(self.class_names) else str(index)


def write_report(
    folders: str | Path | Sequence[str | Path],
    out: str | Path | None = None,
    *,
    figures: str | Path | None = None,
    pictures: int = PICTURES,
) -> Report:
    """Write one self-contained HTML file about one or several runs, finished or not.

    Parameters
    ----------
    folders : one folder of a run, as given to ``--out`` of `pinprick attack`, or several.
    out : the file; ``report.html`` in the run's folder by default, of several runs in the current one.
    figures : folder to write each figure to besides, as PNG, SVG and PDF.
    pictures : units shown in the galleries, over all runs.

    Raises
    ------
    InputError : no run in a folder, a file that cannot be read, a place that cannot be written to; an argument of
        another kind.
    """
    several = [folders] if isinstance(folders, str | os.PathLike) else folders
    if not isinstance(several, Sequence):
        raise InputError("run folders", f"a {type(folders).__name__}", "Give a folder, or a list of folders.")
    paths = [given_path(folder, f"run folder {folder}") for folder in several]
    if not paths:
        raise InputError("run folders", "none is given", "Give what was given to --out.")
    if len({path.resolve() for path in paths}) < len(paths):
        raise InputError("run folders", "one of them is given twice", "Give each once.")
    pictures = whole_number("--pictures", pictures, 0)
    beside = None if figures is None else given_path(figures, f"--figures {figures}")
    usual = (paths[0] if len(paths) == 1 else Path()) / "report.html"
    file = usual if out is None else given_path(out, f"--out {out}")
    if file.is_dir():
        raise InputError(f"--out {file}", "it is a folder", f"Give a file, such as {file / 'report.html'}.")
    # Everything is read before anything is drawn or written: a mistake in the last folder must not cost minutes.
    runs = [measures(path) for path in paths]
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"--out {file}", f"its folder cannot be made ({error.strerror or error})", "Give another file."
        ) from None
    check_writable(file)
    names = [words.printable(name) for name in run_names(paths)]
    plots: list[Plot] = []
    pages = []
    with style():
        for place, (path, name, run) in enumerate(zip(paths, names, runs, strict=True)):
            page, own = _run_page(path, name, run, f"r{place + 1}", pictures // len(paths), len(paths))
            pages.append(page)
            plots += own
        shared = side_by_side(list(zip(names, runs, strict=True))) if len(runs) > 1 else []
        plots += shared
        drawn = [(plot, _inline(plot)) for plot in shared]
    html = _render(pages, drawn)
    write_atomically(file, html)
    written: list[Path] = []
    if beside is not None:
        with style():
            named: dict[str, Figure] = {plot.name: plot.draw() for plot in plots}
        try:
            written = write_figures(named, beside)
        except InputError as error:
            raise InputError(error.what, error.wrong, f"{error.right} The report itself is written: {file}.") from None
    missing: dict[str, int] = {}
    for page in pages:
        for reason, images in page.gallery.missing:
            missing[reason] = missing.get(reason, 0) + images
    shown = sum(len(page.gallery.cards) for page in pages)
    return Report(file, file.stat().st_size, tuple(written), shown, tuple(missing.items()))


def run_names(paths: Sequence[Path]) -> list[str]:
    """A short name for each run: as many last parts of its path as tell it from the others."""
    parts = [path.resolve().parts for path in paths]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(each[-depth:]) for each in parts]
        if len(set(names)) == len(names):
            return names
    raise AssertionError("two paths are one")


def _ended(run: Measures) -> str:
    expected = "an unknown number" if run.units_expected is None else words.count(run.units_expected)
    return f"{words.count(run.units)} of {expected}"


def _run_page(path: Path, name: str, run: Measures, mark: str, pictures: int, runs: int) -> tuple[RunPage, list[Plot]]:
    table = read_outcomes(path)
    names = tuple(words.printable(run.class_name(index)) for index in range(run.class_count))
    originals = find_originals(path, run.manifest)
    gallery = make_gallery(run, table, originals, pictures)
    cards = map_cards(run, table, originals, MAPS // runs, MAP_BYTES // runs)
    plots = run_plots(run, names, f"{mark}-" if runs > 1 else "")
    drawn: dict[str, list[tuple[Plot, Markup]]] = {}
    for plot in plots:
        if plot.in_page:
            drawn.setdefault(plot.kind, []).append((plot, _inline(plot)))
    main = [each for each in run.rows if each.row.attack == run.rows[0].row.attack]
    page = RunPage(
        mark=mark,
        name=name,
        run=run,
        class_names=names,
        verdict=words.verdict(run),
        lines=tables.summary_lines(run),
        gallery=gallery,
        maps=cards,
        plots=drawn,
        matrices=[
            (words.pixels_text(each.row.pixels), tables.matrix(each.pairs, names)) for each in main if each.row.n
        ],
        methods=methods.methods(run),
        record=json.dumps(tables.record(run), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False),
        ledger=stored_ledger(path),
        several=runs > 1,
    )
    return page, plots


def _inline(plot: Plot) -> Markup:
    return inline_svg(plot.draw(), plot.name, plot.title, plot.description)


def _render(pages: list[RunPage], shared: list[tuple[Plot, Markup]]) -> str:
    script = _read("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    runs = [page.run for page in pages]
    html = _environment().get_template("report.html").render(
        pages=pages,
        several=len(pages) > 1,
        shared=shared,
        differences=tables.differences(runs) if len(runs) > 1 else [],
        notes=tables.comparability(runs),
        title=_title(pages),
        style=Markup(_read("report.css")),  # noqa: S704 (a file of this package)
        script=Markup(script),  # noqa: S704 (a file of this package)
        script_digest=digest,
        limits=methods.LIMITS,
        citation=f"{methods.PAPER}\n\n{methods.software_entry(__version__)}",
        version=__version__,
        picture_limit=f"{BYTES / 1e6:.0f}{words.SPACE}MB",
    )  # fmt: skip
    return words.printable(html)


def _title(pages: list[RunPage]) -> str:
    first = pages[0].run
    if len(pages) == 1:
        return f"{words.source_name(first.model)} on {words.source_name(first.data)}"
    return f"{len(pages)} runs side by side"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_read), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    for function in (
        *(words.percent, words.percent_range, words.share, words.share_range, words.count, words.plural),
        *(
            words.pixels_text,
            words.few,
            words.source_name,
            words.own_labels,
            words.fine_share,
            words.fine_range,
            words.signed_figure,
            tables.curve_points,
            tables.fewest_points,
        ),
    ):
        environment.filters[function.__name__] = function
    environment.filters["counts"] = vars
    return environment


def _read(name: str) -> str:
    return (resources.files("pinprick.report") / "templates" / name).read_text(encoding="utf-8")
