"""What the search costs beside the network: questions a second of the attack over rows a second of a bare loop.

Each round runs both in turn, in one process; the ratio is of the medians. The attack asks without its memory of
scores, so that every question goes through the network, on both sides the same number of rows a pass.

    python benchmarks/search_overhead.py [--model allconv-cifar10] [--rounds 5]
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np

from pinprick.attacks.registry import make_attack
from pinprick.goals import Goal
from pinprick.runs.manifest import processor
from pinprick.streams import image_digest, unit_seed
from pinprick.targets.base import Target
from pinprick.targets.loading import load_target
from pinprick.targets.meter import Meter
from pinprick.targets.passes import default_rows
from pinprick.units import Unit

UNITS = 8


def unit(target: Target, number: int) -> Unit:
    """A unit that is hardly ever fooled: noise, and the least likely class for its target."""
    assert target.shape is not None
    image = np.random.default_rng(number).integers(0, 256, target.shape, dtype=np.uint8)
    scores = target.scores(target.images(image[None]))[0]
    least = int(scores.argmin())
    digest = image_digest(image)
    seed = unit_seed(0, digest, 0, "benchmark", "one-pixel", {}, 1)
    return Unit(image, str(number), digest, int(scores.argmax()), Goal("targeted", least), "one-pixel", 1, seed, scores)


def attack_rate(target: Target, rows: int, budget: int) -> float:
    """Questions a second of the paper's attack on :data:`UNITS` units."""
    meter = Meter(target, budget, rows, cache=False)
    units = [unit(target, number) for number in range(UNITS)]
    start = time.perf_counter()
    for _ in make_attack("one-pixel").run(meter, iter(units)):
        pass
    return meter.total_asked / (time.perf_counter() - start)


def bare_rate(target: Target, rows: int, passes: int) -> float:
    """Rows a second of a loop over one prepared batch."""
    assert target.shape is not None
    batch = target.images(np.zeros((rows, *target.shape), np.uint8))
    start = time.perf_counter()
    for _ in range(passes):
        target.scores(batch, fast=True)
    return passes * rows / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", nargs="+", default=["cnn-digits", "lenet-mnist", "allconv-cifar10"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--budget", type=int, default=802, help="questions a unit and round")
    options = parser.parse_args()
    print(f"machine: {processor()}; {options.rounds} rounds of {UNITS} units x {options.budget} questions")
    print(f"{'model':<18} {'rows':>5} {'attack/s':>10} {'bare/s':>10} {'ratio':>6}")
    for name in options.model:
        target = load_target(name)
        rows = default_rows(target)
        assert target.shape is not None
        target.prepare(target.images(np.random.default_rng(0).integers(0, 256, (32, *target.shape), dtype=np.uint8)))
        passes = UNITS * options.budget // rows
        attack_rate(target, rows, 402)
        bare_rate(target, rows, 2)
        pairs = [
            (attack_rate(target, rows, options.budget), bare_rate(target, rows, passes)) for _ in range(options.rounds)
        ]
        ours, bare = (statistics.median(column) for column in zip(*pairs, strict=True))
        print(f"{name:<18} {rows:>5} {ours:>10,.0f} {bare:>10,.0f} {ours / bare:>6.2f}")


if __name__ == "__main__":
    main()
