"""Models behind the Open Inference Protocol: what is sent, what comes back, and what is remembered of the server."""

from __future__ import annotations

import json
import threading
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from pinprick.data.digits import digits
from pinprick.errors import InputError
from pinprick.models.preprocessing import Preprocess, parse_normalisation
from pinprick.targets.calls import Calls
from pinprick.targets.loading import load_target
from pinprick.targets.remote.codec import Numbers
from pinprick.targets.remote.oip import OipCodec
from pinprick.targets.remote.target import HttpTarget
from pinprick.targets.remote.wire import Fault
from tests.conftest import digits_target, random_images
from tests.servers_http import V2, Reply, digits_scores, serving, tensor_reply

NUMBERS = Numbers(whole=False, normalize=None, order=None, layout="NCHW")
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


def test_a_request_that_is_too_large_is_halved_and_no_image_is_lost() -> None:
    server, images = V2(most=5), some(33)
    with serving(server) as url:
        target = http_target(url + MODEL)
        first = target.answers(images, 64, fresh=False)
        before = len(server.requests)
        second = target.answers(images, 64, fresh=False)
    assert np.array_equal(first.scores, digits_scores(images.astype(np.float32) / np.float32(255)))
    assert np.array_equal(second.scores, first.scores)
    assert max(n for _, n in server.requests) <= 5
    assert (second.sent == 1).all(), "what it takes is remembered"
    assert sum(n for _, n in server.requests[before:]) == 33
    counts = target.ledger.total()
    assert counts.answered == 66
    assert counts.sent - counts.retried == 66
    assert counts.sent == int(first.sent.sum() + second.sent.sum())


def test_an_image_that_the_server_refuses_fails_alone_and_costs_no_other() -> None:
    images = some(16)
    guilty = images[5].astype(np.float32) / np.float32(255)

    def refuse(number: int, asked: NDArray[np.float32]) -> Reply | None:
        return Reply(422, b"I do not like it") if (asked == guilty).all(axis=(1, 2, 3)).any() else None

    server = V2(fault=refuse)
    with serving(server) as url:
        target = http_target(url + MODEL, calls=Calls(retries=3))
        answers = target.answers(images, 64, fresh=False)
        target.answers(images[6:], 64, fresh=False)
    assert list(answers.reasons) == [5]
    assert "I do not like it" in answers.reasons[5]
    assert len(server.requests) <= 2 * 5 + 1
    assert server.requests[-1][1] == 10, "large requests are still sent"


@pytest.mark.parametrize("concurrency", [1, 3])
def test_so_many_requests_go_at_a_time(concurrency: int) -> None:
    lock, now, most = threading.Lock(), 0, 0
    together = threading.Barrier(concurrency)

    def classify(images: NDArray[np.float32]) -> NDArray[np.float32]:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        together.wait(30)
        with lock:
            now -= 1
        return digits_scores(images)

    with serving(V2(classify=classify, shape=(1, 1, 8, 8))) as url:
        target = http_target(url + MODEL, calls=Calls(concurrency=concurrency, retries=0, timeout=60))
        assert not target.answers(some(2 * concurrency), 64, fresh=False).reasons
    assert most == concurrency


def test_half_precision_goes_as_binary_tensors() -> None:
    server, images = V2(datatype="FP16", says=()), some(3)
    with serving(server) as url:
        http_target(url + MODEL).answers(images, 64, fresh=False)
    assert {kind for kind, _ in server.requests} == {"binary"}
    assert np.array_equal(server.images[0], (images / 255).astype(np.float16))


@pytest.mark.parametrize(("normalize", "order"), [("half", None), ("0..255", None), ("cifar10", "bgr")])
@pytest.mark.parametrize("says", [("binary_tensor_data",), ("none",)])
def test_what_is_sent_is_what_a_torch_target_would_be_given(
    normalize: str, order: str | None, says: tuple[str, ...]
) -> None:
    images = random_images(3, (3, 9, 12))
    server = V2(shape=(-1, 3, -1, -1), says=says, classify=lambda x: x.reshape(len(x), -1)[:, :10])
    mean, std = parse_normalisation(normalize)
    wanted = Preprocess(mean, std, order or "rgb")(torch.from_numpy(images).float() / 255).numpy()
    with serving(server) as url:
        http_target(url + MODEL, normalize=normalize, order=order).answers(images, 64, fresh=False)
    assert np.allclose(server.images[0], wanted, rtol=1e-6, atol=1e-6)
    if normalize == "0..255":
        assert np.array_equal(server.images[0], images)


def metadata(inputs: Any, outputs: Any = ()) -> Any:
    told = {"name": "m", "inputs": inputs, "outputs": list(outputs)}

    def answer(method: str, path: str, headers: Any, content: bytes) -> Reply:
        return Reply(content=json.dumps(told).encode()) if path != "/v2" else Reply(404)

    return answer


def image_input(shape: list[Any], datatype: str = "FP32", name: str = "x") -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape}


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        ([], [], "its metadata name no input"),
        ([image_input([-1, 3, 9, 9]), image_input([-1, 2], name="y")], [], "it has the inputs 'x', 'y'"),
        ([image_input([-1, 3, 9, 9])], [image_input([-1, 2]), image_input([-1, 4], name="y")], "the outputs 'x', 'y'"),
        ([image_input([-1, 3, 9, 9], "BYTES")], [], "the data type 'BYTES'"),
        ([image_input([-1, 100])], [], "no shape of images"),
        ([image_input([-1, 3, 9, 3])], [], "may be of either layout"),
        ([image_input([-1, -1, -1, -1])], [], "may be of either layout"),
        ([image_input([-1, 4, 9, 9])], [], "may be of either layout"),
        ([image_input([8, 3, 9, 9])], [], "takes 8 images a request"),
        ([{"name": "x"}], [], "metadata that are none"),
        ([3], [], "metadata that are none"),
        ([image_input([-1, 3, float("inf"), 9])], [], "metadata that are none"),
        ([image_input([-1, 3, 9, 9])], [image_input([-1, 10**12])], "its output has 1000000000000 classes"),
        (3, [], "metadata that are none"),
    ],
)
def test_models_that_take_no_images_are_refused(inputs: Any, outputs: Any, message: str) -> None:
    with serving(metadata(inputs, outputs)) as url, pytest.raises(InputError, match=message):
        http_target(f"{url}/v2/models/m")


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [
        ([-1, 3, 9, 12], (3, 9, 12)),
        ([3, 9, 12], (3, 9, 12)),
        ([1, 9, 12, 3], (3, 9, 12)),
        ([9, 12, 1], (1, 9, 12)),
        ([-1, -1, -1, 3], None),
    ],
)
def test_the_shape_is_read_from_the_metadata(shape: list[int], wanted: tuple[int, int, int] | None) -> None:
    with serving(metadata([image_input(shape)], [image_input([-1, 7], name="y")])) as url:
        target = http_target(f"{url}/v2/models/m/versions/2")
    assert target.shape == wanted
    assert target.classes == 7
    assert target.codec.batch == (1 if shape[0] == 1 else 16)
    assert target.identity()["url"].endswith("/v2/models/m/versions/2")


@given(rows=arrays(np.float32, (3, 4), elements=st.floats(width=32, allow_nan=False)), binary=st.booleans())
def test_any_scores_come_out_as_they_went_in(rows: NDArray[np.float32], binary: bool) -> None:
    reply = tensor_reply(rows, binary=binary)
    codec = OipCodec("http://x", "x", "scores", "FP32", NUMBERS, 4, "json")
    assert np.array_equal(codec.read(reply.content, reply.headers, 3), rows)


@pytest.mark.parametrize("length", ["\u00b2", "9" * 5000, "-3", "+3", "3 ", "1_0", ""])
def test_a_length_that_is_no_number_is_told(length: str) -> None:
    reply = tensor_reply(np.ones((2, 4), np.float32))
    codec = OipCodec("http://x", "x", "scores", "FP32", NUMBERS, 4, "json")
    headers = {"Inference-Header-Content-Length": length}
    if not length:
        assert codec.read(reply.content, headers, 2).shape == (2, 4)
        return
    with pytest.raises(Fault, match="cut off"):
        codec.read(reply.content, headers, 2)


@pytest.mark.parametrize("first", ["scores", "other"])
def test_of_two_outputs_of_one_name_none_is_taken(first: str) -> None:
    entries = [
        json.loads(tensor_reply(np.full((2, 4), value, np.float32), name).content)["outputs"][0]
        for name, value in ((first, 1), ("scores", 2))
    ]
    codec = OipCodec("http://x", "x", "scores", "FP32", NUMBERS, 4, "json")
    content = json.dumps({"outputs": entries}).encode()
    if first == "other":
        assert (codec.read(content, {}, 2) == 2).all(), "the order does not matter"
        return
    with pytest.raises(Fault, match="more than one output 'scores'"):
        codec.read(content, {}, 2)


def test_a_server_that_gives_the_secret_back_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of inputs and of the platform go into manifests and messages."""
    monkeypatch.setenv("PINPRICK_TEST_TOKEN", "s3cret-token")
    for inputs in ([image_input([-1, 3, 9, 9], name="Bearer s3cret-token")], [{"name": "s3cret-token"}]):
        with serving(metadata(inputs, [])) as url, pytest.raises(InputError, match="hold the secret") as error:
            http_target(f"{url}/v2/models/m", calls=Calls(timeout=5, retries=0, auth_env="PINPRICK_TEST_TOKEN"))
        assert "s3cret" not in str(error.value)


@given(data=st.data(), binary=st.booleans())
def test_damaged_answers_are_no_answers_or_whole_ones(data: st.DataObject, binary: bool) -> None:
    rows = np.arange(12, dtype=np.float32).reshape(3, 4)
    reply = tensor_reply(rows, binary=binary)
    content = bytearray(reply.content)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        if data.draw(st.booleans()):
            content[place] = data.draw(st.integers(0, 255))
        else:
            del content[place]
    codec = OipCodec("http://x", "x", "scores", "FP32", NUMBERS, 4, "json")
    try:
        found = codec.read(bytes(content), reply.headers, 3)
    except Fault:
        return
    assert found.shape[0] == 3
