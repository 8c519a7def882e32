"""What a target is, before it is attacked: what it puts out, whether it answers the same, how fast, and usual traps."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from pinprick.attacks.few_pixel import FewPixels
from pinprick.attacks.registry import ATTACKS
from pinprick.data.image_set import ImageSet
from pinprick.edits import Edits
from pinprick.errors import InputError, OutOfMemoryError, OutputsError, PinprickError, one_line
from pinprick.goals import Scores
from pinprick.runs.asking import Asking
from pinprick.runs.check_accuracy import clean_accuracy
from pinprick.runs.clean import check_shape, image_order
from pinprick.runs.engines import SAMPLE as ENGINE_SAMPLE
from pinprick.runs.target_report import TargetReport
from pinprick.runs.traps import apart, finite_traps, score_traps, steadiness_traps, unmoved_trap
from pinprick.targets.base import Target
from pinprick.targets.outputs import SAMPLE, detect_outputs, settle, with_noise
from pinprick.targets.passes import Answers

LOCAL_QUESTIONS = 20_000
REMOTE_QUESTIONS = 100
"""Images that a target is given at most, by default; to a remote one each may cost."""
LOCAL_LEAST = 64
REMOTE_LEAST = 8
SHAPES = ((3, 32, 32), (3, 224, 224), (1, 28, 28), (1, 8, 8))
"""Tried in turn where neither the target nor any images tell the shape."""
ROWS = (1, 8, 64, 256)
"""Images a pass whose speed is measured."""
PASSES = 10
ENOUGH = 0.5
"""Passes that are timed at most, and seconds after which no more are."""
SECONDS = 10.0
"""A measurement that would take longer is left out."""
ATTACKED = 100


def check_target(target: Target, images: ImageSet | None = None, *, questions: int | None = None) -> TargetReport:
    """Look a target over, without attacking it.

    Parameters
    ----------
    images : some that it was made for, with labels; without, noise and made-up images are asked, and what only right
        answers show is left unchecked.
    questions : images that it is given at most; 20 000 by default, 100 for remote targets. What does not fit is left
        unchecked. Passes that are timed are among them; what a target does itself to choose its fastest way is not.

    Raises
    ------
    InputError : images of another shape than the target takes; no shape known; fewer than 64 questions (8 to a remote
        target); a target that fails on every image.
    """
    least = LOCAL_LEAST if target.local else REMOTE_LEAST
    if questions is not None and questions < least:
        raise InputError("--questions", f"{questions}", f"Give {least} or more.")
    limit = questions or (LOCAL_QUESTIONS if target.local else REMOTE_QUESTIONS)
    return _Check(target, images, limit).go()


class _Check(Asking):
    """One look at a target; what it finds is gathered as it goes."""

    def __init__(self, target: Target, images: ImageSet | None, limit: int) -> None:
        super().__init__(target, images, limit)
        self.decided = ""
        self.speeds: dict[int, float] = {}
        self.order = np.zeros(0, np.int64)

    def go(self) -> TargetReport:
        target = self.target
        shape, whence = self._shape()
        sample = self._sample(shape)
        self._settle(sample)
        if getattr(target, "was_training", False):
            target.note(f"note: {target.name} was in training mode, and is put into evaluation mode")
        target.prepare(target.images(with_noise(sample, SAMPLE)))
        first = self._first(sample)
        again, reordered, alone = self._steadiness(sample, first)
        self.traps += score_traps(first.scores, target.outputs)
        self._labels_only()
        self._plain_images(shape)
        self._single_pixels(sample[0], first.scores[0])
        accuracy = clean_accuracy(self, self.order, first.scores)
        self._speeds(sample)
        incremental, engine, ratio = self._engine(shape, sample)
        best = max(self.speeds, key=lambda rows: self.speeds[rows]) if self.speeds else None
        most = None if target.outputs == "labels" else ATTACKED * FewPixels().default_budget(shape, 1)
        speed = self.speeds.get(self.rows) or (self.speeds[best] if best else None)
        for note in target.notes:
            if note.startswith("warning: "):
                self.trap("model", note.removeprefix("warning: "), "")
        return TargetReport(
            name=target.name,
            kind=type(target).__name__,
            identity=target.identity(),
            shape=shape,
            shape_from=whence,
            classes=target.classes,
            outputs=target.outputs,
            decided=self.decided,
            again=again,
            reordered=reordered,
            alone=alone,
            speeds=self.speeds,
            best_rows=best,
            incremental=incremental,
            engine=engine,
            questions_at_most=most,
            seconds_at_most=most / (speed * (ratio or 1)) if most and speed else None,
            accuracy=accuracy,
            notes=tuple(note for note in target.notes if not note.startswith("warning: ")),
            traps=tuple(self.traps),
            unchecked=tuple(self.unchecked),
            asked=self.asked,
        )

    def _shape(self) -> tuple[tuple[int, int, int], str]:
        if self.images is not None:
            self.order = image_order(self.images, 0, shuffled=True)
            channels, height, width = self.images.image(int(self.order[0])).shape
            check_shape(self.target, self.images, (channels, height, width))
            return (channels, height, width), "images"
        if self.target.shape is not None:
            return self.target.shape, "model"
        for shape in SHAPES:
            self.asked += 1
            try:
                self.target.answer(self.target.images(made_up(1, shape)))
                return shape, "tried"
            except (Exception, SystemExit) as error:
                reason = one_line(error)
        shapes = ", ".join(" x ".join(map(str, shape)) for shape in SHAPES)
        wrong = f"it does not say which images it takes, and fails on {shapes} ({reason})"
        raise InputError(f"--model {self.target.name}", wrong, "Give --data with some images.")

    def _sample(self, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
        wanted = max(2, min(64 if self.target.local else 16, self.limit // 5))
        if self.images is None:
            return made_up(wanted, shape)
        return self.images.stack(self.order[:wanted])

    def _settle(self, sample: NDArray[np.uint8]) -> None:
        """Decide what it puts out; in doubt, take scores for logits and say so."""
        target = self.target
        if target.outputs != "auto":
            self.decided = "declared"
            if target.local and self.room(SAMPLE, "whether outputs are what they are declared to be"):
                self.asked += SAMPLE
                if (doubt := settle(target, sample)) is not None:
                    self.trap("outputs", doubt.removeprefix("warning: "), "Give --outputs probabilities.")
            return
        try:
            if target.local:
                self.asked += max(SAMPLE, len(sample))
                line = settle(target, sample) or ""
                self.decided = line.partition("(")[2].rpartition(")")[0]
                return
            self.asked += len(sample)
            target.outputs = detect_outputs(target.name, target.answer(target.images(sample)))
            self.decided = f"from {len(sample)} images"
        except OutputsError as error:
            self.asked += 2
            if not _are_scores(target, sample[:2]):
                raise
            self.trap("outputs", error.wrong, error.right)
            target.outputs = "logits"
            self.decided = "in doubt, taken for logits here"

    def _first(self, sample: NDArray[np.uint8]) -> Answers:
        """Scores of the sample; where passes fail and single images do not, passes of one image from here on."""
        first = self.ask(sample)
        if len(first.reasons) == len(sample) and self.target.local and self.rows > 1:
            alone = self.ask(sample[:1], 1)
            if not alone.reasons:
                found = f"it fails on passes of {self.rows} images ({first.reasons[0]}), and works on single ones"
                self.trap("one-at-a-time", found, "Give --batch-size 1, or export it for any batch.")
                self.rows = 1
                first = self.ask(sample)
        if len(first.reasons) == len(sample):
            wrong = f"it fails on each of {len(sample)} images ({next(iter(first.reasons.values()))})"
            raise InputError(f"--model {self.target.name}", wrong, "See what it returns for one image.")
        if first.reasons:
            found = f"{len(first.reasons)} of {len(sample)} images get no scores ({next(iter(first.reasons.values()))})"
            self.trap("fails", found, "Such images count as failed.")
        return first

    def _steadiness(self, sample: NDArray[np.uint8], first: Answers) -> tuple[float | None, float | None, float | None]:
        """How much the same pass again, in reverse order, and images by themselves differ."""
        n = len(sample)
        if not self.room(n, "whether the same images get the same scores again"):
            return None, None, None
        again = apart(first.scores, self.ask(sample).scores)
        reordered = alone = None
        # A full pass of a local target, not a padded one: mixing shows in what else is there.
        full = np.resize(sample, (self.rows, *sample.shape[1:])) if self.target.local else sample
        cost = len(full) if len(full) == n else 2 * len(full)
        if self.rows > 1 and self.room(cost, "whether scores depend on the images beside"):
            there = first.scores if len(full) == n else self.ask(full).scores
            reordered = apart(there, self.ask(np.ascontiguousarray(full[::-1])).scores[::-1])
        if self.rows > 1 and self.target.fixed_rows is None and self.room(2, "whether single images get other scores"):
            alone = max(
                apart(first.scores[place : place + 1], self.ask(sample[place : place + 1], 1).scores)
                for place in (0, 1)
            )
        self.traps += steadiness_traps(again, reordered, alone)
        return again, reordered, alone

    def _labels_only(self) -> None:
        if self.target.outputs != "labels":
            return
        able = []
        for name, make in ATTACKS.items():
            try:
                attack = make()
                attack.check_target(self.target)
                able.append(name)
            except PinprickError:
                continue
        advice = (
            f"Attacks that go by labels: {', '.join(able)}. With scores there are more, and they need fewer questions."
        )
        self.trap("labels-only", "it gives labels and no scores", advice)

    def _plain_images(self, shape: tuple[int, int, int]) -> None:
        """Images of one colour, which some preprocessing divides by zero for."""
        if not self.room(3, "whether black and white images get scores"):
            return
        plain = np.stack([np.full(shape, value, np.uint8) for value in (0, 255, 128)])
        self.traps += finite_traps(["a black image", "a white one", "a gray one"], self.ask(plain).reasons)

    def _single_pixels(self, image: NDArray[np.uint8], scores: Scores) -> None:
        n = 32 if self.target.local else 4
        if self.target.outputs == "labels" or not np.isfinite(scores).all():
            return
        if not self.room(n, "whether single pixels change anything"):
            return
        height, width = image.shape[1:]
        draws = np.random.default_rng(0)
        places = draws.choice(height * width, n)
        # Each channel to its far end: the largest change that a pixel can have.
        rows, columns = (places // width)[:, None], (places % width)[:, None]
        far = np.where(image[:, rows[:, 0], columns[:, 0]].T[:, None, :] < 128, 255, 0).astype(np.uint8)
        edited = Edits(rows, columns, far).apply(np.repeat(image[None], n, axis=0))
        self.traps += unmoved_trap(scores, self.ask(edited).scores)

    def _speeds(self, sample: NDArray[np.uint8]) -> None:
        """Images a second by images a pass, of the fastest of several passes: other work only slows them."""
        step = self.target.fixed_rows or 1
        sizes = sorted({max(step, rows // step * step) for rows in ROWS} | {self.rows})
        # Of remote targets a pass is a request, which may cost; these are asked once for each size.
        warm = 1 if self.target.local else 0
        for rows in sizes if self.rows > 1 else [1]:
            batch = np.resize(sample, (rows, *sample.shape[1:]))
            guess = rows / self.speeds[max(self.speeds)] if self.speeds else 0.0
            if guess * (1 + warm) > SECONDS:
                self.unchecked.append(f"the speed at {rows} images a pass (it would take over {SECONDS:.0f} seconds)")
                continue
            if not self.room(rows * (1 + warm), f"the speed at {rows} images a pass"):
                continue
            try:
                fastest = self._fastest(batch, warm)
            except OutOfMemoryError:
                self.unchecked.append(f"the speed at {rows} images a pass (memory is short)")
                continue
            if fastest is not None:
                self.speeds[rows] = rows / fastest

    def _fastest(self, batch: NDArray[np.uint8], warm: int) -> float | None:
        """Seconds of the fastest pass of the whole batch, None where it fails."""
        times: list[float] = []
        start = time.perf_counter()
        for turn in range(warm + (PASSES if warm else 1)):
            # The rest of a check is worth more than one time more.
            if times and (time.perf_counter() - start > ENOUGH or len(batch) > self.left // 4):
                break
            began = time.perf_counter()
            if self.ask(batch, len(batch), fast=True).reasons:
                return None
            if turn >= warm:
                times.append(time.perf_counter() - began)
        return min(times)

    def _engine(self, shape: tuple[int, int, int], sample: NDArray[np.uint8]) -> tuple[bool | None, str, float | None]:
        """Whether single pixels would be scored on windows, why, and how much faster that is."""
        try:
            editing = self.target.editing(shape)
            if editing is None:
                return None, "dense: only torch modules in single precision have another way", None
            choice = editing.choose(1, "auto", sample[:ENGINE_SAMPLE])
        except InputError:
            raise
        except Exception as error:
            return False, f"dense: {one_line(error)}", None
        why = choice.why if choice.incremental else f"dense: {choice.why}"
        return choice.incremental, why, choice.ratio if choice.incremental else None


def _are_scores(target: Target, images: NDArray[np.uint8]) -> bool:
    """Whether a target of unknown outputs gives rows of finite numbers."""
    try:
        answer = target.answer(target.images(images))
    except (Exception, SystemExit):
        # Why it fails was told already, by what called this.
        return False
    rows = answer.ndim == 2 and answer.shape[1] > 1 and answer.dtype.kind in "fiu"
    return rows and bool(np.isfinite(answer.astype(np.float64)).all())


def made_up(n: int, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """``n`` images ``(C, H, W)`` for targets whose own are not at hand: noise, and smooth blots of colour, in turn."""
    draws = np.random.default_rng(0)
    channels, height, width = shape
    images = draws.integers(0, 256, (n, *shape), dtype=np.uint8)
    rows, columns = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    for image in images[1::2]:
        for channel in range(channels):
            waves, turn = draws.uniform(1, 6, 2), draws.uniform(0, 6.28, 2)
            smooth = np.sin(waves[0] * rows + turn[0]) * np.cos(waves[1] * columns + turn[1])
            image[channel] = (127.5 * (1 + smooth)).astype(np.uint8)
    return images
