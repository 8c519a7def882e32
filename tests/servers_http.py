"""Small real servers on loopback: the Open Inference Protocol with JSON and binary tensors, and uploads."""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tests.conftest import digits_net

Classify = Callable[[NDArray[np.float32]], NDArray[Any]]
"""From images (N, C, H, W) in [0, 1] to rows."""
KINDS: dict[str, Any] = {
    "FP16": np.float16,
    "FP32": np.float32,
    "UINT8": np.uint8,
    "INT64": np.int64,
    "FP64": np.float64,
}


def digits_scores(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits of the digits net, in passes of 64 rows as a local target's, so that both score alike bit for bit."""
    rows = []
    for start in range(0, len(images), 64):
        part = images[start : start + 64]
        full = np.concatenate([part, np.repeat(part[:1], 64 - len(part), axis=0)])
        with LOCK, torch.no_grad():
            rows.append(digits_net()(torch.from_numpy(full)).numpy()[: len(part)])
    return np.concatenate(rows)


LOCK = threading.Lock()


@dataclass
class Reply:
    """What a server answers: state, headers, content; ``cut`` sends fewer bytes than are announced."""

    status: int = 200
    content: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    stall: threading.Event | None = None
    """Waited for before anything is sent."""
    drip: float | None = None
    """Seconds between its bytes."""
    drop: bool = False
    """The connection is closed without an answer."""


Answer = Callable[[str, str, Mapping[str, str], bytes], Reply]
"""From method, path, headers and content to a reply."""


@contextlib.contextmanager
def serving(answer: Answer, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serve on a free port of loopback; gives the address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Else the head and the content of an answer wait for each other.
        wbufsize = -1
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            reply = answer(
                self.command, self.path, {name.title(): value for name, value in self.headers.items()}, content
            )
            if reply.stall is not None:
                reply.stall.wait(60)
            if reply.drop or reply.stall is not None:
                self.close_connection = True
                return
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(reply.content)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if reply.drip is not None:
                for place in range(len(reply.content)):
                    self.wfile.write(reply.content[place : place + 1])
                    self.wfile.flush()
                    time.sleep(reply.drip)
                return
            self.wfile.write(reply.content if reply.cut is None else reply.content[: reply.cut])
            if reply.cut is not None:
                self.close_connection = True

        do_GET = do_POST = do_PUT = _serve  # noqa: N815

        def log_message(self, *args: object) -> None:
            """Nothing is logged."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that has gone is nothing to tell of."""

    server = Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class V2:
    """A server of one model, ``digits``, by the Open Inference Protocol.

    Parameters
    ----------
    classify : the model.
    binary : whether it takes binary tensors; else it answers ``refuses`` to them.
    says : the extensions that it announces, None for a server that does not answer to ``/v2``.
    most : images a request.
    fault : may give a reply of its own in place of the right one.
    """

    classify: Classify = digits_scores
    shape: tuple[int, ...] = (-1, 1, 8, 8)
    datatype: str = "FP32"
    binary: bool = True
    says: tuple[str, ...] | None = ("binary_tensor_data",)
    most: int = 64
    refuses: int = 422
    fault: Callable[[int, NDArray[np.float32]], Reply | None] = lambda number, images: None
    requests: list[tuple[str, int]] = field(default_factory=list)
    """Of each request for scores whether ``json`` or ``binary``, and how many images."""
    seen: list[Mapping[str, str]] = field(default_factory=list)
    """Headers of all requests."""
    images: list[NDArray[Any]] = field(default_factory=list)
    output: str = "scores"
    lock: Any = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        # Trained when it is first asked for, which is no matter of anybody's time-out.
        digits_net()

    def __call__(self, method: str, path: str, headers: Mapping[str, str], content: bytes) -> Reply:
        with self.lock:
            self.seen.append(headers)
        if method == "GET" and path == "/v2":
            if self.says is None:
                return Reply(404, b"{}")
            return _json({"name": "tests", "version": "1", "extensions": list(self.says)})
        if method == "GET" and path == "/v2/models/digits":
            entry = {"name": "image", "datatype": self.datatype, "shape": list(self.shape)}
            output = {"name": self.output, "datatype": "FP32", "shape": [-1, 10]}
            return _json({"name": "digits", "platform": "tests", "inputs": [entry], "outputs": [output]})
        if method == "POST" and path == "/v2/models/digits/infer":
            return self._infer(headers, content)
        return Reply(404, json.dumps({"error": f"no {path}"}).encode())

    def _infer(self, headers: Mapping[str, str], content: bytes) -> Reply:
        length = headers.get("Inference-Header-Content-Length")
        if length is not None and not self.binary:
            return Reply(self.refuses, b'{"error": "JSON decode error"}')
        body = json.loads(content if length is None else content[: int(length)])
        (entry,) = body["inputs"]
        kind = KINDS[entry["datatype"]]
        if entry["datatype"] != self.datatype:
            return Reply(400, b'{"error": "another data type"}')
        if length is None:
            values: NDArray[Any] = np.asarray(entry["data"], kind)
        else:
            raw = content[int(length) :]
            assert len(raw) == entry["parameters"]["binary_data_size"]
            values = np.frombuffer(raw, np.dtype(kind).newbyteorder("<")).astype(kind)
        values = values.reshape(entry["shape"])
        if len(values) > self.most:
            return Reply(400, f'{{"error": "batch-size must be <= {self.most}"}}'.encode())
        images: NDArray[np.float32] = (
            values.astype(np.float32) / np.float32(255) if kind is np.uint8 else values.astype(np.float32)
        )
        if self.shape[-1] in (1, 3):
            images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        with self.lock:
            self.requests.append(("json" if length is None else "binary", len(values)))
            self.images.append(values)
            number = len(self.requests)
        reply = self.fault(number, images)
        if reply is not None:
            return reply
        rows = self.classify(images)
        wants = body.get("outputs", [{}])[0].get("parameters", {}).get("binary_data", False)
        return tensor_reply(
            rows, self.output, binary=bool(wants or body.get("parameters", {}).get("binary_data_output"))
        )


def tensor_reply(rows: NDArray[Any], name: str = "scores", *, binary: bool = False) -> Reply:
    """Rows as an answer of the protocol."""
    kind = {"f": "FP32", "i": "INT64"}[rows.dtype.kind]
    rows = rows.astype(KINDS[kind])
    output: dict[str, Any] = {"name": name, "datatype": kind, "shape": list(rows.shape)}
    if not binary:
        return _json({"model_name": "digits", "outputs": [output | {"data": rows.ravel().tolist()}]})
    raw = rows.tobytes()
    output["parameters"] = {"binary_data_size": len(raw)}
    head = json.dumps({"model_name": "digits", "outputs": [output]}).encode()
    return Reply(content=head + raw, headers={"Inference-Header-Content-Length": str(len(head))})


def _json(value: object, status: int = 200) -> Reply:
    return Reply(status, json.dumps(value).encode(), {"Content-Type": "application/json"})


@contextlib.contextmanager
def talking(say: Callable[[socket.socket], None]) -> Iterator[str]:
    """Serve whatever bytes ``say`` sends, HTTP or not, once a request has begun to come; gives the address."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                self.request.recv(2**16)
                say(self.request)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
