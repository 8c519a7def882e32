"""The meter: all that an attack sees of a target, and what counts its questions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pinprick.data.decode import decode_image, encode_png
from pinprick.edits import Edits
from pinprick.errors import BudgetError, HaltError, InputError, OutOfMemoryError, one_line
from pinprick.goals import GoalRows, Scores
from pinprick.targets.base import MOST_LABELS, Target
from pinprick.targets.editing import Bases, Editing
from pinprick.targets.passes import (
    VERIFYING_ROWS,
    Answers,
    ask,
    is_out_of_memory,
    joined,
    none_of,
    stacked,
    widened,
)
from pinprick.units import Unit

CACHE_BYTES = 16_000_000
"""Of scores remembered a unit, at most; what was asked longest ago is forgotten first."""

IMAGE_BYTES = 1_000_000
"""Of the images of candidates that are made at a time, at most, where a pass has fewer: what the caches hold."""


@dataclass
class _Account:
    """What is known of one open unit."""

    unit: Unit
    budget: int
    asked: int = 0
    answered: int = 0
    reason: str | None = None
    known: dict[bytes, Scores] = field(default_factory=dict)
    held: int = 0
    bases: Bases | None = None
    """Its image, and some made from it, where candidates are scored from what was computed of them."""

    def remember(self, key: bytes, row: Scores) -> None:
        """Keep the scores ``(K,)`` of an image, and forget the oldest where they take too much."""
        while self.known and self.held + row.nbytes > CACHE_BYTES:
            self.held -= self.known.pop(next(iter(self.known))).nbytes
        self.known[key] = row
        self.held += row.nbytes


class Meter:
    """Scores candidates for units, charges every row to its unit, and never asks for the same image twice.

    ``asked`` are candidates that got a score in any way. ``answered`` are rows that went through the network; to a
    remote target a row goes again when its pass raises and is split, and each time counts, as it may cost. A row of a
    local target counts once: what else was in its pass is no matter of its unit.

    Parameters
    ----------
    target : what is asked.
    budget : questions a unit, the verifying ones included (one more than ``draws``, or more).
    rows : rows of a forward pass.
    draws : passes that verify an image, each a question; several for a random target.
    cache : whether candidates that make an image already scored for their unit are answered from memory; they are
        counted as asked all the same.
    editing : scores candidates from what was computed of their base images, for the numbers of pixels that it is used
        for; a verifying pass never goes this way.
    levels : numbers of pixels, ascending, for which it was chosen whether it is used
        (:meth:`pinprick.attacks.base.Attack.on_windows`); by default that of each candidate's entries.
    """

    def __init__(
        self,
        target: Target,
        budget: int,
        rows: int,
        *,
        draws: int = 1,
        cache: bool = True,
        editing: Editing | None = None,
        levels: tuple[int, ...] | None = None,
    ) -> None:
        if budget <= draws:
            kept = "one is" if draws == 1 else f"{draws} are"
            raise BudgetError(f"a budget of {budget} questions; {kept} reserved to verify, so {draws + 1} is the least")
        self.target, self.budget, self.rows, self.draws, self.cache = target, budget, rows, draws, cache
        self.editing, self.levels = editing, levels
        self._accounts: dict[int, _Account] = {}
        self._next = 0
        self.total_asked = 0
        self.total_answered = 0
        self.on_asked: Callable[[int], None] | None = None
        """Called with the questions asked so far after each scoring, for live progress."""
        self.margin: Callable[[int], int] = lambda _questions: 0
        """Images that a run sends besides while units ask so many questions."""

    def admits(self) -> bool:
        """Whether the run's budget holds all that another unit may ask, beside those that are open.

        So no unit is begun that the budget would cut: those that end early are the fooled ones, and a table of them
        alone would say more than is true.
        """
        left = None if self.target.ledger is None else self.target.ledger.left
        if left is None:
            return True
        due = self.budget + sum(account.budget - account.asked for account in self._accounts.values())
        return left >= due + self.margin(due)

    def open(self, unit: Unit) -> int:
        """Start to count for a unit; the number that comes back stands for it in the other calls."""
        unit.goal.check(unit.label, MOST_LABELS if self.target.grows else len(unit.scores))
        handle = self._next
        self._next += 1
        self._accounts[handle] = _Account(unit, self.budget)
        return handle

    def close(self, handle: int) -> tuple[int, int]:
        """Forget a unit; what it asked and what was answered by the network, verifying passes included."""
        account = self._accounts.pop(handle)
        if account.bases is not None:
            account.bases.close()
        return account.asked, account.answered

    def end(self) -> None:
        """Forget all units: of an attack that ends in the middle, what is kept of their images would stay."""
        for handle in list(self._accounts):
            self.close(handle)

    def left(self, handle: int) -> int:
        """Questions that the unit may still ask, those reserved for verification not among them."""
        account = self._accounts[handle]
        return account.budget - account.asked - self.draws

    def may_verify(self, handle: int) -> bool:
        """Whether the unit has the questions that one verification takes."""
        return self.left(handle) >= 0

    def failed(self, handle: int) -> str | None:
        """Why the unit failed, or None."""
        return self._accounts[handle].reason

    def goal_rows(self, handles: NDArray[np.int64]) -> GoalRows:
        """Goals and labels of the units behind ``handles (N,)``."""
        distinct, inverse = np.unique(handles, return_inverse=True)
        units = [self._accounts[int(handle)].unit for handle in distinct]
        return GoalRows.of([unit.goal for unit in units], [unit.label for unit in units]).take(inverse)

    def score(self, edits: Edits, handles: NDArray[np.int64]) -> Scores:
        """Raw scores ``(N, K)`` of the candidates, each of the unit behind its handle ``(N,)``.

        Where labels show up one by one (:attr:`pinprick.targets.base.Target.grows`), K may differ from call to call.
        Rows for which the target gives no finite scores are NaN and fail their units (see :meth:`failed`).

        Raises
        ------
        BudgetError : a unit has fewer questions left than candidates; nothing is asked then.
        """
        distinct, inverse, counts = np.unique(handles, return_inverse=True, return_counts=True)
        accounts = [self._accounts[int(handle)] for handle in distinct]
        for account, count in zip(accounts, counts, strict=True):
            if account.asked + count > account.budget - self.draws:
                raise BudgetError(
                    f"unit {account.unit.key} asks {count} questions more, {account.asked} of "
                    f"{account.budget - self.draws} are spent"
                )
        for account, count in zip(accounts, counts, strict=True):
            account.asked += int(count)
        self.total_asked += len(handles)
        bases = np.stack([account.unit.image for account in accounts])
        score = self._remembered if self.cache else self._through
        scores = score(edits, bases, accounts, inverse)
        if self.on_asked is not None:
            self.on_asked(self.total_asked)
        return scores

    def _remembered(
        self, edits: Edits, bases: NDArray[np.uint8], accounts: list[_Account], inverse: NDArray[np.intp]
    ) -> Scores:
        """Scores from memory where the same image was scored for the unit before, through the network elsewhere."""
        # Which of the rows are new: not known to their unit, and the first of their kind in this call.
        keys = edits.keys(bases[inverse])
        fresh: dict[tuple[int, bytes], int] = {}
        chosen: list[int] = []
        source = np.full(len(keys), -1)
        for row, (owner, key) in enumerate(zip(inverse.tolist(), keys, strict=True)):
            if key not in accounts[owner].known:
                source[row] = fresh.setdefault((owner, key), len(fresh))
                if source[row] == len(chosen):
                    chosen.append(row)
        new = self._through(edits.take(chosen), bases, accounts, inverse[chosen]) if chosen else None
        old = source < 0
        if self.target.ledger is not None:
            known = len(keys) - len(chosen)
            self.target.ledger.note(asked=known, remembered=known)
        recalled = [accounts[inverse[row]].known[keys[row]] for row in np.flatnonzero(old).tolist()]
        width = max([len(row) for row in recalled], default=0)
        kind = recalled[0].dtype if new is None else new.dtype
        if new is not None:
            width = max(width, new.shape[1])
            own = [self.target.own_row(row) for row in new] if self.target.grows else new
            for (owner, key), index in fresh.items():
                accounts[owner].remember(key, own[index].copy())
        scores: Scores = np.zeros((len(keys), width), kind)
        if new is not None:
            scores[~old] = widened(new, width)[source[~old]]
        for row, found in zip(np.flatnonzero(old).tolist(), recalled, strict=True):
            scores[row, : len(found)] = found
        return scores

    def _through(
        self, edits: Edits, bases: NDArray[np.uint8], accounts: list[_Account], owners: NDArray[np.intp]
    ) -> Scores:
        """Scores through the network, of each candidate on windows or of its whole image."""
        if self.editing is None:
            return self._dense(edits, bases, accounts, owners)
        near = self.editing.near(edits, self.levels or (edits.pixels,))
        if not near.any():
            return self._dense(edits, bases, accounts, owners)
        which = np.flatnonzero(near)
        found = self._edited(self.editing, edits.take(which), [accounts[owner] for owner in owners[which]])
        if near.all():
            return found
        other = np.flatnonzero(~near)
        whole = self._dense(edits.take(other), bases, accounts, owners[other])
        scores: Scores = np.empty((len(edits), found.shape[1]), np.result_type(found, whole))
        scores[which], scores[other] = found, whole
        return scores

    def _dense(
        self, edits: Edits, bases: NDArray[np.uint8], accounts: list[_Account], owners: NDArray[np.intp]
    ) -> Scores:
        """Scores of whole images, which are made for a few passes at a time: of small images a pass is soon done."""
        parts: list[Scores] = []
        together = max(1, IMAGE_BYTES // (self.rows * bases[0].nbytes)) * self.rows
        for start in range(0, len(edits), together):
            part = slice(start, start + together)
            images = edits.take(part).apply(bases[owners[part]])
            answers = ask(self.target, images, self.rows, pad=bases[owners[start]], fast=True)
            self._note(answers, [accounts[owner] for owner in owners[part]])
            parts.append(answers.scores)
        return stacked(parts)

    def _edited(self, editing: Editing, edits: Edits, owners: list[_Account]) -> Scores:
        """Scores from what was computed of the base images, which is done when they are first needed."""
        ledger = self.target.ledger
        if ledger is not None:
            ledger.sending(len(owners), again=False)
        answers = self._on_windows(editing, edits, owners)
        for account in owners:
            self._bases(editing, account).forget()
        found = answers.scores
        for row in np.flatnonzero(~np.isfinite(found).all(axis=1)).tolist():
            answers.reasons.setdefault(row, "the target's scores are not finite (NaN or infinity)")
            found[row] = np.nan
        if ledger is not None:
            ledger.note(asked=len(found), answered=len(found) - len(answers.reasons), failed=len(answers.reasons))
        self._note(answers, owners)
        return found

    def _on_windows(self, editing: Editing, edits: Edits, owners: list[_Account]) -> Answers:
        """Scores on windows; where this raises, it is done by halves until the guilty candidates are found.

        A candidate's scores do not depend on the others, so the rest has the bits that it would have had.
        """
        try:
            found = editing.scores([self._bases(editing, account) for account in owners], edits)
            return Answers(found, np.ones(len(found), np.int64))
        except (InputError, HaltError):
            raise
        except (Exception, SystemExit) as error:
            if is_out_of_memory(error):
                raise OutOfMemoryError(f"candidates of {self.target.name} on windows do not fit into memory") from error
            reason = one_line(error)
        if len(edits) == 1:
            alone = none_of(self.target, 1)
            alone.reasons[0] = reason
            return alone
        half = len(edits) // 2
        parts = (slice(None, half), slice(half, None))
        return joined([self._on_windows(editing, edits.take(part), owners[part]) for part in parts])

    @staticmethod
    def _bases(editing: Editing, account: _Account) -> Bases:
        if account.bases is None:
            account.bases = editing.open(account.unit.image)
        return account.bases

    def _note(self, answers: Answers, owners: list[_Account]) -> None:
        """Charge what was sent to the units that own the rows, and fail those of rows without scores."""
        sent = np.ones_like(answers.sent) if self.target.local else answers.sent
        self.total_answered += int(sent.sum())
        for account, times in zip(owners, sent.tolist(), strict=True):
            account.answered += times
        for row, reason in sorted(answers.reasons.items()):
            if owners[row].reason is None:
                owners[row].reason = reason

    def verify(self, edits: Edits, handles: NDArray[np.int64], draws: int | None = None) -> list[Scores]:
        """Raw scores ``(draws, K)`` of fresh passes over each image as it is saved: a PNG, written and read back.

        Goes past the memory, through the target itself and not its fastest way, and costs ``draws`` questions each (by
        default the meter's own); these are reserved for it, and where it fails and the search goes on the next ones
        are.
        """
        draws = draws or self.draws
        accounts = [self._accounts[int(handle)] for handle in handles]
        for account in accounts:
            if account.asked + draws > account.budget:
                raise BudgetError(f"unit {account.unit.key} has no question left to verify with")
            account.asked += draws
        self.total_asked += draws * len(handles)
        bases = np.stack([account.unit.image for account in accounts])
        images = edits.apply(bases)
        saved = np.stack([decode_image(encode_png(image), "the saved image") for image in images])
        if self.target.local and self.draws == 1:
            parts = [ask(self.target, image[None], min(self.rows, VERIFYING_ROWS)) for image in saved]
        else:
            parts = [ask(self.target, np.repeat(saved, draws, axis=0), self.rows, pad=bases[0])]
        answers = joined(parts)
        self._note(answers, [account for account in accounts for _ in range(draws)])
        return list(answers.scores.reshape(len(accounts), draws, -1))
