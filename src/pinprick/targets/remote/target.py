"""The target behind a wire: requests side by side, every row answered or with a reason, each of them booked."""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pinprick.errors import HaltError, TargetError
from pinprick.goals import Scores
from pinprick.targets.base import Outputs, Target
from pinprick.targets.ledger import Ledger
from pinprick.targets.passes import Answers, none_of, stacked, unusable
from pinprick.targets.remote.answers import KeptAnswers
from pinprick.targets.remote.codec import Codec
from pinprick.targets.remote.wire import Fault, Wire

TOO_LARGE = (400, 413, 422)
"""What endpoints answer to more images than they take at once, among other things."""


SLIPS = 2
"""How often images are sent again whose scores are NaN and the like, where retries allow for it: the endpoint may have
slipped, or have no other answer."""


@dataclass(frozen=True)
class _Call:
    """What is asked at once: images ``(N, C, H, W)`` uint8, whether it has to be the endpoint itself that answers.

    What becomes of it is booked in ``ledger``, also after the target was given another one. Once ``halted`` is set
    nothing more is sent.
    """

    images: NDArray[np.uint8]
    fresh: bool
    ledger: Ledger
    halted: threading.Event = field(default_factory=threading.Event)


@dataclass
class _Part:
    """What became of the images at ``rows``: their scores, NaN where there are none, how often each was sent, why."""

    rows: NDArray[np.intp]
    scores: Scores
    sent: NDArray[np.int64]
    reasons: dict[int, str]


class HttpTarget(Target):
    """A classifier behind HTTP.

    A request that fails to the end fails its own images, with the reason, and is not sent again in parts, but for one
    that the endpoint refuses as such (400, 413, 422): it may be too large for it, and is halved.

    Parameters
    ----------
    codec, wire : how images become requests, and how these are sent.
    identity : what tells this endpoint from others; no secret is in it.
    """

    local = False

    def __init__(
        self,
        name: str,
        outputs: Outputs,
        codec: Codec,
        wire: Wire,
        identity: dict[str, Any],
        *,
        classes: int | None = None,
        shape: tuple[int, int, int] | None = None,
        deterministic: bool = True,
    ) -> None:
        super().__init__(name, outputs, classes=classes, shape=shape)
        self.codec, self.wire, self._identity, self.deterministic = codec, wire, identity, deterministic
        self.ledger: Ledger = Ledger()
        self.kept: KeptAnswers | None = None
        """Answers on disk, for the questions of searches."""
        self._size = codec.batch
        self._answered: NDArray[np.uint8] | None = None
        """The image that was answered last."""
        self._reading = threading.Lock()

    def identity(self) -> dict[str, Any]:
        return super().identity() | self._identity | {"asked": self.codec.identity()}

    def raw(self, images: torch.Tensor) -> Any:
        """Scores of 8-bit images, given as floats; searches and runs use :meth:`answers`.

        Raises
        ------
        TargetError : the endpoint gives none for one of them.
        """
        pixels = images.mul(255).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
        found = self.answers(pixels, len(pixels), fresh=True)
        if found.reasons:
            raise TargetError(min(found.reasons.items())[1])
        return found.scores.argmax(axis=1) if self.outputs == "labels" else found.scores

    def answers(self, images: NDArray[np.uint8], rows: int, *, fresh: bool) -> Answers:
        """Scores of 8-bit images ``(N, C, H, W)``, and a reason where there are none.

        Parameters
        ----------
        rows : images a request, at most.
        fresh : answers on disk are not used.

        Raises
        ------
        HaltError : the run's budget is spent, or the endpoint does not answer any more, not even to an image that it
            answered before.
        """
        whole = none_of(self, len(images))
        whole.sent[:] = 0
        call = _Call(images, fresh, self.ledger)
        call.ledger.note(asked=len(images))
        found = {} if fresh or self.kept is None else self._known(self.kept, images)
        call.ledger.note(cached=len(found))
        parts = [_Part(np.array([row]), scores[None], np.zeros(1, np.int64), {}) for row, scores in found.items()]
        missing = np.array([row for row in range(len(images)) if row not in found], np.intp)
        size = min(rows, self._size)
        asked = self._side_by_side(call, [missing[at : at + size] for at in range(0, len(missing), size)])
        self._check_alive(asked, call.ledger)
        return self._joined(whole, [*parts, *asked])

    def _known(self, kept: KeptAnswers, images: NDArray[np.uint8]) -> dict[int, Scores]:
        """Kept scores of those of the images that have any, by their places; none that could be no answer of it."""
        return {
            place: scores
            for place, scores in kept.get(images).items()
            if (self.grows or self.classes in (None, len(scores))) and not unusable(scores[None], self.outputs)
        }

    def _joined(self, whole: Answers, parts: list[_Part]) -> Answers:
        if not parts:
            return whole
        order = np.concatenate([part.rows for part in parts])
        whole.scores = stacked([part.scores for part in parts])[np.argsort(order)]
        for part in parts:
            whole.sent[part.rows] = part.sent
            whole.reasons |= {int(part.rows[row]): reason for row, reason in part.reasons.items()}
        return whole

    def _side_by_side(self, call: _Call, chunks: list[NDArray[np.intp]]) -> list[_Part]:
        """Ask for all chunks, several at a time; what has been answered is kept on disk as it comes."""
        todo: queue.SimpleQueue[NDArray[np.intp]] = queue.SimpleQueue()
        done: queue.SimpleQueue[_Part | BaseException] = queue.SimpleQueue()
        for chunk in chunks:
            todo.put(chunk)

        def work() -> None:
            while True:
                try:
                    chunk = todo.get_nowait()
                except queue.Empty:
                    return
                if call.halted.is_set():
                    call.ledger.note(cut=len(chunk))
                    done.put(_Part(chunk[:0], none_of(self, 0).scores, np.zeros(0, np.int64), {}))
                    continue
                try:
                    done.put(self._chunk(call, chunk, np.zeros(len(chunk), np.int64)))
                except BaseException as error:
                    # Told first: the others then end for no reason of their own.
                    done.put(error)
                    call.halted.set()

        workers = min(self.wire.calls.concurrency or 1, len(chunks))
        # They end with the process: Ctrl-C does not wait for an endpoint that stalls.
        for _ in range(workers):
            threading.Thread(target=work, daemon=True, name="pinprick-request").start()
        try:
            return self._gathered(call, done, len(chunks))
        finally:
            # Ctrl-C, or an error: what is not on its way yet stays here, and what fails is not sent again.
            call.halted.set()

    def _gathered(self, call: _Call, done: queue.SimpleQueue[_Part | BaseException], n: int) -> list[_Part]:
        """The ``n`` parts as they come; raises what one of them raised, once all have ended."""
        parts: list[_Part] = []
        failure: BaseException | None = None
        for _ in range(n):
            part = done.get()
            if isinstance(part, BaseException):
                failure = failure or part
                continue
            parts.append(part)
            good = [row for row in range(len(part.rows)) if row not in part.reasons]
            if good:
                self._answered = call.images[part.rows[good[-1]]]
            if self.kept is not None and not call.fresh and good:
                self.kept.put(call.images[part.rows[good]], [self.own_row(part.scores[row]) for row in good])
        if failure is not None:
            raise failure
        return parts

    def _chunk(self, call: _Call, rows: NDArray[np.intp], sent: NDArray[np.int64]) -> _Part:
        """Ask for the images at ``rows`` in one request, or in smaller ones where the endpoint refuses that.

        ``sent``: how often each was sent before; is counted up.
        """
        try:
            scores = self._exchange(call, rows, sent)
        except Fault as error:
            if error.status in TOO_LARGE and len(rows) > 1:
                return self._halves(call, rows, sent)
            part = _Part(rows, none_of(self, len(rows)).scores, sent, dict.fromkeys(range(len(rows)), str(error)))
            call.ledger.note(failed=len(rows))
            return part
        except HaltError:
            call.ledger.note(**{"failed" if sent.any() else "cut": len(rows)})
            raise
        reasons = unusable(scores, self.outputs)
        for _ in range(min(SLIPS, self.wire.calls.retries or 0)):
            if reasons:
                reasons = self._once_more(call, rows, scores, sent, sorted(reasons))
        call.ledger.note(answered=len(rows) - len(reasons), failed=len(reasons))
        return _Part(rows, scores, sent, reasons)

    def _exchange(self, call: _Call, rows: NDArray[np.intp], sent: NDArray[np.int64]) -> Scores:
        """Scores of the images at ``rows`` from one request; counts in ``sent`` how often each was sent."""
        images = call.images[rows]

        def read(content: bytes, headers: Mapping[str, str]) -> Scores:
            try:
                answer = self.codec.read(content, headers, len(images))
                with self._reading:
                    return self.as_scores(answer, len(images))
            except (Fault, TargetError) as error:
                # Where no answer was ever understood, the description is at fault more often than the endpoint.
                raise Fault(str(error), again=self._answered is not None) from None

        def count() -> None:
            sent[:] += 1

        def ask() -> Scores:
            request = self.codec.request(images)
            return self.wire.ask(
                request,
                read,
                images=len(images),
                ledger=call.ledger,
                again=bool(sent.any()),
                on_send=count,
                stop=call.halted,
                enough=lambda fault: self.codec.has_other_way(fault.status or 0),
            )

        way = self.codec.way
        try:
            return ask()
        except Fault as error:
            with self._reading:
                if self.codec.way == way:
                    if not self.codec.has_other_way(error.status or 0):
                        raise
                    self.codec.other_way()
            return ask()

    def _once_more(
        self, call: _Call, rows: NDArray[np.intp], scores: Scores, sent: NDArray[np.int64], bad: list[int]
    ) -> dict[int, str]:
        """Ask again for the rows of an answer that hold NaN and the like; why some still have none."""
        again = sent[bad]
        try:
            new = self._exchange(call, rows[bad], again)
        except Fault as error:
            return dict.fromkeys(bad, str(error))
        except HaltError:
            call.ledger.note(answered=len(scores) - len(bad), failed=len(bad))
            raise
        finally:
            sent[bad] = again
        scores[bad] = new
        return {bad[place]: reason for place, reason in unusable(new, self.outputs).items()}

    def _halves(self, call: _Call, rows: NDArray[np.intp], sent: NDArray[np.int64]) -> _Part:
        """Ask for each half of a request that was refused; where both are taken, smaller ones are sent from now on."""
        half = len(rows) // 2
        parts = []
        for piece in (slice(0, half), slice(half, len(rows))):
            parts.append(self._chunk(call, rows[piece], sent[piece]))
        if not any(part.reasons for part in parts):
            self._size = min(self._size, len(rows) - half)
        reasons = parts[0].reasons | {row + half: reason for row, reason in parts[1].reasons.items()}
        return _Part(rows, stacked([part.scores for part in parts]), sent, reasons)

    def _check_alive(self, parts: list[_Part], ledger: Ledger) -> None:
        """Where none of a call's requests was answered, see whether the endpoint is there at all.

        Raises
        ------
        HaltError : it does not answer to an image either that it answered before.
        """
        failed = [part for part in parts if len(part.reasons) == len(part.rows)]
        if self._answered is None or not parts or len(failed) < len(parts):
            return
        with ledger.charging("canary"):
            ledger.note(asked=1)
            call = _Call(self._answered[None], True, ledger)
            alone = self._chunk(call, np.zeros(1, np.intp), np.zeros(1, np.int64))
        if alone.reasons:
            raise HaltError(f"{self.name} does not answer any more: {alone.reasons[0]}")
