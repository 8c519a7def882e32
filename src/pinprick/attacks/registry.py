"""Attacks by name."""

from __future__ import annotations

from pinprick.attacks.base import Attack
from pinprick.attacks.one_pixel import OnePixel
from pinprick.attacks.random_pixels import RandomPixels
from pinprick.attacks.search_loop import Stop
from pinprick.errors import UnknownNameError

ATTACKS: dict[str, type[OnePixel] | type[RandomPixels]] = {"one-pixel": OnePixel, "random": RandomPixels}


def make_attack(name: str, *, stop: Stop = "first-hit") -> Attack:
    """The attack called ``name`` with its default hyper-parameters.

    Raises
    ------
    UnknownNameError : there is no such attack, or no such stop rule.
    """
    if name not in ATTACKS:
        raise UnknownNameError("--attack", name, ATTACKS)
    return ATTACKS[name](stop=stop)
