"""Confidence: how sure the classifier is of the wrong class ("adversarial probability labels", paper, section 4)."""

from __future__ import annotations

import pyarrow as pa

from pinprick.metrics.columns import floats, fooled, owners
from pinprick.metrics.spread import Spread, spread


def confidence(table: pa.Table) -> Spread | None:
    """Probability, 0 .. 1, of the class that the saved image is taken for, over successes; None without any.

    With targeted goals that class is the target, and the mean is the paper's figure: the sum over successful
    perturbations, divided by their number.
    """
    won = fooled(table)
    return spread(floats(table, "confidence_after")[won], owners(table)[1][won])
