"""A secret that is sent along with each request, and shown nowhere."""

from __future__ import annotations

import json
import os
from html import escape
from urllib.parse import quote

from pinprick.errors import InputError

HIDDEN = "[hidden]"


class Secret:
    """The value of an environment variable as a header; neither its text nor its repr shows it.

    Parameters
    ----------
    variable : its name; None for no secret.
    header : that it goes into.
    prefix : that stands before the value.

    Raises
    ------
    InputError : the variable is not set, empty, or no header may hold it.
    """

    def __init__(self, variable: str | None, header: str = "Authorization", prefix: str = "Bearer ") -> None:
        self.variable, self.header = variable, header
        self._value = self._sent = ""
        if variable is None:
            return
        what = f"--auth-env {variable}"
        self._value = os.environ.get(variable, "").strip()
        if not self._value:
            raise InputError(what, "there is no such environment variable, or it is empty", f"Set {variable}.")
        if not self._value.isascii() or not self._value.isprintable():
            raise InputError(what, "its value has characters that no header may hold", "Give plain ASCII, one line.")
        self._sent = prefix + self._value

    def headers(self) -> dict[str, str]:
        """The header, none without a secret."""
        return {self.header: self._sent} if self._sent else {}

    def hidden(self, text: str) -> str:
        """``text`` without the secret, should it be in it."""
        if self._value:
            # As it is, and as an error page or a JSON text may give it back.
            plain = (self._sent, self._value)
            for secret in (
                *plain,
                *(json.dumps(one)[1:-1] for one in plain),
                *map(quote, plain),
                *(quote(one, safe="") for one in plain),
                *map(escape, plain),
            ):
                text = text.replace(secret, HIDDEN)
        return text

    def __repr__(self) -> str:
        return f"Secret({self.variable!r})"

    def __reduce__(self) -> str:
        raise TypeError("a secret is not stored")
