"""From right images to units."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pinprick.attacks.base import Attack
from pinprick.data.image_set import ImageSet
from pinprick.goals import Goal
from pinprick.runs.clean import RightImage
from pinprick.runs.spec import Spec
from pinprick.streams import choice_seed, generator, unit_seed
from pinprick.units import Unit, unit_key


@dataclass(frozen=True)
class PlannedUnit:
    """A unit without its pixels, which are read when its turn comes."""

    image: RightImage
    goal: Goal
    attack: str
    pixels: int
    seed: str
    starts: bool = False
    """Whether its search can use other images to start from."""

    @property
    def key(self) -> str:
        """As :attr:`pinprick.units.Unit.key`."""
        return unit_key(self.seed, self.image.name)

    def unit(self, images: ImageSet) -> Unit:
        """The unit itself."""
        image = self.image
        return Unit(
            image=images.image(image.index),
            image_name=image.name,
            image_digest=image.digest,
            label=image.label,
            goal=self.goal,
            attack=self.attack,
            pixels=self.pixels,
            seed=self.seed,
            scores=image.scores,
            starts=starting_images(images, self) if self.starts else None,
        )


STARTS = 4
"""Images that a unit's search may start from; each that it looks at costs it a question."""


def starting_images(images: ImageSet, unit: PlannedUnit) -> NDArray[np.uint8] | None:
    """Images of a unit's target class ``(S, C, H, W)``, drawn from the set by the unit's seed; None where it has none.

    By the labels of the set: what the classifier takes them for is for the attack to ask. None for goals without a
    target, as noise leaves a class with fewer changes. What else is in the run is nothing to it.
    """
    if unit.goal.target is None or images.labels is None:
        return None
    others = np.flatnonzero(np.asarray(images.labels) == unit.goal.target)
    drawn = generator(choice_seed(0, "starts", unit.seed), 0).permutation(len(others))[:STARTS]
    shape = images.image(unit.image.index).shape
    found = [image for image in (images.image(int(others[one])) for one in drawn) if image.shape == shape]
    return np.stack(found) if found else None


def goals_of(spec: Spec, image: RightImage) -> list[Goal]:
    """The goals that a spec sets for one image."""
    if spec.goal == "untargeted":
        return [Goal()]
    classes = len(image.scores)
    others = [target for target in range(classes) if target != image.label]
    if spec.targets == "random":
        seed = choice_seed(spec.seed, "target", image.digest, image.label)
        others = [others[int(generator(seed, 0).integers(len(others)))]]
    elif spec.targets == "least-likely":
        others = [min(others, key=lambda target: float(image.scores[target]))]
    return [Goal("targeted", target) for target in others]


def goals_an_image(spec: Spec, classes: int) -> int:
    """How many units each image gets for one attack and number of pixels."""
    return classes - 1 if spec.goal != "untargeted" and spec.targets == "all" else 1


def plan(spec: Spec, attack: Attack, pixels: int, right: Sequence[RightImage]) -> Iterator[PlannedUnit]:
    """The units of one attack and number of pixels, image by image."""
    draws = attack.draws()
    for image in right:
        for goal in goals_of(spec, image):
            seed = unit_seed(spec.seed, image.digest, image.label, str(goal), attack.name, draws, pixels)
            yield PlannedUnit(image, goal, attack.name, pixels, seed, attack.starts)


def seconds_text(seconds: float) -> str:
    """``1 h 05 min``, ``3 min 20 s``, ``12 s``, ``under 1 s``."""
    if 0 < seconds < 0.5:
        return "under 1 s"
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"
