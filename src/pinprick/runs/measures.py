"""All measures of a run's folder, finished or not, from its outcomes and manifest alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, StrictInt, ValidationError

from pinprick.errors import InputError
from pinprick.metrics.agreement import Agreement, agreement
from pinprick.metrics.budget import BudgetCurve, success_by_budget
from pinprick.metrics.columns import class_count, select
from pinprick.metrics.confidence import confidence
from pinprick.metrics.derived import by_image, complete_images
from pinprick.metrics.distortion import Distortion, distortion
from pinprick.metrics.minimum import ATTACKS as SHRINKING
from pinprick.metrics.minimum import Minimum, minimum
from pinprick.metrics.paired import Paired, paired
from pinprick.metrics.pairs import ClassPairs, class_pairs
from pinprick.metrics.place import Place, place
from pinprick.metrics.questions import Questions, questions
from pinprick.metrics.reach import ReachedClasses, reached_classes
from pinprick.metrics.sparsity import Sparsity, sparsity
from pinprick.metrics.spread import Spread
from pinprick.metrics.vulnerability import Vulnerability, vulnerability
from pinprick.paths import given_path
from pinprick.runs.failures import Failure, failures
from pinprick.runs.store import read_manifest, read_outcomes
from pinprick.runs.summary import DERIVED, Row, summary_row

if TYPE_CHECKING:
    import pandas as pd


MOST_CLASSES = 4096
"""Class pairs are counted in matrices of classes x classes, one for each attack and number of pixels."""


class _Spec(BaseModel):
    attack: str
    pixels: list[int]
    goal: Literal["untargeted", "targeted", "untargeted-derived"]
    targets: str
    stop: str
    seed: int
    budget: int | list[int]

    def budgets(self) -> tuple[int, ...]:
        """Questions a unit at each number of pixels; runs whose units all have the same say so once."""
        return tuple(self.budget if isinstance(self.budget, list) else [self.budget] * len(self.pixels))


class _What(BaseModel):
    spec: _Spec
    attacks: dict[str, Any]


class _Given(BaseModel):
    model: str
    data: str
    # The report loads the images by these again.
    classes: str | None = None
    resize: StrictInt | None = None
    crop: StrictInt | None = None


class _Data(BaseModel):
    classes: tuple[str, ...] | None = None
    shape: tuple[int, int, int] | None = None


class _Clean(BaseModel):
    images: int | None = None
    attacked: int | None = None
    accuracy: float | None = None


class _Said(BaseModel):
    """What is read of a manifest."""

    what: _What
    given: _Given
    data: _Data = _Data()
    clean: _Clean | None = None

    @staticmethod
    def of(manifest: dict[str, Any], folder: Path) -> _Said:
        try:
            return _Said.model_validate(manifest)
        except ValidationError as error:
            first = error.errors()[0]
            raise InputError(
                f"manifest {folder / 'manifest.json'}",
                f"{'.'.join(str(part) for part in first['loc'])}: {first['msg'].lower()}",
                "Give a folder that pinprick attack has written.",
            ) from None


@dataclass(frozen=True)
class RowMeasures:
    """Every measure of one attack at one number of pixels.

    ``row`` is what `pinprick attack` prints. ``other_row`` counts the same outcomes the other way: of a targeted run
    with all targets by image (untargeted-derived), of a derived one by unit (targeted); None elsewhere. ``left_out``
    images of a derived row have targets still to come and do not count.

    ``confidence``, ``questions``, ``budget``, ``minimum`` and ``sparsity`` (None but for attacks that look for few
    pixels) are over what ``row`` counts. ``reached`` (None without all targets), ``pairs``, ``distortion`` (None
    without a success or without the colours before), ``place`` (None where the size of the images is not known) and
    ``vulnerability`` (None without maps) and ``agreement`` (None where single passes decided) are over units.
    """

    row: Row
    other_row: Row | None
    left_out: int
    confidence: Spread | None
    questions: Questions
    budget: BudgetCurve
    reached: ReachedClasses | None
    pairs: ClassPairs
    distortion: Distortion | None
    place: Place | None
    vulnerability: Vulnerability | None = None
    minimum: Minimum | None = None
    sparsity: Sparsity | None = None
    agreement: Agreement | None = None

    def as_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return {name: value.as_dict() if hasattr(value, "as_dict") else value for name, value in vars(self).items()}


@dataclass(frozen=True)
class AgainstBaseline:
    """The attack beside the random baseline at one number of pixels, over what the rows count."""

    attack: str
    baseline: str
    pixels: int
    goal: str
    paired: Paired

    def as_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return vars(self) | {"paired": self.paired.as_dict()}


@dataclass(frozen=True)
class Measures:
    """All measures of one run.

    Parameters
    ----------
    folder : the run's folder, as given.
    model, data, goal, targets, stop, seed : as the run was asked for.
    budget : questions a unit; where they differ by the number of pixels, the most.
    budgets : number of pixels, and questions a unit of that many.
    classes : class names in the order of the labels, None where the set has none; ``class_count`` is K.
    shape : ``(C, H, W)`` of the images, None where the manifest does not tell.
    images, attacked, clean_accuracy : images scored before the attack, right ones taken, and their share; None where
        the run was stopped before that was known.
    units, units_expected : units that have ended, and that the run has in all; None where that is not known.
    rows : attack by attack, the baseline last, then by number of pixels.
    """

    folder: str
    model: str
    data: str
    goal: str
    targets: str
    stop: str
    seed: int
    budget: int
    budgets: tuple[tuple[int, int], ...]
    classes: tuple[str, ...] | None
    class_count: int
    shape: tuple[int, int, int] | None
    images: int | None
    attacked: int | None
    clean_accuracy: float | None
    units: int
    units_expected: int | None
    failures: tuple[Failure, ...]
    rows: tuple[RowMeasures, ...]
    against_baseline: tuple[AgainstBaseline, ...]
    manifest: dict[str, Any] = field(repr=False)

    @property
    def finished(self) -> bool:
        """Whether every unit of the run has ended."""
        return self.units_expected is not None and self.units >= self.units_expected

    @property
    def failed(self) -> int:
        """Units that failed."""
        return sum(failure.count for failure in self.failures)

    def class_name(self, index: int) -> str:
        """The name of a class, its number where it has none."""
        return self.classes[index] if self.classes is not None and index < len(self.classes) else str(index)

    def as_dict(self) -> dict[str, Any]:
        """The object that `pinprick summary --json` prints for the run; without the manifest."""
        lists = ("failures", "rows", "against_baseline")
        plain = {name: value for name, value in vars(self).items() if name not in (*lists, "manifest")}
        return (
            {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}
            | {"finished": self.finished, "failed": self.failed}
            | {name: [each.as_dict() for each in getattr(self, name)] for name in lists}
        )


def measures(folder: str | Path) -> Measures:
    """All measures of a run's folder, finished or not.

    Raises
    ------
    InputError : no such folder, no run in it, written by a newer pinprick, or a file that cannot be read.
    """
    path = given_path(folder, f"run folder {folder}")
    manifest = _manifest(path)
    said = _Said.of(manifest, path)
    table = read_outcomes(folder)
    spec, clean, classes, shape = said.what.spec, said.clean or _Clean(), said.data.classes, said.data.shape
    count = max(class_count(table), len(classes or ()))
    if count > MOST_CLASSES:
        raise InputError(
            f"run folder {folder}",
            f"{count} classes, and measures are of {MOST_CLASSES} at most",
            "Take the outcomes themselves: pinprick.read_outcomes.",
        )
    attacks = [spec.attack, *(name for name in said.what.attacks if name != spec.attack)]
    every_target = spec.goal != "untargeted" and spec.targets == "all"
    targets = max(count - 1, 0) if every_target else 1
    expected = None
    # Without a single outcome K is a guess, the names of a set's classes being fewer than the model's at times.
    if clean.attacked is not None and (not every_target or len(table) or not clean.attacked):
        expected = max(clean.attacked, _images(table)) * targets * len(attacks) * len(spec.pixels)
    budgets = spec.budgets()
    if len(budgets) != len(spec.pixels):
        raise InputError(
            f"manifest {path / 'manifest.json'}",
            f"what.spec.budget: {len(budgets)} budgets for {len(spec.pixels)} numbers of pixels",
            "Give a folder that pinprick attack has written.",
        )
    rows, against = measure(
        table,
        attacks=attacks,
        pixels=spec.pixels,
        goal=spec.goal,
        classes=count,
        targets=targets,
        budgets=budgets,
        shape=shape,
        sure=manifest["what"]["target"].get("outputs") != "labels",
    )
    return Measures(
        folder=str(folder),
        model=said.given.model,
        data=said.given.data,
        goal=spec.goal,
        targets=spec.targets,
        stop=spec.stop,
        seed=spec.seed,
        budget=max(budgets, default=0),
        budgets=tuple(zip(spec.pixels, budgets, strict=True)),
        classes=classes,
        class_count=count,
        shape=shape,
        images=clean.images,
        attacked=clean.attacked,
        clean_accuracy=clean.accuracy,
        units=table.group_by(["image", "image_digest", "attack", "pixels", "target"]).aggregate([]).num_rows,
        units_expected=expected,
        failures=failures(table),
        rows=rows,
        against_baseline=against,
        manifest=manifest,
    )


def measure(
    table: pa.Table,
    *,
    attacks: Sequence[str],
    pixels: Sequence[int],
    goal: str,
    classes: int,
    targets: int,
    budgets: Sequence[int] | None = None,
    shape: tuple[int, int, int] | None = None,
    sure: bool = True,
) -> tuple[tuple[RowMeasures, ...], tuple[AgainstBaseline, ...]]:
    """The measures of a table of outcomes: of each attack at each number of pixels, and of the first beside the others.

    Parameters
    ----------
    goal : ``untargeted``, ``targeted`` or ``untargeted-derived``: what the rows count.
    classes : K. ``targets``: targeted units an image, K - 1 or 1.
    budgets : questions a unit that the run allowed at each of ``pixels``.
    shape : ``(C, H, W)`` of the images.
    sure : whether the classifier gives confidences, and not labels only.
    """
    rows: list[RowMeasures] = []
    counted: dict[tuple[str, int], pa.Table] = {}
    allowed: Sequence[int | None] = budgets or [None] * len(pixels)
    for attack in attacks:
        for number, budget in zip(pixels, allowed, strict=True):
            units = select(table, attack, number)
            whole, left_out = complete_images(units, targets)
            derived = goal == DERIVED
            counting = whole if derived else units
            own = counted[attack, number] = by_image(whole) if derived else units
            other = None
            if derived:
                other = summary_row(units, attack, number, "targeted", sure=sure)
            elif goal == "targeted" and targets == classes - 1:
                other = summary_row(whole, attack, number, DERIVED, sure=sure)
            rows.append(
                RowMeasures(
                    row=summary_row(counting, attack, number, goal, sure=sure),
                    other_row=other,
                    left_out=left_out if derived else 0,
                    confidence=confidence(own) if sure else None,
                    questions=questions(own),
                    budget=success_by_budget(own, budget),
                    reached=reached_classes(units, classes),
                    pairs=class_pairs(units, classes),
                    distortion=distortion(units),
                    place=None if shape is None else place(units, shape[1], shape[2]),
                    vulnerability=None if shape is None else vulnerability(units, shape[1], shape[2]),
                    minimum=minimum(counting, number, by_image=derived) if attack in SHRINKING else None,
                    agreement=agreement(units),
                    sparsity=sparsity(counting, budget, by_image=derived) if attack in SHRINKING else None,
                )
            )
    against = tuple(
        AgainstBaseline(attacks[0], other, number, goal, paired(counted[attacks[0], number], counted[other, number]))
        for other in attacks[1:]
        for number in pixels
    )
    return tuple(rows), against


def data_frame(folder: str | Path) -> pd.DataFrame:
    """The outcomes of a run's folder as a pandas data frame, sorted by key; whole numbers that may be missing stay so.

    Without pandas, :func:`pinprick.read_outcomes` gives the same as a pyarrow table.

    Raises
    ------
    InputError : pandas is not installed, no such folder, no run in it, or a file that cannot be read.
    """
    try:
        import pandas as pd
    except ImportError:
        raise InputError(
            "data frame", "pandas is not installed", "Use pip install 'pinprick[pandas]', or pinprick.read_outcomes."
        ) from None
    path = given_path(folder, f"run folder {folder}")
    _Said.of(_manifest(path), path)
    whole = {pa.int32(): pd.Int32Dtype(), pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    frame: pd.DataFrame = read_outcomes(folder).to_pandas(types_mapper=whole.get)
    return frame


def _manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder that must hold a run."""
    if not folder.is_dir():
        wrong = "it is a file" if folder.exists() else "there is no such folder"
        raise InputError(f"run folder {folder}", wrong, "Give the folder that was given to --out.")
    manifest = read_manifest(folder)
    if manifest is None:
        raise InputError(
            f"run folder {folder}", "there is no run in it (no manifest.json)", "Give what was given to --out."
        )
    return manifest


def _images(table: pa.Table) -> int:
    return int(pc.count_distinct(table["image"]).as_py())
