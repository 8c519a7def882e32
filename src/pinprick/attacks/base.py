"""What every attack is: frozen hyper-parameters, a threat model, and units in, candidates out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pinprick.errors import InputError
from pinprick.goals import Goal
from pinprick.outcomes import Candidate, Outcome
from pinprick.streams import image_digest, unit_seed
from pinprick.targets.base import Target
from pinprick.targets.meter import Meter
from pinprick.targets.outputs import SAMPLE, settle, with_noise
from pinprick.targets.passes import ask, default_rows
from pinprick.threat import ThreatModel
from pinprick.units import Unit
from pinprick.verify import verify


@dataclass(frozen=True)
class Attack(ABC):
    """Base of all attacks; subclasses are frozen dataclasses whose defaults are their paper's."""

    name: ClassVar[str]
    threat: ClassVar[ThreatModel]
    course_free: ClassVar[tuple[str, ...]] = ()
    """Parameters that do not shape what a unit draws, and so are left out of its seed."""

    def parameters(self) -> dict[str, Any]:
        """All hyper-parameters, for manifests and run identities."""
        return asdict(self)

    def draws(self) -> dict[str, Any]:
        """The hyper-parameters that shape what a unit draws; these enter its seed."""
        return {name: value for name, value in self.parameters().items() if name not in self.course_free}

    @abstractmethod
    def default_budget(self) -> int:
        """Questions a unit needs to run the attack to its end, the verifying one included."""

    def least_budget(self) -> int:
        """The smallest budget under which the attack is itself."""
        return 2

    @abstractmethod
    def run(self, meter: Meter, units: Iterator[Unit]) -> Iterator[Candidate]:
        """Attack units: pulls the next one when a place is free, yields a candidate as each ends.

        All units have one image shape and one number of pixels.
        """

    def __call__(
        self,
        target: Target,
        images: NDArray[np.uint8],
        goals: Sequence[Goal] | Goal | None = None,
        seed: int = 0,
        *,
        labels: Sequence[int] | NDArray[np.integer] | None = None,
        pixels: int = 1,
        budget: int | None = None,
        rows: int | None = None,
    ) -> list[Outcome]:
        """Attack images and return the verdicts in their order; nothing is stored.

        Parameters
        ----------
        images : ``(N, C, H, W)`` uint8. Unlike a run, this attacks all of them, right before or not.
        goals : one a image, or one for all; untargeted by default.
        labels : class of each image; the target's own predictions by default.
        pixels, budget, rows : pixels that may change, questions a unit, rows of a pass.

        Raises
        ------
        InputError : the target does not give what the attack needs, a budget that is too small, goals or labels that
            do not fit, images without finite scores.
        """
        settle(target, images)
        self.check_target(target)
        questions = budget if budget is not None else self.default_budget()
        if questions < self.least_budget():
            raise InputError("budget", f"{questions}", f"{self.name} needs {self.least_budget()} or more.")
        rows = rows or default_rows(target)
        target.prepare(target.images(with_noise(images[:64], SAMPLE)))
        answers = ask(target, images, rows)
        if answers.reasons:
            number, reason = min(answers.reasons.items())
            raise InputError(f"image {number}", f"no finite scores for it unchanged ({reason})", "Leave it out.")
        classes = answers.scores.argmax(axis=1) if labels is None else np.asarray(labels)
        if goals is None or isinstance(goals, Goal):
            goals = [goals or Goal()] * len(images)
        units = []
        for number, (image, label, goal) in enumerate(zip(images, classes.tolist(), goals, strict=True)):
            goal.check(label, answers.scores.shape[1])
            digest = image_digest(image)
            unit = unit_seed(seed, digest, label, str(goal), self.name, self.draws(), pixels)
            units.append(Unit(image, str(number), digest, label, goal, self.name, pixels, unit, answers.scores[number]))
        meter = Meter(target, questions, rows, cache=target.deterministic)
        found = [verify(candidate, target.probabilities) for candidate in self.run(meter, iter(units))]
        return sorted(found, key=lambda outcome: int(outcome.unit.image_name))

    def check_target(self, target: Target) -> None:
        """Raise InputError where the target does not give what the attack needs."""
        if self.threat.knowledge == "scores" and target.outputs == "labels":
            raise InputError(
                f"attack {self.name!r}",
                f"it needs scores, and {target.name} gives labels only",
                "Use an attack that needs labels only: random.",
            )
        if self.threat.knowledge == "gradients" and not target.differentiable:
            raise InputError(
                f"attack {self.name!r}", f"it needs gradients, and {target.name} has none", "Use one-pixel or random."
            )
