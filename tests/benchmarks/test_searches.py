"""The scripts that compare searches: the sketch is what its description says, and the tables say what was run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from benchmarks.searches import beside, budgets, equal_means, ideas
from benchmarks.searches.runs import within
from benchmarks.searches.sketch import Sketch, SketchPixels

import pinprick
from pinprick.attacks.registry import ATTACKS
from pinprick.search import few_pixel


def test_the_sketch_asks_blocks_and_then_what_lies_around_the_best() -> None:
    search = Sketch(1, (3, 8, 8), 2)
    search.start(0, "0" * 32)
    first = search.ask(np.array([1000])).edits
    assert len(set(zip((first.rows[:, 0] // 2).tolist(), (first.columns[:, 0] // 2).tolist(), strict=True))) == 16
    # The block at the top left does most, by far.
    search.tell(np.where((first.rows[:, 0] < 2) & (first.columns[:, 0] < 2), -50.0, 1.0))
    asked = 0
    while len(part := search.ask(np.array([1000])).edits):
        if (part.rows[:, 0] != part.rows[:, 1]).any() or (part.columns[:, 0] != part.columns[:, 1]).any():
            break
        asked += len(part)
        assert part.rows.min() >= 0
        assert part.rows.max() < 8
        search.tell(np.full(len(part), 2.0))
    assert 0 < asked <= 6 * 9 * 8
    # The first pixel stays where it did most.
    assert part.rows[:, 0].max() < 2
    assert part.columns[:, 0].max() < 2
    assert SketchPixels().default_budget((3, 32, 32), 3) == 3 * 688 + 1


def test_the_scripts_print_what_was_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ATTACKS, "sketch", SketchPixels)
    common = ["--data", "digits:test", "--models", "cnn-digits", "--images", "4", "--pixels", "1", "--out"]
    monkeypatch.setattr("sys.argv", ["ideas", *common, str(tmp_path), "--changes", "as-it-comes", "no-doubt"])
    ideas.main()
    assert few_pixel.BOLD == 1.0
    others = ["--budgets", "30", "60", "--others", "sparse-rs"]
    monkeypatch.setattr("sys.argv", ["budgets", *common, str(tmp_path), *others])
    budgets.main()
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| `cnn-digits`")]
    assert len(lines) == 3 + 2
    table = pinprick.read_outcomes(str(tmp_path / "few-pixel-60-cnn-digits"))
    for budget, line in zip((30, 60), lines[3:], strict=True):
        assert line.split("|")[4].strip().startswith(f"{within(table, budget + 1)} of 4 ")


def test_a_unit_that_ended_early_costs_no_more_than_it_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held units give up after different numbers of questions: beside itself, the run is not cut off."""
    made = pinprick.attack("cnn-digits", "digits:test", first=20, baseline="none", out=tmp_path / "run")
    held = [row["asked"] for row in made.table.to_pylist() if row["status"] == "held"]
    assert len(set(held)) > 1
    monkeypatch.setattr("sys.argv", ["equal_means", str(tmp_path / "run"), str(tmp_path / "run")])
    equal_means.main()
    assert capsys.readouterr().out.splitlines()[-1].split("|")[-2].strip() == str(max(held))


def test_two_runs_unit_by_unit(tmp_path: Path) -> None:
    """Of a run of 8 images and one of 5 of these, only the 5 count; each cell is counted by hand here."""
    folders = [str(tmp_path / name) for name in ("few", "random")]
    made = [
        pinprick.attack(
            "cnn-digits", "digits:test", attack=attack, first=n, baseline="none", out=folder, pixels=(1, 2), budget=300
        )
        for attack, n, folder in zip(("few-pixel", "random"), (8, 5), folders, strict=True)
    ]
    tables = [run.table.to_pandas() for run in made]
    found = list(beside.rows(*folders))
    assert [cells[1] for cells in found] == ["1", "2"]
    for cells in found:
        first, other = (table[table["pixels"] == int(cells[1])].set_index("image") for table in tables)
        first = first.loc[other.index]
        ours, theirs = first["status"] == "fooled", other["status"] == "fooled"
        counts = [len(other), sum(theirs), sum(ours), sum(ours & theirs), sum(theirs & ~ours), sum(ours & ~theirs)]
        assert [int(cell) for cell in cells[2:8]] == counts
        assert cells[8:10] == (f"{other['asked'].mean():.0f}", f"{first['asked'].mean():.0f}")
        assert cells[10].startswith(f"{other['asked'].sum() / first['asked'].sum():.0f} (")
    assert beside.heads(*folders)[3:5] == ["`random` fools", "`few-pixel` fools"]
