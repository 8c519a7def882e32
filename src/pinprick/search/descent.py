"""Coordinate descent on a set of pixels: one at a time is replaced by the best that a search over single changes finds.

The other pixels of the set stay meanwhile, so that what they do together is exact and only what the new one adds has to
be learnt; and the image that has them is computed once for all of these questions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pinprick.search.geometry import Reals, Whole
from pinprick.search.surrogate import Expected, Surrogate, lowest

INNER = (16, 160)
"""Questions for one pixel of the set: between two looks at what is known, and at most."""
LEAST = 48
"""Questions before a pixel is given up because no change is expected to do better."""
CAUTION = 2.0
"""Standard deviations beyond which none is."""
BOLD = 1.0
"""Standard deviations added to what a change is expected to do."""


class Descent:
    """A set of pixels on its way down.

    Parameters
    ----------
    base : ``(d, 3)`` row, column and corner colour of each pixel.
    margin : what it was told of it.
    expected : what single changes are expected to do, from all that was asked before.
    surrogate : an empty model of single changes.
    order : which pixel is replaced first, second …, ``(d,)``.
    """

    def __init__(self, base: Whole, margin: float, expected: Expected, surrogate: Surrogate, order: Whole) -> None:
        self.base, self.margin, self.expected, self.empty = base, margin, expected, surrogate
        self.order = order.tolist()
        self.turn = 0
        self.failed = 0
        """Pixels in a row that nothing better was found for."""
        self._begin()

    def _begin(self) -> None:
        self.surrogate = self.empty.fresh()
        self.asked = 0
        self.best: tuple[float, Whole] | None = None
        entry = self.order[self.turn % len(self.order)]
        self.rest = np.delete(self.base, entry, axis=0)
        self.proposed = [self.base[entry]]

    @property
    def over(self) -> bool:
        """Whether no pixel of the set can be replaced by a better one, as far as was seen."""
        return self.failed >= len(self.order)

    def candidates(self, most: int) -> Whole:
        """Up to ``most`` sets ``(n, d, 3)``: the pixels that stay, then one that is new; none once it is over."""
        while not self.over:
            found = self._next(min(most, INNER[0], INNER[1] - self.asked))
            if len(found):
                rest = np.broadcast_to(self.rest, (len(found), *self.rest.shape))
                return np.concatenate([rest, found[:, None]], axis=1)
            self._settle()
        return np.zeros((0, len(self.base), 3), np.int64)

    def _next(self, most: int) -> Whole:
        if most <= 0:
            return np.zeros((0, 3), np.int64)
        prior = self.expected.change
        done = self._done(prior.shape[1:])
        own = self.surrogate.expected(len(self.expected.classes))
        if own is None:
            bound = (prior - BOLD * self.expected.scale[:, None, None, None] * self.expected.spread).min(axis=0)
        else:
            total = own.level[:, None, None, None] + own.change + prior[own.classes]
            spread = own.scale[:, None, None, None] * own.spread
            hopes = np.where(done, np.inf, (total - CAUTION * spread).min(axis=0))
            if self.asked >= LEAST and hopes.min() >= min(self.margin, self._least):
                return np.zeros((0, 3), np.int64)
            bound = (total - BOLD * spread).min(axis=0)
        bound[done] = np.inf
        drawn = lowest(bound, most)
        found: Whole = drawn[np.isfinite(bound[tuple(drawn.T)])]
        self.proposed += list(found)
        return found

    def _done(self, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """``(H, W, P)``: changes that were asked, and those at the pixels that stay."""
        done = np.zeros(shape, bool)
        done[self.rest[:, 0], self.rest[:, 1]] = True
        done[tuple(np.stack(self.proposed).T)] = True
        return done

    @property
    def _least(self) -> float:
        return np.inf if self.best is None else self.best[0]

    def tell(self, sets: Whole, gaps: Reals) -> None:
        """What was told of ``sets (n, d, 3)``, among those of :meth:`candidates`."""
        new = sets[:, -1]
        self.asked += len(new)
        margins = gaps.min(axis=1)
        least = int(np.argmin(margins))
        if margins[least] < self._least:
            self.best = (float(margins[least]), sets[least])
        classes = self.expected.classes
        known = margins[:, None] if classes[0] < 0 else gaps[:, classes]
        prior = self.expected.change[:, new[:, 0], new[:, 1], new[:, 2]].T
        self.surrogate.add(new[:, None], known - prior)

    def _settle(self) -> None:
        """Take the best that was found in place of the pixel, if it is better, and go on to the next one."""
        if self.best is not None and self.best[0] < self.margin:
            entry = self.order[self.turn % len(self.order)]
            self.base = self.base.copy()
            self.base[entry] = self.best[1][-1]
            self.margin, self.failed = self.best[0], 1
        else:
            self.failed += 1
        self.turn += 1
        if not self.over:
            self._begin()
