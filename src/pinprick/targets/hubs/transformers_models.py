"""``hf:OWNER/NAME`` and ``hf:FOLDER``: image classifiers of transformers, from the Hugging Face Hub or a folder."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from PIL import Image as PILImage
from torch import nn

from pinprick.data.image_set import ImageSet
from pinprick.data.transform import Preparation, prepared
from pinprick.errors import InputError, one_line
from pinprick.paths import given_path
from pinprick.targets.base import Target
from pinprick.targets.hubs.common import hub_target, loading, package
from pinprick.targets.loading import Options
from pinprick.targets.torch_target import TorchTarget

_FILTERS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}
_INSTALL = "Install it: pip install 'pinprick[hub]'."
LARGEST_SIDE = 2**13
"""Pixels; a picture is resized to what a processor says, to see what else it does."""
_DIFFER = 0.02
"""Mean difference of pixel values in [0, 1], of noise, from which on images count as prepared otherwise."""


class Logits(nn.Module):
    """A classifier of transformers as a module from images to scores."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.model(pixel_values=images).logits
        return scores


def load(model: str, options: Options) -> Target:
    """The target of ``hf:OWNER/NAME[@REVISION]`` or of ``hf:FOLDER``, from safetensors, without code of the repository.

    Raises
    ------
    InputError : transformers is not installed; no such model; no safetensors in it, and no trust in pickles; it is no
        image classifier, or lacks weights.
    """
    what = f"--model {model}"
    name, revision = _source(model.removeprefix("hf:"), what)
    transformers = package("transformers", what, _INSTALL)
    local = Path(name).is_dir()
    given: dict[str, Any] = {"revision": revision} if revision else {}
    if local:
        given["local_files_only"] = True
    with loading(what, trusted=options.trust_pickle), _quiet(transformers):
        net, found = transformers.AutoModelForImageClassification.from_pretrained(
            name,
            # Without trust nothing but safetensors is read.
            use_safetensors=None if options.trust_pickle else True,
            trust_remote_code=False,
            output_loading_info=True,
            **given,
        )
        processor = _processor(transformers, name, given, what)
    if missing := sorted(found["missing_keys"]):
        right = "Give a model that was trained to classify images."
        raise InputError(what, f"{len(missing)} of its weights are missing, first {missing[0]!r}", right)
    if getattr(net.config, "problem_type", None) in ("regression", "multi_label_classification"):
        raise InputError(what, f"made for {net.config.problem_type}", "Give a classifier of one class an image.")
    try:
        return _target(Logits(net), net.config, processor, options, model)
    except (ArithmeticError, AttributeError, KeyError, MemoryError, TypeError, ValueError) as error:
        # Its entries are anyone's, and transformers looks at some of them only when it is given an image.
        wrong = f"its image processor cannot be used as its entries are ({one_line(error)[:160]})"
        raise InputError(what, wrong, "Mend preprocessor_config.json, or give a factory (file.py:function).") from error


def _source(text: str, what: str) -> tuple[str, str | None]:
    """A folder, or a name on the Hub and the revision behind ``@``.

    Raises
    ------
    InputError : it is neither.
    """
    path = given_path(text, what) if text else Path("?")
    if path.is_dir():
        return str(path), None
    name, _, revision = text.partition("@")
    if name.count("/") > 1 or not name or name.startswith((".", "/", "~")) or name.endswith("/"):
        right = "Give a folder that save_pretrained wrote, or hf:OWNER/NAME."
        raise InputError(what, f"there is no folder {text!r}", right)
    return name, revision or None


def _processor(transformers: ModuleType, name: str, given: dict[str, Any], what: str) -> Any:
    """The image processor, None where there is none with the model."""
    try:
        return transformers.AutoImageProcessor.from_pretrained(name, trust_remote_code=False, **given)
    except OSError as error:
        if "preprocessor_config.json" in str(error) or "image processor" in str(error):
            return None
        raise
    except ImportError as error:
        raise InputError(what, f"its image processor cannot be used ({error})", "Install what it names.") from error


def _target(net: nn.Module, config: Any, processor: Any, options: Options, model: str) -> Target:
    entries: dict[str, Any] = {} if processor is None else processor.to_dict()
    factor = float(entries.get("rescale_factor") or 1 / 255) if entries.get("do_rescale", True) else 1.0
    mean, std = [0.0], [1.0]
    if entries.get("do_normalize") and entries.get("image_mean") is not None:
        mean, std = list(entries["image_mean"]), list(entries["image_std"])
    flipped = bool(entries.get("do_flip_channel_order", False))
    if flipped:  # means are given in the order of the network, and asked for in that of the images
        mean, std = mean[::-1], std[::-1]
    target = hub_target(
        net,
        options,
        name=model,
        # The processor takes values from 0 to 255, and pinprick has them from 0 to 1.
        mean=[value / (255 * factor) for value in mean],
        std=[value / (255 * factor) for value in std],
        order="bgr" if flipped else "rgb",
        channels=getattr(config, "num_channels", None),
        preparation=_preparation(entries),
        class_names=_names(config),
    )
    if processor is None:
        target.note(
            f"warning: {model} has no image processor: pixels go in as numbers in [0, 1], of the size that they have; "
            "--normalize, --resize and --crop say otherwise"
        )
    elif not _same(target, processor, own=options.normalize is None and options.order is None):
        target.note(
            f"warning: the image processor of {model} ({type(processor).__name__}) does something else to images than "
            "is done here; compare its accuracy, or give --resize, --crop and --normalize"
        )
    return target


def _preparation(entries: dict[str, Any]) -> Preparation | None:
    """Resizing and cropping as a processor's entries say."""
    size, crop = _sides(entries.get("size")), _sides(entries.get("crop_size"))
    resize: int | tuple[int, int] | None = size if entries.get("do_resize") else None
    cut = None
    if entries.get("do_center_crop") and crop is not None:
        cut = (crop, crop) if isinstance(crop, int) else crop
    share = entries.get("crop_pct")
    if share is not None and isinstance(resize, int) and not entries.get("do_center_crop"):
        # ConvNeXT's way: small images are cropped, large ones squeezed.
        small = resize < 384
        cut, resize = ((resize, resize), int(resize / share)) if small else (None, (resize, resize))
    if resize is None and cut is None:
        return None
    return Preparation(resize, cut, _FILTERS.get(int(entries.get("resample") or 0), "bilinear"))


def _sides(size: Any) -> int | tuple[int, int] | None:
    """The short side, or height and width; None for anything else. Raises ValueError for sides that no image has."""
    sides = {"shortest_edge": size} if isinstance(size, int) else size if isinstance(size, dict) else {}
    sides = {name: int(side) for name, side in sides.items() if side is not None}
    if any(not 1 <= side <= LARGEST_SIDE for side in sides.values()):
        raise ValueError(f"images of {' x '.join(map(str, sides.values()))} pixels")
    if set(sides) == {"shortest_edge"}:
        return sides["shortest_edge"]
    return (sides["height"], sides["width"]) if set(sides) == {"height", "width"} else None


def _names(config: Any) -> list[str] | None:
    """Class names of a configuration, None where they are LABEL_0 and so on, which is what it has without any."""
    found = {int(place): str(name) for place, name in (getattr(config, "id2label", None) or {}).items()}
    if sorted(found) != list(range(len(found))) or len(found) < 2:
        return None
    names = [found[place] for place in range(len(found))]
    return None if all(name == f"LABEL_{place}" for place, name in enumerate(names)) else names


def _same(target: TorchTarget, processor: Any, *, own: bool) -> bool:
    """Whether the processor does to a noisy picture what is done here: of its size, and with ``own`` of its values."""
    channels = target.channels or 3
    smooth = np.random.default_rng(0).integers(0, 256, (12, 16, channels), dtype=np.uint8)
    bands = [
        np.asarray(PILImage.fromarray(smooth[..., band]).resize((640, 480), PILImage.Resampling.BICUBIC))
        for band in range(channels)
    ]
    picture = np.stack(bands)
    images = ImageSet.from_arrays(picture[None], None)
    ours = images if target.preparation is None else prepared(images, target.preparation)
    shown = PILImage.fromarray(picture.transpose(1, 2, 0) if channels == 3 else picture[0])
    theirs = torch.as_tensor(np.asarray(processor(shown, return_tensors="np")["pixel_values"])).float()
    try:
        tensor = torch.from_numpy(ours.stack()).float() / 255
    except InputError:  # a crop that fills up what is too small
        return False
    if theirs.shape != tensor.shape:
        return False
    preprocess = target.preprocess
    if not own or preprocess is None:
        return True
    with torch.inference_mode():
        difference = (preprocess.cpu().float()(tensor) - theirs).abs().mean() * float(preprocess.std.min())
    preprocess.to(target.device, target.dtype)
    return float(difference) <= _DIFFER


@contextlib.contextmanager
def _quiet(transformers: ModuleType) -> Iterator[None]:
    """Without bars of progress, and with errors only: what matters of a loading is told by its result."""
    told = transformers.utils.logging
    level = told.get_verbosity()
    bars = bool(getattr(told, "is_progress_bar_enabled", lambda: True)())
    told.set_verbosity(logging.ERROR)
    told.disable_progress_bar()
    try:
        yield
    finally:
        told.set_verbosity(level)
        if bars:
            told.enable_progress_bar()
