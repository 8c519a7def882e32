"""Runs of the sweep: the same maps whatever happens, stored, measured and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pinprick.attacks.sweep import SweepPixels
from pinprick.errors import InputError
from pinprick.runs.estimate import estimate
from pinprick.runs.measures import measures
from pinprick.runs.store import read_outcomes
from pinprick.runs.table import MAPS, SCHEMA, outcome_row
from pinprick.targets.meter import Meter
from pinprick.verify import verify
from tests.conftest import colour_target, digits_target
from tests.runs.conftest import small_run, small_spec
from tests.runs.test_same_answer import Stop, colour_units, stop_after

SWEEP: dict[str, Any] = {"attack": "sweep", "budget": None, "baseline": "none"}


def sweep_rows(budget: int, chosen: list[Any]) -> pa.Table:
    target = colour_target()
    meter = Meter(target, budget, 64)
    found = [verify(candidate, target.probabilities) for candidate in SweepPixels().run(meter, iter(chosen))]
    rows = sorted((outcome_row(outcome) for outcome in found), key=lambda row: str(row["key"]))
    return pa.Table.from_pylist(rows, schema=SCHEMA)


@pytest.mark.parametrize("budget", [865, 400])
def test_permuting_and_splitting_units_changes_no_map(budget: int) -> None:
    _, units = colour_units()
    units = units[:6]
    whole = sweep_rows(budget, units)
    assert set(whole["status"].to_pylist()) == {"fooled", "held"}

    @given(st.permutations(range(6)), st.integers(1, 6))
    @settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
    def check(order: list[int], cut: int) -> None:
        chosen = [units[number] for number in order]
        parts = [sweep_rows(budget, part) for part in (chosen[:cut], chosen[cut:]) if part]
        # As text, in which NaN is NaN.
        assert repr(pa.concat_tables(parts).sort_by("key").to_pylist()) == repr(whole.to_pylist())

    check()


@given(st.lists(st.integers(1, 7), min_size=1, max_size=3))
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
def test_interruptions_change_no_byte(
    undisturbed: bytes, tmp_path_factory: pytest.TempPathFactory, moments: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("interrupted")
    for moment in moments:
        try:
            small_run(out=folder, listener=stop_after(moment), **SWEEP)
        except Stop:
            continue
    small_run(out=folder, **SWEEP)
    assert (folder / "outcomes.parquet").read_bytes() == undisturbed


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sweep") / "run"
    small_run(out=out, **SWEEP)
    return out


@pytest.fixture(scope="module")
def undisturbed(folder: Path) -> bytes:
    return (folder / "outcomes.parquet").read_bytes()


def test_a_run_stores_whole_maps_that_agree_with_its_verdicts(folder: Path) -> None:
    table = read_outcomes(folder)
    assert len(table) == 8
    for row in table.to_pylist():
        assert row["map_asked"] == [2] * 64
        assert (row["status"] == "fooled") == (sum(row["map_fooled"]) > 0) == (min(row["map_margin"]) < 0)
        assert (row["first_hit"] is not None) == (row["status"] == "fooled")
        assert row["asked"] == 129
        for count, margin in zip(row["map_fooled"], row["map_margin"], strict=True):
            assert (count > 0) == (margin < 0)


def test_its_measures_are_those_of_the_maps_and_of_the_rows(folder: Path) -> None:
    found = measures(folder)
    assert (found.budget, found.budgets) == (129, ((1, 129),))
    own = found.rows[0].vulnerability
    assert own is not None
    assert (own.units, own.whole) == (8, 8)
    assert (own.ceiling.successes, own.ceiling.interval) == (found.rows[0].row.successes, found.rows[0].row.interval)
    fooled = np.array(read_outcomes(folder)["map_fooled"].to_pylist())
    assert own.changes is not None
    assert own.changes.mean == pytest.approx(fooled.sum() / (8 * 128))
    np.testing.assert_array_equal(own.counts.ravel(), (fooled > 0).sum(axis=0))


def test_each_number_of_pixels_has_its_own_budget_and_the_baseline_the_same(tmp_path: Path) -> None:
    result = small_run(out=tmp_path / "run", pixels=(1, 2), limit=3, **(SWEEP | {"baseline": "random"}))
    found = measures(tmp_path / "run")
    assert found.budgets == ((1, 129), (2, 257))
    assert found.budget == 257
    for row in result.table.to_pylist():
        assert row["asked"] <= {1: 129, 2: 257}[row["pixels"]]
        assert row["attack"] == "sweep" or row["map_asked"] is None
        if row["status"] == "held":
            assert row["asked"] == {1: 129, 2: 257}[row["pixels"]]
    assert [row.budget.budgets[-1] for row in found.rows] == [129, 257] * 2
    # Continued with the same numbers of pixels it is the same run.
    small_run(out=tmp_path / "run", pixels=(1, 2), limit=4, **(SWEEP | {"baseline": "random"}))
    with pytest.raises(InputError, match="it holds another run"):
        small_run(out=tmp_path / "run", pixels=(1, 2), limit=4, **(SWEEP | {"baseline": "random", "budget": 129}))


def test_another_attack_in_the_folder_is_named_before_its_parameters(tmp_path: Path) -> None:
    small_run(out=tmp_path / "run", limit=2, **SWEEP)
    with pytest.raises(InputError, match=r"\(--attack was 'sweep' and is 'few-pixel'; --budget was 129 and is 1001\)"):
        small_run(out=tmp_path / "run", limit=2, **(SWEEP | {"attack": "few-pixel"}))
    with pytest.raises(InputError, match=r"\(--attack was 'sweep' and is 'few-pixel'; --seed was 0 and is 9; --budget"):
        small_run(out=tmp_path / "run", limit=2, **(SWEEP | {"attack": "few-pixel", "seed": 9}))


def test_the_plan_counts_every_position_and_colour() -> None:
    figures = estimate(small_spec(pixels=(1, 2), limit=3, **SWEEP), target=digits_target())
    assert (figures["units"], figures["questions"]) == (6, 3 * (129 + 257))
    every = small_spec(parameters={"colours": "all"}, limit=3, **SWEEP)
    assert estimate(every, target=digits_target())["questions"] == 3 * (64 * 256 + 1)


def test_parameters_are_part_of_what_a_run_is(folder: Path) -> None:
    with pytest.raises(InputError, match="colours of sweep was 'corners' and is 'all'"):
        small_run(out=folder, **SWEEP, parameters={"colours": "all"})
    with pytest.raises(InputError, match="complete of sweep was True and is False"):
        small_run(out=folder, **SWEEP, parameters={"complete": "false"})
    # The default said aloud is the same run.
    assert small_run(out=folder, **SWEEP, parameters={"colours": "corners"}).rows[0].n == 8


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("map_asked", lambda values: values[:-1], "is not one entry a position"),
        ("map_fooled", lambda values: [3, *values[1:]], "column map_fooled: not 0 to as many as were asked"),
        ("map_fooled", lambda values: [-1, *values[1:]], "column map_fooled: not 0 to as many as were asked"),
        ("map_margin", lambda values: [float("nan"), *values[1:]], "column map_margin: not a finite number"),
        ("map_margin", lambda values: [float("inf"), *values[1:]], "column map_margin: not a finite number"),
        ("map_margin", lambda values: [1e308, *values[1:]], "column map_margin: not a finite number"),
        ("map_margin", lambda values: [None, *values[1:]], "column map_margin: a null inside of a list"),
        ("map_fooled", lambda values: None, "column map_fooled, row 1: None is not one entry a position"),
    ],
)
def test_maps_that_no_run_writes_are_refused(
    folder: Path, tmp_path: Path, name: str, change: Any, message: str
) -> None:
    table = pq.read_table(folder / "outcomes.parquet")
    rows = table.to_pylist()
    rows[1][name] = change(rows[1][name])
    (tmp_path / "manifest.json").write_bytes((folder / "manifest.json").read_bytes())
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), tmp_path / "outcomes.parquet")
    with pytest.raises(InputError) as raised:
        measures(tmp_path)
    assert message in str(raised.value)


def test_a_map_of_another_size_than_the_images_is_refused(folder: Path, tmp_path: Path) -> None:
    table = pq.read_table(folder / "outcomes.parquet")
    rows = [row | {name: row[name] * 2 for name in MAPS} for row in table.to_pylist()]
    (tmp_path / "manifest.json").write_bytes((folder / "manifest.json").read_bytes())
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), tmp_path / "outcomes.parquet")
    with pytest.raises(InputError, match=r"column map_asked, row 0: .* is no map of 8 x 8 positions"):
        measures(tmp_path)


def test_tables_from_before_there_were_maps_are_read(folder: Path, tmp_path: Path) -> None:
    table = pq.read_table(folder / "outcomes.parquet").drop_columns(list(MAPS))
    (tmp_path / "manifest.json").write_bytes((folder / "manifest.json").read_bytes())
    pq.write_table(table, tmp_path / "outcomes.parquet")
    assert read_outcomes(tmp_path).schema.names == SCHEMA.names
    assert measures(tmp_path).rows[0].vulnerability is None
