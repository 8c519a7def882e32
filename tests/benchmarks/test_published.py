"""The stored outcomes in results/ are whole runs of the commands that they are said to be of, and docs/results.md says
the same of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.published import FILES, RESULTS, all_runs, main
from benchmarks.searches import beside
from benchmarks.searches.table import rows

import pinprick
from pinprick.runs.measures import measures
from pinprick.runs.store import read_manifest

FOLDERS = sorted(one.name for one in RESULTS.iterdir() if one.is_dir())
RUNS = {one.name: one for one in all_runs()}


def squeezed(text: str) -> str:
    """A table's lines without the spaces at the edges of cells."""
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")
    ]
    return "\n".join("|".join(cells) for cells in lines)


@pytest.mark.parametrize("name", FOLDERS)
def test_stored_outcomes_are_of_their_command_and_docs_say_the_same_of_them(name: str) -> None:
    run, folder = RUNS[name], RESULTS / name
    assert {one.name for one in folder.iterdir()} == set(FILES)
    manifest = read_manifest(folder)
    assert manifest is not None
    given = manifest["given"]
    options = run.options(given["data"], given["first"], Path("somewhere"))
    told = dict(zip(options[::2], options[1::2], strict=True))
    for option in ("--model", "--attack"):
        assert given[option[2:]] == told[option]
    assert given["pixels"] == [run.pixels]
    assert given["goal"] == told.get("--goal", "untargeted")
    assert given["parameters"] == {}
    assert given["budget"] is None
    assert given["seed"] == 0
    # Nothing of the machine that it was made on but its kind.
    assert not any(Path(given[key]).is_absolute() for key in ("data", "out"))
    table = pinprick.read_outcomes(str(folder))
    # A folder may hold the first units of a run that is to go on; the documented row says how many.
    assert 0 < len(table) <= given["first"] * (9 if run.targeted else 1)
    documented = squeezed((RESULTS.parent / "docs" / "results.md").read_text(encoding="utf-8"))
    for cells in rows(measures(folder)):
        assert "|".join(cells) in documented


@pytest.mark.parametrize("name", [name for name in FOLDERS if "-one-pixel-" in name])
def test_docs_say_of_pairs_of_runs_what_is_in_their_outcomes(name: str) -> None:
    pair = [str(RESULTS / name.replace("one-pixel", "few-pixel")), str(RESULTS / name)]
    documented = squeezed((RESULTS.parent / "docs" / "results.md").read_text(encoding="utf-8"))
    assert "|".join(beside.heads(*pair)) in documented
    (cells,) = beside.rows(*pair)
    assert "|".join(cells) in documented


def test_the_commands_differ_in_what_they_say() -> None:
    assert len(RUNS) == 24
    assert len({" ".join(one.options("D", None, Path("O"))) for one in RUNS.values()}) == 24


def test_runs_are_not_made_without_a_word_of_which(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["published"])
        assert main() == 2
    assert "which runs? Give --only NAME" in capsys.readouterr().err
    # `make bench` runs each file of benchmarks/ as it is.
    makefile = (RESULTS.parent / "Makefile").read_text(encoding="utf-8")
    assert "$(filter-out benchmarks/published.py,$(wildcard benchmarks/*.py))" in makefile
