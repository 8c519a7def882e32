"""Requests and answers: time-outs, retries, pauses, the rate limit, redirects; a reason where all that fails."""

from __future__ import annotations

import email.utils
import queue
import random
import ssl
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from pinprick.errors import HaltError, InputError, one_line, plain
from pinprick.targets.calls import USUAL, Calls
from pinprick.targets.ledger import Ledger
from pinprick.targets.remote.secret import Secret

if TYPE_CHECKING:
    import httpx2

T = TypeVar("T")

AGAIN = (408, 425, 429, 500, 502, 503, 504)
"""States of an answer after which the same request may do better."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds before the second try, doubled each time, up to so many; each is shortened by up to a half at random."""
LONGEST_ASKED = 600.0
"""Seconds of Retry-After that are waited; an endpoint that asks for more has failed."""
LARGEST_ANSWER = 2**26
"""Bytes of an answer."""
REDIRECTS = 5
GRACE = 1.0
"""Seconds, or the time-out where that is shorter, after which an answer that goes on coming is given up."""
LONGEST_REASON = 1000
_SHOWN = 200
_LOCAL = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True)
class Request:
    """What is sent. The secret is not in it."""

    method: str
    url: str
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Fault(Exception):  # noqa: N818 (of an endpoint, and no error of the user's)
    """Why a request has no answer that can be used; its text is one line. ``again``: the same may do better."""

    def __init__(self, reason: str, *, again: bool = True, status: int | None = None, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.again, self.status, self.pause = again, status, pause


class Wire:
    """A connection to one endpoint; threads may share it.

    Parameters
    ----------
    secret : is sent to the host of the first request, and to no other.
    verify : whether certificates are checked; or a file of those to trust.
    headers : sent with each request; no secret is among them.

    Raises
    ------
    InputError : httpx2 is not installed.
    """

    def __init__(
        self,
        what: str,
        calls: Calls,
        secret: Secret,
        *,
        verify: bool | str = True,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._httpx = _library(what)
        calls = calls.over(USUAL)
        self.calls, self.secret, self.headers = calls, secret, dict(headers or {})
        assert calls.timeout is not None
        self._timeout = calls.timeout
        self._client: httpx2.Client = self._connected(what, verify)
        weakref.finalize(self, self._client.close)
        self._lock = threading.Lock()
        self._next = 0.0
        self._not_before = 0.0
        self.stopping = threading.Event()
        """Set, no pause is waited for any more and nothing is sent again."""

    def _connected(self, what: str, verify: bool | str) -> httpx2.Client:
        context, library = _context(verify, what), self._httpx
        try:
            made: httpx2.Client = library.Client(
                timeout=self._timeout,
                verify=context,
                follow_redirects=False,
                # Answers are small, and what is packed may be of any size.
                headers={"Accept-Encoding": "identity", "User-Agent": "pinprick"},
                limits=library.Limits(max_connections=None, max_keepalive_connections=self.calls.concurrency),
                mounts={f"all://{host}": None for host in _LOCAL},
            )
        except (ImportError, ValueError, library.InvalidURL) as error:
            # Its text may hold the proxy's password.
            wrong = f"the proxy that the environment names cannot be used ({type(error).__name__})"
            raise InputError(
                what, wrong, "See HTTP_PROXY, HTTPS_PROXY and ALL_PROXY; http:// and https:// will do."
            ) from None
        return made

    def ask(
        self,
        request: Request,
        read: Callable[[bytes, Mapping[str, str]], T],
        *,
        images: int = 0,
        ledger: Ledger | None = None,
        again: bool = False,
        on_send: Callable[[], None] = lambda: None,
        enough: Callable[[Fault], bool] = lambda _fault: False,
        retries: int | None = None,
        stop: threading.Event | None = None,
    ) -> T:
        """What ``read`` makes of the answer, which is asked for again where that may help.

        Parameters
        ----------
        read : from an answer's content and headers; raises :class:`Fault` where it is none.
        images : in the request; these are booked in ``ledger`` each time, and told to ``on_send``.
        again : they were sent before.
        enough : whether a fault is one after which there is something better to do than to try again.
        retries : in place of the endpoint's own.
        stop : set, no pause is waited for and nothing is sent again; that of the whole wire where none is given.

        Raises
        ------
        Fault : without a usable answer to the end.
        HaltError : the ledger does not allow for more, or ``stop`` was set before anything was sent.
        """
        most = self.calls.retries if retries is None else retries
        assert most is not None
        stop = stop or self.stopping
        for attempt in range(most + 1):
            self._wait_turn(images, stop)
            if self._stopped(stop):
                raise HaltError("the run has ended")
            if ledger is not None:
                ledger.sending(images, again=again or attempt > 0)
            on_send()
            try:
                return self._once(request, read)
            except Fault as error:
                fault = error
            if not fault.again or attempt == most or self._stopped(stop) or enough(fault):
                break
            self._rest(fault, attempt, stop)
        tries = attempt + 1
        told = f" ({tries} tries)" if tries > 1 else ""
        raise Fault(self._reason(str(fault)) + told, again=fault.again, status=fault.status)

    def _stopped(self, stop: threading.Event) -> bool:
        return stop.is_set() or self.stopping.is_set()

    def _reason(self, text: str) -> str:
        """What an error says as it may be shown and stored: on one line, not too long, the secret not in it."""
        text = plain(self.secret.hidden(text))
        return text if len(text) <= LONGEST_REASON else text[:LONGEST_REASON] + "…"

    def _once(self, request: Request, read: Callable[[bytes, Mapping[str, str]], T]) -> T:
        try:
            content, headers = self._answer(request)
        except self._httpx.TimeoutException:
            raise Fault(f"no answer within {self._timeout:g} s") from None
        except (
            self._httpx.HTTPError, self._httpx.InvalidURL, self._httpx.StreamError, OSError, UnicodeError
        ) as error:  # fmt: skip
            raise Fault(_told(error)) from None
        try:
            return read(content, headers)
        except Fault as error:
            raise Fault(f"{error}: {self._start(content)}", again=error.again) from None

    def _answer(self, request: Request) -> tuple[bytes, Mapping[str, str]]:
        """Content and headers of a good answer, redirects on the same host followed."""
        url = request.url
        for _ in range(REDIRECTS + 1):
            found = self._in_time(partial(self._sent, request, url))
            if not isinstance(found, str):
                return found
            url = found
        raise Fault(f"more than {REDIRECTS} redirects", again=False)

    def _in_time(self, work: Callable[[], T]) -> T:
        """What ``work`` gives. It is left to itself where it does not end.

        The client's time-out begins anew with every few bytes that come, also of the head of an answer, and there may
        be any number of heads before the answer proper (100 Continue).
        """
        done: queue.SimpleQueue[T | BaseException] = queue.SimpleQueue()

        def put() -> None:
            try:
                done.put(work())
            except BaseException as error:
                done.put(error)

        threading.Thread(target=put, daemon=True, name="pinprick-answer").start()
        try:
            found = done.get(timeout=self._timeout + min(GRACE, self._timeout))
        except queue.Empty:
            raise Fault(f"no whole answer within {self._timeout:g} s") from None
        if isinstance(found, BaseException):
            raise found
        return found

    def _sent(self, request: Request, url: str) -> str | tuple[bytes, Mapping[str, str]]:
        """Content and headers of a good answer from ``url``; or where it redirects to."""
        ends = time.monotonic() + self._timeout
        headers = {**self.headers, **request.headers, **self.secret.headers()}
        with self._client.stream(request.method, url, content=request.content, headers=headers) as answer:
            if answer.is_redirect and "location" in answer.headers:
                return self._followed(url, answer, request.method)
            content = self._content(answer, ends)
            if answer.is_success:
                return content, answer.headers
            said = f": {self._start(content)}" if content.strip() else ""
            reason = f"HTTP {answer.status_code} {answer.reason_phrase}".strip() + said
            pause = _retry_after(answer.headers.get("retry-after"))
            again = answer.status_code in AGAIN and pause <= LONGEST_ASKED
            if pause > LONGEST_ASKED:
                reason += f"; it asks to wait {pause:.0f} s"
            raise Fault(reason, again=again, status=answer.status_code, pause=pause)

    def _followed(self, url: str, answer: httpx2.Response, method: str) -> str:
        """Where a redirect leads, if the same request may be sent there, secret and all."""
        there = str(self._httpx.URL(url).join(answer.headers["location"]))
        try:
            origin = _origin(there)
        except ValueError:
            raise Fault("it redirects to what is no address", again=False) from None
        if origin != _origin(url):
            raise Fault(f"it redirects to another host, {origin}, which is not followed", again=False)
        if method != "GET" and answer.status_code not in (307, 308):
            raise Fault(f"HTTP {answer.status_code}, a redirect that does not keep what is sent", again=False)
        return there

    def _content(self, answer: httpx2.Response, ends: float) -> bytes:
        parts, size = [], 0
        for part in answer.iter_bytes():
            size += len(part)
            if size > LARGEST_ANSWER:
                raise Fault(f"an answer of more than {LARGEST_ANSWER // 2**20} MB")
            # The client's own time-out is about each part.
            if time.monotonic() > ends:
                raise Fault(f"no whole answer within {self._timeout:g} s")
            parts.append(part)
        return b"".join(parts)

    def _start(self, content: bytes) -> str:
        """The beginning of an answer on one line, the secret not in it."""
        # More is read than is shown, so that no half of a secret stands at the end.
        text = self.secret.hidden(content[: 100 * _SHOWN].decode("utf-8", "replace"))
        text = " ".join(text[: 50 * _SHOWN].split())
        return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")

    def _wait_turn(self, images: int, stop: threading.Event) -> None:
        """Wait until the rate allows for these images, and while the endpoint has asked for a pause."""
        while True:
            with self._lock:
                now = time.monotonic()
                start = max(now, self._next, self._not_before)
                if start <= now:
                    if self.calls.rate is not None:
                        self._next = now + images / self.calls.rate
                    return
            if stop.wait(start - now) or self.stopping.is_set():
                return

    def _rest(self, fault: Fault, attempt: int, stop: threading.Event) -> None:
        """Wait before the next try; what the endpoint asks for all requests wait for."""
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0**attempt)
        pause *= random.uniform(0.5, 1)  # noqa: S311 (when, not what)
        with self._lock:
            self._not_before = max(self._not_before, time.monotonic() + fault.pause)
        stop.wait(max(pause, fault.pause))

    def close(self) -> None:
        """End all connections."""
        self.stopping.set()
        self._client.close()


def _library(what: str) -> ModuleType:
    try:
        import httpx2
    except ImportError:
        right = "Run: pip install 'pinprick[http]'."
        raise InputError(what, "needs httpx2, which is not installed", right) from None
    return httpx2


def _context(verify: bool | str, what: str) -> Any:
    if not isinstance(verify, str):
        return verify
    try:
        return ssl.create_default_context(cafile=verify)
    except (OSError, ssl.SSLError) as error:
        raise InputError(what, f"certificates {verify} cannot be read ({error})", "Give a PEM file.") from None


def _told(error: Exception) -> str:
    """An error of the connection in a few words."""
    text = " ".join(str(error).split())
    return f"no answer ({text})" if text else f"no answer ({one_line(error)})"


def _origin(url: str) -> str:
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return f"{parts.scheme}://{(parts.hostname or '').lower()}:{port}"


def _retry_after(value: str | None) -> float:
    """Seconds of a Retry-After header, in either of its forms; 0 without one that can be read."""
    if not value:
        return 0.0
    # Digits of other scripts, which int() takes or not, are none of the standard's.
    if value.isascii() and value.strip().isdigit():
        return float(min(int(value.strip()[:10]), 10**9))
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return 0.0
