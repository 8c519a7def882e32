"""What is in an ONNX file, read without running it: its bytes and their digest, its input, its outputs.

Sources: the ONNX specification (IR.md, ExternalData.md, Operators-ml.md).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from pinprick.errors import InputError, UnknownNameError, plain
from pinprick.paths import given_path
from pinprick.targets.arrays import Layout

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

Order = Literal["NCHW", "NHWC", "NHW", "flat"]
LARGEST_BYTES = 2**31 - 1
"""A protobuf message can hold no more; what is larger keeps its weights in files beside it."""
_EXPORT = "Export it anew, or give a function that runs it (file.py:function)."
_PASSING = ("Cast", "Identity", "Transpose", "Clip", "Reshape", "Unsqueeze", "Squeeze", "Dropout")
"""Operators that are looked through on the way from the input to the first that computes with it."""


@dataclass(frozen=True)
class Head:
    """The output that is read.

    Parameters
    ----------
    name : its name in the graph.
    note : a line for the user where there was something to choose or to change, else None.
    classes : the classes that its columns are, where the file names them and they are not 0, 1, 2 and so on.
    """

    name: str
    note: str | None = None
    classes: tuple[str, ...] | None = None


@dataclass(frozen=True)
class OnnxFile:
    """An ONNX file that was read.

    Parameters
    ----------
    path : the file.
    model : its graph, weights in other files not loaded.
    data : its bytes.
    digest : BLAKE2b of its bytes and of those of its weights in other files, in hexadecimal.
    external : names of these files, relative to the folder of ``path``.
    """

    path: Path
    model: ModelProto
    data: bytes
    digest: str
    external: tuple[str, ...]


def read_onnx(path: Path, what: str) -> OnnxFile:
    """Read an ONNX file; ``what`` is how errors call it.

    Raises
    ------
    InputError : no such file, one that is empty, too large or no ONNX; weights in other files that are not there, are
        cut off, or lie outside of its folder.
    """
    import onnx
    from google.protobuf.message import DecodeError

    data = _bytes(path, what)
    try:
        model = onnx.ModelProto.FromString(data)
    except DecodeError:
        raise InputError(what, "no ONNX file, or one that is cut off or damaged", "Copy or export it anew.") from None
    if not model.graph.node:
        raise InputError(what, "no network in it (a graph without nodes)", _EXPORT)
    named = [*model.graph.input, *model.graph.output, *model.graph.initializer]
    names = [*(one.name for one in named), *(name for node in model.graph.node for name in (*node.input, *node.output))]
    if not all(isinstance(name, str) for name in names):
        raise InputError(what, "names in it are no text (UTF-8): it is damaged", "Copy or export it anew.")
    external = tuple(sorted(_external(model, path, what)))
    digest = hashlib.blake2b(data, digest_size=16)
    for name in external:
        with (path.parent / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, hashlib.blake2b).digest())
    return OnnxFile(path, model, data, digest.hexdigest(), external)


def _bytes(path: Path, what: str) -> bytes:
    if path.is_dir():
        raise InputError(what, "it is a folder", "Give the .onnx file.")
    if not path.is_file():
        raise InputError(what, f"there is no file {str(path)!r}", "Give an .onnx file.")
    try:
        size = path.stat().st_size
        if not size:
            raise InputError(what, "the file is empty (0 bytes)", "Copy or export it anew.")
        if size > LARGEST_BYTES:
            right = "Save it with its weights in a file beside it (external data)."
            raise InputError(what, f"{size} bytes, and no ONNX file has more than {LARGEST_BYTES}", right)
        data = path.read_bytes()
    except OSError as error:
        raise InputError(what, f"it cannot be read ({error.strerror})", "Give an .onnx file.") from None
    if data.startswith(b"version https://git-lfs"):
        raise InputError(what, "a pointer of Git LFS, not the file itself", "Get the file: git lfs pull.")
    return data


def _external(model: ModelProto, path: Path, what: str) -> Iterator[str]:
    """Names of the files that hold weights of the model, relative to its folder; each once.

    They are checked before onnxruntime sees them: a name from a file of others may lead anywhere.
    """
    from onnx import TensorProto

    folder = path.resolve().parent
    ends: dict[str, int] = {}
    for tensor in _tensors(model):
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        # What is no UTF-8 comes as bytes.
        entries = {_text(entry.key): _text(entry.value) for entry in tensor.external_data}
        name = entries.get("location", "")
        numbers = [entries.get(key) or "0" for key in ("offset", "length")]
        # int() alone would also take signs, spaces and digits of other scripts.
        if not all(text.isascii() and text.isdigit() and len(text) < 19 for text in numbers):
            raise InputError(what, f"offset or length of weights in {plain(name)!r} are no numbers", _EXPORT)
        # A name may be an absolute path, lead upwards, or be a link: none of these is what an export writes.
        inside = bool(name) and "\0" not in name and not Path(name).is_absolute()
        if not inside or not Path(os.path.realpath(folder / name)).is_relative_to(folder):
            raise InputError(what, f"its weights are in {plain(name)!r}, outside of its folder", _EXPORT)
        ends[name] = max(ends.get(name, 0), sum(int(text) for text in numbers))
    for name, end in ends.items():
        beside = given_path(folder / name, f"{what}, weights")
        if not beside.is_file():
            right = f"Copy it too, beside {path.name}."
            raise InputError(what, f"its weights are in {plain(name)!r}, and there is no such file", right)
        if beside.stat().st_size < end:
            raise InputError(what, f"{plain(name)!r}, the file of its weights, is cut off", "Copy it anew.")
        yield name


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _tensors(model: ModelProto) -> Iterator[TensorProto]:
    """All tensors of a model, those of graphs within nodes and of functions among them."""
    graphs: list[GraphProto] = [model.graph]
    nodes: list[NodeProto] = [node for function in model.functions for node in function.node]
    while graphs or nodes:
        if graphs:
            graph = graphs.pop()
            yield from graph.initializer
            for sparse in graph.sparse_initializer:
                yield from (sparse.values, sparse.indices)
            nodes.extend(graph.node)
            continue
        for attribute in nodes.pop().attribute:
            sparse_one = attribute.sparse_tensor
            yield from (attribute.t, *attribute.tensors, sparse_one.values, sparse_one.indices)
            graphs.extend([attribute.g] if attribute.HasField("g") else [])
            graphs.extend(attribute.graphs)


def choose_output(file: OnnxFile, wanted: str | None, what: str) -> Head:
    """The output that holds the scores: the one that is wanted, else the only one that can hold scores of classes.

    Scores are numbers with a row an image; of label and probabilities, as scikit-learn's models have them, it is the
    probabilities. Where these come as dicts (ZipMap), what went into the dicts is read.

    Raises
    ------
    UnknownNameError : no output of the name that is wanted.
    InputError : several that can hold scores, or none.
    """
    outputs = {output.name: output for output in file.model.graph.output}
    if wanted is not None and wanted not in outputs:
        raise UnknownNameError(f"{what}, output", wanted, outputs or ["(none)"])
    zipped = {node.output[0]: node for node in file.model.graph.node if node.op_type == "ZipMap" and node.output}
    scores = [name for name in outputs if name in zipped or _can_be_scores(file.model, name)]
    chosen = wanted if wanted is not None else scores[0] if len(scores) == 1 else None
    if chosen is None and scores:
        right = f"Name one: {file.path.name}:{scores[0]}."
        raise InputError(what, f"several outputs that may be scores ({_listed(scores)})", right)
    if chosen is None:
        labels = [name for name in outputs if _kind(file.model, name) == "whole"]
        if len(labels) != 1:
            wrong = f"no output that may be scores of classes, a row an image ({_listed(outputs)})"
            raise InputError(what, wrong, f"Name one if it is: {file.path.name}:NAME. Else export it anew.")
        chosen = labels[0]
    if chosen in zipped:
        told = f"note: the probabilities of {file.path.name} come as dicts; what is in them is read"
        return Head(zipped[chosen].input[0], told, _class_names(file.model))
    note: str | None = None
    if wanted is None and len(outputs) > 1:
        others = _listed([name for name in outputs if name != chosen])
        note = f"note: of the outputs of {file.path.name} {plain(chosen)!r} is read, not {others}"
    return Head(chosen, note, _class_names(file.model) if _kind(file.model, chosen) == "float" else None)


def _class_names(model: ModelProto) -> tuple[str, ...] | None:
    """The classes that a classifier of scikit-learn states, in the order of its columns.

    Operators of the domain ai.onnx.ml have them as attributes; those of one model agree. None where there are none,
    where they are 0, 1, 2 and so on, or where they do not agree.
    """
    found: set[tuple[str, ...]] = set()
    for node in model.graph.node:
        for attribute in node.attribute if node.domain == "ai.onnx.ml" else ():
            if attribute.name.startswith("classlabels_") and (attribute.ints or attribute.strings):
                texts = [text.decode("utf-8", "replace") for text in attribute.strings]
                found.add(tuple(texts or [str(number) for number in attribute.ints]))
    names = found.pop() if len(found) == 1 else ()
    return names if names and names != tuple(str(place) for place in range(len(names))) else None


def only_output(file: OnnxFile, head: Head) -> bytes:
    """The bytes of the model with this output alone: what only others need is then not computed."""
    from onnx import ModelProto, ValueInfoProto

    outputs = file.model.graph.output
    if [output.name for output in outputs] == [head.name]:
        return file.data
    changed = ModelProto()
    changed.CopyFrom(file.model)
    kept = [output for output in outputs if output.name == head.name] or [ValueInfoProto(name=head.name)]
    del changed.graph.output[:]
    changed.graph.output.extend(kept)
    alone: bytes = changed.SerializeToString()
    return alone


def _kind(model: ModelProto, name: str) -> Literal["float", "whole", "other"]:
    from onnx import TensorProto

    declared = next(output.type for output in model.graph.output if output.name == name)
    if not declared.HasField("tensor_type"):
        return "other"
    number = declared.tensor_type.elem_type
    if number in (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16):
        return "float"
    whole = (TensorProto.INT64, TensorProto.INT32, TensorProto.UINT8, TensorProto.INT8)
    return "whole" if number in whole else "other"


def _can_be_scores(model: ModelProto, name: str) -> bool:
    """Whether an output is of floats, one row an image; dimensions of 1 and such as are not stated do not speak
    against it."""
    if _kind(model, name) != "float":
        return False
    declared = next(output.type for output in model.graph.output if output.name == name).tensor_type
    if not declared.HasField("shape"):
        return True
    sizes = [one.dim_value if one.HasField("dim_value") else None for one in declared.shape.dim]
    return len(sizes) <= 2 or sum(size != 1 for size in sizes[1:]) <= 1


def _listed(names: object) -> str:
    known = [plain(str(name)) for name in names]  # type: ignore[attr-defined]
    return ", ".join(known[:6]) + (" …" if len(known) > 6 else "") or "none at all"


def order_of(shape: list[int | None], model: ModelProto, name: str, what: str, layout: Layout) -> Order:
    """How images lie in an input of this shape, None where a size is not stated.

    Four sizes: channels are where 1 or 3 is; where no size tells, as ``layout`` says, or as the first operator has it
    that turns them. Three: gray images without channels. Two: one row of values an image.

    Raises
    ------
    InputError : none of these; a ``layout`` that does not fit.
    """
    found = _order(shape, model, name, what, layout)
    if layout != "auto" and found in ("NCHW", "NHWC") and found.lower() != layout:
        raise InputError(f"--layout {layout}", f"{what.removeprefix('--model ')} takes {found}", "Leave it out.")
    return found


def _order(shape: list[int | None], model: ModelProto, name: str, what: str, layout: Layout) -> Order:
    if len(shape) == 4:
        second, last = shape[1], shape[3]
        if second in (1, 3) and last not in (1, 3):
            return "NCHW"
        if last in (1, 3) and second not in (1, 3):
            return "NHWC"
        if second is None and last is None:
            return "NHWC" if layout == "nhwc" or (layout == "auto" and _turned(model, name)) else "NCHW"
        if (second is None) != (last is None):
            return "NCHW" if second is None else "NHWC"
    # Three sizes are a batch of gray images; with a first one of 3 rather one RGB image, without a batch.
    if len(shape) == 3 and shape[0] != 3:
        return "NHW"
    if len(shape) == 2:
        return "flat"
    sizes = " x ".join("?" if size is None else str(size) for size in shape) or "no stated shape"
    raise InputError(
        what,
        f"its input {plain(name)!r} takes {sizes}, no batch of gray or RGB images",
        "It should be N x C x H x W, N x H x W x C, N x H x W or N x values. " + _EXPORT,
    )


def _first(model: ModelProto, name: str) -> NodeProto | None:
    """The first operator that computes with the input; what only moves or converts values is looked through."""
    node: NodeProto
    for node in model.graph.node:
        if name in node.input:
            if node.op_type not in _PASSING or not node.output:
                return node
            name = node.output[0]
    return None


def _turned(model: ModelProto, name: str) -> bool:
    """Whether channels are turned from last to second; preprocessing before it is looked through."""
    known = {name}
    for node in model.graph.node:
        if known.isdisjoint(node.input):
            continue
        if node.op_type == "Transpose":
            return any(list(attribute.ints) == [0, 3, 1, 2] for attribute in node.attribute)
        if node.op_type not in (*_PASSING, "Add", "Sub", "Mul", "Div"):
            return False
        known.update(node.output)
    return False


def expected_values(model: ModelProto, name: str) -> Literal["bytes", "normalising", "unknown"]:
    """What the first operator says of the values that the network takes.

    ``bytes``: it divides by about 255, or subtracts means of such a size: values from 0 to 255. ``normalising``: it
    subtracts means or divides by deviations that fit values in [0, 1].
    """
    node = _first(model, name)
    if node is None or node.op_type not in ("Div", "Mul", "Sub", "Add") or len(node.input) != 2:
        return "unknown"
    constant = _constant(model, node.input[1])
    if constant is None and node.op_type in ("Mul", "Add"):
        constant = _constant(model, node.input[0])
    if constant is None or not constant.size or not np.isfinite(constant).all():
        return "unknown"
    most, least = float(np.abs(constant).max()), float(np.abs(constant).min())
    if node.op_type == "Mul":
        # Multiplying is dividing by the inverse.
        most, least = (1 / least, 1 / most) if least > 0 else (0.0, 0.0)
    shifts = node.op_type in ("Sub", "Add")
    if most >= (2 if shifts else 50):
        return "bytes"
    return "normalising" if 0 < most < 1 else "unknown"


def _constant(model: ModelProto, name: str) -> NDArray[np.float64] | None:
    """A small tensor of the graph that does not change, None where it is none or lies in another file."""
    from onnx import TensorProto, numpy_helper

    found = [tensor for tensor in model.graph.initializer if tensor.name == name]
    for node in model.graph.node:
        if node.op_type == "Constant" and name in node.output:
            found += [attribute.t for attribute in node.attribute if attribute.name == "value"]
    if not found or found[0].data_location == TensorProto.EXTERNAL or np.prod(found[0].dims, dtype=float) > 16:
        return None
    try:
        return np.asarray(numpy_helper.to_array(found[0]), np.float64)
    except (ValueError, TypeError, KeyError):
        # Of a damaged or rare kind: then nothing is known of it.
        return None
