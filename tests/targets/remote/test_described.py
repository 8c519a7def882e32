"""Endpoints that a TOML file describes: how images go in, where scores come out, and what is refused."""

from __future__ import annotations

import base64
import email.parser
import email.policy
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pinprick.data.digits import digits
from pinprick.errors import InputError
from pinprick.targets.calls import Calls
from pinprick.targets.loading import load_target
from pinprick.targets.remote.target import HttpTarget
from tests.conftest import digits_net
from tests.servers_http import V2, Reply, digits_scores, serving

NAMES = [f"digit {place}" for place in range(10)]
Images = NDArray[np.float32]


def described(folder: Path, url: str, text: str, **options: Any) -> HttpTarget:
    """The target of a TOML file with ``text`` after its url."""
    path = folder / "endpoint.toml"
    path.write_text(f'url = "{url}/classify"\n{text}')
    given: dict[str, Any] = {"calls": Calls(timeout=5, retries=0)} | options
    target = load_target(str(path), **given)
    assert isinstance(target, HttpTarget)
    return target


def from_png(data: bytes) -> Images:
    return np.asarray(Image.open(io.BytesIO(data)), np.float32)[None] / np.float32(255)


def uploaded(headers: Mapping[str, str], content: bytes) -> list[tuple[str, str | None, bytes]]:
    """Name, file name and content of the parts of a form, as Python's own library reads them."""
    head = f"Content-Type: {headers['Content-Type']}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + content)
    parts = []
    for part in message.iter_parts():
        name, raw = part.get_param("name", header="content-disposition"), part.get_payload(decode=True)
        assert isinstance(raw, bytes)
        parts.append((str(name), part.get_filename(), raw))
    return parts


def pairs(row: NDArray[Any]) -> list[dict[str, Any]]:
    best_first = np.argsort(-row)
    return [{"label": NAMES[place], "score": float(row[place])} for place in best_first]


def nested(headers: Mapping[str, str], content: bytes) -> Any:
    images = np.array(json.loads(content)["instances"], np.float32)
    return {"predictions": [{"scores": row.tolist()} for row in digits_scores(images)]}


def nested_last(headers: Mapping[str, str], content: bytes) -> Any:
    images = np.array(json.loads(content), np.float32).transpose(2, 0, 1)[None] / np.float32(255)
    return dict(zip(NAMES, digits_scores(images)[0].tolist(), strict=True))


def png(headers: Mapping[str, str], content: bytes) -> Any:
    body = json.loads(content)
    assert body["options"] == {"top": 10}
    images = [from_png(base64.b64decode(one["image"]["b64"].removeprefix("data:"))) for one in body["inputs"]]
    return [pairs(row) for row in digits_scores(np.stack(images))]


def upload(headers: Mapping[str, str], content: bytes) -> Any:
    (top, *files) = uploaded(headers, content)
    assert top == ("top", None, b"10")
    assert all(name == "file" and given and given.endswith(".png") for name, given, _ in files)
    return {"results": {"scores": digits_scores(np.stack([from_png(data) for _, _, data in files])).tolist()}}


def whole_body(headers: Mapping[str, str], content: bytes) -> Any:
    assert headers["Content-Type"] == "image/png"
    return pairs(digits_scores(from_png(content)[None])[0])


def label(headers: Mapping[str, str], content: bytes) -> Any:
    return {"class": NAMES[int(digits_scores(from_png(content)[None])[0].argmax())]}


ENDPOINTS: list[tuple[Callable[[Mapping[str, str], bytes], Any], str]] = [
    (
        nested,
        """outputs = "logits"
classes = 10
[request]
image = "nested"
field = "instances"
batch = 7
[answer]
answers = "predictions"
scores = "scores"
""",
    ),
    (
        nested_last,
        f"""outputs = "logits"
classes = {NAMES}
[request]
image = "nested"
pixels = "byte"
layout = "NHWC"
[answer]
scores = ""
""",
    ),
    (
        png,
        f"""outputs = "logits"
classes = {NAMES}
[request]
image = "png"
field = "inputs"
each = "image.b64"
prefix = "data:"
batch = 4
body = {{ options = {{ top = 10 }} }}
[answer]
pairs = ""
""",
    ),
    (
        upload,
        """outputs = "logits"
[request]
image = "upload"
field = "file"
batch = 3
body = { top = 10 }
[answer]
answers = "results.scores"
scores = ""
""",
    ),
    (
        whole_body,
        f"""outputs = "logits"
classes = {NAMES}
[request]
image = "body"
method = "PUT"
[answer]
pairs = []
""",
    ),
]


@pytest.fixture(autouse=True, scope="module")
def trained() -> None:
    """The net is trained when it is first asked for, which is no matter of anybody's time-out."""
    digits_net()


def answering(read: Callable[[Mapping[str, str], bytes], Any]) -> Callable[..., Reply]:
    return lambda method, path, headers, content: Reply(content=json.dumps(read(headers, content)).encode())


@pytest.mark.parametrize(("read", "text"), ENDPOINTS, ids=[read.__name__ for read, _ in ENDPOINTS])
def test_images_go_in_and_scores_come_out(
    read: Callable[[Mapping[str, str], bytes], Any], text: str, tmp_path: Path
) -> None:
    images = digits("test").stack(range(12))
    with serving(answering(read)) as url:
        target = described(tmp_path, url, text)
        answers = target.answers(images, 64, fresh=False)
    assert not answers.reasons
    assert np.array_equal(answers.scores.astype(np.float32), digits_scores(images.astype(np.float32) / np.float32(255)))
    assert target.outputs == "logits"


@pytest.mark.parametrize("query", ["?X-Amz-Signature=abc", "?api%5Fkey=abc", "?a=1;auth=abc", "#token=abc"])
def test_addresses_with_a_secret_in_them_are_refused(query: str, tmp_path: Path) -> None:
    """Addresses go into manifests."""
    (tmp_path / "endpoint.toml").write_text(f'url = "http://127.0.0.1:9/{query}"\n{REQUEST}{ANSWER}')
    with pytest.raises(InputError, match=r"looks like a secret|behind '#'") as error:
        load_target(str(tmp_path / "endpoint.toml"))
    assert "abc" not in str(error.value)


@pytest.mark.parametrize("batch", [0, 3])
def test_a_body_may_hold_any_text_and_names_that_only_sound_like_a_secret_s(batch: int, tmp_path: Path) -> None:
    more = {"a": "\0image\0", "\0image\0\0image\0": '"', "key": "x", "tokens": 3, "password": ""}
    body = ", ".join(f"{json.dumps(name)} = {json.dumps(value)}" for name, value in more.items())
    images = digits("test").stack(range(3))
    seen: list[Any] = []

    def read(headers: Mapping[str, str], content: bytes) -> Any:
        found = json.loads(content)
        seen.extend(found.pop("x") if batch else [found.pop("x")])
        assert found == more
        return [[1, 2]] * (min(3, batch) or 1)

    answers = "" if batch else 'answers = "0"\n'
    with serving(answering(read)) as url:
        text = f'outputs = "logits"\n{JSON}pixels = "byte"\nbody = {{ {body} }}\nbatch = {batch}\n[answer]\n{answers}'
        one_by_one = Calls(timeout=5, retries=0, concurrency=1)
        described(tmp_path, url, text + 'scores = ""\n', calls=one_by_one).answers(images, 64, fresh=False)
    assert np.array_equal(np.array(seen), images)


def test_an_endpoint_of_labels(tmp_path: Path) -> None:
    text = f'classes = {NAMES}\n[request]\nimage = "body"\n[answer]\nlabel = "class"\n'
    images = digits("test").stack(range(5))
    with serving(answering(label)) as url:
        target = described(tmp_path, url, text)
        answers = target.answers(images, 64, fresh=False)
    assert target.outputs == "labels"
    assert (
        answers.scores.argmax(1).tolist()
        == digits_scores(images.astype(np.float32) / np.float32(255)).argmax(1).tolist()
    )


def test_a_model_of_the_protocol_may_be_described_too(tmp_path: Path) -> None:
    server = V2()
    images = digits("test").stack(range(5))
    with serving(server) as url:
        path = tmp_path / "model.toml"
        path.write_text(
            f'url = "{url}/v2/models/digits"\nprotocol = "v2"\noutputs = "logits"\nheaders = {{ "X-Team" = "a" }}\n'
            '[v2]\nlayout = "NCHW"\ntensors = "json"\nbatch = 2\ninput = "image"\noutput = "scores"\n'
        )
        target = load_target(str(path))
        answers = target.answers(images, 64, fresh=False)
    assert answers is not None
    assert [kind for kind, _ in server.requests] == ["json"] * 3
    assert sorted(n for _, n in server.requests) == [1, 2, 2]
    assert server.seen[0]["X-Team"] == "a"


REQUEST = '[request]\nimage = "body"\n'
JSON = '[request]\nimage = "nested"\nfield = "x"\n'
ANSWER = '[answer]\nscores = ""\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "request and answer are missing"),
        (REQUEST, "request and answer are missing"),
        (f"{REQUEST}[answer]\n", "answer: give one of scores, pairs and label"),
        (f'{REQUEST}[answer]\nscores = ""\npairs = ""\n', "give one of scores, pairs and label"),
        (f'{REQUEST}[answer]\npairs = ""\n', "pairs need classes"),
        (f'{REQUEST}[answer]\nscores = "a..b"\n', "answer.scores: a path is"),
        (f"{REQUEST}[answer]\nscores = 3\n", "answer.scores: give a path"),
        (f"{REQUEST}[answer]\nscors = 3\n", "answer: there is no 'scors'. Did you mean scores"),
        (f"timeot = 3\n{REQUEST}{ANSWER}", "there is no 'timeot'. Did you mean timeout"),
        (f"timeout = 'a'\n{REQUEST}{ANSWER}", "timeout: "),
        (f"retries = -1\n{REQUEST}{ANSWER}", "--retries: -1"),
        (f"classes = ['a']\n{REQUEST}{ANSWER}", "two or more different names"),
        (f"classes = ['a', 'a']\n{REQUEST}{ANSWER}", "two or more different names"),
        ('[request]\nimage = "upload"\n' + ANSWER, "request: an upload needs a field"),
        ('[request]\nimage = "body"\nbatch = 3\n' + ANSWER, "request: a PNG file is the whole request"),
        ('[request]\nimage = "png"\nfield = "a.b"\nbody = { a = 3 }\n' + ANSWER, "request: there is a int at 'b'"),
        ('[request]\nimage = "pgn"\n' + ANSWER, "request.image: input should be 'nested'"),
        (f'headers = {{ Authorization = "Bearer abc" }}\n{REQUEST}{ANSWER}', "Authorization looks like a secret"),
        (f'headers = {{ X-Api-Key = "abc" }}\n{REQUEST}{ANSWER}', "X-Api-Key looks like a secret"),
        (f'headers = {{ X-Goog-Api-Key = "abc" }}\n{REQUEST}{ANSWER}', "X-Goog-Api-Key looks like a secret"),
        (f'headers = {{ Ocp-Apim-Subscription-Key = "abc" }}\n{REQUEST}{ANSWER}', "looks like a secret"),
        (f'headers = {{ Content-Length = "3" }}\n{REQUEST}{ANSWER}', "Content-Length is written by"),
        (f'headers = {{ "a b" = "abc" }}\n{REQUEST}{ANSWER}', "no name of a header"),
        (f'auth-prefix = "Be\\r\\nX: "\n{REQUEST}{ANSWER}', "auth-prefix: characters that no header may hold"),
        (f"classes = 1\n{REQUEST}{ANSWER}", "classes: input should be greater than or equal to 2"),
        (f"classes = 10000000000\n{REQUEST}{ANSWER}", "classes: input should be less than or equal to 1048576"),
        (
            f'{JSON}body = {{ a = [{{ api_key = "abc" }}] }}\n{ANSWER}',
            "request.body: what is under api_key looks like a secret",
        ),
        (f'{JSON}body = {{ Access-Token = "abc" }}\n{ANSWER}', "request.body: what is under Access-Token looks"),
        (f"{JSON}body = {{ a = 1979-05-27 }}\n{ANSWER}", "request.body: dates, times, nan"),
        (f"{JSON}body = {{ a = nan }}\n{ANSWER}", "request.body: dates, times, nan"),
        (f'certificates = "no.pem"\n{REQUEST}{ANSWER}', "certificates .*no.pem cannot be read"),
        (f'certificates = "no.pem"\nverify-tls = false\n{REQUEST}{ANSWER}', "certificates, and verify-tls = false"),
        ("[request\n", "not TOML"),
        (f'outputs = "logits"\n{REQUEST}[answer]\nlabel = "a"\n', "a label alone is no logits"),
    ],
)
def test_descriptions_that_are_none(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message) as error:
        described(tmp_path, "http://127.0.0.1:9", text)
    assert "abc" not in str(error.value)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ([], r"no 'a\.b'"),
        ({"a": {}}, r"no 'a\.b' \(in the place of 'b' there is an object of nothing"),
        ({"a": {"b": 3}}, "a int in the place of a list"),
        ({"a": {"b": ["x", 1]}}, "'x' in the place of a number"),
        ({"a": {"b": [True, 1]}}, "True in the place of a number"),
        ({"a": {"b": [[1, 2], [3, 4]]}}, r"shape \(2, 2\) for one image"),
        ({"a": {"b": {"cat": 1}}}, r"lacks the class 'dog'; missing = 0\.0 in \[answer\]"),
        ({"a": {"b": {"cat": 1, "dog": 2, "fox": 3}}}, "class 'fox', which is none"),
        ({"a": {"b": [1, 2, 3]}}, "3 classes where it has 2"),
        ({"a": {"b": [1, None]}}, "not finite"),
    ],
)
def test_answers_that_are_none(answer: Any, reason: str, tmp_path: Path) -> None:
    text = f'outputs = "logits"\nclasses = ["cat", "dog"]\n{REQUEST}[answer]\nscores = "a.b"\n'
    with serving(lambda *_: Reply(content=json.dumps(answer).encode())) as url:
        target = described(tmp_path, url, text)
        answers = target.answers(digits("test").stack([0]), 64, fresh=False)
    assert list(answers.reasons) == [0]
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(answers.reasons[0])


def test_classes_that_an_endpoint_leaves_out_have_the_score_that_was_given_for_these(tmp_path: Path) -> None:
    text = f'outputs = "probabilities"\nclasses = ["cat", "dog", "fox"]\n{REQUEST}[answer]\npairs = ""\nmissing = 0.0\n'
    answer = [{"label": "fox", "score": 0.7}, {"label": "cat", "score": 0.2}]
    with serving(lambda *_: Reply(content=json.dumps(answer).encode())) as url:
        answers = described(tmp_path, url, text).answers(digits("test").stack([0]), 64, fresh=False)
    assert answers.scores.tolist() == [[0.2, 0.0, 0.7]]
