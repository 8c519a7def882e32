"""Endpoints of no protocol: images into JSON or a form, scores out of JSON, by paths that the user gives."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pinprick.data.decode import encode_png
from pinprick.targets.remote.codec import Codec, Numbers, json_text, number_array, read_json
from pinprick.targets.remote.wire import Fault, Request

Path = tuple[str | int, ...]
"""Where something stands in JSON: names, and places in lists (from the end where negative). Empty: all of it."""
_HERE = "\0image\0"
"""Stands in the text of a body where the image goes, with more behind it where the body holds it itself."""


@dataclass(frozen=True)
class Ask:
    """How images go in.

    Parameters
    ----------
    image : ``nested`` lists of numbers; ``png``, base64 text, behind ``prefix``; ``upload``, a file of a form;
        ``body``, a PNG file as the whole request.
    field : where in ``body`` the image goes, or the list of images; the file's name in a form.
    each : where in an entry of that list one image stands.
    batch : images a request at most, in a list; 0 for one by itself.
    body : the rest of the JSON, or of the form.
    """

    method: Literal["POST", "PUT"] = "POST"
    image: Literal["nested", "png", "upload", "body"] = "nested"
    field: Path = ()
    each: Path = ()
    batch: int = 0
    body: Any = None
    prefix: str = ""


@dataclass(frozen=True)
class Take:
    """Where the scores come out.

    Parameters
    ----------
    answers : the list with an entry an image, where several are asked for at once.
    scores : in an image's entry, a list of scores in the order of the classes, or an object with the classes' names.
    pairs : a list of objects in place of that, each with a class under ``name`` and its score under ``score``.
    label : a class alone, by number or name.
    classes : names in the order of the scores.
    missing : the score of classes that are left out; None where none may be.
    """

    answers: Path = ()
    scores: Path | None = None
    pairs: Path | None = None
    name: Path = ("label",)
    score: Path = ("score",)
    label: Path | None = None
    classes: tuple[str, ...] | None = None
    missing: float | None = None


class PlainCodec(Codec):
    """Requests and answers of an endpoint that a TOML file describes."""

    def __init__(self, url: str, ask: Ask, take: Take, numbers: Numbers) -> None:
        self.url, self.ask, self.take, self.numbers = url, ask, take, numbers
        self.batch = ask.batch or 1
        self._places = {name: place for place, name in enumerate(take.classes or ())}
        self._here = _HERE
        while json.dumps(self._here)[1:-1] in json.dumps([ask.body, ask.field, ask.each]):
            self._here += _HERE

    def request(self, images: NDArray[np.uint8]) -> Request:
        ask = self.ask
        if ask.image in ("upload", "body"):
            files = [encode_png(image) for image in images]
            if ask.image == "body":
                return Request(ask.method, self.url, files[0], {"Content-Type": "image/png"})
            content, kind = form(ask.body or {}, str(ask.field[0]), files)
            return Request(ask.method, self.url, content, {"Content-Type": kind})
        entry: Any = put(None, ask.each, self._here) if ask.batch else self._here
        whole = put(ask.body, ask.field, [entry] * len(images) if ask.batch else entry)
        pieces = json.dumps(whole).split(json.dumps(self._here))
        texts = self._texts(images)
        content = "".join([pieces[0], *(text + rest for text, rest in zip(texts, pieces[1:], strict=True))]).encode()
        return Request(ask.method, self.url, content, {"Content-Type": "application/json"})

    def _texts(self, images: NDArray[np.uint8]) -> list[str]:
        """Each image as JSON."""
        if self.ask.image == "nested":
            return [json_text(image) for image in self.numbers.texts(images)]
        return [json.dumps(self.ask.prefix + base64.b64encode(encode_png(image)).decode()) for image in images]

    def read(self, content: bytes, headers: Mapping[str, str], n: int) -> NDArray[Any]:  # noqa: ARG002
        found = read_json(content)
        if self.ask.batch:
            entries = follow(found, self.take.answers)
            if not isinstance(entries, list) or len(entries) != n:
                many = f"{len(entries)} answers" if isinstance(entries, list) else f"a {type(entries).__name__}"
                raise Fault(f"the answer has {many} for {n} images")
        else:
            entries = [follow(found, self.take.answers)]
        rows = [self._row(entry) for entry in entries]
        if len({np.shape(row) for row in rows}) > 1:
            raise Fault("the answer has rows of differing lengths")
        return np.array(rows)

    def _row(self, entry: Any) -> NDArray[np.float64] | int:
        take = self.take
        if take.label is not None:
            return self._class(follow(entry, take.label))
        if take.pairs is not None:
            pairs = follow(entry, take.pairs)
            if not isinstance(pairs, list):
                raise Fault(f"the answer has a {type(pairs).__name__} in the place of label and score pairs")
            return self._named([(follow(pair, take.name), follow(pair, take.score)) for pair in pairs])
        scores = follow(entry, take.scores or ())
        if isinstance(scores, dict):
            return self._named(list(scores.items()))
        row = number_array(scores, "the answer")
        if row.ndim != 1:
            raise Fault(f"the answer has scores of shape {row.shape} for one image")
        return row

    def _class(self, value: Any) -> int:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if not isinstance(value, str) or value not in self._places:
            raise Fault(f"the answer has the class {value!r:.40}, which is none of those given")
        return self._places[value]

    def _named(self, pairs: Sequence[tuple[Any, Any]]) -> NDArray[np.float64]:
        """A row from names and scores."""
        row = np.full(len(self._places), np.nan)
        known = np.zeros(len(row), bool)
        for name, score in pairs:
            if not isinstance(name, str) or name not in self._places:
                raise Fault(f"the answer has the class {name!r:.40}, which is none of those given")
            place = self._places[name]
            if known[place]:
                raise Fault(f"the answer has the class {name!r:.40} twice")
            row[place], known[place] = number_array([score], "the answer")[0], True
        if not known.all():
            if self.take.missing is None:
                lacking = list(self._places)[int(np.argmin(known))]
                raise Fault(f"the answer lacks the class {lacking!r:.40}; missing = 0.0 in [answer] fills such ones in")
            row[~known] = self.take.missing
        return row

    def identity(self) -> dict[str, Any]:
        ask = {name: value for name, value in vars(self.ask).items() if name != "batch"}
        own = {"request": json.dumps(ask, sort_keys=True), "answer": json.dumps(vars(self.take), sort_keys=True)}
        return {"protocol": "plain"} | own | (self.numbers.identity() if self.ask.image == "nested" else {})


def follow(value: Any, path: Path) -> Any:
    """What stands at a path.

    Raises
    ------
    Fault : nothing does.
    """
    for step in path:
        if isinstance(value, list) and isinstance(step, int) and -len(value) <= step < len(value):
            value = value[step]
        elif isinstance(value, dict) and str(step) in value:
            value = value[str(step)]
        else:
            whole = ".".join(map(str, path))
            there = f"a list of {len(value)}" if isinstance(value, list) else f"a {type(value).__name__}"
            if isinstance(value, dict):
                there = f"an object of {', '.join(sorted(value))[:60] or 'nothing'}"
            raise Fault(f"the answer has no {whole!r} (in the place of {str(step)!r} there is {there})")
    return value


def put(value: Any, path: Path, new: Any) -> Any:
    """A copy of ``value`` with ``new`` at a path; objects on the way are made where there are none.

    Raises
    ------
    ValueError : something else stands on the way.
    """
    if not path:
        return new
    step, rest = path[0], path[1:]
    if isinstance(value, list) and isinstance(step, int) and -len(value) <= step < len(value):
        several = copy.deepcopy(value)
        several[step] = put(several[step], rest, new)
        return several
    if value is not None and not isinstance(value, dict):
        raise ValueError(f"there is a {type(value).__name__} at {str(step)!r}")
    return {**copy.deepcopy(value or {}), str(step): put((value or {}).get(str(step)), rest, new)}


def form(fields: Mapping[str, Any], name: str, files: Sequence[bytes]) -> tuple[bytes, str]:
    """A form with files, ``multipart/form-data`` (RFC 7578), and its content type."""
    boundary = hashlib.blake2b(b"".join(files), digest_size=16).hexdigest()
    parts = []
    for field_name, value in fields.items():
        text = value if isinstance(value, str) else json.dumps(value)
        parts.append(f'Content-Disposition: form-data; name="{_quoted(field_name)}"\r\n\r\n{text}\r\n'.encode())
    for number, file in enumerate(files):
        head = f'Content-Disposition: form-data; name="{_quoted(name)}"; filename="{number}.png"\r\n'
        parts.append(f"{head}Content-Type: image/png\r\n\r\n".encode() + file + b"\r\n")
    mark = f"--{boundary}\r\n".encode()
    return b"".join(
        mark + part for part in parts
    ) + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def _quoted(name: str) -> str:
    """A name as HTML forms write it."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
