"""The rule of the same answer: order, splitting, interruption and company never change a unit's outcome."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pinprick.attacks.registry import make_attack
from pinprick.data.digits import digits
from pinprick.data.image_set import ImageSet
from pinprick.goals import Goal
from pinprick.outcomes import Outcome
from pinprick.runs.result import Listener
from pinprick.runs.store import outcome_row, read_outcomes
from pinprick.targets.meter import Meter
from pinprick.targets.torch_target import TorchTarget
from pinprick.units import Unit
from pinprick.verify import verify
from tests.conftest import colour_target, digits_target, make_unit, random_images
from tests.runs.conftest import small_run

ROWS = 64


def colour_units() -> tuple[TorchTarget, list[Unit]]:
    """Ten units of an odd-shaped colour net with batch norm, on its folded, channels-last engine."""
    target = colour_target()
    images = random_images(10, (3, 9, 12))
    target.prepare(target.images(random_images(32, (3, 9, 12), seed=1)))
    assert "folded" in target.engine
    goals = [Goal(), Goal("targeted", 4), Goal("reduce", bound=0.2)]
    units = []
    for number, image in enumerate(images):
        goal = goals[number % 3]
        plain = make_unit(target, image, name=str(number))
        if goal.target == plain.label:
            goal = Goal()
        units.append(make_unit(target, image, name=str(number), goal=goal, pixels=2))
    return target, units


def rows_of(target: TorchTarget, units: list[Unit], name: str = "one-pixel") -> dict[str, dict[str, Any]]:
    meter = Meter(target, 420, ROWS)
    found: Iterator[Outcome] = (
        verify(candidate, target.probabilities) for candidate in make_attack(name).run(meter, iter(units))
    )
    return {outcome.unit.image_name: outcome_row(outcome) for outcome in found}


@pytest.mark.parametrize("name", ["one-pixel", "random"])
def test_permuting_splitting_and_adding_units_changes_no_outcome(name: str) -> None:
    target, units = colour_units()
    whole = rows_of(target, units, name)
    assert {row["status"] for row in whole.values()} == {"fooled", "held"}

    @given(st.permutations(range(10)), st.integers(1, 10))
    @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
    def check(order: list[int], cut: int) -> None:
        chosen = [units[number] for number in order]
        split = rows_of(target, chosen[:cut], name) | rows_of(target, chosen[cut:], name)
        assert split == whole

    check()


def permuted(images: ImageSet, order: np.ndarray) -> ImageSet:
    assert images.labels is not None
    return ImageSet.from_arrays(
        images.stack(order), images.labels[order], names=[images.names[i] for i in order], classes=images.classes
    )


def test_the_order_of_the_set_changes_no_row() -> None:
    images = digits("test")
    chosen = permuted(images, np.arange(14))
    tables = [
        small_run(images=permuted(chosen, order), first=14, limit=None, seed=3).table
        for order in (np.arange(14), np.arange(14)[::-1], np.random.default_rng(0).permutation(14))
    ]
    assert tables[0].equals(tables[1])
    assert tables[0].equals(tables[2])


def test_one_number_of_pixels_is_part_of_several() -> None:
    alone = small_run(pixels=3, baseline="none").table
    among = small_run(pixels=(1, 3, 5), baseline="none").table
    assert among.filter(pa.compute.equal(among["pixels"], 3)).equals(alone)


def test_few_images_are_part_of_many() -> None:
    few, many = (small_run(limit=limit, baseline="none").table for limit in (4, 12))
    keys = few["key"]
    assert many.filter(pa.compute.is_in(many["key"], keys)).equals(few)


def test_equal_images_have_equal_outcomes_and_rows_of_their_own() -> None:
    images = digits("test")
    assert images.labels is not None
    twice = ImageSet.from_arrays(
        images.stack([2, 2]), images.labels[[2, 2]], names=["same", "same"], classes=images.classes
    )
    first, second = small_run(images=twice, limit=2, baseline="none").table.to_pylist()
    assert first["key"] != second["key"]
    own = ("key", "image")
    assert {k: v for k, v in first.items() if k not in own} == {k: v for k, v in second.items() if k not in own}


class Stop(KeyboardInterrupt):
    """Ctrl-C at a chosen moment."""


def stop_after(units: int) -> Listener:
    def on_step(done: int, _successes: int, _asked: int) -> None:
        if done >= units:
            raise Stop

    return Listener(on_step=on_step)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=3))
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
def test_interruptions_change_no_byte_of_the_finished_table(
    undisturbed: bytes, tmp_path_factory: pytest.TempPathFactory, moments: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("interrupted")
    for moment in moments:
        try:
            small_run(out=folder, listener=stop_after(moment))
        except Stop:
            continue
    small_run(out=folder)
    assert (folder / "outcomes.parquet").read_bytes() == undisturbed


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("undisturbed")
    small_run(out=folder)
    return (folder / "outcomes.parquet").read_bytes()


def test_a_larger_limit_extends_and_equals_a_run_of_that_limit(out: Path, tmp_path: Path) -> None:
    small_run(out=out, limit=3)
    asked = []
    extended = small_run(
        out=out, limit=8, listener=Listener(on_plan=lambda units, stored: asked.append((units, stored)))
    )
    assert asked == [(16, 6)], "8 images, attack and baseline; 3 of each are stored"
    fresh = small_run(out=tmp_path / "fresh", limit=8)
    assert (out / "outcomes.parquet").read_bytes() == (tmp_path / "fresh" / "outcomes.parquet").read_bytes()
    assert [row.as_dict() for row in extended.rows] == [row.as_dict() for row in fresh.rows]
    # And a smaller one afterwards reports on its own part, and drops nothing.
    assert small_run(out=out, limit=3).rows[0].n == 3
    assert len(read_outcomes(out)) == 16


def test_another_seed_is_another_run() -> None:
    one, other = (small_run(seed=seed, baseline="none").table for seed in (0, 1))
    assert not set(one["seed"].to_pylist()) & set(other["seed"].to_pylist())


def test_threads_do_not_matter_to_what_is_drawn(target: TorchTarget) -> None:
    """Two targets made apart give the same table: nothing hangs on global random state."""
    np.random.seed(1)  # noqa: NPY002 (on purpose: the old global state must not count)
    first = small_run(target=target, baseline="none").table
    np.random.seed(2)  # noqa: NPY002
    assert small_run(target=digits_target(), baseline="none").table.equals(first)
