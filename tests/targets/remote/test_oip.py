"""Models behind the Open Inference Protocol: what is sent, what comes back, and what is remembered of the server."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pinprick.data.digits import digits
from pinprick.errors import InputError
from pinprick.targets.calls import Calls
from pinprick.targets.loading import load_target
from pinprick.targets.remote.target import HttpTarget
from tests.conftest import digits_target
from tests.servers_http import V2, serving

FAST = Calls(timeout=5, retries=0)
MODEL = "/v2/models/digits"


def http_target(url: str, **options: Any) -> HttpTarget:
    given: dict[str, Any] = {"outputs": "logits", "calls": FAST} | options
    target = load_target(url, **given)
    assert isinstance(target, HttpTarget)
    return target


def some(n: int = 20) -> NDArray[np.uint8]:
    return digits("test").stack(range(n))


@pytest.mark.parametrize(
    ("server", "kinds"),
    [
        (V2(), {"binary"}),
        (V2(says=None), {"binary"}),
        (V2(says=()), {"json"}),
        (V2(says=("model_repository",)), {"json"}),
        (V2(says=None, binary=False), {"json"}),
        (V2(datatype="UINT8"), {"binary"}),
        (V2(datatype="UINT8", binary=False), {"json"}),
        (V2(shape=(-1, 8, 8, 1)), {"binary"}),
        (V2(shape=(-1, 8, 8, 1), says=("x",)), {"json"}),
        (V2(datatype="FP64"), {"binary"}),
    ],
)
def test_scores_are_those_of_the_model_itself(server: V2, kinds: set[str]) -> None:
    images = some()
    with serving(server) as url:
        answers = http_target(url + MODEL).answers(images, 64, fresh=False)
    local = digits_target()
    assert np.array_equal(answers.scores, local.scores(local.images(np.resize(images, (64, 1, 8, 8))))[:20])
    assert {kind for kind, _ in server.requests} == kinds
    assert (answers.sent >= 1).all()


@pytest.mark.parametrize("status", [400, 415, 422, 500])
def test_a_server_that_refuses_binary_tensors_is_asked_in_json_from_then_on(status: int) -> None:
    server = V2(says=None, binary=False, refuses=status)
    with serving(server) as url:
        target = http_target(url + MODEL, calls=Calls(retries=5, concurrency=1))
        first = target.answers(some(), 64, fresh=False)
        posts = sum("Inference-Header-Content-Length" in headers for headers in server.seen)
        target.answers(some(), 64, fresh=False)
        assert posts == sum("Inference-Header-Content-Length" in headers for headers in server.seen) == 1
    assert first.sent.tolist() == [2] * 16 + [1] * 4
    assert target.ledger.total().retried == 16


def test_no_server_and_no_such_model() -> None:
    with serving(V2()) as url, pytest.raises(InputError, match=r"404.*Give the model's name"):
        http_target(url + "/v2/models/other")
    with pytest.raises(InputError, match=r"metadata cannot be read: no answer.*Is the server up"):
        http_target(url + MODEL)
