"""Incremental scores are those of the whole network, for any network, edits and company."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from pinprick.edits import Edits, Images
from pinprick.incremental.engine import Incremental
from pinprick.incremental.kernels import ROWS, Matrix, grown
from pinprick.incremental.route import Route
from tests.conftest import random_images
from tests.incremental.nets import on_windows, random_edits, random_net


def dense(net: nn.Module, bases: Images, edits: Edits) -> torch.Tensor:
    """The network's own scores of the edited images."""
    with torch.inference_mode():
        scores: torch.Tensor = net(torch.from_numpy(edits.apply(bases)).float().div(255))
    return scores


def apart(found: torch.Tensor, exact: torch.Tensor) -> float:
    """Largest difference, relative to the largest score."""
    assert found.shape == exact.shape
    return float((found - exact).abs().max() / exact.abs().max())


@pytest.mark.parametrize("seed", range(120))
def test_random_networks_give_the_same_scores_on_windows(seed: int) -> None:
    net, shape = random_net(seed)
    engine = on_windows(net, shape, share=(1.0, 0.8, 0.5)[seed % 3])
    images = random_images(3, shape, seed)
    handles = engine.base(images)
    for pixels in (1, 1 + seed % 5):
        edits = random_edits(shape, 24, pixels, seed)
        which = np.arange(24) % 3
        assert apart(engine.scores(handles[which], edits), dense(net, images[which], edits)) < 1e-4


@pytest.mark.parametrize("seed", range(0, 120, 6))
def test_a_candidate_has_the_same_bits_in_any_company(seed: int) -> None:
    net, shape = random_net(seed)
    engine = on_windows(net, shape)
    handles = engine.base(random_images(3, shape, seed))
    edits = random_edits(shape, 90, 1 + seed % 4, seed)
    bases = handles[np.arange(90) % 3]
    together = engine.scores(bases, edits)
    order = np.random.default_rng(seed).permutation(90)
    assert torch.equal(engine.scores(bases[order], edits.take(order)), together[torch.from_numpy(order)])
    for few in ([7], [8, 3, 88], list(range(40, 71))):
        assert torch.equal(engine.scores(bases[few], edits.take(few)), together[few])
    other = on_windows(net, shape)
    other.base(random_images(5, shape, 99))
    again = other.base(random_images(3, shape, seed))
    assert torch.equal(other.scores(again[np.arange(90) % 3], edits), together)


def test_base_images_that_do_not_fit_into_memory_are_computed_again() -> None:
    net, shape = random_net(3)
    images = random_images(9, shape)
    edits = random_edits(shape, 70, 2, 0)
    wide, narrow = on_windows(net, shape), on_windows(net, shape)
    narrow.memory = 1
    which = np.arange(70) % 9
    answers = [engine.scores(engine.base(images)[which], edits) for engine in (wide, narrow)]
    assert torch.equal(*answers)


def test_all_ways_through_a_network_share_one_memory() -> None:
    net, shape = random_net(3)
    images = random_images(12, shape)
    wide, narrow = (on_windows(net, shape, share=1.0) for _ in range(2))
    names = wide.plan(1).windows
    ends = [names[:end] for end in range(2, len(names) + 1)]
    assert len(ends) > 2
    assert wide.graph is not None
    narrow.memory = 24 * Route(wide.graph, names, wide.device).bytes_per_base
    which = np.arange(24) % 12
    for engine in (wide, narrow):
        engine.base(images)
    for round_ in range(2):
        for pixels, end in enumerate(ends, 1):
            edits = random_edits(shape, 24, 1, 100 * round_ + pixels)
            for engine in (wide, narrow):
                engine.use(replace(engine.plan(1), windows=end))
            assert torch.equal(*(engine.scores(which, edits) for engine in (wide, narrow)))
            assert narrow.kept_bytes() <= narrow.memory
    assert wide.kept_bytes() > narrow.memory


def test_no_change_is_the_base_image_itself() -> None:
    net, shape = random_net(5)
    engine = on_windows(net, shape)
    images = random_images(2, shape)
    handles = engine.base(images)
    own = Edits(np.zeros((2, 1), np.int32), np.zeros((2, 1), np.int32), np.ascontiguousarray(images[:, None, :, 0, 0]))
    none = Edits.none(shape[0])
    exact = dense(net, images, Edits.join([none, none]))
    assert apart(engine.scores(handles, own), exact) < 1e-4
    assert apart(engine.scores(handles[:1], none), exact[:1]) < 1e-4


def test_a_call_without_candidates_gives_no_scores() -> None:
    net, shape = random_net(1)
    engine = Incremental(net, shape)
    assert engine.scores([], Edits.none(shape[0]).take(slice(0))).shape == (0, 5)


def test_the_module_stays_as_it_is() -> None:
    net, shape = random_net(8)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    in_place = [layer.inplace for layer in net.modules() if hasattr(layer, "inplace")]
    engine = on_windows(net, shape)
    handles = engine.base(random_images(1, shape))
    engine.scores(np.repeat(handles, 8), random_edits(shape, 8, 2, 0))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert [layer.inplace for layer in net.modules() if hasattr(layer, "inplace")] == in_place


def test_large_linear_layers_behind_the_windows_take_a_whole_block_and_the_same_bits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        *(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(16 * 36, 64), nn.ReLU(), nn.Linear(64, 5)),
    ).eval()
    shape, edits = (3, 12, 12), random_edits((3, 12, 12), 150, 1, 0)
    monkeypatch.setattr("pinprick.incremental.tail.LARGE", 4 * 64 * 16 * 36)
    engine = on_windows(net, shape, share=0.5)
    handles = np.repeat(engine.base(random_images(1, shape)), 150)
    together = engine.scores(handles, edits)
    assert {route.batch for route in engine._routes.values()} == {128}
    torch.testing.assert_close(together, engine.dense(handles, edits), rtol=0, atol=1e-4)
    for place in (0, 77, 149):
        assert torch.equal(engine.scores(handles[[place]], edits.take([place]))[0], together[place])


def test_products_with_a_large_matrix_are_exact_and_the_same_in_any_place(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    values = torch.randn(40, 9 * 48)
    rows = torch.randn(ROWS, 40)
    made = []
    for least in (0, 1 << 40):
        monkeypatch.setattr("pinprick.incremental.kernels._WIDE", least)
        matrix = Matrix(values)
        to = torch.empty(ROWS, 9 * 48)
        matrix.product(rows, to)
        turned = torch.empty_like(to)
        matrix.product(rows.flip(0).contiguous(), turned)
        assert torch.equal(turned.flip(0), to)
        torch.testing.assert_close(to.double(), rows.double() @ values.double(), rtol=1e-5, atol=1e-5)
        made.append(matrix.packed is None)
    assert made[1]


@pytest.mark.parametrize("least", [0, 1 << 40], ids=["laid out", "ordinary"])
def test_short_products_have_the_bits_of_whole_ones(least: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    monkeypatch.setattr("pinprick.incremental.kernels._WIDE", least)
    for inputs, outputs in ((3, 16), (40, 9 * 48), (192, 16), (256, 640)):
        matrix = Matrix(torch.randn(inputs, outputs))
        rows, whole = torch.randn(ROWS, inputs), torch.empty(ROWS, outputs)
        matrix.product(rows, whole)
        for count in range(1, ROWS + 1, 9):
            size = matrix.rows(count)
            assert count <= size <= ROWS
            start = (ROWS - size) // 2
            made = torch.empty(size, outputs)
            matrix.product(rows[start : start + size], made)
            assert torch.equal(made, whole[start : start + size])


def test_where_short_products_would_have_other_bits_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def product(self: Matrix, rows: torch.Tensor, to: torch.Tensor) -> None:
        torch.mm(rows, self.values, out=to)
        to += 1e-6 * (len(rows) != ROWS)

    monkeypatch.setattr(Matrix, "product", product)
    assert {Matrix(torch.randn(16, 32)).rows(count) for count in range(1, ROWS + 1)} == {ROWS}


@pytest.mark.parametrize("seed", range(200, 212))
def test_networks_whose_matrices_are_all_laid_out_give_the_same_scores(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pinprick.incremental.kernels._WIDE", 0)
    net, shape = random_net(seed)
    engine = on_windows(net, shape)
    images, edits = random_images(2, shape, seed), random_edits(shape, 40, 1 + seed % 3, seed)
    which = np.arange(40) % 2
    handles = engine.base(images)[which]
    found = engine.scores(handles, edits)
    assert apart(found, dense(net, images[which], edits)) < 1e-4
    assert torch.equal(engine.scores(handles[::-1].copy(), edits.take(np.arange(40)[::-1].copy())).flip(0), found)


def test_where_memory_runs_out_for_more_base_images_the_engine_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 5))
    shape, n = (3, 9, 8), 6
    engine, images, edits = on_windows(net.eval(), shape), random_images(n, shape), random_edits(shape, n, 1, 0)
    handles = engine.base(images)
    engine.scores(handles[:1], edits.take([0]))
    calls = []

    def once(table: torch.Tensor, rows: int) -> torch.Tensor:
        calls.append(rows)
        if len(calls) == 2:
            raise RuntimeError("can't allocate memory")
        return grown(table, rows)

    monkeypatch.setattr("pinprick.incremental.steps.grown", once)
    with pytest.raises(RuntimeError, match="allocate"):
        engine.scores(handles, edits)
    assert apart(engine.scores(handles, edits), dense(net, images, edits)) < 1e-4
    assert len(calls) > 2


def test_half_of_a_base_image_is_not_taken_for_a_whole_one(monkeypatch: pytest.MonkeyPatch) -> None:
    net, shape = random_net(5)
    engine, images, edits = on_windows(net, shape), random_images(1, shape), random_edits(shape, 8, 1, 0)
    handles = np.repeat(engine.base(images), 8)
    load = Route._load

    def failing(self: Route, slot: int, image: Images) -> None:
        load(self, slot, np.zeros_like(image))
        raise RuntimeError("in the middle")

    monkeypatch.setattr(Route, "_load", failing)
    with pytest.raises(RuntimeError, match="in the middle"):
        engine.scores(handles, edits)
    monkeypatch.setattr(Route, "_load", load)
    assert apart(engine.scores(handles, edits), dense(net, np.repeat(images, 8, 0), edits)) < 1e-4
