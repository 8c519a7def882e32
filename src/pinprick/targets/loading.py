"""Targets by what a user writes after --model."""

from __future__ import annotations

import importlib
import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pinprick.errors import InputError
from pinprick.models.pickles import is_pickle_name, load_pickled
from pinprick.models.preprocessing import Preprocess, parse_normalisation
from pinprick.models.registry import net_names
from pinprick.models.shipped import load_shipped, shipped
from pinprick.models.weights import Card, load_net, load_state
from pinprick.paths import check_ordinary, given_path
from pinprick.targets.arrays import Layout
from pinprick.targets.base import Outputs, Target
from pinprick.targets.callable_target import CallableTarget, predictor_target
from pinprick.targets.calls import Calls, check_local
from pinprick.targets.factories import FORMS, code_digest, made_by
from pinprick.targets.torch_target import TorchTarget, choose_device

_FOREIGN = (".h5", ".keras", ".tflite", ".pb")
_REMOTE = "pinprick.targets.remote.loading"
_BY_SUFFIX: dict[str, str] = {
    ".onnx": "pinprick.targets.onnx_target",
    ".skops": "pinprick.targets.skops_files",
    ".toml": _REMOTE,
}
_BY_PREFIX: dict[str, str] = {
    "http://": _REMOTE,
    "https://": _REMOTE,
    "timm:": "pinprick.targets.hubs.timm_models",
    "torchvision:": "pinprick.targets.hubs.torchvision_models",
    "hf:": "pinprick.targets.hubs.transformers_models",
}
"""Models whose names end or begin so are loaded by the module named: its ``load(model, options)`` makes the target.
After the end of a file's name a colon and the name of an output may stand."""


@dataclass(frozen=True)
class Options:
    """What a user says of a model beside its name; see :func:`load_target`."""

    outputs: Outputs = "auto"
    device: str = "auto"
    normalize: str | None = None
    order: str | None = None
    trust_pickle: bool = False
    layout: Layout = "auto"
    calls: Calls = field(default_factory=Calls)


def load_target(
    model: str,
    *,
    outputs: Outputs = "auto",
    device: str = "auto",
    normalize: str | None = None,
    order: str | None = None,
    trust_pickle: bool = False,
    layout: Layout = "auto",
    calls: Calls | None = None,
) -> Target:
    """The target that ``model`` names.

    Parameters
    ----------
    model : a shipped name (``allconv-cifar10``), ``net:weights.safetensors`` (``net:`` may be left out where
        the file states its network, as those of `pinprick train` do), or a factory, ``file.py:function`` or
        ``package.module:function``: a function without arguments that returns a torch module, a target, or a function
        from images ``(N, C, H, W)`` float in [0, 1] to scores. ``net:state.pt`` is a state dict of torch.save, for
        networks whose usual preprocessing is known; with ``trust_pickle``, ``net.pt`` is a whole module, pickled or
        TorchScript, ``net.pt2`` a program of torch.export, and ``forest.joblib`` or ``forest.pkl`` a classifier of
        scikit-learn. ``svm.skops`` is one that needs no trust.
        ``timm:NAME``, ``torchvision:NAME[@WEIGHTS]``, ``hf:OWNER/NAME`` and ``hf:FOLDER`` are pretrained networks.
        ``net.onnx`` is run by onnxruntime, ``net.onnx:output`` with the output to read.
        ``http://host:port/v2/models/NAME`` is a model of the Open Inference Protocol, and
        ``endpoint.toml`` describes any other endpoint (docs/remote.md).
    trust_pickle : load such a file although it can run any code. State dicts do not need it.
    normalize : mean and standard deviation inside the target, by name or as numbers (see
        :func:`pinprick.models.preprocessing.parse_normalisation`); None keeps what the weights state, and passes
        images in [0, 1] to modules from factories.
    order : ``rgb`` or ``bgr``, the channel order that the network was trained with; None keeps what the weights state,
        and is RGB for modules from factories.
    layout : of classifiers that take arrays, ``nhwc`` or ``nchw``.
    calls : how a remote model is asked: time-out, retries, rate and so on.

    Raises
    ------
    InputError : no such model, missing or foreign weights, a factory that raises or returns something else; a
        normalisation, order or device for a target or a function, which have their own inside.
    """
    options = Options(outputs, device, normalize, order, trust_pickle, layout, calls or Calls())
    module = _module_for(model)
    if module != _REMOTE:
        check_local(model, options.calls)
    if module is not None:
        target: Target = importlib.import_module(module).load(model, options)
        return target
    left, colon, right = model.rpartition(":")
    if colon and not (left and right):
        raise InputError(f"--model {model}", "nothing on one side of the colon", FORMS)
    path = given_path(right, f"--model {model}")
    check_ordinary(path, f"--model {model}")
    pickled = is_pickle_name(path) and model not in shipped()
    if trust_pickle and not pickled:
        raise InputError("--trust-pickle", f"{model!r} is no pickle, by its name", "Leave it out.")
    if layout != "auto" and (path.suffix == ".safetensors" or pickled == bool(colon)):
        raise InputError("--layout", "the model is a torch module, which takes N, C, H, W", "Leave it out.")
    if pickled and colon:
        return _from_weights(*load_state(path, left, trusted=trust_pickle), left, outputs, device, normalize, order)
    if pickled:
        made, notes = _pickled(path, model, trust_pickle)
        target = as_target(
            made, outputs=outputs, device=device, normalize=normalize, order=order, layout=layout, name=path.name
        )
        for note in notes:
            target.note(note)
        return target
    if path.suffix == ".safetensors":
        net, card = load_net(path, left or None)
        return _from_weights(net, card, left or card.net, outputs, device, normalize, order)
    if not colon:
        _check_name(model, path)
        return _from_weights(*load_shipped(model), model, outputs, device, normalize, order)
    made = made_by(model, left, right, _is_model)
    return as_target(
        made,
        outputs=outputs,
        device=device,
        normalize=normalize,
        order=order,
        layout=layout,
        name=right,
        source=model,
    )


def _check_name(model: str, path: Path) -> None:
    """Raise InputError where what stands for the name of shipped weights is a file or folder."""
    if path.suffix == ".py":
        raise InputError(f"--model {model}", "no function named", f"Write {model}:function.")
    if path.suffix.lower() in _FOREIGN:
        right = "Give a function from images to scores that runs it (file.py:function)."
        raise InputError(f"--model {model}", "a model of something else than torch", right)
    if model not in shipped() and path.exists():
        raise InputError(f"--model {model}", f"a {'folder' if path.is_dir() else 'file'}, and no model", FORMS)


def _module_for(model: str) -> str | None:
    """The module that loads models of such a name, None for those that are loaded here."""
    by_prefix = [module for name, module in _BY_PREFIX.items() if model.startswith(name)]
    by_suffix = [module for name, module in _BY_SUFFIX.items() if _is_file_of(model, name)]
    # Any other scheme is refused there too, and what is written behind it not shown.
    by_scheme = [_REMOTE] if re.match(r"\s*[a-z][a-z0-9+.-]*://", model, re.IGNORECASE) else []
    return next(iter([*by_prefix, *by_scheme, *by_suffix]), None)


def _is_file_of(model: str, suffix: str) -> bool:
    """Whether a name is that of a file that ends so, with or without an output's name behind."""
    found = re.match(rf"(.*?{re.escape(suffix)})(:|$)", model, re.IGNORECASE | re.DOTALL)
    # A package may be called so too: package.onnx:function. Unlike Path's, os.path's way takes names of any length.
    return found is not None and (not found[2] or os.path.isfile(found[1]))  # noqa: PTH113


def _pickled(path: Path, model: str, trusted: bool) -> tuple[Any, list[str]]:
    """The module in a pickle or a TorchScript archive, or the classifier in one; and what is to be said of it."""
    what = f"--model {model}"
    notes: list[str] = []
    made = load_pickled(path, what, trusted=trusted, notes=notes)
    if isinstance(made, nn.Module) or is_estimator(made) or is_exported(made):
        return made, notes
    wrong = f"it holds a {'dict' if isinstance(made, dict) else type(made).__name__}, no module"
    if isinstance(made, dict):
        nets = ", ".join(net_names())
        right = f"For a state dict say of which network: NET:{model} ({nets}), or give a factory (file.py:function)."
        raise InputError(what, wrong, right)
    raise InputError(what, wrong, "Save a torch module or a classifier, or give a factory (file.py:function).")


def as_target(
    made: Any,
    *,
    outputs: Outputs = "auto",
    device: str = "auto",
    normalize: str | None = None,
    order: str | None = None,
    layout: Layout = "auto",
    name: str | None = None,
    source: str | None = None,
) -> Target:
    """A target from a torch module, a scikit-learn classifier, a target, or a function.

    The options are those of :func:`load_target`.

    ``source`` is what the user wrote after --model where a factory has made it; None where it is given in Python.

    Raises
    ------
    InputError : it is none of these; or a normalisation, BGR order, layout or another device for a target or a
        function; or a layout for a module.
    """
    if is_exported(made):
        from pinprick.targets.exported import ExportedTarget

        preprocess = _preprocess(normalize, order)
        return ExportedTarget(made, outputs, name=name, preprocess=preprocess, device=device)
    if is_estimator(made):
        from pinprick.targets.sklearn_target import SklearnTarget

        _check_device("classifier", torch.device("cpu"), device)
        return SklearnTarget(made, outputs, name=name, normalize=normalize, order=order, layout=layout)
    if is_predictor(made):
        _check_device("classifier", torch.device("cpu"), device)
        return predictor_target(made, outputs, name=name, normalize=normalize, order=order, layout=layout)
    if layout != "auto":
        kind = "torch module, which takes N, C, H, W" if isinstance(made, nn.Module) else "target or a function"
        raise InputError("--layout", f"the model is a {kind}", "Leave it out, and turn the images round inside.")
    if isinstance(made, nn.Module):
        return TorchTarget(made, outputs, name=name, preprocess=_preprocess(normalize, order), device=device)
    if isinstance(made, Target):
        _check_inside("target", getattr(made, "device", torch.device("cpu")), device, normalize, order)
        if outputs != "auto":
            made.outputs = outputs
        return made
    if callable(made) and not isinstance(made, type):
        _check_inside("function", torch.device("cpu"), device, normalize, order)
        return CallableTarget(made, outputs, name=name, identity=code_digest(made))
    kind = "nothing (None)" if made is None else f"a {type(made).__name__}"
    if source is None:
        raise InputError("model", kind, "Give a torch module, or a function from images to scores.")
    raise InputError(
        f"--model {source}",
        f"it returned {kind}",
        "It should return a torch module, or a function from images to scores.",
    )


def _preprocess(normalize: str | None, order: str | None) -> Preprocess | None:
    if normalize is None and order in (None, "rgb"):
        return None
    mean, std = parse_normalisation(normalize or "none")
    return Preprocess(mean, std, order or "rgb")


def _is_model(made: Any) -> bool:
    """Whether this is a model itself and no function that makes one."""
    if isinstance(made, type):
        return False
    return isinstance(made, nn.Module | Target) or is_exported(made) or is_estimator(made) or is_predictor(made)


def is_predictor(made: Any) -> bool:
    """Whether this is an object to be asked by its ``predict``, with arrays, as Keras models are."""
    if isinstance(made, type | Target) or not callable(getattr(made, "predict", None)):
        return False
    # On torch, Keras models are torch modules besides, but take images as Keras has them.
    return not isinstance(made, nn.Module) or (hasattr(made, "get_weights") and hasattr(made, "input_shape"))


def is_exported(made: Any) -> bool:
    """Whether this is a program of torch.export, or the module of one."""
    program = getattr(sys.modules.get("torch.export"), "ExportedProgram", None)
    if program is not None and isinstance(made, program):
        return True
    # Its module checks its input by itself; one that torch.fx has traced does not.
    return isinstance(made, torch.fx.GraphModule) and hasattr(made, "_guards_fn")


def is_estimator(made: Any) -> bool:
    """Whether this is an estimator of scikit-learn or like one: it was fitted, predicts, and states its classes."""
    if isinstance(made, type | nn.Module | Target):
        return False
    # Nothing can be of scikit-learn that has not been imported, which takes a second.
    base = getattr(sys.modules.get("sklearn.base"), "BaseEstimator", None)
    own = base is not None and isinstance(made, base)
    return own or (callable(getattr(made, "predict", None)) and getattr(made, "classes_", None) is not None)


def _check_inside(kind: str, own: torch.device, device: str, normalize: str | None, order: str | None) -> None:
    """Raise InputError where an option concerns what a target or a function does inside, out of reach."""
    if normalize is not None:
        raise InputError("--normalize", f"the model is a {kind}", f"Normalise inside the {kind}.")
    if order not in (None, "rgb"):
        raise InputError("--channel-order", f"the model is a {kind}", f"Turn the channels round inside the {kind}.")
    _check_device(kind, own, device)


def _check_device(kind: str, own: torch.device, device: str) -> None:
    """Raise InputError where another device is asked for than a model is on that does not move."""
    if device != "auto":
        chosen = choose_device(device)
        if chosen.type != own.type or chosen.index not in (None, own.index):
            raise InputError(
                "--device",
                f"{device!r}, and the model is a {kind} that takes tensors on {own}",
                f"Move inside the {kind}.",
            )


def _from_weights(
    net: nn.Module,
    card: Card,
    name: str,
    outputs: Outputs,
    device: str,
    normalize: str | None,
    order: str | None,
) -> TorchTarget:
    mean, std = (card.mean, card.std) if normalize is None else parse_normalisation(normalize)
    return TorchTarget(
        net,
        "logits" if outputs == "auto" else outputs,
        name=name,
        preprocess=Preprocess(mean, std, order or card.order),
        device=device,
        classes=card.classes,
        shape=card.shape,
    )
