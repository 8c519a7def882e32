"""Attacks by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from pinprick.attacks.base import Attack
from pinprick.attacks.cma_es import PixelCMAES
from pinprick.attacks.corner_search import CornerPixels
from pinprick.attacks.few_pixel import FewPixels
from pinprick.attacks.hard_label import HardLabelPixels
from pinprick.attacks.min_pixels import FewestPixels
from pinprick.attacks.one_pixel import OnePixel
from pinprick.attacks.random_pixels import RandomPixels
from pinprick.attacks.search_loop import Stop
from pinprick.attacks.settings import settings_of
from pinprick.attacks.sparse_evo import SparseEvolution
from pinprick.attacks.sparse_rs import SparseRandomSearch
from pinprick.attacks.sweep import SweepPixels
from pinprick.errors import InputError, UnknownNameError

ATTACKS: dict[str, Callable[..., Attack]] = {
    "one-pixel": OnePixel,
    "few-pixel": FewPixels,
    "min-pixels": FewestPixels,
    "sparse-rs": SparseRandomSearch,
    "hard-label": HardLabelPixels,
    "sparse-evo": SparseEvolution,
    "corner-search": CornerPixels,
    "cma-es": PixelCMAES,
    "sweep": SweepPixels,
    "random": RandomPixels,
}
"""Each takes ``stop`` as a keyword."""


def following_budget(attacks: Iterable[str], pixels: Sequence[int]) -> list[tuple[str, list[int]]]:
    """Of these attacks those whose units go another way under another budget, and with how many of ``pixels``.

    Success against budget, read off one run, is then not what runs with smaller budgets come to.
    """
    made = [ATTACKS[name]() for name in attacks if name in ATTACKS]
    found = [(each.name, [number for number in pixels if each.course_follows_budget(number)]) for each in made]
    return [(name, numbers) for name, numbers in found if numbers]


def make_attack(name: str, *, stop: Stop = "first-hit", settings: Mapping[str, object] | None = None) -> Attack:
    """The attack called ``name`` with its default hyper-parameters, but for ``settings``: name and value, or its text.

    Raises
    ------
    InputError : there is no such attack, no such stop rule, no such hyper-parameter, or a value that it cannot have.
    """
    if name not in ATTACKS:
        raise UnknownNameError("--attack", name, ATTACKS)
    if not settings:
        return ATTACKS[name](stop=stop)
    values = settings_of(ATTACKS[name](), settings)
    try:
        return ATTACKS[name](stop=stop, **values)
    except InputError as error:
        if error.what not in values:
            raise
        # Attacks name their parameters; here they were given by an option.
        raise InputError(f"--set {error.what}", error.wrong, error.right) from None
