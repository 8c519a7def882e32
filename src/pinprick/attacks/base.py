"""What every attack is: frozen hyper-parameters, a threat model, and units in, candidates out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pinprick.attacks.arguments import (
    LARGEST_ROWS,
    Images,
    Labels,
    Model,
    check_shape,
    class_labels,
    eight_bit,
    image_goals,
    model_target,
    unchanged_scores,
    whole_number,
)
from pinprick.data.image_set import shape_text
from pinprick.errors import InputError
from pinprick.goals import Goal
from pinprick.outcomes import Candidate, Outcome
from pinprick.streams import image_digest, unit_seed
from pinprick.targets.base import MOST_LABELS, Target
from pinprick.targets.meter import Meter
from pinprick.targets.outputs import SAMPLE, settle, with_noise
from pinprick.targets.passes import default_rows
from pinprick.threat import ThreatModel
from pinprick.units import Unit
from pinprick.verify import verify

DRAWS = 10
"""Passes over a saved image that decide on a target which is random."""
MOST_DRAWS = 1000
Shape = tuple[int, int, int]
"""Channels, height and width of the images."""


@dataclass(frozen=True)
class Attack(ABC):
    """Base of all attacks; subclasses are frozen dataclasses whose defaults are their paper's."""

    name: ClassVar[str]
    threat: ClassVar[ThreatModel]
    course_free: ClassVar[tuple[str, ...]] = ()
    """Parameters that do not shape what a unit draws, and so are left out of its seed."""
    shrinks: ClassVar[bool] = False
    """Whether it looks for ever fewer pixels, and its outcomes have the course of that."""
    starts: ClassVar[bool] = False
    """Whether it can make use of images that meet the goal to start from (:attr:`pinprick.units.Unit.starts`)."""
    strays: ClassVar[bool] = False
    """Whether it asks candidates of more pixels than may change; these are scored as whole images."""

    def parameters(self) -> dict[str, Any]:
        """All hyper-parameters, for manifests and run identities."""
        return asdict(self)

    def draws(self) -> dict[str, Any]:
        """The hyper-parameters that shape what a unit draws; these enter its seed."""
        return {name: value for name, value in self.parameters().items() if name not in self.course_free}

    @abstractmethod
    def default_budget(self, shape: Shape | None = None, pixels: int = 1) -> int:
        """Questions a unit needs to run the attack to its end, the verifying one included.

        ``shape`` is ``(C, H, W)`` of the images, None where it is not known yet; ``pixels`` how many may change.
        """

    def check_shape(self, shape: Shape) -> None:  # noqa: B027 (most attacks take images of any shape)
        """Raise InputError where the attack as it is cannot take images of this shape."""

    def least_budget(self) -> int:
        """The smallest budget under which the attack is itself."""
        return 2

    def course_follows_budget(self, pixels: int) -> bool:  # noqa: ARG002 (of most attacks none does)
        """Whether a unit of so many pixels goes another way under another budget, from the beginning on.

        Otherwise a run with a smaller budget is the beginning of one with a larger one.
        """
        return False

    def on_windows(self, pixels: int) -> tuple[int, ...]:
        """In how many pixels candidates differ from an image that many of them share, ascending, ``pixels`` last.

        An engine is chosen for each of these numbers, and used for all numbers down to the one before.
        """
        # Where candidates may have any number of pixels, none is near enough to its base image.
        return () if self.strays else (pixels,)

    def within(self, budget: int | None) -> Attack:  # noqa: ARG002 (most attacks go on until there are no questions left)
        """The attack as it is run under a budget that was given, or under none."""
        return self

    @abstractmethod
    def run(self, meter: Meter, units: Iterator[Unit]) -> Iterator[Candidate]:
        """Attack units: pulls the next one when a place is free, yields a candidate as each ends.

        All units have one image shape and one number of pixels.
        """

    def __call__(
        self,
        target: Model,
        images: Images,
        goals: Sequence[Goal] | Goal | None = None,
        seed: int = 0,
        *,
        labels: Labels | None = None,
        pixels: int = 1,
        budget: int | None = None,
        rows: int | None = None,
        starts: Images | None = None,
        draws: int | None = None,
    ) -> list[Outcome]:
        """Attack images and return the verdicts in their order; nothing is stored.

        Parameters
        ----------
        target : a target, a torch module, or a function from images ``(N, C, H, W)`` in [0, 1] to scores.
        images : ``(N, C, H, W)``, at least one: uint8, or floats in [0, 1] that are rounded to 8 bits; 1 or 3
            channels, 8 x 8 to 512 x 512. Unlike a run, this attacks all of them, right before or not.
        goals : one for all images, or one an image; untargeted by default.
        seed : 0 or more.
        labels : class of each image, integers from 0 up; the target's own predictions by default.
        pixels : how many pixels may change, 1 to H x W.
        budget : questions a unit, the verifying one included; :meth:`default_budget` by default.
        rows : rows of a pass; 64 on the CPU and 1024 on CUDA by default.
        starts : ``(S, C, H, W)``, images that attacks by labels may start from, tried in their order; for targeted
            goals some of the target class.
        draws : passes that decide on a target that is random, each a question; by default :data:`DRAWS` for a target
            that says so, 1 for others.

        Raises
        ------
        InputError : an argument that is none of the above, goals or labels that do not fit the images or the classes,
            a budget that is too small, a target that does not give what the attack needs, images without finite scores.
        """
        target, pictures = model_target(target), eight_bit(images)
        check_shape(target, pictures)
        begin = self._starts(starts, pictures)
        n, channels, height, width = pictures.shape
        wanted = image_goals(goals, n)
        seed = whole_number("seed", seed, 0)
        pixels = whole_number("pixels", pixels, 1, height * width)
        self.check_shape((channels, height, width))
        passes = self._draws(draws, target)
        questions = self._questions(budget, (channels, height, width), pixels, passes)
        rows = default_rows(target, pictures.shape[1:]) if rows is None else whole_number("rows", rows, 1, LARGEST_ROWS)
        settle(target, pictures)
        self.check_target(target)
        target.prepare(target.images(with_noise(pictures[:64], SAMPLE)))
        scores = unchanged_scores(target, pictures, rows)
        # How many classes a model of labels has is not known: a label may be one that it has not shown yet.
        count = MOST_LABELS if target.grows else scores.shape[1]
        classes = scores.argmax(axis=1).tolist() if labels is None else class_labels(labels, n, count)
        units = []
        for number, (image, label, goal) in enumerate(zip(pictures, classes, wanted, strict=True)):
            goal.check(label, count)
            digest = image_digest(image)
            unit = unit_seed(seed, digest, label, str(goal), self.name, self.draws(), pixels)
            own = target.own_row(scores[number])
            units.append(Unit(image, str(number), digest, label, goal, self.name, pixels, unit, own, begin))
        cache = target.deterministic and passes == 1
        meter = Meter(target, questions, rows, draws=passes, cache=cache)
        found = [verify(candidate, target.probabilities) for candidate in self.within(budget).run(meter, iter(units))]
        return sorted(found, key=lambda outcome: int(outcome.unit.image_name))

    def _starts(self, starts: Images | None, images: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
        """Images to start from, checked."""
        if starts is None:
            return None
        if not self.starts:
            raise InputError("starts", f"{self.name} starts from nothing but the image", "Leave them out.")
        found = eight_bit(starts, "starts")
        if found.shape[1:] != images.shape[1:]:
            wrong = f"{shape_text(found[0])} where the images are {shape_text(images[0])}"
            raise InputError("starts", wrong, "Give images of one shape.")
        return found

    @staticmethod
    def _draws(draws: int | None, target: Target) -> int:
        """Passes that decide."""
        if draws is None:
            return 1 if target.deterministic else DRAWS
        return whole_number("draws", draws, 1, MOST_DRAWS)

    def _questions(self, budget: int | None, shape: Shape, pixels: int, draws: int) -> int:
        """Questions a unit: ``budget``, or what the attack needs to run to its end and to verify."""
        if budget is None:
            return self.default_budget(shape, pixels) + draws - 1
        least = self.least_budget() + draws - 1
        if (questions := whole_number("budget", budget, 2)) < least:
            raise InputError("budget", f"{questions}", f"{self.name} needs {least} or more.")
        return questions

    def check_target(self, target: Target) -> None:
        """Raise InputError where the target does not give what the attack needs."""
        if self.threat.knowledge == "scores" and target.outputs == "labels":
            raise InputError(
                f"attack {self.name!r}",
                f"it needs scores, and {target.name} gives labels only",
                "Use one that goes by labels: hard-label or sparse-evo for as few pixels as will do; sweep or random.",
            )
        if self.threat.knowledge == "gradients" and not target.differentiable:
            raise InputError(
                f"attack {self.name!r}", f"it needs gradients, and {target.name} has none", "Use one-pixel or random."
            )
