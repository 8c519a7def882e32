"""Small ONNX files, made by hand, of which it is known what they compute."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Size = int | str
CLASSES = 4
ELEMENT = {
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "float64": TensorProto.DOUBLE,
    "uint8": TensorProto.UINT8,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "int8": TensorProto.INT8,
}


def weights(values: int, seed: int = 0) -> NDArray[np.float32]:
    """``(values, CLASSES)`` of a linear classifier."""
    return np.random.default_rng(seed).normal(size=(values, CLASSES)).astype(np.float32)


def linear(
    path: Path,
    sizes: Sequence[Size],
    values: int,
    *,
    element: str = "float32",
    first: Sequence[onnx.NodeProto] = (),
    constants: dict[str, Any] | None = None,
    last: Sequence[onnx.NodeProto] = (),
    outputs: Sequence[tuple[str, int, Sequence[Size]]] = (("scores", TensorProto.FLOAT, ("n", CLASSES)),),
) -> Path:
    """``images`` of stated ``sizes`` -> float -> ``first`` -> flat -> times :func:`weights` -> ``scores`` -> ``last``.

    ``first`` takes ``plain`` and makes ``ready``; ``last`` takes ``scores``. The flat values are in the order of the
    input, and are not normalised.
    """
    nodes = [helper.make_node("Cast", ["images"], ["plain"], to=TensorProto.FLOAT), *first]
    nodes += [
        helper.make_node("Flatten", ["ready" if first else "plain"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["scores"]),
        *last,
    ]
    initializers = [numpy_helper.from_array(weights(values), "weights")]
    initializers += [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()]
    declared = [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in outputs]
    return save(path, nodes, [helper.make_tensor_value_info("images", ELEMENT[element], sizes)], declared, initializers)


def save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    initializers: Sequence[onnx.TensorProto] = (),
) -> Path:
    """A graph as a file."""
    graph = helper.make_graph(list(nodes), "net", list(inputs), list(outputs), initializer=list(initializers))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), str(path))
    return path


def zipmap(labels: Sequence[int] | Sequence[str]) -> tuple[onnx.NodeProto, onnx.ValueInfoProto]:
    """The node that makes dicts of ``scores``, and the output that they are."""
    text = bool(labels) and isinstance(labels[0], str)
    name = "classlabels_strings" if text else "classlabels_int64s"
    node = helper.make_node("ZipMap", ["scores"], ["dicts"], domain="ai.onnx.ml")
    node.attribute.append(helper.make_attribute(name, list(labels)))
    key = TensorProto.STRING if text else TensorProto.INT64
    value = helper.make_tensor_type_proto(TensorProto.FLOAT, [])
    kind = helper.make_sequence_type_proto(helper.make_map_type_proto(key, value))
    return node, helper.make_value_info("dicts", kind)


def with_external(path: Path) -> Path:
    """Saves the weights of a file in ``weights.bin`` beside it."""
    model = onnx.load(str(path))
    # It would be added to.
    (path.parent / "weights.bin").unlink(missing_ok=True)
    onnx.save(
        model, str(path), save_as_external_data=True, location="weights.bin", size_threshold=0, convert_attribute=False
    )
    return path


def relocated(path: Path, location: str, **entries: str) -> None:
    """Lets the weights of a file with external data be elsewhere."""
    model = onnx.load(str(path), load_external_data=False)
    for entry in model.graph.initializer[0].external_data:
        if entry.key == "location":
            entry.value = location
        entry.value = entries.get(entry.key, entry.value)
    path.write_bytes(model.SerializeToString())
