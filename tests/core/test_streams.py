"""Seeds and streams: a unit's draws are its own."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pinprick.streams import generator, image_digest, unit_seed

DIGEST = image_digest(np.zeros((1, 8, 8), np.uint8))


def seed(**changes: object) -> str:
    parts: dict[str, object] = {
        "run_seed": 0,
        "image": DIGEST,
        "label": 3,
        "goal": "untargeted",
        "attack": "one-pixel",
        "draws": {"population": 400},
        "pixels": 1,
    }
    return unit_seed(**(parts | changes))  # type: ignore[arg-type]


def test_a_seed_depends_on_everything_that_a_unit_is() -> None:
    variants = [
        seed(),
        seed(run_seed=1),
        seed(image=image_digest(np.ones((1, 8, 8), np.uint8))),
        seed(label=4),
        seed(goal="targeted:4"),
        seed(attack="random"),
        seed(draws={"population": 40}),
        seed(pixels=3),
    ]
    assert len(set(variants)) == len(variants)


def test_an_image_of_the_same_bytes_and_another_shape_is_another_image() -> None:
    flat = np.zeros(192, np.uint8)
    assert image_digest(flat.reshape(3, 8, 8)) != image_digest(flat.reshape(1, 8, 24))


@given(st.integers(0, 200), st.integers(0, 200))
def test_draws_are_a_function_of_seed_and_generation(one: int, other: int) -> None:
    first = generator(seed(), one).random(8)
    assert np.array_equal(first, generator(seed(), one).random(8))
    assert (one == other) == np.array_equal(first, generator(seed(), other).random(8))


def test_draws_are_those_of_numpy_philox() -> None:
    """Pinned, so that a change of the stream (which would change every table) is noticed."""
    assert generator("0" * 31 + "1", 2).integers(0, 1000, 5).tolist() == PINNED


PINNED = [20, 269, 346, 812, 289]
