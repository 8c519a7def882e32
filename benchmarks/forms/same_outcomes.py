"""Whether one command ends alike on one network as torch, as an ONNX file, and behind MLServer; row by row.

    make bench-forms                                             # makes .venv-servers, then as below
    python -m benchmarks.forms.same_outcomes
    python -m benchmarks.forms.same_outcomes --attack random --budget 200
    python -m benchmarks.forms.same_outcomes --runs runs/a runs/b     # two folders of results that are there already

Without MLServer in ``.venv-servers`` only torch and ONNX are compared, which is said.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
from benchmarks.same_verdicts import exported
from tests.servers.server import MLSERVER, mlserver, served_file, told

from pinprick.intervals import wilson
from pinprick.runs.store import read_outcomes
from pinprick.targets.loading import load_target
from pinprick.targets.torch_target import TorchTarget

COMPARED = {
    "fooled": ("status",),
    "label": ("predicted_before", "predicted_after"),
    "pixels": ("changed", "rows", "columns"),
    "colours": ("colours",),
    "questions": ("asked", "first_hit"),
}
"""What of two rows is compared, and the columns that it is in; scores are compared by :attr:`Differences.scores`."""


@dataclass(frozen=True)
class Differences:
    """What :func:`differences` found: keys of the rows that differ by what differs, names of columns of COMPARED.

    ``rows`` are in both tables, ``alone`` in one only. ``scores`` is the largest difference of a score, before and
    after the change, of rows with the same saved image.
    """

    rows: int
    alone: int
    differ: dict[str, list[str]]
    scores: float

    @property
    def same(self) -> int:
        """Rows that are the same in all of :data:`COMPARED`."""
        return self.rows - len({key for keys in self.differ.values() for key in keys})


def differences(one: pa.Table, other: pa.Table) -> Differences:
    """Compare two tables of outcomes (columns of docs/outcomes.md) of the same command, row by row."""
    first, second = ({row["key"]: row for row in table.to_pylist()} for table in (one, other))
    both = sorted(first.keys() & second.keys())
    differ: dict[str, list[str]] = {name: [] for name in COMPARED}
    largest = 0.0
    for key in both:
        for name, columns in COMPARED.items():
            if any(first[key][column] != second[key][column] for column in columns):
                differ[name].append(key)
        saved = ["scores_before"]
        if key not in differ["pixels"] and key not in differ["colours"]:
            saved.append("scores_after")
        for column in saved:
            scores = first[key][column], second[key][column]
            if None not in scores:
                largest = max(largest, float(np.abs(np.subtract(*scores)).max()))
    return Differences(len(both), len(first.keys() ^ second.keys()), differ, largest)


def line(name: str, table: pa.Table, found: Differences | None) -> str:
    """A row of the table in Markdown: what a form came to, and how many of its rows are as in the first form."""
    fooled = sum(status == "fooled" for status in table["status"].to_pylist())
    low, high = wilson(fooled, len(table))
    asked = np.mean(table["asked"].to_pylist())
    cells = [name, f"{fooled} of {len(table)}", f"{100 * low:.1f} to {100 * high:.1f} %", f"{asked:,.1f}"]
    if found is None:
        cells += ["–"] * (len(COMPARED) + 2)
    else:
        cells += [f"{found.same} of {found.rows}", *(str(len(keys)) for keys in found.differ.values())]
        cells.append(f"{found.scores:.1e}")
    return f"| {' | '.join(cells)} |"


def told_differences(name: str, tables: tuple[pa.Table, pa.Table], found: Differences) -> Iterator[str]:
    """A line for each row that differs: its image, and what was and is."""
    first, second = ({row["key"]: row for row in table.to_pylist()} for table in tables)
    for key in sorted({key for keys in found.differ.values() for key in keys}):
        what = [
            f"{column} {first[key][column]} and {second[key][column]}"
            for columns in COMPARED.values()
            for column in columns
            if first[key][column] != second[key][column]
        ]
        unit = first[key]
        yield f"{name}: {unit['image']}, {unit['attack']}, {unit['pixels']} pixels: {'; '.join(what)}"
    if found.alone:
        yield f"{name}: {found.alone} units are in one of the two only"


def compare(runs: dict[str, Path]) -> list[str]:
    """Lines that say how the rows of each run differ from those of the first."""
    tables = {name: read_outcomes(folder) for name, folder in runs.items()}
    first, *others = tables
    head = ["", "fooled", "95 % interval", "questions", "rows the same", *(f"{name} differ" for name in COMPARED)]
    head.append("scores differ by")
    lines = [f"| {' | '.join(head)} |", "| --- " * len(head) + "|", line(first, tables[first], None)]
    notes: list[str] = []
    for name in others:
        found = differences(tables[first], tables[name])
        lines.append(line(name, tables[name], found))
        notes += told_differences(name, (tables[first], tables[name]), found)
    for one, other in combinations(others, 2):
        found = differences(tables[one], tables[other])
        notes.append(f"{other} beside {one}: {found.same} of {found.rows} rows the same")
    return lines + notes


@contextlib.contextmanager
def forms(model: str, folder: Path) -> Iterator[dict[str, str]]:
    """What to give to ``--model`` for each form of a shipped network."""
    net = load_target(model, device="cpu")
    assert isinstance(net, TorchTarget)
    assert net.shape is not None
    onnx = folder / f"{model}.onnx"
    file = exported(net, onnx)
    named = {"torch": model, "ONNX": str(onnx)}
    if not MLSERVER.is_file():
        print(f"no MLServer at {MLSERVER}: make bench-forms installs it", file=sys.stderr)
        yield named
        return
    channels, height, width = net.shape
    serving = folder / "server"
    serving.mkdir()
    assert file.classes is not None
    with mlserver(serving, {"net": served_file(onnx) | told(channels, height, width, file.classes)}) as url:
        yield named | {"MLServer": f"{url}/v2/models/net"}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", nargs="+", type=Path, help="folders of results to compare, the first with the others")
    parser.add_argument("--model", default="cnn-digits", help="a shipped network")
    parser.add_argument("--data", default="digits:test")
    parser.add_argument("--attack", default="few-pixel")
    parser.add_argument("--budget", help="questions a unit; the attack's own by default")
    parser.add_argument("--first", default="100", help="images, in the set's order")
    parser.add_argument("--pixels", default="1")
    given = parser.parse_args(arguments)
    if given.runs:
        print("\n".join(compare({str(folder): folder for folder in given.runs})))
        return
    options = ["--outputs", "logits", "--data", given.data, "--attack", given.attack, "--first", given.first]
    options += ["--pixels", given.pixels, "--baseline", "none"]
    options += ["--budget", given.budget] if given.budget else []
    with tempfile.TemporaryDirectory() as made:
        runs: dict[str, Path] = {}
        with forms(given.model, Path(made)) as named:
            for name, model in named.items():
                runs[name] = Path(made) / f"run-{name}"
                print(f"pinprick attack --model {Path(model).name} {' '.join(options)}", flush=True)
                command = [sys.executable, "-m", "pinprick.cli.main", "attack", "--model", model, *options]
                subprocess.run([*command, "--out", str(runs[name])], check=True)
        print("\n".join(compare(runs)))


if __name__ == "__main__":
    main()
