"""Readers of what concerns models behind HTTP: descriptions, metadata, answers, ledgers, kept answers."""

from __future__ import annotations

import contextlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from hypothesis import strategies as st

from pinprick.targets.ledger import stored_ledger
from pinprick.targets.remote.answers import FILE, KeptAnswers
from pinprick.targets.remote.codec import Numbers
from pinprick.targets.remote.described import read_endpoint
from pinprick.targets.remote.oip import Model, OipCodec, Wanted, make_codec, read_model
from pinprick.targets.remote.plain import Ask, PlainCodec, Take
from pinprick.targets.remote.wire import Fault
from tests.fuzz.mutations import damaged, json_bytes
from tests.fuzz.reader import Given, Reader, put
from tests.servers_http import tensor_reply

DESCRIPTIONS = (
    b"""url = "http://127.0.0.1:9/x"
outputs = "probabilities"
classes = ["a", "b", "c"]
timeout = 3
headers = { X-Team = "a" }
[request]
image = "png"
field = "inputs"
each = "image.b64"
batch = 8
body = { options = { top = 3 } }
[answer]
answers = "results"
pairs = "classes.0"
missing = 0.0
""",
    b"""url = "http://127.0.0.1:9/v2/models/x"
protocol = "v2"
classes = 10
retries = 3
[v2]
layout = "NHWC"
batch = 4
""",
)
METADATA = [
    {
        "name": "x",
        "platform": "y",
        "inputs": [{"name": "images", "datatype": "FP32", "shape": [-1, 3, 9, 12]}],
        "outputs": [{"name": "scores", "datatype": "FP32", "shape": [-1, 10]}],
    }
]
ANSWERS = [
    {
        "results": [
            {"classes": [[{"label": "a", "score": 0.5}, {"label": "b", "score": 0.2}, {"label": "c", "score": 0.3}]]}
        ]
    },
    {"results": [{"classes": [[0.5, 0.2, 0.3]]}]},
    {"results": [{"classes": [{"a": 0.5, "b": 0.2, "c": 0.3}]}]},
]
NUMBERS = Numbers(whole=False, normalize=None, order=None, layout="NCHW")


def description(folder: Path, given: Given) -> None:
    read_endpoint(put(folder / "endpoint.toml", given), "--model endpoint.toml")


def metadata(folder: Path, given: Given) -> None:
    wire = mock.Mock()
    wire.calls.retries = 0
    wire.ask = lambda request, read, **options: read(given, {})
    with contextlib.suppress(Fault):
        model = read_model(wire, "http://x/v2/models/x", "--model x")
        assert isinstance(model, Model)
        codec, _, _ = make_codec(model, Wanted(), "--model x")
        codec.request(np.zeros((2, 3, 9, 12), np.uint8))


def tensors() -> st.SearchStrategy[Given]:
    rows = np.arange(8, dtype=np.float32).reshape(2, 4)
    whole = [tensor_reply(rows), tensor_reply(rows, binary=True), tensor_reply(np.array([1, 3]))]
    return st.sampled_from(whole).flatmap(
        lambda reply: st.tuples(
            damaged([reply.content]) | json_bytes([_json(reply.content, reply.headers)]),
            st.sampled_from([reply.headers, {}, {"Inference-Header-Content-Length": "-3"}]),
        )
    )


def _json(content: bytes, headers: dict[str, str]) -> Any:
    length = headers.get("Inference-Header-Content-Length")
    return json.loads(content if length is None else content[: int(length)])


def tensor(folder: Path, given: Given) -> None:
    content, headers = given
    codec = OipCodec("http://x", "x", "scores", "FP32", NUMBERS, 4, "json")
    with contextlib.suppress(Fault):
        assert codec.read(content, headers, 2).shape[0] == 2


def answer(folder: Path, given: Given) -> None:
    path: tuple[str | int, ...] = ("results", 0, "classes", 0)
    names = ("a", "b", "c")
    for take in (
        Take(pairs=path, classes=names),
        Take(scores=path, classes=names),
        Take(label=("results",), classes=names),
    ):
        codec = PlainCodec("http://x", Ask(image="body"), take, NUMBERS)
        with contextlib.suppress(Fault):
            assert len(codec.read(given, {}, 1)) == 1


def ledgers() -> st.SearchStrategy[Given]:
    lines = [{"for": "units", "asked": 16}, {"for": "units", "sent": 16, "requests": 1}, {"for": "canary", "asked": 1}]
    whole = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    return damaged([whole]) | st.lists(json_bytes(lines)).map(lambda parts: b"".join(part + b"\n" for part in parts))


def ledger(folder: Path, given: Given) -> None:
    put(folder / "ledger.jsonl", given)
    found = stored_ledger(folder)
    assert found is not None
    json.dumps({name: vars(counts) for name, counts in found.items()})


@lru_cache
def kept_file() -> bytes:
    """A file of answers, with one generation of one canary and one answer."""
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        kept = KeptAnswers(Path(place), {"url": "x"})
        image = np.zeros((1, 8, 8), np.uint8)
        kept.begin([(image, np.ones(3, np.float32))])
        kept.put(image[None], [np.ones(3, np.float32)])
        kept.confirm()
        kept.close()
        return (Path(place) / FILE).read_bytes()


def kept(folder: Path, given: Given) -> None:
    put(folder / FILE, given)
    answers = KeptAnswers(folder, {"url": "x"})
    try:
        for generation in answers.generations():
            answers.canaries(generation)
            answers.go_on(generation)
        answers.get(np.zeros((2, 1, 8, 8), np.uint8))
        answers.drop()
    finally:
        answers.close()


READERS = (
    Reader("endpoint description", lambda: damaged(DESCRIPTIONS), description),
    Reader("model metadata", lambda: json_bytes(METADATA), metadata),
    Reader("tensors", tensors, tensor),
    Reader("JSON answers", lambda: json_bytes(ANSWERS), answer),
    Reader("ledger", ledgers, ledger),
    Reader("kept answers", lambda: damaged([kept_file()]), kept),
)
