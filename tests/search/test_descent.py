"""Coordinate descent: pixels of a set replaced one by one, on functions whose best set is known."""

from __future__ import annotations

import numpy as np
import pytest

from pinprick.edits import Edits
from pinprick.search import few_pixel
from pinprick.search.colours import corners
from pinprick.search.descent import INNER, LEAST, Descent
from pinprick.search.few_pixel import FewPixel
from pinprick.search.geometry import Whole
from pinprick.search.surrogate import Surrogate

HEIGHT, WIDTH = 8, 9
PALETTE = corners(3)


def landscape(seed: int) -> np.ndarray:
    """``(2, H, W, P)`` what each single change adds to two gaps."""
    return np.random.default_rng(seed).normal(size=(2, HEIGHT, WIDTH, len(PALETTE)))


def gaps_of(values: np.ndarray, sets: Whole) -> np.ndarray:
    """Gaps ``(n, 3)``: of the label infinite, of two classes the sum of what the pixels do, and more for the first."""
    both = values[:, sets[..., 0], sets[..., 1], sets[..., 2]].sum(axis=2).T + np.array([9.0, 6.0])
    return np.concatenate([np.full((len(sets), 1), np.inf), both], axis=1)


def begun(values: np.ndarray, base: Whole, seen: int = 40) -> Descent:
    """A descent from ``base`` after ``seen`` random sets were asked."""
    draws = np.random.default_rng(1)
    model = Surrogate(HEIGHT, WIDTH, PALETTE, 1.5)
    sets = np.stack([draws.integers(0, most, (seen, len(base))) for most in (HEIGHT, WIDTH, len(PALETTE))], axis=-1)
    model.add(sets, gaps_of(values, sets))
    expected = model.expected(3)
    assert expected is not None
    margin = float(gaps_of(values, base[None]).min())
    return Descent(base, margin, expected, model, np.arange(len(base)))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_ends_where_no_pixel_can_be_replaced_by_a_better_one_that_it_saw(seed: int) -> None:
    values = landscape(seed)
    base = np.array([[1, 1, 0], [4, 4, 3], [6, 7, 7]])
    way = begun(values, base)
    first, asked, margins = way.margin, [], [way.margin]
    while len(sets := way.candidates(64)):
        assert sets.shape[1:] == (3, 3)
        # All pixels but the last are those that stay, and no position is there twice.
        assert (sets[:, :-1] == sets[0, :-1]).all()
        places = sets[..., 0] * WIDTH + sets[..., 1]
        assert (np.diff(np.sort(places, axis=1), axis=1) > 0).all()
        asked.append(sets)
        way.tell(sets, gaps_of(values, sets))
        margins.append(way.margin)
    every = np.concatenate(asked)
    # Of one set nothing is asked twice while a pixel is looked for.
    assert all(len(np.unique(part.reshape(len(part), -1), axis=0)) == len(part) for part in asked)
    assert margins == sorted(margins, reverse=True)
    assert way.margin == min(first, float(gaps_of(values, every).min()))
    assert way.margin < first
    assert way.margin == pytest.approx(float(gaps_of(values, way.base[None]).min()))


def test_each_pixel_gets_so_many_questions_at_most() -> None:
    values = landscape(3)
    way = begun(values, np.array([[1, 1, 0], [4, 4, 3]]))
    asked: dict[bytes, int] = {}
    while len(sets := way.candidates(64)):
        key = sets[0, :-1].tobytes() + bytes([way.turn % 256])
        asked[key] = asked.get(key, 0) + len(sets)
        # Everything does worse: nothing is replaced.
        way.tell(sets, np.abs(gaps_of(values, sets)) + 50.0)
    assert len(asked) == 2
    assert max(asked.values()) <= INNER[1]
    assert (way.base == [[1, 1, 0], [4, 4, 3]]).all()


def test_a_pixel_is_given_up_early_where_only_the_set_at_hand_is_expected_to_do_well() -> None:
    base = np.array([[1, 1, 0], [4, 4, 3]])
    values = 0.01 * landscape(5)
    values[:, base[:, 0], base[:, 1], base[:, 2]] = -4.0
    way = begun(values, base, seen=200)
    # It is known of the set at hand that it is good: that is no reason to look on.
    way.expected.change[:, base[:, 0], base[:, 1], base[:, 2]] = -4.0
    asked = 0
    while len(sets := way.candidates(64)):
        asked += len(sets)
        way.tell(sets, gaps_of(values, sets))
    assert (way.base == base).all()
    assert asked <= len(base) * (LEAST + INNER[0])


def test_few_pixel_descends_where_it_is_stuck_and_says_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(few_pixel, "STALL", 40)
    values = landscape(4)
    search = FewPixel(1, (3, HEIGHT, WIDTH), 3)
    search.start(0, "1" * 32)
    kept: list[int] = []
    seen: set[bytes] = set()
    for _ in range(60):
        asked = search.ask(np.array([1000]))
        assert asked.edits.kept is not None
        kept += asked.edits.kept.tolist()
        sets = np.stack(search.asked_last())
        for part in np.unique(asked.edits.kept[asked.edits.kept > 0]):
            own = sets[asked.edits.kept == part]
            assert (own[:, :part] == own[0, :part]).all()
        for one in sets:
            key = one[np.lexsort(one.T[::-1])].tobytes()
            assert key not in seen
            seen.add(key)
        # Colours beyond the corners do nothing better than the corner with the number 0.
        search.tell(gaps_of(values, np.where(sets[..., 2:] < 8, sets, sets * [1, 1, 0])))
    assert set(kept) == {0, 2}
    assert kept[:40] == [0] * 40


def test_kept_entries_follow_the_candidates() -> None:
    rows = np.arange(6, dtype=np.int32).reshape(2, 3)
    edits = Edits(rows, rows, np.zeros((2, 3, 1), np.uint8), np.array([3, 2], np.int32), np.array([2, 0], np.int32))
    joined = Edits.join([edits.take([1]), Edits(rows[:1], rows[:1], np.zeros((1, 3, 1), np.uint8)), edits.take([0])])
    assert joined.kept is not None
    assert joined.kept.tolist() == [0, 0, 2]
    first, rest = edits.take([0]).split()
    assert first.rows.tolist() == [[0, 1]]
    assert rest.rows.tolist() == [[2]]
    assert (first.count is not None, rest.count is not None) == (True, True)
