"""Sparse-RS: sets of distinct pixels in corner colours, the schedule, and the same outcomes in any company."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinprick.attacks.random_pixels import RandomPixels
from pinprick.attacks.sparse_rs import SparseRandomSearch
from pinprick.data.digits import digits
from pinprick.errors import InputError
from pinprick.search.sparse_rs import SparseRS
from tests.conftest import digits_target


@given(st.sampled_from([(1, 8, 8), (3, 8, 13), (3, 32, 32)]), st.integers(1, 64), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_every_candidate_has_d_distinct_pixels_and_moves_as_many_as_the_schedule_says(
    shape: tuple[int, int, int], pixels: int, seed: int
) -> None:
    search = SparseRS(1, shape, pixels, budget=300)
    search.start(0, f"{seed:032x}")
    draws = np.random.default_rng(seed)
    site = search.sites[0]
    assert site is not None
    for asked in range(60):
        before = site.current
        edits = search.ask(np.array([1])).edits
        flat = edits.rows[0].astype(int) * shape[2] + edits.columns[0]
        assert len(np.unique(flat)) == pixels
        assert flat.max() < shape[1] * shape[2]
        assert set(np.unique(edits.colours)) <= {0, 255}
        if asked:
            kept = np.isin(flat, before[:, 0] * shape[2] + before[:, 1]).sum()
            free = shape[1] * shape[2] - pixels
            assert kept == (pixels - search.moving(asked) if free >= search.moving(asked) else pixels)
        search.tell(draws.normal(size=1))


def test_the_schedule_is_that_of_the_authors_stretched_over_the_budget() -> None:
    whole = SparseRS(1, (3, 32, 32), 100, share=0.8)
    assert [whole.moving(asked) for asked in (0, 1, 50, 51, 201, 501, 1001, 2001, 4001, 6001, 8001, 9999)] == [
        *(80, 40, 40, 20, 16, 13, 10, 8, 6, 5, 4, 4)
    ]
    short = SparseRS(1, (3, 32, 32), 100, share=0.8, budget=1000)
    assert [short.moving(asked) for asked in (5, 6, 801)] == [40, 20, 4]


def test_a_worse_candidate_is_dropped_and_an_equal_one_kept() -> None:
    search = SparseRS(1, (1, 8, 8), 4)
    search.start(0, "00" * 16)
    site = search.sites[0]
    assert site is not None
    kept = []
    for margin in (1.0, 2.0, 1.0, 0.5):
        search.ask(np.array([1]))
        search.tell(np.array([margin]))
        kept.append(site.current)
    assert (kept[0] == kept[1]).all()
    assert not (kept[1] == kept[2]).all()
    assert site.margin == 0.5


def test_order_and_company_change_no_outcome_and_it_beats_chance() -> None:
    images = digits("test")
    assert images.labels is not None
    stack, labels = images.stack(range(30)), images.labels[:30]

    def told(attack: SparseRandomSearch | RandomPixels, which: list[int]) -> dict[str, tuple[object, ...]]:
        outcomes = attack(digits_target(), stack[which], labels=labels[which], pixels=3, budget=60, rows=64)
        return {o.unit.image_digest: (o.status, o.asked, o.first_hit) for o in outcomes}

    whole = told(SparseRandomSearch(), list(range(30)))
    assert told(SparseRandomSearch(), list(range(29, -1, -1))) == whole
    some = told(SparseRandomSearch(), [4, 9])
    assert some == {digest: whole[digest] for digest in some}
    chance = told(RandomPixels(), list(range(30)))
    assert sum(found[0] == "fooled" for found in whole.values()) > sum(
        found[0] == "fooled" for found in chance.values()
    )


def test_a_share_is_a_share() -> None:
    with pytest.raises(InputError, match="share"):
        SparseRandomSearch(share=1.5)
