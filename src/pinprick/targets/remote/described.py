"""Endpoints that a TOML file describes (docs/remote.md)."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pinprick.errors import InputError, UnknownNameError
from pinprick.paths import check_ordinary, given_path
from pinprick.targets.base import Outputs
from pinprick.targets.calls import Calls
from pinprick.targets.loading import Options
from pinprick.targets.remote import plain
from pinprick.targets.remote.codec import Layout, Numbers
from pinprick.targets.remote.loading import LAYOUTS, SECRET, check_url, load_v2
from pinprick.targets.remote.oip import MOST_CLASSES, Wanted, model_url
from pinprick.targets.remote.secret import Secret
from pinprick.targets.remote.target import HttpTarget
from pinprick.targets.remote.wire import Wire

LARGEST_FILE = 2**20
"""Bytes of a description."""
_SEE = "See docs/remote.md."
_SECRET_HEADER = re.compile(r"authorization|proxy-authorization|cookie|x-api-key|api-key|apikey")
_SECRET_ENTRY = re.compile(
    r"(.*[-_. ])?(password|passwd|pwd|secret|authorization|token"
    r"|(api|access|auth|bearer|client|private|security|subscription)[-_. ]?(key|token|secret))"
)
_MADE = ("connection", "content-length", "content-type", "transfer-encoding")
"""Headers that say how a request is written."""
_Batch = Annotated[int, Field(ge=0, le=2**16)]


class _Part(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        alias_generator=lambda name: name.replace("_", "-"),
        populate_by_name=True,
    )


def _steps(value: Any) -> Any:
    """A dotted path, or a list of names and places, as steps."""
    if isinstance(value, str):
        parts = value.split(".") if value else []
        if not all(parts):
            raise ValueError("a path is names and numbers with single dots between them")
        return tuple(int(part) if re.fullmatch(r"-?[0-9]{1,9}", part) else part for part in parts)
    if isinstance(value, list) and all(type(part) in (str, int) for part in value):
        return tuple(value)
    raise ValueError("give a path such as 'result.0.scores'")


class _Request(_Part):
    method: Literal["POST", "PUT"] = "POST"
    image: Literal["nested", "png", "upload", "body"]
    field: plain.Path = ()
    each: plain.Path = ()
    batch: _Batch = 0
    body: Any = None
    prefix: str = ""
    pixels: Literal["unit", "byte"] = "unit"
    layout: Literal["NCHW", "NHWC", "flat"] = "NCHW"

    _paths = field_validator("field", "each", mode="before")(_steps)

    @field_validator("body")
    @classmethod
    def _json(cls, value: Any) -> Any:
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError):
            raise ValueError("dates, times, nan and inf have no place in JSON; write them as text") from None
        if (name := _secret_in(value)) is not None:
            raise ValueError(
                f"what is under {name} looks like a secret, and the body is kept in manifests; use auth-env"
            )
        return value

    @model_validator(mode="after")
    def _agree(self) -> _Request:
        if self.image == "upload" and (
            len(self.field) != 1 or (self.body is not None and not isinstance(self.body, dict))
        ):
            raise ValueError("an upload needs a field, the file's name in the form; body is a table of other fields")
        if self.image == "body" and (self.field or self.batch or self.body is not None):
            raise ValueError("a PNG file is the whole request: no field, batch or body with it")
        if self.each and (not self.batch or self.image not in ("nested", "png")):
            raise ValueError("each goes with batch, for images in JSON")
        if self.prefix and self.image != "png":
            raise ValueError("prefix goes with image = 'png'")
        if self.image in ("nested", "png"):
            plain.put(self.body, self.field, None)
        return self


class _Answer(_Part):
    answers: plain.Path = ()
    scores: plain.Path | None = None
    pairs: plain.Path | None = None
    name: plain.Path = ("label",)
    score: plain.Path = ("score",)
    label: plain.Path | None = None
    missing: float | None = None

    _paths = field_validator("answers", "scores", "pairs", "name", "score", "label", mode="before")(_steps)

    @model_validator(mode="after")
    def _agree(self) -> _Answer:
        if sum(path is not None for path in (self.scores, self.pairs, self.label)) != 1:
            raise ValueError("give one of scores, pairs and label")
        return self


class _Model(_Part):
    input: str | None = None
    output: str | None = None
    datatype: Literal["FP16", "FP32", "FP64", "UINT8"] | None = None
    layout: Layout | None = None
    tensors: Literal["binary", "json"] | None = None
    batch: Annotated[int, Field(ge=1, le=2**16)] | None = None


class _Endpoint(_Part):
    url: str
    protocol: Literal["plain", "v2"] = "plain"
    outputs: Outputs = "auto"
    classes: list[str] | Annotated[int, Field(ge=2, le=MOST_CLASSES)] | None = None
    headers: dict[str, str] = {}
    auth_env: str | None = None
    auth_header: str = "Authorization"
    auth_prefix: str | None = None
    timeout: float | None = None
    retries: int | None = None
    rate: float | None = None
    concurrency: int | None = None
    verify_tls: bool = True
    certificates: str | None = None
    deterministic: bool = True
    request: _Request | None = None
    answer: _Answer | None = None
    v2: _Model = _Model()

    @field_validator("timeout", "rate", mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        return float(value) if type(value) is int else value

    @field_validator("auth_prefix")
    @classmethod
    def _prefix(cls, value: str | None) -> str | None:
        if value is not None and not (value.isascii() and value.isprintable()):
            raise ValueError("characters that no header may hold")
        return value

    @field_validator("auth_header")
    @classmethod
    def _header(cls, value: str) -> str:
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", value):
            raise ValueError("no name of a header")
        return value

    @field_validator("headers")
    @classmethod
    def _plain(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            cls._header(name)
            if _SECRET_HEADER.fullmatch(name.lower()) or SECRET.fullmatch(name.lower().removeprefix("x-")):
                raise ValueError(f"the header {name} looks like a secret; give auth-env and auth-header in its place")
            if name.lower() in _MADE:
                raise ValueError(f"the header {name} is written by what it belongs to; leave it out")
            if not text.isascii() or not text.isprintable():
                raise ValueError(f"the header {name} has characters that none may hold")
        return value

    @model_validator(mode="after")
    def _agree(self) -> _Endpoint:
        if self.protocol == "plain" and (self.request is None or self.answer is None):
            raise ValueError("request and answer are missing, how images go in and where scores come out")
        if self.protocol == "v2" and (self.request is not None or self.answer is not None):
            raise ValueError("request and answer are for protocol = 'plain'; the protocol v2 has its own")
        names = self.classes if isinstance(self.classes, list) else []
        if len(set(names)) != len(names) or len(names) == 1:
            raise ValueError("classes: two or more different names")
        if self.answer is not None:
            if self.answer.pairs is not None and not names:
                raise ValueError("pairs need classes, a list of their names")
            if self.answer.label is not None and self.outputs not in ("auto", "labels"):
                raise ValueError(f"a label alone is no {self.outputs}")
        return self


def _secret_in(value: Any) -> str | None:
    """The name under which a text stands that looks like a secret, anywhere in JSON; None without one."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if isinstance(inner, str) and inner and _SECRET_ENTRY.fullmatch(name.lower()):
                return str(name)
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next((found for part in parts if (found := _secret_in(part)) is not None), None)


def load_described(model: str, options: Options) -> HttpTarget:
    """The target that a TOML file describes.

    Raises
    ------
    InputError : no such file, not TOML, or no description of an endpoint.
    """
    what = f"--model {model}"
    end = read_endpoint(given_path(model, what), what)
    check_url(end.url, f"{what}, url")
    calls = options.calls.over(Calls(end.timeout, end.retries, end.rate, end.concurrency, end.auth_env))
    prefix = end.auth_prefix
    if prefix is None:
        prefix = "Bearer " if end.auth_header.lower() == "authorization" else ""
    secret = Secret(calls.auth_env, end.auth_header, prefix)
    verify = _certificates(end, what)
    outputs = _outputs(end, options)
    names = tuple(end.classes) if isinstance(end.classes, list) else None
    classes = len(names) if names else end.classes if isinstance(end.classes, int) else None
    if end.protocol == "v2":
        own = end.v2
        wanted = Wanted(own.input, own.output, own.datatype, own.layout, own.batch, own.tensors)
        wire = Wire(what, calls, secret, verify=verify, headers=end.headers)
        target = load_v2(
            model_url(end.url, what), what, options, wire, wanted,
            outputs=outputs, classes=classes, deterministic=end.deterministic,
        )  # fmt: skip
        target.class_names = names
        return target
    codec = _codec(end, options, names)
    target = HttpTarget(
        Path(model).stem,
        outputs,
        codec,
        Wire(what, calls, secret, verify=verify, headers=end.headers),
        {"url": end.url, "headers": dict(sorted(end.headers.items()))},
        classes=classes,
        deterministic=end.deterministic,
    )
    target.class_names = names
    return target


def read_endpoint(path: Path, what: str) -> _Endpoint:
    """A description from its file.

    Raises
    ------
    InputError : see :func:`load_described`.
    """
    check_ordinary(path, what)
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
        if len(data) > LARGEST_FILE:
            raise InputError(what, "more than a million bytes", f"Give a TOML file that describes an endpoint. {_SEE}")
        entries = tomllib.loads(data.decode("utf-8-sig"))
    except FileNotFoundError:
        raise InputError(what, "no such file", f"Give a TOML file that describes an endpoint. {_SEE}") from None
    except OSError as error:
        raise InputError(what, f"it cannot be read ({error.strerror})", "Give a TOML file.") from None
    except (ValueError, RecursionError) as error:
        raise InputError(what, f"not TOML ({str(error).splitlines()[0]})", _SEE) from None
    try:
        return _Endpoint.model_validate(entries)
    except ValidationError as error:
        raise _plainly(error, what) from None


def _plainly(error: ValidationError, what: str) -> InputError:
    """The first of pydantic's errors in a line."""
    errors = error.errors(include_url=False, include_input=False)
    # Of a number that may also be a list of names, what is wrong with the number.
    same = [one for one in errors if one["loc"][:1] == errors[0]["loc"][:1] and one["type"] != "list_type"]
    first = (same or errors)[0]
    place = ".".join(str(part) for part in first["loc"] if not str(part).startswith(("list[", "constrained")))
    if first["type"] == "extra_forbidden":
        parts: dict[str, type[BaseModel]] = {"request": _Request, "answer": _Answer, "v2": _Model}
        part = parts.get(str(first["loc"][0]), _Endpoint) if len(first["loc"]) > 1 else _Endpoint
        known = [str(field.alias) for field in part.model_fields.values()]
        return UnknownNameError(
            f"{what}, {first['loc'][0]}" if len(first["loc"]) > 1 else what, str(first["loc"][-1]), known
        )
    wrong = first["msg"].removeprefix("Value error, ")
    told = f"{place}: {wrong[:1].lower()}{wrong[1:]}" if place else wrong
    return InputError(what, told.rstrip("."), _SEE)


def _certificates(end: _Endpoint, what: str) -> bool | str:
    if end.certificates is None:
        return end.verify_tls
    if not end.verify_tls:
        raise InputError(what, "certificates, and verify-tls = false", "Give one of them.")
    return str(given_path(end.certificates, f"{what}, certificates"))


def _outputs(end: _Endpoint, options: Options) -> Outputs:
    if options.outputs != "auto":
        return options.outputs
    return "labels" if end.answer is not None and end.answer.label is not None else end.outputs


def _codec(end: _Endpoint, options: Options, names: tuple[str, ...] | None) -> plain.PlainCodec:
    request, answer = end.request, end.answer
    assert request is not None
    assert answer is not None
    if (request.image != "nested" or request.pixels == "byte") and options.normalize is not None:
        raise InputError("--normalize", "the endpoint takes 8-bit images", "Leave it out.")
    if request.image != "nested" and options.order not in (None, "rgb"):
        raise InputError("--channel-order", "the endpoint takes image files, which are RGB", "Leave it out.")
    layout = LAYOUTS.get(options.layout, request.layout)
    numbers = Numbers(whole=request.pixels == "byte", normalize=options.normalize, order=options.order, layout=layout)
    ask = plain.Ask(
        request.method, request.image, request.field, request.each, request.batch, request.body, request.prefix
    )
    own = answer
    take = plain.Take(own.answers, own.scores, own.pairs, own.name, own.score, own.label, names, own.missing)
    return plain.PlainCodec(end.url, ask, take, numbers)
