"""Options, specifications, folders of results, and what comes from Python."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock

import pinprick as pp
from pinprick.attacks.one_pixel import OnePixel
from pinprick.runs import store as store_module
from tests.bad_input.case import USUAL, Case, Section
from tests.bad_input.files import one, photo, png, write

ONE_PIXEL = "--attack one-pixel --baseline none"

OPTIONS = Section(
    "Options",
    "",
    (
        Case("no pixels", "--pixels 0"),
        Case("fewer than no pixels", "--pixels=-1"),
        Case("more pixels than the images have", "--pixels 121"),
        Case("half a pixel", "--pixels 1.5"),
        Case("a budget under 2", "--budget 1"),
        Case("a budget under the population and one, for the evolution", f"{ONE_PIXEL} --budget 400"),
        Case("the least budget of the evolution: runs", f"{ONE_PIXEL} --budget 401 --limit 1"),
        Case("the least budget of random search: runs", "--budget 2"),
        Case("a budget that is no multiple of a batch: the last one is cut short", "--budget 100 --limit 1"),
        Case("no pass to decide", "--draws 0"),
        Case("a budget that the deciding passes take up", "--draws 20 --budget 20"),
        Case("no images", "--limit 0"),
        Case("two limits", "--first 3"),
        Case("an attack that there is not", "--attack onepixel"),
        Case("a goal that there is not", "--goal untargetted"),
        Case("a parameter that the attack does not have", "--attack sparse-rs --set shares=0.1"),
        Case("a parameter out of range", "--attack sparse-rs --set share=2"),
        Case("a parameter of another kind", "--attack one-pixel --set population=many"),
        Case("a word that a parameter cannot be", "--attack sweep --set colours=every"),
        Case("a parameter without a value", "--attack sweep --set colours"),
        Case("a parameter with an option of its own", "--attack sweep --set stop=paper"),
        Case("all 256 values of RGB images", "--attack sweep --set colours=all"),
        Case("targets of an untargeted goal", "--targets random"),
        Case("a seed below 0", "--seed=-1"),
        Case("passes of absurd size", "--batch-size 70000"),
        Case("`--save-images` without a folder", "--out - --save-images"),
        Case("an option that there is not", "--pixel 1"),
        Case("a number that is none", "--limit ten"),
        Case("no model", "--model -"),
        Case("a command that there is not", "atack"),
    ),
)

SPECS = Section(
    "Specifications",
    "",
    (
        Case("a file that is not there", "--spec run.toml"),
        Case("a file that is no TOML", "--spec run.toml", one(b"limit: 3", "run.toml")),
        Case("an empty file", "--spec run.toml", one(b"", "run.toml")),
        Case("a field that there is not", "--spec run.toml", one(b"pixel = 3", "run.toml")),
        Case("a value of another kind", "--spec run.toml", one(b'save-images = "yes"', "run.toml")),
        Case("parameters that are no table", "--spec run.toml", one(b"parameters = 3", "run.toml")),
        Case(
            "a parameter that is a list",
            "--attack sweep --spec run.toml",
            one(b"[parameters]\ncolours = [1]", "run.toml"),
        ),
        Case(
            "a field that is given twice", "--spec run.toml", one(b"save-images = true\nsave_images = true", "run.toml")
        ),
    ),
)


def run_before(**options: Any) -> Callable[[Path], None]:
    """A run of 2 units that has ended in ``run``."""

    def make(folder: Path) -> None:
        given = {name: value for name, value in USUAL.items() if name not in ("model", "data")} | options
        numbers = {name: int(given[name]) for name in ("budget", "limit")}
        pp.attack("model.py:net", "photos", **(given | numbers))

    return make


def and_then(first: Callable[[Path], object], second: Callable[[Path], object]) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        first(folder)
        second(folder)

    return make


def manifest(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """A run whose manifest is changed."""

    def changed(folder: Path) -> None:
        path = folder / "run" / "manifest.json"
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return and_then(run_before(), changed)


def outcome(status: str, /, **values: object) -> Callable[[Path], None]:
    """A run whose first outcome with this status is changed."""

    def changed(folder: Path) -> None:
        path = folder / "run" / "outcomes.parquet"
        table = pq.read_table(path)
        rows = table.to_pylist()
        next(row for row in rows if row["status"] == status).update(values)
        pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)

    return and_then(run_before(), changed)


def other_weights(folder: Path) -> None:
    path = folder / "model.py"
    path.write_text(path.read_text().replace("% 1.7", "% 1.6"))


def broken_part(folder: Path) -> None:
    write(folder / "run" / "parts" / "part-000001.parquet", b"PAR1 and no more")


def foreign_part(folder: Path) -> None:
    """Outcomes of another run among one's own."""
    run_before(seed=1, out="other")(folder)
    (folder / "run" / "parts").mkdir(exist_ok=True)
    shutil.copy(folder / "other" / "outcomes.parquet", folder / "run" / "parts" / "part-000001.parquet")


def interrupting(folder: Path) -> None:
    """From now on a bright pixel interrupts, and the scores stay what they were."""
    path = folder / "model.py"
    path.write_text(path.read_text() + "\n\nold = net\n\n\ndef net():\n    return Otherwise(interrupt, bright)\n")


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Another run is under way."""
    (folder / "run" / "parts").mkdir(parents=True)
    with FileLock(folder / "run" / "lock"):
        yield


@contextlib.contextmanager
def disk_full_at(number: int) -> Iterator[None]:
    """The disk is full when file ``number`` is written, and each unit is written as it ends."""
    written = 0

    def fsync(_file: int) -> None:
        nonlocal written
        written += 1
        if written >= number:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with mock.patch.object(os, "fsync", fsync), mock.patch.object(store_module, "FLUSH_SECONDS", 0.0):
        yield


FOLDERS = Section(
    "Folders of results",
    "Here `run` holds a run of 2 units that has ended, where not said otherwise.",
    (
        Case("a folder with other files", "--out photos"),
        Case("a file in the place of the folder", "--out model.py"),
        Case("a folder that cannot be made", "--out model.py/run"),
        Case("another specification", "--seed 7", run_before()),
        Case("the first images of the set, where others were drawn", "--limit - --first 2", run_before()),
        Case("another model", "", and_then(run_before(), other_weights)),
        Case("other images", "", and_then(run_before(), lambda f: write(f / "photos/cat/3.png", png(photo(9))))),
        Case("a newer schema", "", manifest(lambda content: content.update(schema_version=99))),
        Case("a manifest that is no JSON", "", and_then(run_before(), lambda f: write(f / "run/manifest.json", "{"))),
        Case("a manifest without a field", "", manifest(lambda content: content["passes"].pop("rows"))),
        Case("a manifest with a number that is none", "summary run", manifest(lambda c: c["events"].append(math.nan))),
        Case("images without a size in it", "summary run", manifest(lambda c: c["data"].update(shape=[0, 0, 0]))),
        Case("no number of pixels in it", "summary run", manifest(lambda c: c["what"]["spec"].update(pixels=[]))),
        Case("a success that is none", "summary run", outcome("held", status="fooled")),
        Case("a confidence that is no number", "--limit 3", outcome("held", confidence_after=math.nan)),
        Case("pixels outside of the images", "summary run", outcome("held", rows=[100])),
        Case("scores of unchanged images that are damaged", "",
             and_then(run_before(), lambda folder: write(folder / "run" / "clean.parquet", b"PAR1 and no more"))),
        Case("no manifest beside outcomes", "", and_then(run_before(), lambda f: (f / "run/manifest.json").unlink())),
        Case("a part that is damaged", "--limit 3", and_then(run_before(), broken_part)),
        Case("outcomes of another run", "--limit 3", and_then(run_before(), foreign_part)),
        Case("another run is under way there", "", around=locked),
        Case("the disk is full at the first part", "--limit 3", around=lambda folder: disk_full_at(3)),
        Case("the disk is full at the last part", "--limit 3", around=lambda folder: disk_full_at(5)),
        Case("the disk is full in a run that is extended", "--limit 4", run_before(), lambda folder: disk_full_at(3)),
        Case("Ctrl-C at the first question", "--model model.py:interrupted"),
        Case("Ctrl-C in a run that is extended", "--limit 3", and_then(run_before(), interrupting)),
        Case("`pinprick summary` of no folder", "summary nowhere"),
        Case("`pinprick summary` of another folder", "summary photos"),
        Case("`pinprick summary` of a damaged part", "summary run", and_then(run_before(), broken_part)),
        Case("`pinprick summary` of outcomes of another run", "summary run", and_then(run_before(), foreign_part)),
        Case("`pinprick report` of no folder", "report nowhere"),
        Case("a device in the place of a report", "report run --out /dev/null", run_before()),
    ),
)  # fmt: skip


TRAINING = Section(
    "`pinprick train`",
    "",
    (
        Case("a network that there is not", "train lenett --data photos"),
        Case("images without labels", "train cnn --data own --out w.safetensors", one(png(photo()))),
        Case("images under the network's size", "train lenet --data digits:test --out w.safetensors"),
        Case("test images of another shape", "train cnn --data photos --test digits:test --out w.safetensors"),
        Case("a folder in the place of the weights", "train cnn --data photos --out photos"),
        Case("a device in the place of the weights", "train cnn --data photos --out /dev/null"),
        Case("a folder in the place of their card", "train cnn --data photos --out w.safetensors",
             lambda folder: (folder / "w.md").mkdir()),
        Case("a place that takes no files", "train cnn --data photos --out /proc/w.safetensors"),
        Case("a learning rate of 0", "train cnn --data photos --lr 0"),
        Case("a checkpoint of something else", "train cnn --data photos --out w.safetensors",
             one(b"nothing", "w.safetensors.checkpoint")),
    ),
)  # fmt: skip

RANDOM = pp.CallableTarget(lambda images: images.flatten(1)[:, :3], "logits", name="net")
GRAY = np.zeros((2, 1, 8, 8), np.uint8)


def attacked(goal: pp.Goal, labels: list[int]) -> object:
    return OnePixel()(RANDOM, GRAY, goal, labels=labels)


PYTHON = Section(
    "Python",
    "The same checks, and some that only Python can fail; each raises `pinprick.InputError`.",
    (
        Case("targeted at the true class", call=lambda folder: attacked(pp.Goal("targeted", 1), [1, 1]),
             shown='OnePixel()(net, images, Goal("targeted", 1), labels=[1, 1])'),
        Case("targeted beyond the classes", call=lambda folder: attacked(pp.Goal("targeted", 3), [1, 1]),
             shown='OnePixel()(net, images, Goal("targeted", 3), labels=[1, 1])'),
        Case("a label beyond the classes", call=lambda folder: attacked(pp.Goal(), [1, 5]),
             shown="OnePixel()(net, images, labels=[1, 5])"),
        Case("floats that leave [0, 1]", call=lambda folder: pp.attack(RANDOM, (GRAY + 2.5, [0, 0])),
             shown="attack(net, (images + 2.5, labels))"),
        Case("channels last", call=lambda folder: pp.attack(RANDOM, (np.zeros((2, 8, 8, 3), np.uint8), [0, 0])),
             shown="attack(net, (images_of_shape_2_8_8_3, labels))"),
        Case("no model", call=lambda folder: pp.attack({"a": 1}, (GRAY, [0, 0])),  # type: ignore[arg-type]
             shown='attack({"a": 1}, (images, labels))'),
    ),
)  # fmt: skip

SECTIONS = (OPTIONS, SPECS, FOLDERS, TRAINING, PYTHON)
