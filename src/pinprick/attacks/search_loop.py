"""The loop that drives a search over many units: continuous batching, every candidate checked for success."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pinprick.edits import Edits
from pinprick.errors import UnknownNameError
from pinprick.goals import Scores
from pinprick.outcomes import Candidate
from pinprick.search.base import ASK, Search
from pinprick.targets.meter import Meter
from pinprick.targets.passes import ROWS
from pinprick.units import Unit
from pinprick.verify import decided

Stop = Literal["first-hit", "paper"]
STOPS = ("first-hit", "paper")
MakeSearch = Callable[[int, tuple[int, int, int], int], Search]
FIRST_LOOK = 2
"""Passes of which one has to agree on a hit of fewer pixels, for more of them to be asked."""
FALLBACKS = 2
"""Verifications that a search for ever fewer pixels keeps questions for where the target is random, besides the one."""
PASSES_AHEAD = 8
"""Units searched at once are as many as fill this many passes, so that padding stays under a few percent."""


def check_stop(stop: str) -> None:
    """Raise UnknownNameError where there is no such stop rule."""
    if stop not in STOPS:
        raise UnknownNameError("--stop", str(stop), STOPS)


@dataclass(frozen=True)
class StopRule:
    """When a unit's search ends before its budget or the search itself does.

    ``first-hit``: at the first candidate that meets the goal. ``paper``: after a generation whose best candidate has
    f_t above ``target_above`` (targeted) or f_y below ``label_below`` (untargeted); success is the argmax all the same.
    """

    kind: Stop = "first-hit"
    target_above: float = 0.9
    label_below: float = 0.05

    def enough(self, unit: Unit, fitness: float) -> bool:
        """Whether the paper's early stop applies at the best of the paper's fitness so far."""
        if unit.goal.kind == "targeted":
            return -fitness > self.target_above
        return fitness < self.label_below


@dataclass
class _Slot:
    """One unit on its place."""

    unit: Unit
    handle: int
    asked: int = 0
    first_hit: int | None = None
    fittest: float = np.inf
    """The least of the paper's fitness so far, whatever the search itself is told."""
    best: tuple[float, Edits] | None = None
    best_hit: tuple[tuple[int, float], Edits] | None = None
    """With its number of pixels and its fitness, which it was chosen by."""
    unconfirmed: int = 0
    course: list[tuple[int, int]] = field(default_factory=list)
    """Of a search that looks for ever fewer pixels: how many had been asked, and the fewest that met the goal."""
    ladder: list[Edits] = field(default_factory=list)
    """Of such a search at a random target: its hits, each of fewer pixels than the one before."""
    turns: int = 0
    """How often such a search was begun again."""
    confirmed: float = np.inf
    """The fewest pixels that more than one pass agreed on, and the questions of this turn that were spent on that."""
    confirming: int = 0


def search_units(
    make_search: MakeSearch,
    meter: Meter,
    units: Iterator[Unit],
    stop: StopRule,
    *,
    places: int | None = None,
    at_a_time: int = ASK,
) -> Iterator[Candidate]:
    """Run one search a unit, as many at once as keep the passes full, and yield a candidate as each unit ends.

    ``at_a_time``: how many candidates a search puts forward before it has to be told of them.

    A hit is verified before its search stops. Where that fails (the fast way and the target itself disagree, or the
    target is random) the questions are charged, others are reserved, and the search goes on. A search that looks for
    ever fewer pixels has no more to ask by then: it is tried with hits of more pixels, which a random target is more
    likely to agree on.
    """
    loop = _Loop(make_search, meter, units, stop, places or places_for(meter.rows, at_a_time))
    while loop.fill():
        yield from loop.step()


def places_for(rows: int, at_a_time: int) -> int:
    """How many units are searched at once: of searches that ask one by one, as many as fill two passes.

    Passes of large images have few rows; on windows their candidates go together in hundreds all the same.
    """
    ahead = PASSES_AHEAD if at_a_time >= ASK else 2
    return max(1, -(-ahead * max(rows, ROWS["cpu"]) // at_a_time))


class _Loop:
    def __init__(self, make_search: MakeSearch, meter: Meter, units: Iterator[Unit], stop: StopRule, places: int):
        self.make_search, self.meter, self.units, self.stop = make_search, meter, units, stop
        self.slots: list[_Slot | None] = [None] * places
        self.search: Search | None = None

    def fill(self) -> bool:
        """Give free places to the next units; False when there is nothing left to do."""
        for place, slot in enumerate(self.slots):
            if slot is not None:
                continue
            if not self.meter.admits():
                break
            unit = next(self.units, None)
            if unit is None:
                break
            if self.search is None:
                channels, height, width = unit.image.shape
                self.search = self.make_search(len(self.slots), (channels, height, width), unit.pixels)
            self.search.look(place, unit.image, unit.starts)
            self.search.start(place, unit.seed)
            self.slots[place] = _Slot(unit, self.meter.open(unit))
        return any(slot is not None for slot in self.slots)

    def step(self) -> Iterator[Candidate]:
        """Ask, score, tell once; yield the units that end by it."""
        assert self.search is not None
        limits = np.array([0 if slot is None else max(0, self._left(slot)) for slot in self.slots], np.int64)
        asked = self.search.ask(limits)
        starts: NDArray[np.intp] = np.searchsorted(asked.places, np.arange(len(self.slots) + 1))
        if len(asked.edits):
            handles = np.array([-1 if slot is None else slot.handle for slot in self.slots], np.int64)[asked.places]
            scores = self.meter.score(asked.edits, handles)
            told, fitness, plain, hits = self._judge(scores, handles)
            if self.search.shrinks and self.meter.draws > 1:
                hits = self._confirmed(asked.edits, starts, fitness, hits)
            self.search.tell(told)
            self.search.told_hits(hits)
            for place, slot in enumerate(self.slots):
                if slot is not None and starts[place] < starts[place + 1]:
                    span = slice(int(starts[place]), int(starts[place + 1]))
                    self._note(slot, asked.edits.take(span), fitness[span], hits[span])
                    slot.fittest = min(slot.fittest, float(plain[span].min()))
                    slot.asked, slot.confirming = slot.asked + slot.confirming, 0
        yield from self._end(counts=np.diff(starts))

    def _confirmed(
        self, edits: Edits, starts: NDArray[np.intp], fitness: NDArray[np.float64], hits: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Hits ``(N,)`` less those of fewer pixels than any before that a random target does not stand by.

        Of these each unit's best is asked again and counts where it stands (:meth:`_stands`); the others do not. A
        search that went by single answers would end at the first image that was lucky.
        """
        hits, chosen = hits.copy(), []
        for place, slot in enumerate(self.slots):
            own = np.flatnonzero(hits[starts[place] : starts[place + 1]]) + starts[place]
            if slot is None or not len(own):
                continue
            pixels = edits.take(own).changed(np.repeat(slot.unit.image[None], len(own), axis=0))
            # Pixels in their own colours are no attack, whatever a random target says of them.
            best = int(np.lexsort((fitness[own], np.where(pixels > 0, pixels, edits.pixels + 1)))[0])
            hits[own[pixels < slot.confirmed]] = False
            if 0 < pixels[best] < slot.confirmed and self._left(slot) >= self.meter.draws:
                chosen.append((int(own[best]), int(pixels[best]), slot))
        if not chosen:
            return hits
        stands = self._stands(edits.take([row for row, _, _ in chosen]), [slot for _, _, slot in chosen])
        for (row, count, slot), one in zip(chosen, stands.tolist(), strict=True):
            if one:
                hits[row], slot.confirmed = True, count
            else:
                slot.unconfirmed += 1
        return hits

    def _stands(self, edits: Edits, slots: list[_Slot]) -> NDArray[np.bool_]:
        """Whether more than half of as many passes as verify agree on each candidate of these units, ``(N,)``.

        No more are asked than decide that, and none after two that both disagree: most hits at a noisy target are
        lucky ones, and all passes over each would leave nothing to search with.
        """
        draws = self.meter.draws
        needed = draws // 2 + 1
        asked, agree = np.zeros(len(slots), np.int64), np.zeros(len(slots), np.int64)
        ask = min(FIRST_LOOK, draws)
        while ask:
            unsure = (agree < needed) & (asked - agree <= draws - needed) & ((agree > 0) | (asked == 0))
            open_ = np.flatnonzero(unsure)
            # All at a time as many as the one that lacks fewest: none is asked more than may decide it.
            ask = min([ask if not asked[n] else needed - agree[n] for n in open_.tolist()], default=0)
            if not ask:
                break
            handles = np.array([slots[number].handle for number in open_.tolist()], np.int64)
            for number, rows in zip(open_.tolist(), self.meter.verify(edits.take(open_), handles, ask), strict=True):
                asked[number] += ask
                agree[number] += decided(slots[number].unit, rows, self.meter.target.probabilities)[1]
                slots[number].confirming += ask
        stands: NDArray[np.bool_] = agree >= needed
        return stands

    def _judge(
        self, scores: Scores, handles: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        """Of scored rows what the search is told, the least of it, the paper's fitness, and hits.

        The first three are infinite where there is no score.
        """
        goals = self.meter.goal_rows(handles)
        bad: NDArray[np.bool_] = np.logical_not(np.isfinite(scores).all(axis=1))
        safe = np.where(bad[:, None], 0, scores)
        probabilities = self.meter.target.probabilities(safe)
        assert self.search is not None
        logits = self.meter.target.outputs == "logits"
        plain = np.where(bad, np.inf, goals.fitness(probabilities))
        if self.search.objective == "gaps":
            told = goals.gaps(safe, probabilities, logits=logits)
        elif self.search.objective == "margin":
            told = goals.margin(safe, probabilities, logits=logits)
        else:
            told = plain
        told[bad] = np.inf
        fitness = told if told.ndim == 1 else told.min(axis=1)
        hits: NDArray[np.bool_] = goals.met(safe, probabilities) & ~bad
        return told, fitness, plain, hits

    def _note(self, slot: _Slot, edits: Edits, fitness: NDArray[np.float64], hits: NDArray[np.bool_]) -> None:
        """Remember the best candidate, the first hit and the best hit of a unit."""
        count = np.full(len(edits), edits.pixels, np.int32) if edits.count is None else edits.count
        if self.search is not None and self.search.shrinks:
            count, hits = self._fewer(slot, edits, count, hits)
        within = np.where(count <= slot.unit.pixels, fitness, np.inf)
        best = int(np.argmin(within))
        if slot.best is None or within[best] < slot.best[0]:
            slot.best = (float(within[best]), edits.take([best]).within(slot.unit.pixels))
        if hits.any():
            if slot.first_hit is None:
                slot.first_hit = slot.asked + int(np.argmax(hits)) + 1
            # Fewer pixels first, where a search is after that, and then what does best.
            found = np.flatnonzero(hits)
            chosen = int(found[np.lexsort((fitness[found], count[found]))[0]])
            rank = (int(count[chosen]), float(fitness[chosen]))
            if slot.best_hit is None or rank < slot.best_hit[0]:
                fewer = slot.best_hit is None or rank[0] < slot.best_hit[0][0]
                slot.best_hit = (rank, edits.take([chosen]))
                if fewer and self.meter.draws > 1 and self.search is not None and self.search.shrinks:
                    slot.ladder.append(slot.best_hit[1])
        slot.asked += len(fitness)

    @staticmethod
    def _fewer(
        slot: _Slot, edits: Edits, count: NDArray[np.int32], hits: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Note each hit of fewer pixels than before; the pixels of all, and which hits have no more than may change."""
        found = np.flatnonzero(hits)
        count = count.copy()
        if len(found):
            count[found] = edits.take(found).changed(np.repeat(slot.unit.image[None], len(found), axis=0))
        for number in found.tolist():
            if not slot.course or count[number] < slot.course[-1][1]:
                slot.course.append((slot.asked + number + 1, int(count[number])))
        return count, hits & (count <= slot.unit.pixels)

    def _end(self, counts: NDArray[np.intp]) -> Iterator[Candidate]:
        """Yield the units that failed; verify and yield those that are done."""
        ending: list[tuple[int, _Slot, Edits]] = []
        for place, slot in enumerate(self.slots):
            if slot is None:
                continue
            if self.meter.failed(slot.handle) is not None:
                yield self._leave(place, slot, None, None)
            elif (found := self._found(place, slot, counts[place] == 0)) is not None:
                ending.append((place, slot, found))
        if not ending:
            return
        handles = np.array([slot.handle for _, slot, _ in ending], np.int64)
        scores = self.meter.verify(Edits.join([edits for _, _, edits in ending]), handles)
        for (place, slot, edits), rows in zip(ending, scores, strict=True):
            slot.asked += self.meter.draws
            if self.meter.failed(slot.handle) is not None:
                yield self._leave(place, slot, None, None)
                continue
            after, agree = decided(slot.unit, rows, self.meter.target.probabilities)
            fooled = 2 * agree > self.meter.draws
            if not fooled and slot.best_hit is not None:
                if self._fewer_will_not_do(slot):
                    slot.unconfirmed += 1
                    continue
                if self._may_go_on(place, slot):
                    slot.unconfirmed += 1
                    slot.first_hit = slot.best_hit = None
                    continue
                if self._begun_again(place, slot):
                    continue
            yield self._leave(place, slot, edits, self.meter.target.own_row(after), agree)

    def _fewer_will_not_do(self, slot: _Slot) -> bool:
        """Take a hit of more pixels for the best one, half way up; False where there is none, or no question left."""
        if len(slot.ladder) < 2 or not self.meter.may_verify(slot.handle):
            return False
        del slot.ladder[max(1, len(slot.ladder) // 2) :]
        slot.best_hit = ((-1, -np.inf), slot.ladder[-1])
        return True

    def _begun_again(self, place: int, slot: _Slot) -> bool:
        """Begin a search anew that has ended with what a random target does not stand by, while questions are left."""
        assert self.search is not None
        if self.meter.draws == 1 or not self.search.shrinks or self._left(slot) <= 0:
            return False
        slot.unconfirmed += 1
        slot.turns += 1
        slot.first_hit, slot.best_hit, slot.confirmed, slot.ladder = None, None, np.inf, []
        # Other draws than before: the same would come to the same end.
        self.search.start(place, f"{(int(slot.unit.seed, 16) + slot.turns) % 2**128:032x}")
        return True

    def _left(self, slot: _Slot) -> int:
        """Questions for the search; of one that looks for ever fewer pixels at a random target, some are held back."""
        left = self.meter.left(slot.handle)
        if self.meter.draws == 1 or self.search is None or not self.search.shrinks:
            return left
        return left - min(FALLBACKS * self.meter.draws, (self.meter.budget - self.meter.draws) // 2)

    def _found(self, place: int, slot: _Slot, asked_none: bool) -> Edits | None:
        """The candidate to verify if the unit is to end now, else None."""
        assert self.search is not None
        over = self.search.exhausted(place) or self._left(slot) <= 0 or asked_none
        if self.stop.kind == "paper":
            resting = self.search.at_rest(place) and slot.best is not None
            over = over or (resting and self.stop.enough(slot.unit, slot.fittest))
            if over and slot.best_hit is not None:
                return slot.best_hit[1]
            return slot.best[1] if over and slot.best is not None else None
        if slot.best_hit is not None:
            return slot.best_hit[1] if over or not self.search.goes_on(place) else None
        return slot.best[1] if over and slot.best is not None else None

    def _may_go_on(self, place: int, slot: _Slot) -> bool:
        assert self.search is not None
        return self._left(slot) > 0 and not self.search.exhausted(place)

    def _leave(
        self, place: int, slot: _Slot, edits: Edits | None, after: Scores | None, agree: int | None = None
    ) -> Candidate:
        """Free the place and make the unit's candidate."""
        reason = self.meter.failed(slot.handle)
        asked, answered = self.meter.close(slot.handle)
        self.slots[place] = None
        return Candidate(
            unit=slot.unit,
            edits=edits,
            scores_after=after,
            asked=asked,
            answered=answered,
            first_hit=slot.first_hit,
            reason=reason,
            trace={"unconfirmed_hits": float(slot.unconfirmed)} if slot.unconfirmed else {},
            vulnerability=None if self.search is None else self.search.map_of(place),
            course=tuple(slot.course) if self.search is not None and self.search.shrinks else None,
            draws=self.meter.draws,
            agree=agree,
        )
