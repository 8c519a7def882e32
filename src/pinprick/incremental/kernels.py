"""Tensor functions on tables of rows ``(rows, channels)``: gather, sums over lists of rows, products."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import torch

ROWS = 128
"""Rows of each matrix product, so that a row's bits do not depend on how many others there are; the last one has fewer
where that was seen to change nothing (:meth:`Matrix.rows`)."""
_FEWER = 16
"""Rows of a short product, or a multiple."""

_LANES = 16
"""Products are this many columns wide, or a multiple: in narrower ones a row's bits depend on its place."""


_WIDE = 4 << 20
"""Bytes of a matrix from which on products are made with a copy laid out for them, which each would do anew else."""
_PIECE, _VECTOR = 16384, 256
"""Values that one thread computes; what is a whole number of vectors on every processor."""


def padded(channels: int) -> int:
    """``channels``, or the next number up that products are stable for."""
    return -(-channels // _LANES) * _LANES


def new_rows(total: int, channels: int, device: torch.device) -> torch.Tensor:
    """An empty table of ``total`` rows, with :data:`ROWS` rows of zeros behind them."""
    table = torch.empty((total + ROWS, channels), device=device)
    table[total:].zero_()
    return table


def in_pieces(function: Callable[[torch.Tensor], torch.Tensor], values: torch.Tensor) -> torch.Tensor:
    """A function of every value, computed so that the result for one does not depend on its place.

    torch computes what is left over behind the last whole vector in another way, which for functions such as tanh has
    other bits, and with several threads each has such a rest. So all is cut into pieces for one thread, without rest.
    """
    flat = values.reshape(-1)
    made = torch.empty_like(flat)
    for start in range(0, len(flat), _PIECE):
        piece = flat[start : start + _PIECE]
        size = len(piece)
        if size % _VECTOR:
            piece = torch.cat([piece, piece.new_zeros(_VECTOR - size % _VECTOR)])
        made[start : start + size] = function(piece)[:size]
    return made.view(values.shape)


class Matrix:
    """A matrix ``(inputs, outputs)`` that tables of :data:`ROWS` rows are multiplied by.

    oneDNN's packed weights are reached by operators that torch keeps for its compiler. Where they are missing, ordinary
    products are made; whether rows have the same bits in any place is checked when a run starts, either way.
    """

    def __init__(self, values: torch.Tensor) -> None:
        self.values = values
        self.packed: torch.Tensor | None = None
        large = values.numel() * 4 >= _WIDE and values.device.type == "cpu" and values.dtype == torch.float32
        if large and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
            operators = torch.ops.mkldnn
            with contextlib.suppress(AttributeError, NotImplementedError, RuntimeError):
                packed = operators._reorder_linear_weight(values.t().contiguous(), ROWS)
                operators._linear_pointwise(values.new_zeros((ROWS, len(values))), packed, None, "none", [], "")
                self.packed = packed
        # A graphics card chooses among many more ways to make a product than can be tried here.
        self._short = values.device.type == "cpu" and self._same_bits()

    @torch.inference_mode()
    def _same_bits(self) -> bool:
        """Whether products of fewer rows have the same bits, of any number of rows that may be asked for."""
        inputs, outputs = self.values.shape
        rows = torch.randn((ROWS, inputs), generator=torch.Generator().manual_seed(0))
        whole = torch.empty((ROWS, outputs))
        self.product(rows, whole)
        for count in range(_FEWER, ROWS, _FEWER):
            # From the beginning and from the end in turn: no row may depend on its place either.
            part = slice(0, count) if count % (2 * _FEWER) else slice(ROWS - count, ROWS)
            made = torch.empty((count, outputs))
            self.product(rows[part], made)
            if not torch.equal(made, whole[part]):
                return False
        return True

    def rows(self, count: int) -> int:
        """Rows of the product that ``count`` rows, 1 to :data:`ROWS`, are put into."""
        return min(ROWS, -(-count // _FEWER) * _FEWER) if self._short else ROWS

    def product(self, rows: torch.Tensor, to: torch.Tensor) -> None:
        """``rows (N, inputs)`` times the matrix, into ``to (N, outputs)``; N as :meth:`rows` says."""
        if self.packed is None:
            torch.mm(rows, self.values, out=to)
        else:
            to.copy_(torch.ops.mkldnn._linear_pointwise(rows, self.packed, None, "none", [], ""))


def bag(table: torch.Tensor, which: torch.Tensor, starts: torch.Tensor) -> torch.Tensor:
    """Sums of rows: output ``i`` is the sum of ``table[which[starts[i] : starts[i + 1]]]``, in this order.

    Parameters
    ----------
    table : ``(rows, C)`` float32.
    which : ``(pairs,)`` int32.
    starts : ``(outputs,)`` int32, ascending from 0; the last list ends with ``which``.
    """
    return torch.embedding_bag(table, which, starts, False, 0, False, None, False)[0]


def as_rows(value: torch.Tensor) -> torch.Tensor:
    """One image's map ``(1, C, H, W)`` as rows ``(H * W, C)``; a vector ``(1, C)`` as one row."""
    if value.dim() == 2:
        return value
    return value[0].permute(1, 2, 0).reshape(-1, value.shape[1])


def grown(table: torch.Tensor, rows: int) -> torch.Tensor:
    """The table with room for ``rows`` rows; what it holds stays."""
    if len(table) >= rows:
        return table
    larger = torch.empty((rows, table.shape[1]), device=table.device)
    larger[: len(table)] = table
    return larger
