"""The few-pixel search: within the image, never twice the same, the same for every order, and better than chance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinprick.attacks.few_pixel import FewPixels, Prior
from pinprick.attacks.min_pixels import FewestPixels
from pinprick.attacks.random_pixels import RandomPixels
from pinprick.data.digits import digits
from pinprick.edits import Edits
from pinprick.errors import InputError
from pinprick.goals import Goal, GoalRows, softmax
from pinprick.search.colours import colour_numbers, colours_of, corners
from pinprick.search.few_pixel import FewPixel
from tests.conftest import digits_target, random_images

SEED = "0123456789abcdef" * 2


def everything(search: FewPixel, questions: int, value: np.random.Generator) -> np.ndarray:
    """Rows, columns and colours ``(n, d, 2 + C)`` of what a search asks when it is told noise."""
    asked: list[np.ndarray] = []
    count = 0
    while count < questions and not search.exhausted(0):
        part = search.ask(np.array([questions - count]))
        count += len(part.edits)
        if not len(part.edits):
            continue
        edits = part.edits
        asked.append(np.concatenate([edits.rows[..., None], edits.columns[..., None], edits.colours], -1))
        search.tell(value.normal(size=(len(edits), 4)))
    return np.concatenate(asked)


@given(
    st.sampled_from([(1, 8, 8), (3, 8, 13), (3, 32, 32), (1, 40, 9), (3, 70, 64)]),
    st.integers(1, 5),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=25, deadline=None)
def test_it_asks_within_the_image_and_never_the_same_twice(shape: tuple[int, int, int], pixels: int, seed: int) -> None:
    search = FewPixel(1, shape, pixels)
    search.start(0, f"{seed:032x}")
    found = everything(search, 300, np.random.default_rng(seed))
    assert (found[..., 0] < shape[1]).all()
    assert (found[..., 1] < shape[2]).all()
    corners = shape[1] * shape[2] * 2 ** shape[0]
    assert set(np.unique(found[:corners, :, 2:])) <= {0, 255}
    assert len({np.unique(one, axis=0).tobytes() for one in found}) == len(found)
    assert len(found) == 300


def test_of_one_pixel_it_tries_every_corner_of_the_colours_first_and_then_all_others() -> None:
    search = FewPixel(1, (1, 8, 9), 1)
    search.start(0, SEED)
    found = everything(search, 17_000, np.random.default_rng(0))
    assert set(np.unique(found[:144, :, 2])) == {0, 255}
    assert len(np.unique(found[:144], axis=0)) == 144
    assert len(np.unique(found, axis=0)) == len(found) > 16_000
    assert ((found[144:, :, 2] > 0) & (found[144:, :, 2] < 255)).all()


def test_a_colour_has_one_number() -> None:
    for channels in (1, 3):
        palette = corners(channels)
        colours = np.random.default_rng(0).choice([0, 1, 77, 254, 255], (50, channels))
        numbers = colour_numbers(colours, palette)
        assert (colours_of(numbers, palette) == colours).all()
        corner = np.isin(colours, (0, 255)).all(axis=1)
        assert (numbers < 2**channels).tolist() == corner.tolist()


def test_sets_of_many_pixels_hold_no_position_twice() -> None:
    """Also where what is expected is the same over wide areas, so that the best changes share their positions."""
    pixels = 100
    search = FewPixel(1, (3, 32, 32), pixels)
    search.start(0, SEED)
    count = 0
    found: list[Edits] = []
    while count < 80:
        edits = search.ask(np.array([16])).edits
        count += len(edits)
        found.append(edits)
        # Any change of the upper left corner helps, whatever its colour.
        near = np.hypot(edits.rows, edits.columns)
        search.tell(np.exp(-near / 4).sum(axis=1)[:, None] * [-1.0, 1.0] + 9)
    for sets in [*found, *([Edits.join(found)])]:
        for rows, columns in zip(sets.rows, sets.columns, strict=True):
            assert len(set(zip(rows.tolist(), columns.tolist(), strict=True))) == pixels
    for one in search.extended(0, 160, 6, SEED):
        assert len(np.unique(one[:, :2], axis=0)) == 160


def told(search: FewPixel, questions: int, margin: Callable[[Edits], np.ndarray]) -> int:
    """How many questions a search asks, of ``questions`` at most."""
    count = 0
    while count < questions and not search.exhausted(0):
        edits = search.ask(np.array([questions - count])).edits
        count += len(edits)
        search.tell(margin(edits)[:, None])
    return count


@pytest.mark.parametrize("pixels", [1, 3])
def test_with_one_pixel_it_gives_up_far_from_the_goal_and_only_where_it_may(pixels: int) -> None:
    def safe(edits: Edits) -> np.ndarray:
        return np.asarray(10 + 0.1 * np.sin(edits.rows + 2.0 * edits.columns).sum(axis=1))

    for give_up in (True, False):
        search = FewPixel(1, (3, 24, 24), pixels, give_up=give_up)
        search.start(0, SEED)
        asked = told(search, 2500, safe)
        # Of several pixels there is always another set: progress that was slow for 800 questions is no reason to end.
        assert 240 <= asked <= 1500 if give_up and pixels == 1 else asked == 2500


def test_near_the_goal_it_goes_on() -> None:
    def close(edits: Edits) -> np.ndarray:
        return np.asarray(0.12 + 0.1 * np.sin(edits.rows * 5.0 + edits.columns * 3.0).sum(axis=1))

    search = FewPixel(1, (3, 24, 24), 1, give_up=True)
    search.start(0, SEED)
    assert told(search, 900, close) == 900


@pytest.mark.parametrize(("left", "least", "most"), [(0.2, 600, 700), (0.8, 240, 599)])
def test_a_near_miss_is_asked_about_for_longer(left: float, least: int, most: int) -> None:
    """Though its model expects nothing more once it knows the narrow place that comes nearest."""

    def hollow(edits: Edits) -> np.ndarray:
        away = np.hypot(edits.rows - 12, edits.columns - 12)
        return np.asarray(left + 3 * (1 - np.exp(-(away**2) / 4)).sum(axis=1))

    search = FewPixel(1, (3, 24, 24), 1, give_up=True)
    search.start(0, SEED)
    assert least <= told(search, 2500, hollow) <= most


def test_a_budget_is_used_to_the_full() -> None:
    images = digits("test")
    assert images.labels is not None
    stack, labels = images.stack(range(20)), images.labels[:20]
    given = FewPixels()(digits_target(), stack, labels=labels, budget=700)
    own = FewPixels()(digits_target(), stack, labels=labels)
    held = {o.unit.image_name for o in given if o.status == "held"}
    assert held
    assert all(o.asked == 700 for o in given if o.status == "held")
    assert all(o.asked < 700 for o in own if o.unit.image_name in held)


def test_with_enough_questions_one_pixel_is_exact_over_the_corners() -> None:
    target, images = digits_target(), digits("test").stack(range(25))
    labels = target.scores(target.images(images)).argmax(1)
    can = []
    for image, label in zip(images, labels, strict=True):
        tried = np.repeat(image[None], 128, axis=0)
        for place in range(64):
            tried[2 * place, 0, place // 8, place % 8] = 0
            tried[2 * place + 1, 0, place // 8, place % 8] = 255
        can.append(bool((target.scores(target.images(tried)).argmax(1) != label).any()))
    found = FewPixels()(target, images, labels=labels, budget=129)
    assert [outcome.status == "fooled" for outcome in found] == can
    assert 0 < sum(can) < 25


@pytest.mark.parametrize("goal", [Goal(), Goal("targeted", 3)])
@pytest.mark.parametrize("pixels", [1, 3])
def test_order_and_company_change_no_outcome(goal: Goal, pixels: int) -> None:
    images = digits("test")
    assert images.labels is not None
    chosen = [n for n in range(40) if images.labels[n] != 3][:14]
    stack, labels = images.stack(chosen), images.labels[chosen]

    def told(which: list[int]) -> dict[str, object]:
        outcomes = FewPixels()(
            digits_target(), stack[which], goal, labels=labels[which], pixels=pixels, budget=150, rows=64
        )
        return {
            o.unit.image_digest: (o.status, o.asked, o.first_hit, None if o.edits is None else o.edits.keys(stack[:1]))
            for o in outcomes
        }

    whole = told(list(range(14)))
    assert told(list(range(13, -1, -1))) == whole
    assert told([3, 8, 5]) == {digest: whole[digest] for digest in told([3, 8, 5])}


def test_it_fools_more_than_chance_with_as_many_questions() -> None:
    images = digits("test")
    assert images.labels is not None
    stack, labels = images.stack(range(60)), images.labels[:60]

    def fooled(attack: FewPixels | RandomPixels) -> int:
        outcomes = attack(digits_target(), stack, labels=labels, pixels=2, budget=60)
        return sum(outcome.status == "fooled" for outcome in outcomes)

    assert fooled(FewPixels()) > fooled(RandomPixels()) + 5


def test_images_of_colour_of_any_shape_are_attacked() -> None:
    from tests.conftest import colour_target

    shape = (3, 9, 12)
    outcomes = FewPixels()(colour_target(), random_images(5, shape), pixels=4, budget=200)
    assert all(outcome.changed <= 4 for outcome in outcomes)
    assert any(outcome.status == "fooled" for outcome in outcomes)


@given(st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=50, deadline=None)
def test_a_margin_under_zero_is_the_goal_met(seed: int, logits: bool) -> None:
    draws = np.random.default_rng(seed)
    scores = draws.normal(size=(12, 5)) * 3
    goals = [Goal(), Goal("targeted", 1), Goal("reduce", bound=0.3)] * 4
    labels = draws.choice([0, 2, 3, 4], 12)
    rows = GoalRows.of(goals, labels)
    probabilities = softmax(scores)
    shown = scores if logits else probabilities
    margin = rows.margin(shown, probabilities, logits=logits)
    assert ((margin < 0) == rows.met(shown, probabilities)).all()


@pytest.mark.parametrize("pixels", [1, 3])
def test_without_what_was_learned_the_lattice_is_asked_first(pixels: int) -> None:
    def first(image: np.ndarray | None, by_image: bool) -> list[list[int]]:
        search = FewPixel(1, (3, 16, 16), pixels, by_image=by_image)
        if image is not None:
            search.look(0, image, None)
        search.start(0, SEED)
        edits = search.ask(np.array([8])).edits
        found: list[list[int]] = np.concatenate([edits.rows, edits.columns], 1).tolist()
        return found

    image = random_images(1, (3, 16, 16))[0]
    assert first(image, by_image=False) == first(None, by_image=True)
    assert first(image, by_image=False) != first(image, by_image=True)


def test_there_are_two_priors() -> None:
    with pytest.raises(InputError, match="there is no 'middle'"):
        FewPixels(prior="middle")  # type: ignore[arg-type]
    images = digits("test")
    assert images.labels is not None
    priors: tuple[Prior, ...] = ("learned", "even")
    for prior in priors:
        attack = FewPixels(prior=prior)
        found = attack(digits_target(), images.stack(range(12)), labels=images.labels[:12], pixels=3, budget=200)
        assert sum(outcome.status == "fooled" for outcome in found) > 6


@pytest.mark.parametrize("attack", [FewPixels, FewestPixels])
@pytest.mark.parametrize("value", ["no", 7, float("nan"), None])
def test_give_up_is_true_or_false(attack: type[FewPixels], value: Any) -> None:
    with pytest.raises(InputError, match=r"give_up: .*Give true or false"):
        attack(give_up=value)
