"""How a remote model is asked: what may change without changing a result."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

from pinprick.errors import InputError

LONGEST = 3600.0
"""Seconds that an answer may be waited for at most."""


@dataclass(frozen=True)
class Calls:
    """How a remote model is asked; None leaves it to the model's own file, and else to :data:`USUAL`.

    Parameters
    ----------
    timeout : seconds that one answer may take, over 0 to 3600.
    retries : how often an image is sent again, 0 to 100.
    rate : images a second at most, over 0; None: as many as there may be.
    concurrency : requests at a time, 1 to 256.
    auth_env : the environment variable that holds the secret to send along.

    Raises
    ------
    InputError : a number out of range, or a name that no environment variable can have.
    """

    timeout: float | None = None
    retries: int | None = None
    rate: float | None = None
    concurrency: int | None = None
    auth_env: str | None = None

    def __post_init__(self) -> None:
        _check("timeout", self.timeout, 0.001, LONGEST)
        _check("retries", self.retries, 0, 100, whole=True)
        _check("rate", self.rate, 0.001, 1e6)
        _check("concurrency", self.concurrency, 1, 256, whole=True)
        name = self.auth_env
        if name is not None and (not isinstance(name, str) or not name or "=" in name or "\0" in name):
            # The value itself is not shown: it may be the secret, given in the place of its name.
            raise InputError("--auth-env", "no name of a variable", "Give the name of an environment variable.")

    def over(self, other: Calls) -> Calls:
        """These, and where nothing is said ``other``'s."""
        said = {field.name: value for field in fields(self) if (value := getattr(self, field.name)) is not None}
        return replace(other, **said)

    def given(self) -> list[str]:
        """The options that are given."""
        return ["--" + field.name.replace("_", "-") for field in fields(self) if getattr(self, field.name) is not None]


def _check(name: str, value: float | None, least: float, most: float, *, whole: bool = False) -> None:
    if value is None:
        return
    plain = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if not plain or not math.isfinite(value) or not least <= value <= most:
        kind = "a whole number" if whole else "a number"
        raise InputError(f"--{name}", f"{value!r}"[:60], f"Give {kind} from {least:g} to {most:g}.")


USUAL = Calls(timeout=30.0, retries=5, concurrency=4)
"""What is taken where nothing is said."""


def check_local(model: str, calls: Calls) -> None:
    """Raise InputError where options for remote models are given for one that is not."""
    if given := calls.given():
        raise InputError(given[0], f"the model {model!r} is not remote", "Leave it out; it is for --model http://….")
