"""Target classes reached, class pairs, and what counting by image makes of them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinprick.intervals import wilson
from pinprick.metrics.columns import class_count
from pinprick.metrics.derived import by_image, complete_images
from pinprick.metrics.pairs import class_pairs
from pinprick.metrics.rates import rate, success_rate
from pinprick.metrics.reach import reached_classes
from tests.metrics.tables import CLASSES, outcome, outcomes, some_outcomes


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 12))
def test_reached_classes_are_what_counting_gives(seed: int, images: int) -> None:
    table = some_outcomes(seed, images, targeted=True)
    found = reached_classes(table, CLASSES)
    assert found is not None
    reached = Counter({f"image-{number}": 0 for number in range(images)})
    reached.update(unit["image"] for unit in table.to_pylist() if unit["status"] == "fooled")
    assert found.counts == tuple(list(reached.values()).count(number) for number in range(CLASSES))
    assert sum(found.counts) == found.images == images
    assert [each.successes for each in found.at_least] == [
        sum(count >= number for count in reached.values()) for number in range(CLASSES)
    ]
    derived = success_rate(by_image(table))
    assert found.at_least[1] == derived, "one or more targets reached is fooled, counted by image"
    assert found.reached is not None
    assert found.reached.mean == pytest.approx(sum(reached.values()) / images)


def test_images_with_targets_still_to_come_count_nowhere() -> None:
    rows = [outcome("a", "held", target=target) for target in (1, 2, 3)]
    rows += [outcome("b", "fooled", target=target) for target in (1, 2)]
    found = reached_classes(outcomes(rows), CLASSES)
    assert found is not None
    assert (found.images, found.left_out, found.counts) == (1, 1, (1, 0, 0, 0))
    whole, left_out = complete_images(outcomes(rows), 3)
    assert (whole["image"].to_pylist(), left_out) == (["a"] * 3, 1)


def test_with_one_target_an_image_or_none_there_is_nothing_to_count() -> None:
    assert (
        reached_classes(outcomes([outcome("a", "fooled", target=2), outcome("b", "held", target=1)]), CLASSES) is None
    )
    assert reached_classes(some_outcomes(0, 5, targeted=False), CLASSES) is None
    assert reached_classes(outcomes([]), CLASSES) is None


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 12), st.booleans())
def test_class_pairs_are_what_counting_gives_and_add_up(seed: int, images: int, targeted: bool) -> None:
    table = some_outcomes(seed, images, targeted=targeted)
    found = class_pairs(table, CLASSES)
    units = table.to_pylist()
    whole = success_rate(table)
    n, successes = np.zeros((CLASSES, CLASSES)), np.zeros((CLASSES, CLASSES))
    for unit in units:
        for target in [unit["target"]] if targeted else [t for t in range(CLASSES) if t != unit["label"]]:
            n[unit["label"], target] += 1
        if unit["status"] == "fooled":
            successes[unit["label"], unit["predicted_after"]] += 1
    assert found.kind == ("targeted" if targeted else "reached")
    assert (found.n == n).all()
    assert (found.successes == successes).all()
    assert found.successes.sum() == whole.successes
    assert sum(each.successes for each in found.as_original) == whole.successes
    assert sum(each.successes for each in found.as_target) == whole.successes
    assert sum(each.n for each in found.as_original) == whole.n
    assert [each.n for each in found.as_target] == n.sum(axis=0).tolist()
    assert np.isnan(found.rates).sum() == (n == 0).sum()
    for pair in found.pairs:
        assert (pair.rate.n, pair.rate.successes) == (
            n[pair.original, pair.target],
            successes[pair.original, pair.target],
        )
        assert pair.rate.rate == found.rates[pair.original, pair.target]
        assert pair.rate.interval == wilson(pair.rate.successes, pair.rate.n)
    assert len(found.pairs) == ((n > 0) if targeted else (successes > 0)).sum()


def test_totals_as_original_class_resample_images() -> None:
    table = some_outcomes(5, 12, targeted=True)
    found = class_pairs(table, CLASSES)
    for label, total in enumerate(found.as_original):
        own = [unit for unit in table.to_pylist() if unit["label"] == label]
        assert total == rate([unit["status"] == "fooled" for unit in own], [unit["image"] for unit in own])
    assert any(total.method == "bootstrap" for total in found.as_original)
    assert all(total.method == "wilson" for total in found.as_target)


def test_a_success_that_stays_in_its_class_is_no_pair() -> None:
    found = class_pairs(outcomes([outcome("a", "fooled", goal="reduce", predicted_after=0)]), CLASSES)
    assert found.successes.sum() == 0
    assert found.n.sum() == 3


def test_the_number_of_classes_is_that_of_the_scores() -> None:
    assert class_count(outcomes([outcome("a")])) == CLASSES
    assert class_count(outcomes([outcome("a", label=6, scores_before=[])])) == 7
    assert class_count(outcomes([])) == 0
