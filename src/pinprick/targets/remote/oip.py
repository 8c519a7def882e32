"""The Open Inference Protocol, version 2 (KServe, Triton, MLServer): metadata, JSON and binary tensors.

https://github.com/kserve/open-inference-protocol (inference REST, and the binary tensor data extension).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from pinprick.errors import InputError, one_line
from pinprick.targets.remote.codec import Codec, Layout, Numbers, json_text, number_array, read_json
from pinprick.targets.remote.wire import Fault, Request, Wire

PATH = re.compile(r"(?P<base>.*)/v2/models/(?P<name>[^/]+)(/versions/(?P<version>[^/]+))?/?")
INPUTS: dict[str, type[np.generic]] = {
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
    "UINT8": np.uint8,
}
"""Data types that images can be sent as."""
OUTPUTS: dict[str, type[np.generic]] = INPUTS | {
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
}
BATCH = 16
MOST_CLASSES = 2**20
"""There is a number for each of them for every image, whatever is answered."""
LENGTH = "Inference-Header-Content-Length"
REFUSED = (400, 404, 406, 411, 415, 422, 500, 501)
"""What servers answer to binary tensors that they do not know."""


@dataclass(frozen=True)
class Wanted:
    """What the user says of a model; None takes it from the model's metadata."""

    input: str | None = None
    output: str | None = None
    datatype: str | None = None
    layout: Layout | None = None
    batch: int | None = None
    tensors: str | None = None
    normalize: str | None = None
    order: str | None = None


@dataclass(frozen=True)
class Tensor:
    """An input or output as the metadata describe it; -1 is any number."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Model:
    """What a server says of a model."""

    url: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    platform: str
    binary: bool | None
    """Whether it takes binary tensors; None where it does not say."""


def model_url(text: str, what: str) -> str:
    """The address of a model, checked.

    Raises
    ------
    InputError : not of the form ``http://host:port/v2/models/NAME``.
    """
    parts = urlsplit(text)
    if not PATH.fullmatch(parts.path) or parts.query or parts.fragment:
        right = "Write http://host:port/v2/models/NAME, with /versions/V where there are several, or a TOML file."
        raise InputError(what, "no address of a model of the Open Inference Protocol", right)
    return text.rstrip("/")


def read_model(wire: Wire, url: str, what: str) -> Model:
    """A model's metadata, from its server.

    Raises
    ------
    InputError : the server cannot be reached, does not know the model, says nothing that can be read, or gives the
        secret back.
    """
    retries = min(2, wire.calls.retries or 0)

    def read(content: bytes, _headers: Mapping[str, str]) -> dict[str, Any]:
        # Names from it go into manifests and messages.
        if wire.secret.given_back(content):
            raise InputError(what, "its metadata hold the secret that was sent to it", "Is it the right server?")
        return _object(content)

    try:
        found = wire.ask(Request("GET", url), read, retries=retries)
    except Fault as error:
        right = "Give the model's name as the server knows it." if error.status in (400, 404) else "Is the server up?"
        raise InputError(what, f"its metadata cannot be read: {error}", right) from None
    try:
        inputs, outputs = (tuple(_tensor(one) for one in found.get(kind) or ()) for kind in ("inputs", "outputs"))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(what, f"metadata that are none ({one_line(error)})", "Describe it in a TOML file.") from None
    return Model(url, inputs, outputs, str(found.get("platform", "")), _binary(wire, url))


def _binary(wire: Wire, url: str) -> bool | None:
    """Whether the server says that it takes binary tensors."""
    base = url[: url.index("/v2/models/")]
    try:
        said = wire.ask(Request("GET", f"{base}/v2"), lambda content, _: _object(content), retries=0)
    except Fault:
        return None
    extensions = said.get("extensions")
    if not isinstance(extensions, list):
        return None
    return any(str(one).startswith("binary") for one in extensions)


def _object(content: bytes) -> dict[str, Any]:
    found = read_json(content)
    if not isinstance(found, dict):
        raise Fault("the answer is no JSON object")
    return found


def _tensor(entry: Any) -> Tensor:
    return Tensor(str(entry["name"]), str(entry["datatype"]).upper(), tuple(int(side) for side in entry["shape"]))


def make_codec(model: Model, wanted: Wanted, what: str) -> tuple[OipCodec, tuple[int, int, int] | None, int | None]:
    """The codec for a model, the shape of images that it takes and its number of classes, as far as it says them.

    Raises
    ------
    InputError : several inputs or outputs and none chosen, a data type that no image can be sent as, a shape that is
        no image's or may be of either layout.
    """
    entry = _one(model.inputs, wanted.input, "input", what, wanted.datatype)
    output = _one(model.outputs, wanted.output, "output", what, "")
    datatype = (wanted.datatype or entry.datatype).upper()
    if datatype not in INPUTS:
        known = ", ".join(INPUTS)
        raise InputError(what, f"its input {entry.name!r} has the data type {datatype!r}", f"Images go as {known}.")
    layout = wanted.layout or _layout(entry, what)
    shape = _image_shape(entry, layout, what)
    batch = _batch(entry, wanted.batch, what)
    whole = datatype == "UINT8"
    if whole and wanted.normalize is not None:
        raise InputError("--normalize", f"{what} takes 8-bit images", "Leave it out.")
    kind: Any = np.float32 if whole else INPUTS[datatype]
    numbers = Numbers(whole=whole, normalize=wanted.normalize, order=wanted.order, layout=layout, kind=kind)
    binary = model.binary is not False or datatype == "FP16"
    tensors = wanted.tensors or ("binary" if binary else "json")
    codec = OipCodec(f"{model.url}/infer", entry.name, output.name, datatype, numbers, batch, tensors)
    # What was chosen stays; else the server's answers decide.
    codec.may_change = wanted.tensors is None
    codec.announced = model.binary is True
    sizes = output.shape[1:] if len(output.shape) > 1 else ()
    whole_numbers = np.dtype(OUTPUTS.get(output.datatype, np.float32)).kind in "iu"
    classes = sizes[0] if sizes and all(size == 1 for size in sizes[1:]) and sizes[0] >= 2 else None
    if classes is not None and classes > MOST_CLASSES:
        raise InputError(what, f"its output has {classes} classes", f"Give a model of {MOST_CLASSES} at most.")
    return codec, shape, None if whole_numbers else classes


def _one(tensors: tuple[Tensor, ...], name: str | None, kind: str, what: str, datatype: str | None) -> Tensor:
    """The input or output that is meant."""
    names = ", ".join(repr(tensor.name) for tensor in tensors)
    if name is None:
        if len(tensors) == 1:
            return tensors[0]
        if kind == "output" and not tensors:
            # Answers name their outputs themselves.
            return Tensor("", "", ())
        wrong = f"it has the {kind}s {names}" if tensors else f"its metadata name no {kind}"
        raise InputError(what, wrong, f"Say in a TOML file which: {kind} = NAME." if tensors else _DESCRIBE)
    for tensor in tensors:
        if tensor.name == name:
            return tensor
    if tensors:
        raise InputError(what, f"it has no {kind} {name!r}", f"Known: {names}.")
    if datatype is None:
        raise InputError(what, f"its metadata say nothing of {kind} {name!r}", _DESCRIBE)
    return Tensor(name, datatype, ())


_DESCRIBE = "Give a TOML file with input, datatype and layout (docs/remote.md)."


def _layout(tensor: Tensor, what: str) -> Layout:
    shape = tensor.shape
    if len(shape) == 3:
        # Some servers leave the batch out.
        shape = (-1, *shape)
    first, last = (len(shape) == 4 and side in (1, 3) for side in (shape[1:2] + shape[3:4] + (0, 0))[:2])
    if len(shape) == 4 and first != last:
        return "NCHW" if first else "NHWC"
    listed = list(tensor.shape)
    if len(shape) == 4:
        raise InputError(what, f"its input shape {listed} may be of either layout", "Say layout in a TOML file.")
    right = 'Give a TOML file with layout = "NCHW", "NHWC" or "flat".'
    raise InputError(what, f"its input shape {listed} is no shape of images", right)


def _image_shape(tensor: Tensor, layout: Layout, what: str) -> tuple[int, int, int] | None:
    sides = tensor.shape[-3:]
    if layout == "flat" or len(tensor.shape) not in (3, 4):
        return None
    channels, height, width = sides if layout == "NCHW" else (sides[2], sides[0], sides[1])
    if min(channels, height, width) < 1:
        return None
    if channels not in (1, 3):
        raise InputError(
            what, f"its input shape {list(tensor.shape)} has {channels} channels", "Gray and RGB images are attacked."
        )
    return channels, height, width


def _batch(tensor: Tensor, wanted: int | None, what: str) -> int:
    """Images a request: what was asked for, as far as the shape allows for it."""
    fixed = tensor.shape[0] if len(tensor.shape) in (2, 4) else -1
    if fixed > 1:
        raise InputError(
            what, f"its input takes {fixed} images a request, no more and no fewer", "Serve it with a free batch, or 1."
        )
    return 1 if fixed == 1 else wanted or BATCH


class OipCodec(Codec):
    """Requests and answers of one model.

    Parameters
    ----------
    output : the name of the one that is read; empty for the only one of the answer.
    tensors : ``binary`` or ``json``.
    """

    def __init__(
        self, url: str, entry: str, output: str, datatype: str, numbers: Numbers, batch: int, tensors: str
    ) -> None:
        self.url, self.entry, self.output, self.datatype = url, entry, output, datatype
        self.numbers, self.batch, self.tensors = numbers, batch, tensors
        self.may_change = True
        self.announced = False
        """Whether the server says that it takes binary tensors: an error of its own is then none of theirs."""

    def request(self, images: NDArray[np.uint8]) -> Request:
        if self.tensors == "json":
            texts = self.numbers.texts(images)
            head = json.dumps({"name": self.entry, "shape": list(texts.shape), "datatype": self.datatype})[:-1]
            outputs = f',"outputs":[{json.dumps({"name": self.output})}]' if self.output else ""
            content = f'{{"inputs":[{head},"data":{json_text(texts.ravel())}}}]{outputs}}}'.encode()
            return Request("POST", self.url, content, {"Content-Type": "application/json"})
        values = self.numbers.of(images)
        data = np.ascontiguousarray(values, np.dtype(INPUTS[self.datatype]).newbyteorder("<")).tobytes()
        entry = {
            "name": self.entry,
            "shape": list(values.shape),
            "datatype": self.datatype,
            "parameters": {"binary_data_size": len(data)},
        }
        body: dict[str, Any] = {"inputs": [entry]}
        if self.output:
            body["outputs"] = [{"name": self.output, "parameters": {"binary_data": True}}]
        else:
            body["parameters"] = {"binary_data_output": True}
        text = json.dumps(body).encode()
        return Request(
            "POST", self.url, text + data, {"Content-Type": "application/octet-stream", LENGTH: str(len(text))}
        )

    def read(self, content: bytes, headers: Mapping[str, str], n: int) -> NDArray[Any]:
        length = headers.get(LENGTH) or headers.get(LENGTH.lower())
        end = len(content)
        if length is not None:
            if not (length.isascii() and length.isdigit() and len(length) < 19) or int(length) > len(content):
                raise Fault("the answer is cut off")
            end = int(length)
        found = _object(content[:end])
        outputs = found.get("outputs")
        if not isinstance(outputs, list) or not all(isinstance(one, dict) for one in outputs):
            raise Fault("the answer has no outputs")
        start, chosen = end, None
        for one in outputs:
            parameters = one.get("parameters")
            size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
            if size is not None and not (isinstance(size, int) and 0 <= size <= len(content) - start):
                raise Fault("the answer is cut off")
            raw = None if size is None else content[start : start + size]
            start += size or 0
            if chosen is None and (one.get("name") == self.output or not self.output):
                chosen = one, raw
        names = ", ".join(repr(one.get("name")) for one in outputs)
        if chosen is None or (not self.output and len(outputs) > 1):
            wanted = f"no output {self.output!r} among" if self.output else "more than one output:"
            raise Fault(f"the answer has {wanted} {names or 'none'}")
        if sum(one.get("name") == chosen[0].get("name") for one in outputs) > 1:
            raise Fault(f"the answer has more than one output {self.output!r}")
        rows = _rows(*chosen, n)
        # It takes tensors of this kind, whatever it refuses from now on.
        self.may_change = False
        return rows

    @property
    def way(self) -> str:
        return self.tensors

    def has_other_way(self, status: int) -> bool:
        """Whether JSON tensors are left to try: the server refused binary ones, and has never answered any."""
        refused = status in REFUSED and not (self.announced and status >= 500)
        return self.tensors == "binary" and self.may_change and refused

    def other_way(self) -> None:
        self.tensors = "json"

    def identity(self) -> dict[str, Any]:
        return {"protocol": "v2", "input": self.entry, "output": self.output, "datatype": self.datatype} | (
            self.numbers.identity()
        )


def _rows(output: dict[str, Any], raw: bytes | None, n: int) -> NDArray[Any]:
    """One output of an answer as ``(n, K)`` or ``(n,)``."""
    datatype = str(output.get("datatype"))
    if datatype not in OUTPUTS:
        raise Fault(f"the answer is of the data type {datatype!r:.40}", again=False)
    kind = np.dtype(OUTPUTS[datatype])
    if raw is not None:
        if len(raw) % kind.itemsize:
            raise Fault("the answer is cut off")
        values: NDArray[Any] = np.frombuffer(raw, kind.newbyteorder("<")).astype(kind)
    else:
        plain = number_array(output.get("data"), "the answer")
        if kind.kind in "iu":
            limits = np.iinfo(kind)
            if not ((plain >= limits.min) & (plain <= limits.max) & (plain == np.rint(plain))).all():
                raise Fault(f"the answer has numbers that no {datatype} is")
        with np.errstate(over="ignore"):
            values = plain.astype(kind)
    shape = output.get("shape")
    sides = shape if isinstance(shape, list) and all(type(one) is int and one >= 0 for one in shape) else None
    if not sides or math.prod(sides) != values.size or sides[0] != n:
        raise Fault(f"the answer has shape {shape!r:.40} with {values.size} values for {n} images")
    values = values.reshape(sides)
    # A map of one position, as networks without a flatten give it.
    return values.reshape(sides[:2]) if len(sides) > 2 and all(side == 1 for side in sides[2:]) else values
