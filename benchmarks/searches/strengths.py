"""Learn how much a change of one pixel does from what can be seen in the image: `pinprick.search.strength.WEIGHTS`.

    python -m benchmarks.searches.strengths --model vgg16:vgg16.safetensors --data TRAIN.parquet

Of each image that the model gets right, in an order drawn with the seed, as many changes of one pixel to a corner
colour are drawn, and the margin of each is taken, less the image's median, over its standard deviation. The strength is
the scale of a t-distribution with 4 degrees of freedom (a few changes do far more than all others), its logarithm
linear in the features; its weights are those of the largest likelihood, times `--share`: half of them did better for
several pixels, on images that no figure is of. The model should be none that is attacked later.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from pinprick.data.sets import load_images
from pinprick.goals import Goal, GoalRows
from pinprick.search.colours import corners
from pinprick.search.strength import FEATURES, features
from pinprick.targets.loading import load_target

Reals = NDArray[np.float64]

FREEDOM = 4.0
"""Degrees of freedom of the t-distribution."""
OUTLIER = 6.0
"""Standard deviations beyond which an effect counts as this many."""
ROWS = 64


def observed(model: str, data: str, images: int, changes: int, seed: int) -> tuple[Reals, Reals]:
    """Features ``(n, 4)`` of changes, and what each did ``(n,)``, by the image's standard deviation."""
    target, given = load_target(model), load_images(data)
    assert given.labels is not None
    draws = np.random.default_rng(seed)
    seen, effects = [], []
    for number in draws.permutation(len(given)).tolist():
        image, label = given.image(number), int(given.labels[number])
        if not seen:
            target.prepare(target.images(np.repeat(image[None], ROWS, 0)))
        if int(target.scores(target.images(image[None]))[0].argmax()) != label:
            continue
        palette = corners(image.shape[0])
        size = (*image.shape[1:], len(palette))
        at = np.unravel_index(draws.permutation(int(np.prod(size)))[:changes], size)
        edited = np.repeat(image[None], changes, 0)
        edited[np.arange(changes), :, at[0], at[1]] = palette[at[2]]
        scores = np.concatenate(
            [target.scores(target.images(edited[k : k + ROWS]), fast=True) for k in range(0, changes, ROWS)]
        )
        goals = GoalRows.of([Goal("untargeted")] * changes, [label] * changes)
        margins = goals.margin(scores, target.probabilities(scores), logits=target.outputs == "logits")
        effects.append((margins - np.median(margins)) / max(float(margins.std()), 1e-9))
        seen.append(features(image, palette)[at])
        print(f"\r{len(seen)} of {images} images", end="", flush=True)
        if len(seen) == images:
            break
    print()
    return np.concatenate(seen), np.clip(np.concatenate(effects), -OUTLIER, OUTLIER)


def fitted(seen: Reals, effects: Reals) -> tuple[Reals, float, float]:
    """Weights ``(4,)`` of the largest likelihood, the likelihood's logarithm a change, and that of one strength."""
    square = effects**2

    def loss(log_scale: Reals) -> tuple[float, Reals]:
        """Less the mean log likelihood, up to a constant, and its slope by the logarithm of each scale."""
        ratio = square * np.exp(-2 * log_scale) / FREEDOM
        value = (log_scale + (FREEDOM + 1) / 2 * np.log1p(ratio)).mean()
        return float(value), (1 - (FREEDOM + 1) * ratio / (1 + ratio)) / len(square)

    columns = np.concatenate([seen, np.ones((len(seen), 1))], axis=1)

    def of(weights: Reals) -> tuple[float, Reals]:
        value, slope = loss(columns @ weights)
        return value, columns.T @ slope

    best = minimize(of, np.zeros(columns.shape[1]), jac=True, method="L-BFGS-B")
    flat = minimize(lambda level: loss(np.repeat(level, len(square)))[0], np.zeros(1))
    return best.x[:-1], -float(best.fun), -float(flat.fun)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--changes", type=int, default=256, help="of each image")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--share", type=float, default=0.5, help="what the weights are multiplied by")
    given = parser.parse_args()
    seen, effects = observed(given.model, given.data, given.images, given.changes, given.seed)
    weights, likelihood, flat = fitted(seen, effects)
    print(f"{len(seen)} changes; log likelihood a change {likelihood:.3f}, with one strength for all {flat:.3f}")
    for name, weight in zip(FEATURES, given.share * weights, strict=True):
        print(f"{name:<12} {weight:6.2f}")


if __name__ == "__main__":
    main()
