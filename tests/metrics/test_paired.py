"""An attack beside the baseline, on the same images."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from pinprick.intervals import wilson
from pinprick.metrics.bootstrap import RESAMPLES
from pinprick.metrics.derived import by_image
from pinprick.metrics.paired import paired, sign_test
from tests.metrics.tables import outcome, outcomes, some_outcomes


@given(st.integers(0, 300), st.integers(0, 300))
def test_the_p_value_is_the_exact_one(more: int, fewer: int) -> None:
    expected = binomtest(more, more + fewer).pvalue if more + fewer else 1.0
    assert sign_test(more, fewer) == pytest.approx(expected, rel=1e-9)


def test_thousands_of_pairs_do_not_overflow() -> None:
    assert sign_test(3000, 2700) == pytest.approx(binomtest(3000, 5700).pvalue, rel=1e-6)
    assert 0 <= sign_test(5000, 0) < 1e-300


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 12), st.booleans())
def test_units_are_compared_one_by_one(seed: int, images: int, targeted: bool) -> None:
    ours = some_outcomes(seed, images, targeted=targeted)
    # The same images and labels with verdicts of their own.
    verdicts = np.random.default_rng(seed + 1).choice(["fooled", "held", "failed"], len(ours))
    theirs = ours.set_column(ours.column_names.index("status"), "status", pa.array(verdicts.tolist()))
    found = paired(ours, theirs)
    a = np.array(ours["status"].to_pylist()) == "fooled"
    b = verdicts == "fooled"
    assert (found.n, found.images) == (len(ours), images)
    assert (found.both, found.neither) == ((a & b).sum(), (~a & ~b).sum())
    assert (found.attack_only, found.baseline_only) == ((a & ~b).sum(), (b & ~a).sum())
    assert found.difference == pytest.approx(a.mean() - b.mean())
    assert (found.attack_rate, found.baseline_rate) == (a.mean(), b.mean())
    low, high = found.interval
    assert found.difference is not None
    assert -1 <= low <= found.difference + 1e-12
    assert found.difference - 1e-12 <= high <= 1
    if not targeted:
        assert (found.images_more, found.images_fewer) == (found.attack_only, found.baseline_only)
        discordant = found.attack_only + found.baseline_only
        mcnemar = binomtest(found.attack_only, discordant).pvalue if discordant else 1.0
        assert found.p_value == pytest.approx(mcnemar)
    back = paired(theirs, ours)
    assert back.p_value == found.p_value
    assert back.difference == pytest.approx(-found.difference)


def test_the_interval_resamples_images() -> None:
    ours, theirs = (some_outcomes(seed, 9, targeted=True) for seed in (1, 1))
    status = ["held" if number % 2 else unit["status"] for number, unit in enumerate(theirs.to_pylist())]
    theirs = theirs.set_column(theirs.column_names.index("status"), "status", pa.array(status))
    found = paired(ours, theirs)
    gains: dict[str, list[int]] = {}
    for unit, baseline in zip(ours.to_pylist(), status, strict=True):
        gains.setdefault(unit["image"], []).append((unit["status"] == "fooled") - (baseline == "fooled"))
    per_image = [gains[image] for image in sorted(gains)]
    draws = np.random.default_rng(0)
    means = [
        np.concatenate([per_image[image] for image in drawn]).mean() for drawn in draws.integers(0, 9, (RESAMPLES, 9))
    ]
    assert found.interval == pytest.approx(np.quantile(means, [0.025, 0.975]))


def test_only_units_that_both_have_are_compared() -> None:
    ours = outcomes(
        [outcome("a", "fooled", target=1), outcome("a", "held", target=2), outcome("b", "fooled", target=1)]
    )
    theirs = outcomes([outcome("a", "held", target=1), outcome("c", "fooled", target=1)])
    found = paired(ours, theirs)
    assert (found.n, found.attack_only, found.baseline_only, found.difference) == (1, 1, 0, 1)
    assert paired(by_image(ours), by_image(theirs)).n == 1
    none = paired(ours, outcomes([]))
    assert (none.n, none.difference, none.p_value, none.interval) == (0, None, None, (-1, 1))


def test_attacks_that_agree_on_every_image_are_not_certainly_equal() -> None:
    table = outcomes([outcome(f"{number}", "fooled" if number < 4 else "held") for number in range(10)])
    found = paired(table, table)
    assert (found.difference, found.p_value) == (0, 1)
    width = wilson(0, 10)[1]
    assert found.interval == pytest.approx((-width, width))
