"""Whether one network gives the same verdicts in two forms, on images that an attack would ask about.

As a torch module and as an ONNX file, for instance; :func:`compare` takes any two targets.

    python benchmarks/same_verdicts.py --model cnn-digits --data digits:test
    python benchmarks/same_verdicts.py --model allconv-cifar10 --data cifar10:test --each 2
    python benchmarks/same_verdicts.py --model cnn-digits --data digits:test --other net.onnx
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pinprick.data.sets import load_images
from pinprick.edits import Edits
from pinprick.goals import Scores
from pinprick.runs.manifest import processor
from pinprick.streams import choice_seed, generator
from pinprick.targets.base import Target
from pinprick.targets.loading import load_target
from pinprick.targets.onnx_target import OnnxTarget
from pinprick.targets.passes import ask, default_rows
from pinprick.targets.torch_target import TorchTarget

PIXELS = (1, 3, 5)
TIE = 1e-5
"""Scores of the two foremost classes that are no further apart are a tie: rounding may decide between them."""


@dataclass(frozen=True)
class Compared:
    """What :func:`compare` found.

    ``images`` were asked, ``differ`` of them have another foremost class, ``ties`` of the reference's are ties (of
    which those in ``differ`` are no difference of verdict, ``differ_not_tied`` counts the others), ``largest`` is the
    largest difference of a score; ``speed`` images a second of reference and other.
    """

    images: int
    differ: int
    differ_not_tied: int
    ties: int
    largest: float
    speed: tuple[float, float]


def candidates(
    images: NDArray[np.uint8], *, each: int, pixels: Sequence[int] = PIXELS, seed: int = 0
) -> NDArray[np.uint8]:
    """Images with seeded random edits: ``each`` for every image of ``(N, C, H, W)`` and every number of pixels."""
    channels, height, width = images.shape[1:]
    made = []
    for index, image in enumerate(images):
        for count in pixels:
            draws = generator(choice_seed(seed, f"{index}, {count}"), 0)
            places = np.stack([draws.choice(height * width, count, replace=False) for _ in range(each)])
            edits = Edits(
                places // width,
                places % width,
                draws.integers(0, 256, (each, count, channels), dtype=np.uint8),
            )
            made.append(edits.apply(np.broadcast_to(image, (each, *image.shape))))
    return np.concatenate(made)


def compare(reference: Target, other: Target, images: NDArray[np.uint8]) -> Compared:
    """Scores of 8-bit images ``(N, C, H, W)`` by two targets, as verdicts ask for them; the speed is that of searches.

    Where one gives logits and the other does not, their probabilities are compared. Every image goes to both twice.
    """
    targets = (reference, other)
    seconds: list[float] = [0.0, 0.0]
    scores: list[list[Scores]] = [[], []]
    step = max(default_rows(target) for target in targets)
    for start in range(-step, len(images), step):
        # In turn, so that other work on the machine slows both; the first pass, of the same images, is not counted.
        part = images[max(start, 0) : max(start, 0) + step]
        for place, target in enumerate(targets):
            began = time.perf_counter()
            ask(target, part, default_rows(target), fast=True)
            if start < 0:
                continue
            seconds[place] += time.perf_counter() - began
            answers = ask(target, part, default_rows(target))
            if answers.reasons:
                raise RuntimeError(f"{target.name} failed on some images: {answers.reasons}")
            same = reference.outputs == other.outputs
            scores[place].append(answers.scores if same else target.probabilities(answers.scores))
    first, second = (np.concatenate(each) for each in scores)
    top = np.sort(first, axis=1)[:, -2:]
    tied = top[:, 1] - top[:, 0] <= TIE
    differ = first.argmax(axis=1) != second.argmax(axis=1)
    return Compared(
        len(images),
        int(differ.sum()),
        int((differ & ~tied).sum()),
        int(tied.sum()),
        float(np.abs(first.astype(np.float64) - second).max()),
        (len(images) / seconds[0], len(images) / seconds[1]),
    )


def exported(target: TorchTarget, path: Path, *, rows: int | None = None) -> OnnxTarget:
    """A torch target as an ONNX file, its preprocessing within; ``rows`` fixes how many images it takes at a time."""
    assert target.shape is not None
    net = target.module if target.preprocess is None else torch.nn.Sequential(target.preprocess, target.module)
    with warnings.catch_warnings():
        # The exporter that needs no other package is the older one, of which it warns.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net.eval(),
            (torch.rand(rows or 2, *target.shape),),
            str(path),
            dynamo=False,
            input_names=["images"],
            output_names=["scores"],
            dynamic_axes=None if rows else {"images": {0: "n"}, "scores": {0: "n"}},
        )
    return OnnxTarget(path, target.outputs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="cnn-digits")
    parser.add_argument("--other", help="another form of it; an ONNX file made of it by default")
    parser.add_argument("--data", default="digits:test")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--each", type=int, default=20, help="candidates for each image and number of pixels")
    given = parser.parse_args()
    reference = load_target(given.model, device="cpu")
    assert isinstance(reference, TorchTarget)
    with tempfile.TemporaryDirectory() as folder:
        other = (
            load_target(given.other, outputs=reference.outputs)
            if given.other
            else exported(reference, Path(folder) / "net.onnx")
        )
        asked = candidates(load_images(given.data).stack(range(given.images)), each=given.each)
        reference.prepare(reference.images(asked[:64]))
        found = compare(reference, other, asked)
    print(f"{processor()}, {torch.get_num_threads()} threads, {given.model} against {given.other or 'onnxruntime'}")
    print(f"{found.images} candidates of {given.images} images with {PIXELS} pixels, {found.ties} ties within {TIE:g}")
    print(f"another foremost class: {found.differ}, {found.differ_not_tied} of them no ties")
    print(f"largest difference of a score: {found.largest:.2g}")
    print(f"images a second: {found.speed[0]:,.0f} and {found.speed[1]:,.0f}")


if __name__ == "__main__":
    main()
