"""Leads: single changes that did well beside what is known, and what lies next to them."""

from __future__ import annotations

import numpy as np
import pytest

from pinprick.search import few_pixel
from pinprick.search.geometry import Whole
from pinprick.search.leads import beside_leads


def all_of(candidates: list[Whole]) -> list[Whole]:
    return candidates


def test_neighbours_in_the_same_colour_of_the_best_that_lie_apart() -> None:
    entries = np.array([[5, 5, 7], [5, 7, 0], [5, 10, 3], [0, 0, 1]])
    found = beside_leads(entries, np.array([0.1, 0.2, 0.3, 0.4]), (12, 12), 2.0, 3, all_of)
    places = [tuple(one[0].tolist()) for one in found]
    # The second is within three pixels of the first; the last one is in a corner.
    around = {(5 + down, 5 + right, 7) for down in (-1, 0, 1) for right in (-1, 0, 1)} - {(5, 5, 7)}
    assert set(places[:8]) == around
    assert {one[2] for one in places[8:16]} == {3}
    assert places[16:] == [(0, 1, 1), (1, 0, 1), (1, 1, 1)]


def test_leads_whose_neighbours_were_all_asked_do_not_count() -> None:
    entries = np.array([[5, 5, 7], [5, 10, 3]])

    def fresh(candidates: list[Whole]) -> list[Whole]:
        return [one for one in candidates if one[0, 2] != 7]

    found = beside_leads(entries, np.array([0.1, 0.3]), (12, 12), 2.0, 1, fresh)
    assert {int(one[0, 2]) for one in found} == {3}
    assert beside_leads(entries[:1], np.array([0.1]), (12, 12), 2.0, 1, fresh) == []


def test_steps_grow_with_the_length() -> None:
    found = beside_leads(np.array([[50, 50, 0]]), np.array([0.1]), (224, 224), 14.0, 1, all_of)
    assert {abs(int(one[0, 0]) - 50) for one in found} == {0, 7}


def hollow(sets: Whole) -> np.ndarray:
    """Gaps ``(n, 2)``: a wide slope that does not fool at (8, 8), and a narrow hollow that does, at (22, 22) in white.

    Of the lattice only (20, 20) tells of the hollow, and does no more than what lies on the slope.
    """
    row, column, colour = sets[:, 0, 0], sets[:, 0, 1], sets[:, 0, 2]
    wide = 2.5 * np.exp(-np.hypot(row - 8, column - 8) / 5)
    apart = np.hypot(row - 22, column - 22)
    narrow = np.where(colour == 7, 3.6 * np.maximum(0, 1 - apart / 3.4), 0.0)
    return np.stack([np.full(len(sets), np.inf), 3.0 - np.maximum(wide, narrow)], axis=1)


@pytest.mark.parametrize("leads", [0, 4])
def test_few_pixel_finds_a_narrow_hollow_that_its_model_does_not_expect(
    leads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(few_pixel, "LEADS", (4, 150 if leads else 0))
    search = few_pixel.FewPixel(1, (3, 32, 32), 1)
    search.start(0, "3" * 32)
    least, asked = np.inf, 0
    while least > 0 and asked < 1000 and len(search.ask(np.array([1000])).edits):
        sets = np.stack(search.asked_last())
        asked += len(sets)
        gaps = hollow(sets)
        least = min(least, float(gaps.min()))
        search.tell(gaps)
    assert (least <= 0) == bool(leads)
    assert (asked < 600) == bool(leads)
