"""A secret that is sent along with each request, and shown nowhere."""

from __future__ import annotations

import json
import os
from html import escape
from urllib.parse import quote

from pinprick.errors import InputError

HIDDEN = "[hidden]"
PIECE = 8
"""Characters of a secret in a row that are not shown. Fewer are in many a harmless text."""


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
        """``text`` without the secret, should it be in it, or :data:`PIECE` characters of it in a row or more.

        Texts are cut off in places, so that a part of it may stand at the end.
        """
        if not self._value:
            return text
        for secret in _forms(self._sent):
            text = text.replace(secret, HIDDEN)
        forms = _forms(self._value)
        for secret in forms:
            text = text.replace(secret, HIDDEN)
        pieces = {form[at : at + PIECE] for form in forms for at in range(len(form) - PIECE + 1)}
        shown, at = [], 0
        while at < len(text):
            end = at
            while text[end : end + PIECE] in pieces:
                end += 1
            if end > at:
                shown.append(HIDDEN)
                at = end + PIECE - 1
            else:
                shown.append(text[at])
                at += 1
        return "".join(shown)

    def given_back(self, content: bytes) -> bool:
        """Whether the secret is in an answer."""
        text = content.decode("utf-8", "replace")
        return len(self._value) >= PIECE and any(form in text for form in _forms(self._value))

    def __repr__(self) -> str:
        return f"Secret({self.variable!r})"

    def __reduce__(self) -> str:
        raise TypeError("a secret is not stored")


def _forms(secret: str) -> tuple[str, ...]:
    """A secret as it is, and as an error page or a JSON text may give it back."""
    return secret, json.dumps(secret)[1:-1], quote(secret), quote(secret, safe=""), escape(secret)
