"""Targets by what a user writes after --model."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from pinprick.errors import InputError, UnknownNameError, one_line
from pinprick.models.preprocessing import Preprocess, parse_normalisation
from pinprick.models.shipped import load_shipped, shipped
from pinprick.models.weights import Card, load_net
from pinprick.targets.base import Outputs, Target
from pinprick.targets.callable_target import CallableTarget
from pinprick.targets.torch_target import TorchTarget

_FORMS = "Write a shipped name, [net:]weights.safetensors, file.py:function or package.module:function."


def load_target(
    model: str, *, outputs: Outputs = "auto", device: str = "auto", normalize: str | None = None, order: str = "rgb"
) -> Target:
    """The target that ``model`` names.

    Parameters
    ----------
    model : a shipped name (``allconv-cifar10``), ``net:weights.safetensors`` (``net:`` may be left out where
        the file states its network, as those of `pinprick train` do), or a factory, ``file.py:function`` or
        ``package.module:function``: a function without arguments that returns a torch module, a target, or a function
        from images ``(N, C, H, W)`` float in [0, 1] to scores.
    normalize : mean and standard deviation inside the target, by name or as numbers (see
        :func:`pinprick.models.preprocessing.parse_normalisation`); None keeps what the weights state, and passes
        images in [0, 1] to modules from factories.
    order : ``rgb`` or ``bgr``, the channel order that a module from a factory was trained with.

    Raises
    ------
    InputError : no such model, missing or foreign weights, a factory that raises or returns something else.
    """
    left, colon, right = model.rpartition(":")
    if colon and not (left and right):
        raise InputError(f"--model {model}", "nothing on one side of the colon", _FORMS)
    if not colon:
        if model.endswith(".safetensors"):
            net, card = load_net(Path(model))
            return _from_weights(net, card, card.net, outputs, device, normalize)
        if model.endswith(".py"):
            raise InputError(f"--model {model}", "no function named", f"Write {model}:function.")
        if model not in shipped() and Path(model).suffix in (".pt", ".pth", ".pkl", ".ckpt"):
            raise InputError(
                f"--model {model}",
                "a pickle, which can run any code when it is loaded",
                "Save the weights as safetensors, or give a factory (file.py:function).",
            )
        return _from_weights(*load_shipped(model), model, outputs, device, normalize)
    if right.endswith(".safetensors"):
        return _from_weights(*load_net(Path(right), left), left, outputs, device, normalize)
    factory = _factory(model, left, right)
    # A module that the file has made already is as good as a function that makes one.
    made = factory if isinstance(factory, nn.Module) else _call(model, factory)
    preprocess = None
    if normalize is not None or order != "rgb":
        mean, std = parse_normalisation(normalize or "none")
        preprocess = Preprocess(mean, std, order)
    return as_target(made, outputs=outputs, device=device, preprocess=preprocess, name=right, source=model)


def as_target(
    made: Any,
    *,
    outputs: Outputs = "auto",
    device: str = "auto",
    preprocess: Preprocess | None = None,
    name: str | None = None,
    source: str = "model",
) -> Target:
    """A target from a torch module, a target, or a function.

    Raises
    ------
    InputError : it is none of these, or a function that is to be normalised (that belongs into the function).
    """
    if isinstance(made, Target):
        if outputs != "auto":
            made.outputs = outputs
        return made
    if isinstance(made, nn.Module):
        return TorchTarget(made, outputs, name=name, preprocess=preprocess, device=device)
    if callable(made) and not isinstance(made, type):
        if preprocess is not None:
            raise InputError("--normalize", "the model is a function", "Normalise inside the function.")
        return CallableTarget(made, outputs, name=name, identity=_code_digest(made))
    raise InputError(
        f"--model {source}",
        f"it returned a {type(made).__name__}",
        "It should return a torch module, or a function from images to scores.",
    )


def _from_weights(
    net: nn.Module, card: Card, name: str, outputs: Outputs, device: str, normalize: str | None
) -> TorchTarget:
    mean, std = (card.mean, card.std) if normalize is None else parse_normalisation(normalize)
    return TorchTarget(
        net,
        "logits" if outputs == "auto" else outputs,
        name=name,
        preprocess=Preprocess(mean, std, card.order),
        device=device,
        classes=card.classes,
        shape=card.shape,
    )


def _factory(model: str, left: str, right: str) -> Callable[[], Any]:
    module = _import(model, left)
    found = getattr(module, right, None)
    if found is None:
        functions = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        raise UnknownNameError(f"--model {model}", right, functions or ["(no functions in it)"])
    if not callable(found):
        raise InputError(f"--model {model}", f"{right} is a {type(found).__name__}, not a function", _FORMS)
    factory: Callable[[], Any] = found
    return factory


def _import(model: str, left: str) -> ModuleType:
    path = Path(left)
    try:
        if path.suffix == ".py":
            if not path.is_file():
                raise InputError(f"--model {model}", f"there is no file {left}", _FORMS)
            # Files beside the factory's can be imported by it, as when Python runs it as a script.
            sys.path.insert(0, str(path.resolve().parent))
            name = f"_pinprick_factory_{path.stem}"
            spec = importlib.util.spec_from_file_location(name, path)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module
            spec.loader.exec_module(module)
            return module
        if str(Path.cwd()) not in sys.path:
            sys.path.insert(0, str(Path.cwd()))
        return importlib.import_module(left)
    except InputError:
        raise
    except ModuleNotFoundError as error:
        raise InputError(f"--model {model}", f"cannot import it ({error})", _FORMS) from error
    except (Exception, SystemExit) as error:
        raise InputError(f"--model {model}", f"importing it raised {_where(error)}", "Mend the file.") from error


def _call(model: str, factory: Callable[[], Any]) -> Any:
    try:
        return factory()
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError(
            f"--model {model}", f"calling it raised {_where(error)}", "It is called without arguments."
        ) from error


def _where(error: BaseException) -> str:
    """``ValueError: bad (file.py, line 3)`` of the innermost frame."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return one_line(error) + place


def _code_digest(function: Callable[..., Any]) -> str:
    """BLAKE2b of a function's compiled code and constants, so that a changed function is another target."""
    # Of an object that can be called, the code is its class's.
    code = getattr(function, "__code__", None) or getattr(vars(type(function)).get("__call__"), "__code__", None)
    if code is None:
        return ""
    # Sets and nested code objects print in an order, or at an address, that changes from process to process.
    constants = [value for value in code.co_consts if isinstance(value, int | float | str | bytes | tuple)]
    text = repr((code.co_code, code.co_names, constants))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
