"""Models behind HTTP: addresses, descriptions, options, and what endpoints answer."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from unittest import mock

from tests.bad_input.case import Case, Section
from tests.bad_input.files import one, write
from tests.servers_http import Answer, Reply, serving

PLAIN = '[request]\nimage = "body"\n[answer]\nscores = "scores"\n'
BODY = '[request]\nimage = "nested"\nfield = "x"\n'
HTTP = "--model http://127.0.0.1:9/v2/models/cat"
TOML = "--model endpoint.toml"


def described(text: str, url: str = "http://127.0.0.1:9/") -> Callable[[Path], None]:
    """``endpoint.toml`` with this after its url."""
    return lambda folder: write(folder / "endpoint.toml", f'url = "{url}"\n{text}')


def served(answer: Answer) -> Callable[[Path], contextlib.AbstractContextManager[None]]:
    """Serves, and writes an ``endpoint.toml`` that leads there; pauses are short."""

    @contextlib.contextmanager
    def around(folder: Path) -> Iterator[None]:
        with serving(answer) as url, mock.patch("pinprick.targets.remote.wire.FIRST_PAUSE", 0.001):
            described(PLAIN, url)(folder)
            yield

    return around


def scores(*values: float) -> Reply:
    return Reply(content=json.dumps({"scores": values}).encode())


def always(reply: Reply) -> Answer:
    return lambda method, path, headers, content: reply


def goes_after(n: int, later: Reply) -> Answer:
    """Scores for the first ``n`` requests."""
    seen: list[bytes] = []

    def answer(method: str, path: str, headers: Mapping[str, str], content: bytes) -> Reply:
        seen.append(content)
        return scores(3, 2, 1) if len(seen) <= n else later

    return answer


REMOTE = Section(
    "Models behind HTTP",
    "",
    (
        Case("nobody listens", f"{HTTP} --retries 0"),
        Case("an address of another kind", "--model http://127.0.0.1:9/predict"),
        Case("an address with a password", "--model http://me:secret@127.0.0.1/v2/models/cat"),
        Case("an address with a secret", TOML, described(PLAIN, "http://127.0.0.1/?token=secret")),
        Case("a password, and another scheme", "--model ftp://me:secret@127.0.0.1/v2/models/cat"),
        Case("no address", "--model http://:x/v2/models/cat"),
        Case("a pickle's option", f"{HTTP} --trust-pickle"),
        Case("a device", f"{HTTP} --device cpu"),
        Case("a secret that is not there", f"{HTTP} --auth-env PINPRICK_NO_SUCH_VARIABLE"),
        Case("a description that is not there", TOML),
        Case("a description that is no TOML", TOML, one(b"url = ", "endpoint.toml")),
        Case("a description of nothing", TOML, described("")),
        Case("a field that there is not", TOML, described("timout = 3\n" + PLAIN)),
        Case("a way in that there is not", TOML, described('[request]\nimage = "jpeg"\n[answer]\nscores = "x"\n')),
        Case("a secret among the headers", TOML, described('headers = { Authorization = "x" }\n' + PLAIN)),
        Case("a secret in the body", TOML, described(BODY + 'body = { api_key = "x" }\n[answer]\nscores = "x"\n')),
        Case("a date in the body", TOML, described(BODY + 'body = { day = 1979-05-27 }\n[answer]\nscores = "x"\n')),
        Case("more classes than fit into memory", TOML, described("classes = 10000000000\n" + PLAIN)),
        Case("outputs that nobody states", f"{TOML} --outputs auto", described(PLAIN)),
        Case("a normalisation for image files", f"{TOML} --normalize half", described(PLAIN)),
        Case("no time at all", f"{HTTP} --timeout 0"),
        Case("a time for a model that is not remote", "--timeout 3"),
        Case("a budget of nothing", "--run-budget 0"),
        Case("a budget that is spent before the first unit", "--run-budget 5"),
        Case("a budget that holds one unit of two", "--run-budget 12"),
        Case("a page in place of an answer", TOML, around=served(always(Reply(content=b"<html>Sign in")))),
        Case("an error, always", TOML, around=served(always(Reply(403, b"who are you?")))),
        Case("an answer without the scores", TOML, around=served(always(Reply(content=b'{"result": [1, 2]}')))),
        Case("it is gone in the middle", TOML, around=served(goes_after(8, Reply(503)))),
        Case("it is another model in the middle", TOML, around=served(goes_after(8, scores(1, 2, 3)))),
    ),
)

SECTIONS = (REMOTE,)
