"""CMA-ES: the package's own strategy, a unit at a time from its own draws; and what is said where it is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pinprick.attacks.cma_es import PixelCMAES
from pinprick.data.digits import digits
from pinprick.errors import InputError
from pinprick.search.cma_es import CMAES
from pinprick.streams import generator
from tests.conftest import colour_target, digits_target, random_images
from tests.search.test_differential_evolution import SEEDS, SHAPE, drive, target_fitness

cma = pytest.importorskip("cma", reason="needs the package cma")


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [4, 2, 0, 3, 1]])
@pytest.mark.parametrize("places", [2, 5])
def test_a_search_asks_the_same_on_any_place_beside_any_others(order: list[int], places: int) -> None:
    alone = {seed: drive(CMAES(1, SHAPE, 2, generations=8), [seed])[seed] for seed in SEEDS}
    assert drive(CMAES(places, SHAPE, 2, generations=8), [SEEDS[number] for number in order]) == alone
    assert all(len(asked) == 8 * 10 for asked in alone.values()), "4 + 3 ln 10 is 10.9"
    assert len({tuple(asked) for asked in alone.values()}) == len(SEEDS)


def test_what_is_asked_is_what_the_package_draws_rounded() -> None:
    search = CMAES(1, SHAPE, 1, population=6, step=5.0)
    search.start(0, SEEDS[0])
    draws = generator(SEEDS[0], 0)
    first = [*(draws.random((1, 2)) * (9, 12))[0], 127.5, 127.5, 127.5]
    bounds = [[0] * 5, [9, 12, 255, 255, 255]]
    own = cma.CMAEvolutionStrategy(
        first,
        5.0,
        {
            "bounds": bounds,
            "popsize": 6,
            "randn": lambda *size: draws.standard_normal(size),
            "seed": np.nan,
            "verbose": -9,
        },
    )
    for _ in range(5):
        told = np.zeros(0)
        drawn = own.ask()
        for vector in drawn:
            # One at a time, so that a generation is told of in parts.
            edits = search.ask(np.array([1])).edits
            assert edits.rows[0, 0] == min(int(vector[0]), 8)
            assert edits.columns[0, 0] == min(int(vector[1]), 11)
            assert edits.colours[0, 0].tolist() == np.rint(vector[2:]).tolist()
            fitness = target_fitness(edits.colours, edits.rows, edits.columns)
            search.tell(fitness)
            told = np.append(told, fitness)
        own.tell(drawn, told.tolist())
        assert search.at_rest(0)


def test_it_finds_what_there_is_to_find() -> None:
    search = CMAES(1, SHAPE, 1, population=20, generations=80)
    search.start(0, SEEDS[1])
    best = np.inf
    while not search.exhausted(0):
        asked = search.ask(np.array([1000])).edits
        fitness = target_fitness(asked.colours, asked.rows, asked.columns)
        best = min(best, float(fitness.min()))
        search.tell(fitness)
    # Within a pixel and a few shades of a landscape that goes up to 200 000.
    assert best < 200


def test_generations_end_it() -> None:
    search = CMAES(2, (1, 8, 8), 1, population=5, generations=3)
    search.start(1, SEEDS[0])
    asked = 0
    while not search.exhausted(1):
        part = search.ask(np.array([0, 1000])).edits
        asked += len(part)
        search.tell(np.arange(len(part), dtype=float))
    assert asked == 15
    assert not len(search.ask(np.array([0, 1000])).edits)


def test_a_row_without_scores_ends_it() -> None:
    search = CMAES(1, (1, 8, 8), 1, population=5)
    search.start(0, SEEDS[0])
    search.ask(np.array([3]))
    search.tell(np.array([0.5, np.inf, 0.4]))
    assert search.exhausted(0)


def test_a_file_for_the_package_in_the_current_folder_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plain = drive(CMAES(1, SHAPE, 1, generations=4), SEEDS[:1])
    (tmp_path / "cma_signals.in").write_text("{'maxiter': 1}")
    assert drive(CMAES(1, SHAPE, 1, generations=4), SEEDS[:1]) == plain
    assert [path.name for path in tmp_path.iterdir()] == ["cma_signals.in"]


def test_it_fools_more_the_longer_it_may_ask() -> None:
    images = digits("test")
    assert images.labels is not None
    stack, labels = images.stack(range(20)), images.labels[:20]

    def fooled(budget: int) -> int:
        outcomes = PixelCMAES()(digits_target(), stack, labels=labels, pixels=3, budget=budget)
        return sum(outcome.status == "fooled" for outcome in outcomes)

    assert fooled(20) < fooled(300)


def test_images_of_colour_of_any_shape_are_attacked() -> None:
    outcomes = PixelCMAES()(colour_target(), random_images(5, (3, 9, 12)), pixels=4, budget=400)
    assert all(outcome.changed <= 4 for outcome in outcomes)
    assert any(outcome.status == "fooled" for outcome in outcomes)


def test_generations_larger_than_what_is_asked_at_a_time() -> None:
    outcomes = PixelCMAES(population=100, generations=2)(digits_target(), digits("test").stack(range(3)), budget=400)
    assert all(outcome.asked in (65, 101, 165, 201) for outcome in outcomes)


@pytest.mark.parametrize(
    "given",
    [
        {"population": 1},
        {"population": -1},
        {"population": 10_001},
        {"generations": 1.5},
        {"step": 0.0},
        {"step": 256.0},
        {"label_below": 2.0},
    ],
)
def test_parameters_are_checked(given: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(given))):
        PixelCMAES(**given)  # type: ignore[arg-type]


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cma", None)
    with pytest.raises(InputError, match=r"pip install 'pinprick\[cma\]'"):
        PixelCMAES().check_target(digits_target())
    with pytest.raises(InputError, match=r"pip install 'pinprick\[cma\]'"):
        PixelCMAES()(digits_target(), digits("test").stack(range(1)))


def test_the_package_is_imported_by_its_own_attack_only() -> None:
    code = "import sys, pinprick.attacks.registry, pinprick.api; sys.exit('cma' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
