"""The model of single changes that the few-pixel search asks by."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinprick.search.surrogate import NOISE, Surrogate, colour_kernel, corners


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


def plainly(entries: np.ndarray, values: np.ndarray, shape: tuple[int, int], length: float) -> np.ndarray:
    """The posterior mean by the textbook: every kernel value by itself."""
    palette = corners(3)
    colours = colour_kernel(palette)

    def like(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.exp(-np.hypot(a[0] - b[0], a[1] - b[1]) / length) * colours[a[2], b[2]])

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


@pytest.mark.parametrize("pixels", [1, 3])
def test_what_is_expected_is_the_posterior_mean(pixels: int) -> None:
    draws = np.random.default_rng(pixels)
    shape, length = (9, 12), 1.7
    entries = np.stack([draws.integers(0, most, (14, pixels)) for most in (*shape, 8)], -1)
    values = draws.normal(size=14)
    model = Surrogate(*shape, corners(3), length)
    model.add(entries[:9], values[:9])
    model.add(entries[9:], values[9:])
    mean, spread = model.expected()
    assert np.allclose(mean, plainly(entries, values, shape, length), atol=1e-9)
    assert (spread >= 0).all()
    assert spread.max() <= values.std()


def test_what_was_tried_alone_is_known_and_far_away_is_not() -> None:
    model = Surrogate(32, 32, corners(3), 2.0)
    model.add(np.array([[[4, 4, 0]], [[4, 6, 7]]]), np.array([1.0, 2.0]))
    _, spread = model.expected()
    assert spread[4, 4, 0] == spread[4, 6, 7] == 0
    assert spread[30, 30, 0] == spread.max()
    assert 0 < spread[4, 5, 0] < spread[4, 9, 0]


def test_before_two_values_differ_nothing_is_expected() -> None:
    model = Surrogate(8, 8, corners(1), 1.5)
    model.add(np.array([[[1, 1, 0]], [[5, 5, 1]]]), np.array([0.5, 0.5]))
    mean, spread = model.expected()
    assert not mean.any()
    assert spread[7, 0, 0] > spread[1, 1, 0]


def test_no_more_is_kept_than_it_may_and_the_best_stay() -> None:
    model = Surrogate(16, 16, corners(1), 1.5, most=20)
    draws = np.random.default_rng(0)
    best = -np.inf
    for _ in range(10):
        values = draws.normal(size=8)
        best = max(best, float(values.max()))
        model.add(np.stack([draws.integers(0, most, (8, 1)) for most in (16, 16, 2)], -1), values)
        assert len(model.values) <= 20
        assert model.values.max() == best
    assert np.isfinite(model.expected()[0]).all()
