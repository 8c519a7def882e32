"""Requests: retries and pauses, the rate, redirects, proxies, certificates, and a secret that is seen nowhere."""

from __future__ import annotations

import copy
import email.utils
import pickle
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinprick.errors import HaltError, InputError
from pinprick.targets.calls import Calls
from pinprick.targets.ledger import Ledger
from pinprick.targets.remote import wire as wires
from pinprick.targets.remote.secret import Secret
from pinprick.targets.remote.wire import Fault, Request, Wire
from tests.servers_http import Reply, serving, talking

SECRET = "s3cret/token+of<mine>"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wires, "FIRST_PAUSE", 0.001)
    monkeypatch.setenv("PINPRICK_TEST_TOKEN", SECRET)


def make(calls: Calls | None = None, **options: Any) -> Wire:
    return Wire("--model x", calls or Calls(timeout=5, retries=3), options.pop("secret", Secret(None)), **options)


def text(content: bytes, headers: Mapping[str, str]) -> str:
    return content.decode()


def answering(*replies: Reply) -> tuple[Any, list[tuple[str, str, Mapping[str, str]]]]:
    """Gives the replies one by one, the last one for ever, and notes what came."""
    seen: list[tuple[str, str, Mapping[str, str]]] = []

    def answer(method: str, path: str, headers: Mapping[str, str], content: bytes) -> Reply:
        seen.append((method, path, headers))
        return replies[min(len(seen), len(replies)) - 1]

    return answer, seen


def waits(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What a wire waits for, without its waiting."""
    waited: list[float] = []
    clock = [time.monotonic()]

    def wait(seconds: float) -> bool:
        waited.append(seconds)
        clock[0] += seconds
        return False

    monkeypatch.setattr(wire.stopping, "wait", wait)
    monkeypatch.setattr("pinprick.targets.remote.wire.time.monotonic", lambda: clock[0])
    return waited


def test_pauses_double_and_are_shortened_by_up_to_a_half(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wires, "FIRST_PAUSE", 0.5)
    wire = make(Calls(retries=9))
    waited = waits(wire, monkeypatch)
    answer, seen = answering(Reply(503, b"busy"))
    with serving(answer) as url, pytest.raises(Fault, match=r"HTTP 503 Service Unavailable: 'busy' \(10 tries\)"):
        wire.ask(Request("GET", url), text)
    assert len(seen) == 10
    for pause, whole in zip(waited, [0.5, 1, 2, 4, 8, 16, 30, 30, 30], strict=True):
        assert whole / 2 <= pause <= whole


@pytest.mark.parametrize(
    ("header", "low", "high"),
    [
        ("7", 7, 7),
        (300, 200, 300),
        (-300, 0, 1),
        ("soon", 0, 1),
        ("-3", 0, 1),
        ("9" * 5000, None, None),
        ("\u00b2", 0, 1),
        ("601", None, None),
    ],
)
def test_retry_after_is_waited_for_by_all(
    header: str | int, low: float | None, high: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    if isinstance(header, int):
        header = email.utils.formatdate(time.time() + header, usegmt=True)
    wire = make()
    waited = waits(wire, monkeypatch)
    answer, _ = answering(Reply(429, b"", {"Retry-After": header}), Reply(200, b"fine"))
    with serving(answer) as url:
        if low is None:
            with pytest.raises(Fault, match="it asks to wait"):
                wire.ask(Request("GET", url), text)
            return
        assert wire.ask(Request("GET", url), text) == "fine"
        before = len(waited)
        assert max(waited) <= high
        assert sum(waited) >= low
        wire._not_before += 50
        wire.ask(Request("GET", url), text)
    assert sum(waited[before:]) > 0, "another request waits as well"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 501])
def test_what_cannot_get_better_is_not_sent_again(status: int) -> None:
    answer, seen = answering(Reply(status, b"no"))
    with serving(answer) as url, pytest.raises(Fault, match=f"HTTP {status}"):
        make().ask(Request("GET", url), text)
    assert len(seen) == 1


def test_the_rate_is_kept_over_all_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = make(Calls(rate=4))
    waited = waits(wire, monkeypatch)
    answer, _ = answering(Reply(200, b"fine"))
    with serving(answer) as url:
        for _ in range(5):
            wire.ask(Request("GET", url), text, images=2)
    assert sum(waited) == pytest.approx(4 * 2 / 4)


def test_a_time_out_is_for_the_whole_answer_not_for_each_part() -> None:
    end = threading.Event()
    answer, seen = answering(Reply(stall=end))
    started = time.monotonic()
    with serving(answer) as url:
        with pytest.raises(Fault, match=r"no answer within 0.1 s \(2 tries\)"):
            make(Calls(timeout=0.1, retries=1)).ask(Request("GET", url), text)
        end.set()
    assert time.monotonic() - started < 30
    assert len(seen) == 2


def test_an_answer_that_drips_is_not_waited_for() -> None:
    answer, _ = answering(Reply(200, b"a" * 1000, drip=0.02))
    started = time.monotonic()
    with serving(answer) as url, pytest.raises(Fault, match=r"no whole answer within 0.2 s"):
        make(Calls(timeout=0.2, retries=0)).ask(Request("GET", url), text)
    assert time.monotonic() - started < 15


HEAD = b"HTTP/1.1 200 OK\r\n"
ENDLESS = {
    "head": (HEAD, b"X-More: x\r\n"),
    "heads": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;", b"more"),
    "chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_an_answer_that_goes_on_coming_is_given_up(kind: str) -> None:
    end, (first, more) = threading.Event(), ENDLESS[kind]

    def say(connection: socket.socket) -> None:
        connection.sendall(first)
        while not end.wait(0.02):
            connection.sendall(more)

    with talking(say) as url:
        try:
            with pytest.raises(Fault, match=r"no whole answer within 0.2 s \(2 tries\)"):
                make(Calls(timeout=0.2, retries=1)).ask(Request("POST", url, b"x"), text)
        finally:
            end.set()


def test_an_answer_of_any_size_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wires, "LARGEST_ANSWER", 2**20)
    answer, _ = answering(Reply(200, b"a" * (2**20 + 1)))
    with serving(answer) as url, pytest.raises(Fault, match="an answer of more than 1 MB"):
        make(Calls(retries=0)).ask(Request("GET", url), text)


def test_the_budget_holds_whatever_is_retried() -> None:
    ledger = Ledger(budget=25)
    answer, seen = answering(Reply(503))
    with serving(answer) as url, pytest.raises(HaltError, match="--run-budget 25: 20 images were sent, and 10 more"):
        make(Calls(retries=9)).ask(Request("POST", url, b"x"), text, images=10, ledger=ledger)
    assert len(seen) == 2
    assert (ledger.total().sent, ledger.total().retried, ledger.total().requests) == (20, 10, 2)


@pytest.mark.parametrize(("method", "status"), [("GET", 301), ("GET", 302), ("GET", 307), ("POST", 307), ("POST", 308)])
def test_redirects_on_the_same_host_are_followed_with_the_secret(method: str, status: int) -> None:
    answer, seen = answering(Reply(status, b"", {"Location": "/there?x=1"}), Reply(200, b"fine"))
    with serving(answer) as url:
        wire = make(secret=Secret("PINPRICK_TEST_TOKEN"))
        assert wire.ask(Request(method, f"{url}/here", b"x" if method == "POST" else None), text) == "fine"
    assert [(how, path) for how, path, _ in seen] == [(method, "/here"), (method, "/there?x=1")]
    assert [headers["Authorization"] for _, _, headers in seen] == [f"Bearer {SECRET}"] * 2


@pytest.mark.parametrize("status", [301, 302, 303])
def test_redirects_that_lose_what_is_sent_are_not_followed(status: int) -> None:
    answer, seen = answering(Reply(status, b"", {"Location": "/there"}))
    with serving(answer) as url, pytest.raises(Fault, match="does not keep what is sent"):
        make().ask(Request("POST", url, b"x"), text)
    assert len(seen) == 1


def test_redirects_to_another_host_or_port_or_scheme_are_not_followed() -> None:
    there, strange = answering(Reply(200, b"fine"))
    with serving(there) as elsewhere:
        port = elsewhere.rpartition(":")[2]
        for location in (elsewhere, f"//localhost:{port}/", f"https://127.0.0.1:{port}/", "http://example.invalid/"):
            answer, _ = answering(Reply(307, b"", {"Location": location}))
            with serving(answer) as url, pytest.raises(Fault, match=r"another host, http.*, which is not followed"):
                make(secret=Secret("PINPRICK_TEST_TOKEN")).ask(Request("POST", url, b"x"), text)
    assert strange == []


@pytest.mark.parametrize("there", ["http://127.0.0.1:99999/x", "http://[::1/x", "mailto:x", "//", "http://a..b/x"])
def test_redirects_to_what_is_no_address_are_told(there: str) -> None:
    answer, _ = answering(Reply(307, b"", {"Location": there}))
    with serving(answer) as url, pytest.raises(Fault, match=r"redirect|no answer"):
        make(Calls(retries=0)).ask(Request("GET", url), text)


@pytest.mark.parametrize("host", ["a..b", "x" * 300])
def test_hosts_that_no_one_can_have_are_told(host: str) -> None:
    with pytest.raises(Fault, match="no answer"):
        make(Calls(retries=0)).ask(Request("GET", f"http://{host}/"), text)


def test_what_a_server_says_cannot_steer_a_terminal_and_is_not_shown_at_any_length() -> None:
    def say(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 500 \x1b[2J" + b"x" * 5000 + b"\r\nContent-Length: 0\r\n\r\n")

    with talking(say) as url, pytest.raises(Fault) as error:
        make(Calls(retries=0)).ask(Request("GET", url), text)
    said = str(error.value)
    assert said.startswith(r"HTTP 500 \x1b[2Jxxx")
    assert said.isprintable()
    assert len(said) < 1100


def test_nothing_is_sent_once_it_is_to_stop() -> None:
    stop = threading.Event()
    answer, seen = answering(Reply(503, b"busy"))
    with serving(answer) as url:
        with pytest.raises(Fault, match="busy"):
            make(Calls(retries=50)).ask(Request("GET", url), text, stop=stop, on_send=stop.set)
        assert len(seen) == 1
        with pytest.raises(HaltError, match="ended"):
            make().ask(Request("GET", url), text, stop=stop)
        assert len(seen) == 1


def test_redirects_in_a_circle_end() -> None:
    answer, seen = answering(Reply(307, b"", {"Location": "/"}))
    with serving(answer) as url, pytest.raises(Fault, match="more than 5 redirects"):
        make().ask(Request("GET", url), text)
    assert len(seen) == 6


def test_a_secret_is_in_no_text(caplog: pytest.LogCaptureFixture) -> None:
    """An endpoint that repeats the request's headers does not get it into a message; nor does any log hold it."""
    caplog.set_level(0)
    secret = Secret("PINPRICK_TEST_TOKEN", "X-Token", "Key ")
    escaped = SECRET.replace("/", "\\/")
    for status in (400, 503, 200):
        for said in (
            SECRET,
            f"a {SECRET}b",
            f'{{"token": "Key {SECRET}"}}',
            "s3cret%2Ftoken%2Bof%3Cmine%3E",
            "x" * 195 + SECRET,
        ):
            answer, seen = answering(Reply(status, said.encode()))

            def refuse(content: bytes, headers: Mapping[str, str]) -> str:
                raise Fault("that is none")

            with serving(answer) as url, pytest.raises(Fault) as error:
                make(Calls(retries=0), secret=secret).ask(Request("GET", url), refuse)
            assert seen[0][2]["X-Token"] == f"Key {SECRET}"
            assert "s3cret" not in str(error.value)
            assert "s3cre" not in repr(error.value)
    assert "s3cret" not in f"{secret} {secret!r} {vars(make(secret=secret))} {escaped[:0]}"
    assert "s3cret" not in caplog.text
    for store in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="not stored"):
            store(secret)


@given(st.data())
def test_no_long_part_of_a_secret_is_shown(data: st.DataObject) -> None:
    letters = st.sampled_from('ab/+<"&% ')
    value = data.draw(st.text(letters, min_size=1, max_size=40).map(str.strip).filter(bool))
    with mock.patch.dict("os.environ", {"PINPRICK_TEST_TOKEN": value}):
        secret = Secret("PINPRICK_TEST_TOKEN")
    around = st.text("xyz. ", max_size=12)
    said = repr(data.draw(around) + value + data.draw(around))
    shown = secret.hidden(said[: data.draw(st.integers(0, len(said)))])
    assert value not in shown
    for start in range(len(value) - 7):
        assert value[start : start + 8] not in shown
    assert secret.hidden("harmless.xyz") == "harmless.xyz".replace(value, "[hidden]")


@pytest.mark.parametrize("value", ["", "  ", "two\nlines", "ümlaut"])
def test_a_variable_without_a_usable_secret_is_told_without_it(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINPRICK_TEST_TOKEN", value)
    with pytest.raises(InputError, match="--auth-env PINPRICK_TEST_TOKEN: ") as error:
        Secret("PINPRICK_TEST_TOKEN")
    assert not value.strip() or value not in str(error.value)
    with pytest.raises(InputError, match="no such environment variable"):
        Secret("PINPRICK_NO_SUCH")


def test_proxies_of_the_environment_are_used_but_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    answer, seen = answering(Reply(200, b"fine"))
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with serving(answer) as url:
        monkeypatch.setenv("HTTP_PROXY", url)
        monkeypatch.setenv("http_proxy", url)
        wire = make(Calls(retries=0))
        assert wire.ask(Request("GET", "http://endpoint.invalid/model"), text) == "fine"
        assert seen[0][1] == "http://endpoint.invalid/model"
        assert wire.ask(Request("GET", f"{url}/model"), text) == "fine"
        assert wire.ask(Request("GET", f"{url.replace('127.0.0.1', 'localhost')}/model"), text) == "fine"
    assert [path for _, path, _ in seen[1:]] == ["/model", "/model"]


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "nonsense://x"])
def test_a_proxy_that_cannot_be_used_is_told(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    monkeypatch.setenv("https_proxy", proxy)
    with pytest.raises(InputError, match="proxy"):
        make()


_OPENSSL = [
    *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
    *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl, which makes a certificate, is not on the path")
def test_certificates_are_checked_unless_they_are_not_to_be(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [*_OPENSSL, "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    answer, _ = answering(Reply(200, b"fine"))
    with serving(answer, context) as url:
        with pytest.raises(Fault, match=r"CERTIFICATE_VERIFY_FAILED|certificate"):
            make(Calls(retries=0)).ask(Request("GET", url), text)
        assert make(verify=str(certificate)).ask(Request("GET", url), text) == "fine"
        assert make(verify=False).ask(Request("GET", url), text) == "fine"
