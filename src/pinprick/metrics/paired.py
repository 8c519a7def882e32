"""Two attacks on the same images: the difference of their success rates (paper, section 4.3, random attack)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pinprick.metrics.bootstrap import share_intervals


@dataclass(frozen=True)
class Paired:
    """An attack beside a baseline, over the ``n`` units (of ``images`` images) that both have ended.

    ``difference`` is the attack's success rate less the baseline's, ``interval`` its 95 % interval (bootstrap over
    images). ``both``, ``attack_only``, ``baseline_only`` and ``neither`` count units. ``images_more`` images had more
    successes by the attack than by the baseline, ``images_fewer`` fewer; ``p_value`` is two-sided, of the exact sign
    test on these two, which with one unit an image is McNemar's exact test. All rates are None for n = 0.
    """

    n: int
    images: int
    attack_rate: float | None
    baseline_rate: float | None
    difference: float | None
    interval: tuple[float, float]
    both: int
    attack_only: int
    baseline_only: int
    neither: int
    images_more: int
    images_fewer: int
    p_value: float | None

    def as_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return asdict(self) | {"interval": list(self.interval)}


def paired(attack: pa.Table, baseline: pa.Table) -> Paired:
    """Compare two attacks unit by unit: units of the same image and target, at the same number of pixels.

    Units that only one of the tables has (of a run that has not ended) are left out; failed ones count as not fooled.
    """
    ours, theirs = _verdicts(attack), _verdicts(baseline)
    shared = sorted(ours.keys() & theirs.keys(), key=lambda unit: (unit[0], -1 if unit[1] is None else unit[1]))
    if not shared:
        return Paired(0, 0, None, None, None, (-1.0, 1.0), 0, 0, 0, 0, 0, 0, None)
    a = np.array([ours[unit] for unit in shared])
    b = np.array([theirs[unit] for unit in shared])
    owner = np.unique([unit[0] for unit in shared], return_inverse=True)[1]
    gain = np.bincount(owner, weights=a.astype(float) - b).astype(float)
    low, high = share_intervals(gain[:, None], np.bincount(owner).astype(float), least=-1.0)
    more, fewer = int((gain > 0).sum()), int((gain < 0).sum())
    return Paired(
        n=len(shared),
        images=len(gain),
        attack_rate=float(a.mean()),
        baseline_rate=float(b.mean()),
        difference=float(gain.sum() / len(shared)),
        interval=(float(low[0]), float(high[0])),
        both=int((a & b).sum()),
        attack_only=int((a & ~b).sum()),
        baseline_only=int((~a & b).sum()),
        neither=int((~a & ~b).sum()),
        images_more=more,
        images_fewer=fewer,
        p_value=sign_test(more, fewer),
    )


def sign_test(more: int, fewer: int) -> float:
    """Two-sided exact p-value of ``more`` against ``fewer`` under even odds; 1 where there are none.

    McNemar's exact test where these are the discordant pairs.
    """
    n = more + fewer
    # In integers, so that thousands of pairs neither overflow nor round.
    tail = term = 1
    for k in range(1, min(more, fewer) + 1):
        term = term * (n - k + 1) // k
        tail += term
    return 1.0 if 2 * tail >= 2**n else 2 * tail / 2**n


def _verdicts(table: pa.Table) -> dict[tuple[str, int | None], bool]:
    targets = table["target"].to_pylist() if "target" in table.column_names else [None] * len(table)
    rows = zip(table["image"].to_pylist(), targets, table["status"].to_pylist(), strict=True)
    return {(image, target): status == "fooled" for image, target, status in rows}
