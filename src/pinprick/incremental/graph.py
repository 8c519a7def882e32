"""A network as a list of steps: traced by torch.fx, batch norm folded, nothing in place, every step looked at."""

from __future__ import annotations

import copy
import inspect
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from pinprick.errors import one_line
from pinprick.incremental.allow import MADE_ANEW, MAKE_ANEW, op_of_function, op_of_module
from pinprick.incremental.arguments import Image, Unknown
from pinprick.incremental.ops import Input, Node
from pinprick.models.preprocessing import Preprocess

_MODES = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd, nn.modules.instancenorm._InstanceNorm)
"""Layers that do something else in training mode."""

_IN_PLACE_FUNCTIONS = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
}
_OTHER_IN_PLACE = (operator.ifloordiv, operator.imod, operator.ipow, operator.iand, operator.ior, operator.ixor)
_IN_PLACE_METHODS = ("add_", "sub_", "mul_", "div_", "relu_", "clamp_", "clamp_min_", "sigmoid_", "tanh_")


class UntraceableError(Exception):
    """Why a network cannot be taken apart; it is run as it is."""


@dataclass(frozen=True)
class Graph:
    """A network taken apart.

    Parameters
    ----------
    module : the traced copy: batch norm folded, in-place steps made out of place.
    nodes : its steps by name, in the order of computation, the images first.
    shape : ``(C, H, W)`` of the images.
    weights : multiplications of one image in nodes that are no steps, where that is known (linear layers).
    """

    module: fx.GraphModule
    nodes: dict[str, Node]
    shape: tuple[int, int, int]
    weights: dict[str, float]

    def described(self) -> str:
        """What is computed, by which layers and with which settings; the weights are not in it."""
        return f"{self.module.code}\n{self.module}"

    @property
    def output(self) -> str:
        """The node whose value the network returns."""
        last = next(iter(reversed(self.module.graph.nodes)))
        found: fx.Node = last.args[0]
        return found.name


class _Proxy(fx.Proxy):
    """Keeps ``x += y`` apart from ``x = x + y``, which torch.fx takes it for: another name of ``x`` sees the sum."""


def _changing(function: Callable[[Any, Any], Any]) -> Callable[[fx.Proxy, Any], fx.Proxy]:
    def method(self: fx.Proxy, other: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", function, (self, other), {})

    return method


for _function in (*_IN_PLACE_FUNCTIONS, *_OTHER_IN_PLACE):
    setattr(_Proxy, f"__{_function.__name__}__", _changing(_function))


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, Preprocess) or super().is_leaf_module(m, module_qualified_name)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Proxy(node, self)

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        # A context that the graph knows nothing of: its steps would be those of single precision.
        if any(torch.is_autocast_enabled(device) for device in ("cpu", "cuda")):
            raise UntraceableError("it is computed under torch.autocast")
        return super().create_node(*args, **kwargs)


def trace(module: nn.Module, shape: tuple[int, int, int]) -> Graph:
    """Take a network apart.

    Parameters
    ----------
    module : in evaluation mode, float32; it is copied, and stays as it is.
    shape : ``(C, H, W)`` of one image.

    Raises
    ------
    UntraceableError : the network cannot be traced, has hooks, is in training mode, is of another precision, or changes
        a value in place that is read again later, or is computed under autocast.
    """
    _refuse(module)
    try:
        copied = copy.deepcopy(module)
        tracer = _Tracer()
        graph = tracer.trace(copied)
        traced = fx.GraphModule(tracer.root, graph)
    except UntraceableError:
        raise
    except Exception as error:
        raise UntraceableError(f"torch.fx cannot trace it: {one_line(error)}") from error
    _check_functions(traced)
    _check_in_place(traced)
    _make_out_of_place(traced)
    _fold(traced)
    traced.eval()
    values = _example(traced, shape)
    constants = _constants(traced, values)
    nodes: dict[str, Node] = {}
    for node in traced.graph.nodes:
        if node.op == "output":
            if not isinstance(node.args[0], fx.Node):
                raise UntraceableError("it returns something else than one tensor")
        elif node.name not in constants:
            try:
                nodes[node.name] = _look(traced, node, values, constants, shape)
            except Exception as error:
                raise UntraceableError(f"{node.name} is not understood: {one_line(error)}") from error
    if sum(node.op == "placeholder" for node in traced.graph.nodes) != 1:
        raise UntraceableError("it takes something else than images")
    weights = {}
    for node in traced.graph.nodes:
        layer = traced.get_submodule(str(node.target)) if node.op == "call_module" else None
        if isinstance(layer, nn.Linear):
            weights[node.name] = float(layer.weight.numel())
    return Graph(traced, nodes, shape, weights)


def _refuse(module: nn.Module) -> None:
    for name, part in module.named_modules():
        if part.training and (part is module or isinstance(part, _MODES)):
            raise UntraceableError(f"{name or type(part).__name__} is in training mode")
        hooks = (part._forward_hooks, part._forward_pre_hooks, part._backward_hooks)
        if any(hooks):
            raise UntraceableError(f"{name or type(part).__name__} has hooks")
        if "forward" in vars(part):
            raise UntraceableError(f"the forward of {name or type(part).__name__} was replaced")
    for name, value in [*module.named_parameters(), *module.named_buffers()]:
        if value.is_floating_point() and value.dtype != torch.float32:
            raise UntraceableError(f"{name} is {str(value.dtype).removeprefix('torch.')}, not float32")


def _argument(node: fx.Node, name: str) -> Any:
    """An argument of a function by its name, also where it was given by its place; None where it has no such."""
    if name in node.kwargs:
        return node.kwargs[name]
    try:
        bound = inspect.signature(node.target).bind(*node.args, **node.kwargs)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return bound.arguments.get(name)


def _in_place(traced: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return bool(getattr(traced.get_submodule(str(node.target)), "inplace", False))
    if node.op == "call_method":
        name = str(node.target)
        return name.endswith("_") and not name.endswith("__")
    if node.op == "call_function":
        name = getattr(node.target, "__name__", "")
        named = node.target in (*_IN_PLACE_FUNCTIONS, *_OTHER_IN_PLACE, operator.setitem) or name.endswith("_")
        return named or bool(_argument(node, "inplace")) or node.kwargs.get("out") is not None
    return False


def _made_anew(traced: fx.GraphModule, node: fx.Node) -> bool:
    """Whether the result is known to share no memory with the inputs; of anything else it is supposed to."""
    if node.op == "call_module":
        return type(traced.get_submodule(str(node.target))) in MADE_ANEW
    if node.op == "call_method":
        return node.target in ("relu", "add", "sub", "mul", "div", "mean", "sum", "sigmoid", "tanh", "clone", "size")
    return node.op == "call_function" and node.target in MAKE_ANEW


def _check_functions(traced: fx.GraphModule) -> None:
    """Refuse functions of unknown make, which might change what they are given, and what depends on the layout."""
    for node in traced.graph.nodes:
        if node.op == "call_function":
            home = (getattr(node.target, "__module__", None) or "").split(".")[0]
            if home not in ("torch", "_operator", "builtins", "math", ""):
                raise UntraceableError(f"it calls {home}.{getattr(node.target, '__name__', node.target)}")
            if node.target is getattr and node.args[1] not in ("shape", "device", "dtype", "ndim"):
                raise UntraceableError(f"it reads .{node.args[1]} of a tensor")
        name = node.target if node.op == "call_method" else getattr(node.target, "__name__", "")
        if name in ("as_strided", "stride", "is_contiguous", "storage_offset", "data_ptr", "set_"):
            raise UntraceableError(f"it asks for the layout of a tensor ({name})")


def _check_in_place(traced: fx.GraphModule) -> None:
    """Refuse what would read a value after it was changed in place under another name."""
    shares: dict[fx.Node, set[fx.Node]] = {}
    order = {node: place for place, node in enumerate(traced.graph.nodes)}
    for node in traced.graph.nodes:
        shares[node] = {node}
        if _in_place(traced, node) or not _made_anew(traced, node):
            shares[node] = {node}.union(*(shares[one] for one in node.all_input_nodes))
    for node in traced.graph.nodes:
        if not _in_place(traced, node):
            continue
        if not (node.args and isinstance(node.args[0], fx.Node)):
            raise UntraceableError(f"{node.name} changes a value in place that is not named first")
        changed = shares[node.args[0]]
        for other in traced.graph.nodes:
            if order[other] >= order[node] or not shares[other] & changed:
                continue
            if other.op == "get_attr":
                raise UntraceableError(f"{node.name} changes {other.target} in place")
            if any(order[user] > order[node] for user in other.users):
                raise UntraceableError(f"{other.name} is read again after {node.name} changed it in place")


def _make_out_of_place(traced: fx.GraphModule) -> None:
    """Steps in place as the same steps out of place; views as reshapes, which take channels last as well."""
    for part in traced.modules():
        if getattr(part, "inplace", False) is True:
            part.inplace = False  # type: ignore[assignment]
    for node in traced.graph.nodes:
        if node.op == "call_method" and node.target == "view" and torch.dtype not in map(type, node.args):
            node.target = "reshape"
        if not _in_place(traced, node):
            continue
        if node.op == "call_method" and node.target in _IN_PLACE_METHODS:
            node.target = str(node.target).removesuffix("_")
        elif node.op == "call_function" and node.target in _IN_PLACE_FUNCTIONS:
            node.target = _IN_PLACE_FUNCTIONS[node.target]
        elif node.op == "call_function" and _argument(node, "inplace"):
            bound = inspect.signature(node.target).bind(*node.args, **node.kwargs)
            given = dict(bound.arguments)
            given.pop("inplace")
            first = next(iter(given))
            node.args, node.kwargs = (given.pop(first),), given
        elif node.op == "call_function" and node.target in (torch.relu_, F.relu_):
            node.target = torch.relu
        else:
            raise UntraceableError(f"{node.name} works in place")
    traced.recompile()


def _fold(traced: fx.GraphModule) -> None:
    """Batch norm into the convolution before it, where nothing else reads that one's value."""
    for node in list(traced.graph.nodes):
        before = node.args[0] if node.args else None
        if node.op != "call_module" or not isinstance(before, fx.Node) or before.op != "call_module":
            continue
        conv, norm = traced.get_submodule(str(before.target)), traced.get_submodule(str(node.target))
        if type(conv) is not nn.Conv2d or type(norm) is not nn.BatchNorm2d or norm.running_mean is None:
            continue
        if len(before.users) > 1:
            continue
        # Beside the layer, not in its place: it may be called again, or its weights read elsewhere.
        name = unused_name(traced, f"{before.name}_folded")
        traced.add_submodule(name, _both(conv, norm))
        before.target = name
        node.replace_all_uses_with(before)
        traced.graph.erase_node(node)
    traced.delete_all_unused_submodules()
    traced.recompile()


def unused_name(module: nn.Module, name: str) -> str:
    """``name``, or one like it that the module does not have."""
    while hasattr(module, name):
        name += "_"
    return name


def _both(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """A convolution that does what the two do one after the other."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    # In double precision, so that folding adds no error of its own.
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    scale = scale if norm.weight is None else scale * norm.weight.double()
    bias = torch.zeros_like(scale) if conv.bias is None else conv.bias.double()
    bias = (bias - norm.running_mean.double()) * scale
    bias = bias if norm.bias is None else bias + norm.bias.double()
    made = copy.copy(conv)
    weight = (conv.weight.double() * scale[:, None, None, None]).float()
    made._parameters = {
        "weight": nn.Parameter(weight, requires_grad=False),
        "bias": nn.Parameter(bias.float(), requires_grad=False),
    }
    return made


class _Recorder(fx.Interpreter):
    """Keeps the value of every node."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module, garbage_collect_values=False)
        self.values: dict[str, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        self.values[n.name] = value
        return value


def _example(traced: fx.GraphModule, shape: tuple[int, int, int]) -> dict[str, Any]:
    """The value of every node for two gray images."""
    device = next((value.device for value in traced.parameters()), torch.device("cpu"))
    recorder = _Recorder(traced)
    try:
        with torch.no_grad():
            recorder.run(torch.full((2, *shape), 0.5, device=device))
    except Exception as error:
        raise UntraceableError(f"the traced copy does not run: {one_line(error)}") from error
    return recorder.values


def _constants(traced: fx.GraphModule, values: dict[str, Any]) -> dict[str, Any]:
    """Values that depend on no image."""
    found: dict[str, Any] = {}
    for node in traced.graph.nodes:
        if node.op not in ("placeholder", "output") and all(one.name in found for one in node.all_input_nodes):
            found[node.name] = values[node.name]
    return found


def _look(
    traced: fx.GraphModule,
    node: fx.Node,
    values: dict[str, Any],
    constants: dict[str, Any],
    shape: tuple[int, int, int],
) -> Node:
    value = values[node.name]
    inputs = tuple(one.name for one in node.all_input_nodes if one.name not in constants)
    if not isinstance(value, torch.Tensor) or value.dim() < 1 or value.shape[0] != 2:
        return Node(node.name, None, inputs, ())
    own = tuple(value.shape[1:])
    if node.op == "placeholder":
        return Node(node.name, Input(), (), shape)
    given = [values[name] for name in inputs]
    if not all(isinstance(one, torch.Tensor) and one.dim() == 4 and one.shape[0] == 2 for one in given):
        return Node(node.name, None, inputs, own)
    try:
        if node.op == "call_module":
            if len(node.args) != 1 or node.kwargs:
                raise Unknown("arguments")
            op = op_of_module(traced.get_submodule(str(node.target)), given[0], value)
        else:
            args = tuple(_resolved(arg, values, constants) for arg in node.args)
            kwargs = {key: _resolved(arg, values, constants) for key, arg in node.kwargs.items()}
            op = op_of_function(node.target, args, kwargs, value)
    except Unknown:
        return Node(node.name, None, inputs, own)
    if value.dtype != torch.float32:
        return Node(node.name, None, inputs, own)
    return Node(node.name, op, tuple(_in_order(node, constants)), own)


def _in_order(node: fx.Node, constants: dict[str, Any]) -> list[str]:
    """The inputs in the order of the arguments; the same one twice is named twice."""
    found: list[str] = []
    fx.map_arg((node.args, node.kwargs), lambda one: found.append(one.name) if one.name not in constants else None)
    return found


def _resolved(argument: Any, values: dict[str, Any], constants: dict[str, Any]) -> Any:
    """Arguments with constants in place of their nodes, and :class:`Image` in place of what depends on the image."""

    def value(node: fx.Node) -> Any:
        return constants[node.name] if node.name in constants else Image(values[node.name])

    return fx.map_arg(argument, value)
