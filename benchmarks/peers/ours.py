"""Pinprick's own attacks: on one image at a time as the others are run, and on all images together as it is meant."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from benchmarks.peers.adapters import Adapter
from benchmarks.peers.engines import Setting
from benchmarks.peers.judge import Answer
from numpy.typing import NDArray

from pinprick.attacks.base import Attack
from pinprick.attacks.few_pixel import FewPixels
from pinprick.attacks.one_pixel import OnePixel
from pinprick.goals import Goal, Scores
from pinprick.outcomes import Candidate
from pinprick.streams import image_digest
from pinprick.targets.base import Target
from pinprick.targets.editing import Editing
from pinprick.targets.meter import Meter
from pinprick.targets.passes import default_rows
from pinprick.targets.torch_target import TorchTarget
from pinprick.units import Unit
from pinprick.verify import edited_image


class CountedTarget(Target):
    """A prepared target that counts the rows of its passes, padding included."""

    def __init__(self, target: TorchTarget) -> None:
        super().__init__(target.name, target.outputs, classes=target.classes, shape=target.shape)
        self.target, self.rows, self.device = target, 0, target.device

    def piece(self, *, fast: bool) -> int | None:
        return self.target.piece(fast=fast)

    def images(self, pixels: NDArray[np.uint8]) -> torch.Tensor:
        return self.target.images(pixels)

    def raw(self, images: torch.Tensor) -> torch.Tensor:
        self.rows += len(images)
        answer: torch.Tensor = self.target.raw(images)
        return answer

    def fast(self, images: torch.Tensor) -> torch.Tensor:
        self.rows += len(images)
        answer: torch.Tensor = self.target.fast(images)
        return answer


class Ours:
    """One of pinprick's attacks with its own default number of rows a pass."""

    def __init__(self, name: str, setting: Setting, attack: Attack) -> None:
        self.name, self.setting, self.made = name, setting, attack
        self.target = CountedTarget(setting.target)
        self.pass_rows = default_rows(self.target)
        self.levels = attack.on_windows(setting.pixels)
        self.editing, windows = _editing(setting, self.levels)
        self.how, self.rates = f"{setting.target.engine}, batch {self.pass_rows}{windows}", ""
        self.budget = attack.default_budget(setting.shape, setting.pixels)

    def attack(self, image: NDArray[np.uint8], label: int, seed: str) -> Answer:
        """One image alone."""
        return self.attack_all([(image, label, seed)])[0]

    def attack_all(self, images: Sequence[tuple[NDArray[np.uint8], int, str]]) -> list[Answer]:
        """All images together; what came of each, in their order."""
        units = [self._unit(number, *each) for number, each in enumerate(images)]
        self.target.rows = 0
        meter = Meter(self.target, self.budget, self.pass_rows, editing=self.editing, levels=self.levels)
        found = list(self.made.run(meter, iter(units)))
        # Padding belongs to none of them: it is shared out evenly. Rows on windows are not among the target's.
        padding = max(0.0, self.target.rows - sum(one.answered for one in found)) / len(units)
        ordered = sorted(found, key=lambda one: int(one.unit.image_name))
        return [self._answer(one, one.answered + round(padding)) for one in ordered]

    @staticmethod
    def _answer(candidate: Candidate, rows: int) -> Answer:
        if candidate.edits is None:
            raise RuntimeError(candidate.reason)
        image = edited_image(candidate.unit, candidate.edits).astype(np.float64) / 255
        return Answer(image, candidate.asked, rows)

    def _unit(self, number: int, image: NDArray[np.uint8], label: int, seed: str) -> Unit:
        return Unit(
            image=image,
            image_name=str(number),
            image_digest=image_digest(image),
            label=label,
            goal=Goal(),
            attack=self.made.name,
            pixels=self.setting.pixels,
            seed=seed,
            scores=self._unchanged(image),
        )

    def _unchanged(self, image: NDArray[np.uint8]) -> Scores:
        """Scores of the image itself, which only the record of a run needs."""
        scores: Scores = self.setting.target.scores(self.setting.target.images(image[None]))[0]
        return scores


def _editing(setting: Setting, levels: tuple[int, ...]) -> tuple[Editing | None, str]:
    """Scoring on windows as a run chooses it for each of ``levels``, and in words for which it was taken."""
    editing = setting.target.editing(setting.shape)
    if editing is None:
        return None, ""
    for pixels in levels:
        if pixels not in editing.choices:
            editing.choose(pixels, "auto", setting.sample[:2], against=setting.target.gain)
    used = [str(pixels) for pixels in levels if editing.used_for(pixels)]
    return editing, f"; on windows for {' and '.join(used)} pixels" if used else ""


def one_pixel(setting: Setting) -> Adapter:
    """The paper's evolution, stopped at the first hit."""
    return Ours("one-pixel", setting, OnePixel(generations=setting.generations))


def few_pixel(setting: Setting) -> Adapter:
    """The few-pixel search at its own budget."""
    return Ours("few-pixel", setting, FewPixels())


MAKERS: dict[str, Callable[[Setting], Adapter]] = {"one-pixel": one_pixel, "few-pixel": few_pixel}
