"""What the ways to models of hubs have in common: importing a package, loading without pickles, making the target."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterator, Sequence
from types import ModuleType

from torch import nn

from pinprick.data.transform import RESAMPLING, Preparation
from pinprick.errors import InputError, one_line
from pinprick.models.pickles import check_torch
from pinprick.models.preprocessing import Preprocess, parse_normalisation
from pinprick.targets.loading import Options
from pinprick.targets.torch_target import TorchTarget

_ONLY_WEIGHTS = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"


def package(name: str, what: str, right: str) -> ModuleType:
    """The package of that name.

    Raises
    ------
    InputError : it is not installed (``right`` says how to), or cannot be imported.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise InputError(what, f"{name} cannot be imported ({one_line(error)})", right) from error
        raise InputError(what, f"{name} is not installed", right) from None
    except Exception as error:  # built for another torch, it raises whatever its libraries do
        raise InputError(
            what,
            f"{name} cannot be imported ({one_line(error)[:160]})",
            f"Install the {name} that goes with this torch.",
        ) from error


@contextlib.contextmanager
def loading(what: str, *, trusted: bool) -> Iterator[None]:
    """While a package loads weights: none of its pickles runs code unless they are trusted, and its errors are told.

    Raises
    ------
    InputError : loading raised, for instance since there is no connection or no model of that name.
    """
    before = os.environ.get(_ONLY_WEIGHTS)
    if not trusted:
        # Packages give it their safe files by preference, and pickles of weights where there are no others.
        check_torch(what, "Or give a factory (file.py:function).")
        os.environ[_ONLY_WEIGHTS] = "1"
    try:
        yield
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        right = "Check the name, and the connection if it is not here yet; a factory (file.py:function) always works."
        raise InputError(what, f"loading it raised {one_line(error)[:300].rstrip('.')}", right) from error
    finally:
        if not trusted:
            os.environ.pop(_ONLY_WEIGHTS)
            if before is not None:
                os.environ[_ONLY_WEIGHTS] = before


def hub_target(
    module: nn.Module,
    options: Options,
    *,
    name: str,
    mean: Sequence[float],
    std: Sequence[float],
    order: str = "rgb",
    channels: int | None = None,
    preparation: Preparation | None = None,
    class_names: Sequence[str] | None = None,
) -> TorchTarget:
    """The target of a pretrained network with its own normalisation, unless the options say another.

    Raises
    ------
    InputError : a layout, or what :class:`pinprick.targets.torch_target.TorchTarget` raises.
    """
    if options.layout != "auto":
        raise InputError("--layout", "the model is a torch module, which takes N, C, H, W", "Leave it out.")
    if options.normalize is not None:
        mean, std = parse_normalisation(options.normalize)
    target = TorchTarget(
        module,
        "logits" if options.outputs == "auto" else options.outputs,
        name=name,
        preprocess=Preprocess(tuple(mean), tuple(std), options.order or order),
        device=options.device,
    )
    target.channels, target.preparation = channels, preparation
    target.class_names = None if class_names is None else tuple(class_names)
    return target


def resampling(name: str, what: str) -> str:
    """A filter by its usual name.

    Raises
    ------
    InputError : Pillow has none of that name.
    """
    plain = name.lower()
    if plain not in RESAMPLING:
        raise InputError(what, f"its images are resized by {name!r}", "Give --resize and --crop.")
    return plain
