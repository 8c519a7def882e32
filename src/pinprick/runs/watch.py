"""What a run does about a remote target: it counts, keeps answers, and looks whether it is the same as before.

Images whose scores are known are asked for again now and then (canaries). Outcomes wait until the next look has found
the target unchanged, so that none is stored that two different models had a part in.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pinprick.data.image_set import ImageSet
from pinprick.errors import HaltError
from pinprick.goals import Scores
from pinprick.outcomes import Outcome
from pinprick.runs.clean import CleanPass
from pinprick.runs.same_model import SAME, SIMILAR, distance
from pinprick.runs.spec import Spec
from pinprick.targets.base import Target
from pinprick.targets.ledger import FILE, Ledger, Purpose
from pinprick.targets.passes import ask

ANSWERS = "answers"
EVERY = 200
"""Images sent between two looks."""
CANARIES = 8
"""Images that are asked for again, one at a look, in turn."""
TRIES = 3
"""How often a canary without scores is asked for, each time with all retries, before the run ends."""
STEADY = 10
"""How many times what an image's scores were seen to vary by themselves they may differ by."""


def watched(target: Target) -> bool:
    """Whether a run looks after this target: it is remote, and equal images are to get equal scores."""
    return not target.local and target.deterministic


class Watch:
    """The looks at one target in one session of a run.

    Parameters
    ----------
    out : folder of the run, None where nothing is kept.
    say : told of what was found.
    """

    def __init__(
        self, spec: Spec, target: Target, images: ImageSet, out: Path | None, say: Callable[[str], None]
    ) -> None:
        self.spec, self.target, self.images, self.out, self.say = spec, target, images, out, say
        self.tolerance = SAME
        self.looks = 0
        self.steady = True
        """Whether an image that is asked for again scores the same."""
        self._canaries: list[tuple[NDArray[np.uint8], Scores]] = []
        self._sent = 0
        self._held: list[Outcome] = []
        counts = spec.run_budget is not None or not target.local
        self.ledger = Ledger(spec.run_budget) if counts else None
        """Of this run alone: what the target was asked elsewhere is not in it."""
        if self.ledger is not None and out is not None:
            self.ledger.keep(out / FILE)
        self._own = target.ledger
        target.ledger = self.ledger

    def begin(self, clean: CleanPass) -> None:
        """Choose canaries among the images that were just scored, and see by how much the first one varies.

        Raises
        ------
        HaltError : the budget is spent, or the target does not answer.
        """
        if not watched(self.target):
            return
        self._canaries = [(self.images.image(one.index), one.scores) for one in clean.right[:CANARIES]]
        if not self._canaries:
            return
        image, scores = self._canaries[0]
        varies = distance(scores, self._score(image))
        self.tolerance = max(SAME, min(STEADY * varies, SIMILAR))
        self.steady = varies <= SIMILAR
        if not self.steady:
            self.say(
                f"warning: one image, asked for twice, scored differently (by {varies:.1g} of the spread of its "
                f"scores). Whether {self.target.name} stays the same cannot be told. If it is random, give --draws"
            )
        self._sent = self._now()
        self._open_answers(clean)

    def _open_answers(self, clean: CleanPass) -> None:
        """Use the answers on disk of an endpoint that scores as it did, or begin anew."""
        folder = self.spec.answer_cache or (None if self.out is None else self.out / ANSWERS)
        from pinprick.targets.remote.target import HttpTarget

        if not isinstance(self.target, HttpTarget) or folder is None or folder == "none" or not self.steady:
            return
        from pinprick.targets.remote.answers import KeptAnswers

        kept = KeptAnswers(Path(folder), self.target.identity())
        known = {one.digest: one.scores for one in clean.right}
        for generation in kept.generations():
            if self._same(kept.canaries(generation), known):
                kept.go_on(generation)
                break
        else:
            kept.begin(self._canaries)
        self.target.kept = kept

    def _same(self, canaries: list[tuple[NDArray[np.uint8], Scores]], known: dict[str, Scores]) -> bool:
        """Whether images still score what they did, the ones scored just now without being asked for again."""
        from pinprick.streams import image_digest

        for image, scores in canaries:
            now = known.get(image_digest(image))
            now = self._score(image) if now is None else now
            if distance(scores, now) > self.tolerance:
                return False
        return bool(canaries)

    def _score(self, image: NDArray[np.uint8]) -> Scores:
        """An image's scores in a request of its own.

        Raises
        ------
        HaltError : there are none.
        """
        ledger = self.ledger
        assert ledger is not None
        for _ in range(TRIES):
            with ledger.charging("canary"):
                answers = ask(self.target, image[None], 1)
            if not answers.reasons:
                break
        if answers.reasons:
            raise HaltError(f"{self.target.name} scores an image no more that it scored before: {answers.reasons[0]}")
        self.looks += 1
        return self.target.own_row(answers.scores[0])

    def charging(self, purpose: Purpose) -> AbstractContextManager[None]:
        """Within, what is sent is booked as of this purpose."""
        return contextlib.nullcontext() if self.ledger is None else self.ledger.charging(purpose)

    def spent(self, budget: int) -> str:
        """That the budget does not hold another unit of ``budget`` questions."""
        assert self.ledger is not None
        return (
            f"--run-budget {self.ledger.budget}: {self.ledger.sent} images were sent, and the next unit may need "
            f"{budget}. The same command with a larger one goes on."
        )

    def _now(self) -> int:
        return 0 if self.ledger is None else self.ledger.sent

    def margin(self, budget: int) -> int:
        """Images to be sent for looks while so many are sent otherwise."""
        return -(-budget // EVERY) + 1 if self._canaries else 0

    # Outcomes.

    def passed(self, outcome: Outcome) -> list[Outcome]:
        """Take an outcome; gives those that may be stored by now.

        Raises
        ------
        HaltError : the target has become another one; the outcomes since the last look are left out.
        """
        if not self._canaries or not self.steady:
            return [outcome]
        self._held.append(outcome)
        return self.look() if self._now() - self._sent >= EVERY else []

    def look(self) -> list[Outcome]:
        """See whether the target is the same, and give the outcomes that have waited for that; raises as `passed`."""
        if not self._canaries or not self.steady:
            return []
        if self._now() > self._sent or self._held:
            image, scores = self._canaries[self.looks % len(self._canaries)]
            now = self._score(image)
            self._sent = self._now()
            if (apart := distance(scores, now)) > self.tolerance:
                self._changed(scores, now, apart)
        kept = getattr(self.target, "kept", None)
        if kept is not None:
            kept.confirm()
        held, self._held = self._held, []
        return held

    @property
    def waiting(self) -> str:
        """What becomes of the outcomes that wait for a look, where the run ends without one; empty without any."""
        return f"{self._left_out()}." if self._held else ""

    def _left_out(self) -> str:
        held = len(self._held)
        are = (
            "outcome since it was last seen the same is"
            if held == 1
            else "outcomes since it was last seen the same are"
        )
        return f"{held} {are} left out"

    def _changed(self, scores: Scores, now: Scores, apart: float) -> None:
        kept = getattr(self.target, "kept", None)
        if kept is not None:
            kept.drop()
        raise HaltError(
            f"{self.target.name} has become another model in the middle of the run: an unchanged image scores "
            f"otherwise (class {int(np.argmax(scores))} was foremost, now {int(np.argmax(now))}; scores differ by "
            f"{apart:.2g} of their spread). {self._left_out()}."
        )

    def end(self, *, finished: bool) -> None:
        """Let go of files; the run's own answers go once every unit has its outcome."""
        kept = getattr(self.target, "kept", None)
        if kept is not None:
            self.target.kept = None  # type: ignore[attr-defined]
            if finished and self.spec.answer_cache is None:
                kept.remove()
            else:
                kept.close()
        if self.ledger is not None:
            self.ledger.close()
        self.target.ledger = self._own
