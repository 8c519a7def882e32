"""Distortion and place of the changed pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinprick.edits import Edits
from pinprick.metrics.distortion import distortion
from pinprick.metrics.place import place
from tests.metrics.tables import SIDE, outcome, outcomes, some_outcomes


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32))
def test_distortion_and_place_are_those_of_the_images_themselves(seed: int) -> None:
    """Images of few colours, so that own colours and the same pixel twice occur."""
    draws = np.random.default_rng(seed)
    rows, images = [], draws.integers(0, 3, (8, 3, SIDE, SIDE), dtype=np.uint8)
    channel, changed, l2, linf, counts = [], [], [], [], np.zeros((SIDE, SIDE), int)
    for number, image in enumerate(images):
        at, to = draws.integers(0, 2, (2, 3)), draws.integers(0, 3, (3, 3), dtype=np.uint8)
        edits = Edits(at[None, 0].astype(np.int32), at[None, 1].astype(np.int32), to[None])
        difference = np.abs(edits.apply(image[None])[0].astype(float) - image)
        moved = difference.any(axis=0)
        if not moved.any():
            continue
        before = image[:, at[0], at[1]].T.tolist()
        colours = {"rows": at[0].tolist(), "columns": at[1].tolist(), "colours": to.tolist(), "colours_before": before}
        rows.append(outcome(f"{number}", "fooled", **colours))
        rows.append(outcome(f"{number}", "held", **colours))
        channel.append(difference[:, moved].mean())
        changed.append(moved.sum())
        l2.append(np.linalg.norm(difference / 255))
        linf.append(difference.max() / 255)
        counts += moved
    table = outcomes(rows)
    found, where = distortion(table), place(table, SIDE, SIDE)
    assert (where.counts == counts).all()
    assert (where.pixels, where.successes) == (counts.sum(), len(changed))
    if not changed:
        assert found is None
        return
    assert found is not None
    assert [found.channel.mean, found.l0.mean, found.l2.mean, found.linf.mean] == pytest.approx(
        [np.mean(channel), np.mean(changed), np.mean(l2), np.mean(linf)]
    )
    assert found.channel.n == len(changed)
    assert [found.l0.least, found.l0.most] == [min(changed), max(changed)]


def test_the_channels_of_a_changed_pixel_count_all_three() -> None:
    edit = {"rows": [2], "columns": [3], "colours": [[10, 200, 0]], "colours_before": [[10, 100, 50]]}
    found = distortion(outcomes([outcome("a", "fooled", **edit)]))
    assert found is not None
    assert found.channel.mean == pytest.approx((0 + 100 + 50) / 3)
    assert found.l0.mean == 1
    assert found.linf.mean == pytest.approx(100 / 255)
    assert found.l2.mean == pytest.approx(np.hypot(100, 50) / 255)


def test_without_the_colours_before_there_is_no_distortion_but_a_place() -> None:
    table = some_outcomes(1, 10, targeted=False)
    assert distortion(table) is not None
    bare = table.drop_columns(["colours_before"])
    assert distortion(bare) is None
    assert place(bare, SIDE, SIDE).pixels >= place(table, SIDE, SIDE).pixels > 0
    nulls = [unit | {"colours_before": None} for unit in table.to_pylist()]
    assert distortion(outcomes(nulls)) is None


def test_the_middle_is_half_by_half() -> None:
    edits = [(0, 0), (2, 3), (5, 8), (5, 2)]
    rows = [
        outcome(f"{row}", "fooled", rows=[row], columns=[column], colours=[[9]], colours_before=[[0]])
        for row, column in edits
    ]
    found = place(outcomes(rows), 8, 12)
    assert found.middle_area == 0.25
    assert found.middle == 0.5
    assert place(outcomes([]), 8, 12).middle is None
    assert place(outcomes([]), 9, 9).middle_area == 25 / 81
