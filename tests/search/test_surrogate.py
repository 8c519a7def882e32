"""The model of single changes that the few-pixel search asks by."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinprick.search import surrogate
from pinprick.search.colours import corners
from pinprick.search.surrogate import NOISE, Surrogate, colour_kernel


def test_corners_are_every_mix_of_none_and_all_black_first() -> None:
    assert corners(1).tolist() == [[0], [255]]
    assert corners(3).shape == (8, 3)
    assert len(np.unique(corners(3), axis=0)) == 8
    assert corners(3)[0].tolist() == [0, 0, 0]
    assert corners(3)[-1].tolist() == [255, 255, 255]


@given(st.integers(1, 4), st.integers(1, 20), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_likeness_of_colours_is_a_kernel(channels: int, n: int, seed: int) -> None:
    palette = np.random.default_rng(seed).integers(0, 256, (n, channels), dtype=np.uint8)
    kernel = colour_kernel(palette)
    assert np.allclose(np.diag(kernel), 1)
    assert np.allclose(kernel, kernel.T)
    assert np.linalg.eigvalsh(kernel).min() > -1e-9


def plainly(entries: np.ndarray, values: np.ndarray, strength: np.ndarray, length: float) -> np.ndarray:
    """The posterior mean by the textbook: every kernel value by itself."""
    palette = corners(3)
    colours = colour_kernel(palette)
    shape = strength.shape[:2]

    def like(a: np.ndarray, b: np.ndarray) -> float:
        near = np.exp(-np.hypot(a[0] - b[0], a[1] - b[1]) / length)
        return float(strength[tuple(a)] * strength[tuple(b)] * near * colours[a[2], b[2]])

    n, pixels, _ = entries.shape
    kernel = np.array([[sum(like(a, b) for a in x for b in y) for y in entries] for x in entries])
    scale = values.std()
    weights = np.linalg.solve(kernel + NOISE * pixels * np.eye(n), (values - values.mean()) / scale)
    mean = np.zeros((*shape, len(palette)))
    for change in np.ndindex(mean.shape):
        mean[change] = scale * sum(
            weight * like(np.array(change), entry) for weight, x in zip(weights, entries, strict=True) for entry in x
        )
    return mean


@pytest.mark.parametrize("pixels", [1, 3, 7])
@pytest.mark.parametrize("even", [True, False])
def test_what_is_expected_is_the_posterior_mean(pixels: int, even: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if pixels == 7:  # by convolutions then
        monkeypatch.setattr(surrogate, "PAIRS", 0)
    draws = np.random.default_rng(pixels)
    shape, length = (9, 12), 1.7
    entries = np.stack([draws.integers(0, most, (14, pixels)) for most in (*shape, 8)], -1)
    gaps = draws.normal(size=(14, 3))
    gaps[:, 1] = np.inf
    strength = np.ones((*shape, 8)) if even else draws.uniform(0.2, 3, (*shape, 8))
    model = Surrogate(*shape, corners(3), length, strength=None if even else strength)
    model.add(entries[:9], gaps[:9])
    model.add(entries[9:], gaps[9:])
    expected = model.expected(5)
    assert expected is not None
    assert sorted(expected.classes.tolist()) == [0, 2]
    for number, which in enumerate(expected.classes):
        plain = plainly(entries, gaps[:, which], strength, length)
        assert np.allclose(expected.change[number], plain, atol=1e-9)
        assert expected.scale[number] == gaps[:, which].std()
        assert expected.level[number] == gaps[:, which].mean()
    # Relative to those that were asked, which the scale is of.
    asked = strength[tuple(np.moveaxis(entries, -1, 0))]
    unsure = expected.spread * np.sqrt((asked**2).mean()) / strength
    assert unsure.min() >= 0
    assert unsure.max() <= 1


@pytest.mark.parametrize(("channels", "shape", "pixels"), [(3, (130, 101), 1), (1, (96, 200), 4), (3, (224, 224), 5)])
def test_on_a_coarse_grid_nearly_the_same_is_expected(channels: int, shape: tuple[int, int], pixels: int) -> None:
    draws = np.random.default_rng(pixels)
    length, palette = min(shape) / 16, corners(channels)
    entries = np.stack([draws.integers(0, most, (150, pixels)) for most in (*shape, len(palette))], -1)
    # What is told hangs on where the pixels are, and differs between neighbours as well.
    rows, columns, colours = np.moveaxis(entries, -1, 0)
    gaps = np.stack([np.sin(rows / (9 + k) + k) * np.cos(columns / 11) * (colours + k) for k in range(3)], -1).sum(
        axis=1
    )
    gaps += draws.normal(size=gaps.shape)
    strength = 1 + 0.5 * np.sin(np.arange(np.prod((*shape, len(palette)))) / 7).reshape(*shape, len(palette))
    coarse, fine = (Surrogate(*shape, palette, length, strength=strength) for _ in range(2))
    fine.geometry = replace(fine.geometry)
    fine.geometry.__dict__["coarse"] = None
    for model in (coarse, fine):
        model.add(entries[:100], gaps[:100])
        model.add(entries[100:], gaps[100:])
    assert coarse.geometry.coarse is not None
    one, other = coarse.expected(3), fine.expected(3)
    assert one is not None
    assert other is not None
    assert one.change.dtype == one.spread.dtype == np.float32
    assert one.change.shape == other.change.shape
    assert (one.classes == other.classes).all()
    assert np.allclose(one.spread, other.spread, atol=1e-3)
    for mine, exact in zip(one.change, other.change, strict=True):
        assert np.corrcoef(mine.ravel(), exact.ravel())[0, 1] > 0.99
        assert np.abs(mine - exact).mean() < 0.1 * np.abs(exact).mean()


def test_only_large_images_have_a_coarse_grid() -> None:
    for side in (8, 28, 32, 64, 95):
        assert Surrogate(side, side, corners(3), max(1.5, side / 16)).known.dtype == np.float64
    for side in (96, 227, 512):
        assert Surrogate(side, side, corners(1), side / 16).known.dtype == np.float32


def test_gaps_too_large_for_single_precision_are_computed_with_all_the_same() -> None:
    model = Surrogate(128, 128, corners(1), 8.0)
    model.add(np.array([[[1, 1, 0]], [[90, 50, 1]], [[40, 9, 0]]]), np.array([[1e100], [-1e100], [3e100]]))
    expected = model.expected(1)
    assert expected is not None
    assert np.isfinite(expected.change).all()
    assert expected.change[0, 90, 50, 1] < 0 < expected.change[0, 40, 9, 0]


@pytest.mark.parametrize("pairs", [1, 5000])
def test_many_pairs_are_looked_up_by_parts_or_by_convolutions(pairs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of large images; the covariance is the same."""
    draws = np.random.default_rng(0)
    entries = np.stack([draws.integers(0, most, (40, 6)) for most in (100, 110, 8)], -1)
    strength = draws.uniform(0.2, 3, (100, 110, 8))
    model = Surrogate(100, 110, corners(3), 6.25, strength=strength)
    whole = model._likeness(entries, entries[:30])
    monkeypatch.setattr(surrogate, "PAIRS", pairs)
    assert np.allclose(model._likeness(entries, entries[:30]), whole)
    monkeypatch.setattr(surrogate, "PAIRS_A_POSITION", 0)
    assert np.allclose(model._likeness(entries, entries[:30]), whole)


def test_of_many_classes_those_that_came_closest_are_modelled() -> None:
    model = Surrogate(8, 8, corners(1), 1.5)
    model.add(np.array([[[1, 1, 0]], [[5, 5, 1]]]), np.array([[5.0, 2.0, 3.0, 0.5], [1.0, 2.5, 3.0, 4.0]]))
    expected = model.expected(2)
    assert expected is not None
    assert expected.classes.tolist() == [3, 0]


def test_what_was_tried_alone_is_known_and_far_away_is_not() -> None:
    model = Surrogate(32, 32, corners(3), 2.0)
    model.add(np.array([[[4, 4, 0]], [[4, 6, 7]]]), np.array([[1.0], [2.0]]))
    expected = model.expected(1)
    assert expected is not None
    spread = expected.spread
    assert spread[4, 4, 0] == spread[4, 6, 7] == 0
    assert spread[30, 30, 0] == spread.max()
    assert 0 < spread[4, 5, 0] < spread[4, 9, 0]


def test_before_two_values_differ_nothing_is_expected() -> None:
    model = Surrogate(8, 8, corners(1), 1.5)
    assert model.expected(3) is None
    model.add(np.array([[[1, 1, 0]], [[5, 5, 1]]]), np.array([[0.5, np.inf], [0.5, 1.0]]))
    expected = model.expected(3)
    assert expected is not None
    assert expected.classes.tolist() == [0]
    assert not expected.change.any()
    assert expected.spread[7, 0, 0] > expected.spread[1, 1, 0]


def test_where_no_class_is_finite_throughout_the_least_gap_is_modelled() -> None:
    model = Surrogate(8, 8, corners(1), 1.5)
    model.add(np.array([[[1, 1, 0]], [[5, 5, 1]]]), np.array([[0.5, np.inf], [np.inf, 1.0]]))
    expected = model.expected(3)
    assert expected is not None
    assert expected.level.tolist() == [0.75]
    assert expected.change[0, 1, 1, 0] < 0 < expected.change[0, 5, 5, 1]


def test_no_more_is_kept_than_it_may_and_the_best_stay() -> None:
    model = Surrogate(16, 16, corners(1), 1.5, most=20)
    draws = np.random.default_rng(0)
    best = np.inf
    for _ in range(10):
        gaps = draws.normal(size=(8, 2))
        best = min(best, float(gaps.min()))
        model.add(np.stack([draws.integers(0, most, (8, 1)) for most in (16, 16, 2)], -1), gaps)
        assert len(model.gaps) <= 20
        assert model.gaps.min() == best
        # As if nothing else had ever been told.
        fresh = Surrogate(16, 16, corners(1), 1.5)
        fresh.add(model.entries, model.gaps)
        one, other = model.expected(2), fresh.expected(2)
        assert one is not None
        assert other is not None
        assert np.allclose(one.change, other.change)


def test_what_was_forgotten_leaves_no_trace_in_what_is_expected() -> None:
    draws = np.random.default_rng(4)
    model = Surrogate(12, 10, corners(3), 1.5, most=40)
    for _ in range(9):
        entries = np.stack([draws.integers(0, size, (15, 3)) for size in (12, 10, 8)], axis=-1)
        model.add(entries, draws.normal(size=(15, 4)))
    assert len(model.gaps) <= 40
    fresh = Surrogate(12, 10, corners(3), 1.5, most=40)
    fresh.add(model.entries, model.gaps)
    found, exact = model.expected(2), fresh.expected(2)
    assert found is not None
    assert exact is not None
    np.testing.assert_allclose(found.change, exact.change, atol=1e-9)
    np.testing.assert_allclose(found.level, exact.level)


def test_changes_that_lie_apart_are_the_lowest_ones_but_for_those_next_to_them() -> None:
    model = Surrogate(20, 20, corners(1), 2.0)
    level = np.zeros((20, 20, 2))
    level[4:7, 4:7, 1] = -1.0
    level[15, 15, 0] = -0.95
    every = np.stack(np.unravel_index(np.arange(800), (20, 20, 2)), 1)
    unsure = np.full((20, 20, 2), 3.0)
    one, other = model.apart(every, level, unsure, 2).tolist()
    assert level[tuple(one)] == -1
    assert other == [15, 15, 0]
    # Where nothing is unsure, there is nothing to learn, and the lowest it is.
    assert (level[tuple(model.apart(every, level, 0 * unsure, 9).T)] == -1).all()


@given(st.integers(1, 30), st.integers(1, 40), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_those_apart_are_some_of_the_given_ones_once_each(given_ones: int, count: int, seed: int) -> None:
    draws = np.random.default_rng(seed)
    model = Surrogate(8, 9, corners(1), 1.5)
    model.add(np.array([[[1, 1, 0]], [[5, 5, 1]]]), np.array([[1.0], [0.0]]))
    top = draws.permutation(np.stack(np.unravel_index(np.arange(144), (8, 9, 2)), 1))[:given_ones]
    level, unsure = draws.normal(size=(8, 9, 2)), draws.uniform(0, 1, (8, 9, 2))
    found = [tuple(one) for one in model.apart(top, level, unsure, count).tolist()]
    assert len(set(found)) == len(found) == min(count, given_ones)
    assert set(found) <= {tuple(one) for one in top.tolist()}
    assert found[0] == tuple(top[(level - unsure)[tuple(top.T)].argmin()])
