"""The specification of a run: what is asked for, from the command line, a TOML file or Python."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    StrictBool,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from pinprick.attacks.arguments import LARGEST, LARGEST_ROWS, shown, whole_number
from pinprick.attacks.base import MOST_DRAWS, Attack, Shape
from pinprick.attacks.registry import ATTACKS, make_attack
from pinprick.attacks.search_loop import Stop
from pinprick.data.folder import IMAGE_SUFFIXES, is_image_name
from pinprick.errors import InputError, UnknownNameError
from pinprick.metrics.minimum import ATTACKS as SHRINKING
from pinprick.paths import given_path
from pinprick.targets.arrays import Layout
from pinprick.targets.base import Outputs, Precision
from pinprick.targets.calls import Calls
from pinprick.targets.editing import Engine

GOALS = ("untargeted", "targeted", "untargeted-derived")
TARGETS = ("all", "random", "least-likely")
DEFAULT_LIMIT = 100
_HOW = {
    "limit",
    "first",
    "out",
    "save_images",
    "retry_failed",
    "model",
    "trust_pickle",
    "data",
    "device",
    "outputs",
    "classes",
    "normalize",
    "layout",
    "parameters",
    "engine",
    "precision",
    "timeout",
    "retries",
    "rate",
    "concurrency",
    "auth_env",
    "answer_cache",
    "run_budget",
    "draws",
}
"""Fields that are not part of a run's identity: how many, where to, and names of what tells its own identity. The
target states its weights, device, outputs and normalisation, the image set its fingerprint, attacks all parameters,
and the manifest which engine was chosen and how many passes decide."""
_BOUNDS = {
    "limit": (1, LARGEST),
    "first": (1, LARGEST),
    "budget": (-LARGEST, LARGEST),  # the least is the attack's own
    "run_budget": (1, LARGEST),
    "seed": (0, LARGEST),
    "draws": (1, MOST_DRAWS),
    "batch_size": (1, LARGEST_ROWS),
    "resize": (1, LARGEST),
    "crop": (1, LARGEST),
}
_INSTEAD = {"limit": "first", "first": "limit", "data": "image", "image": "data"}
"""Fields that stand in each other's place."""
ALONE = ("random", *SHRINKING)
"""Attacks that have no baseline of their own accord: the baseline itself, and those that look for few pixels, which
random search does not."""
LARGEST_FILE = 2**20
"""Bytes of a specification."""


class Spec(BaseModel):
    """A run. Field names are the options of `pinprick attack`, with underscores for dashes.

    ``limit`` and ``first`` say how many right images to attack, out of a seeded permutation or in the set's order;
    neither: 100 out of the permutation. ``budget`` is questions a unit, the reserved one included. ``targets`` goes
    with targeted goals only. ``parameters`` are those of the attack that are not to have their defaults, by name; the
    baseline keeps its own. ``draws`` passes decide on each image; several say that the model is random. ``baseline`` is
    random search, but for random, attacks that look for few pixels and remote models none. ``run_budget`` is images
    sent to the model in all, ``answer_cache`` where a remote model's answers are kept (``none``: nowhere; by default in
    ``out``).

    Raises
    ------
    InputError : a number out of range, fields that do not go together, an attack that there is not. For fields of
        another type use :func:`make_spec`, which raises it for these too.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, protected_namespaces=())

    model: str
    trust_pickle: StrictBool = False
    data: str
    attack: str = "few-pixel"
    parameters: dict[str, str | bool | int | float | None] = {}
    pixels: tuple[int, ...] = (1,)
    goal: Literal["untargeted", "targeted", "untargeted-derived"] = "untargeted"
    targets: Literal["all", "random", "least-likely"] = "all"
    limit: int | None = None
    first: int | None = None
    budget: int | None = None
    stop: Stop = "first-hit"
    baseline: Literal["random", "none"] | None = None
    draws: int | None = None
    seed: int = 0
    device: str = "auto"
    batch_size: int | None = None
    engine: Engine = "auto"
    precision: Precision = "fp32"
    outputs: Outputs = "auto"
    normalize: str | None = None
    channel_order: Literal["rgb", "bgr"] = "rgb"
    layout: Layout = "auto"
    labels: Literal["given", "predicted"] = "given"
    classes: Path | None = None
    resize: int | None = None
    crop: int | None = None
    out: Path | None = None
    save_images: StrictBool = False
    retry_failed: StrictBool = False
    timeout: float | None = None
    retries: int | None = None
    rate: float | None = None
    concurrency: int | None = None
    auth_env: str | None = None
    answer_cache: Path | Literal["none"] | None = None
    run_budget: int | None = None

    @field_validator("pixels", mode="before")
    @classmethod
    def _pixels(cls, value: Any) -> tuple[int, ...]:
        if isinstance(value, str):
            return parse_pixels(value)
        try:
            several = list(value)
        except TypeError:
            several = [value]
        if not several:
            raise InputError("--pixels", "no number in it", "Give one or more, such as 1,3,5.")
        return tuple(dict.fromkeys(whole_number("--pixels", one, 1) for one in several))

    @field_validator("parameters", mode="before")
    @classmethod
    def _parameters(cls, value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
            raise InputError("parameters", shown(value), "Give names and values, such as share = 0.1.")
        plain = {name: one.item() if isinstance(one, np.generic) else one for name, one in value.items()}
        for name, one in plain.items():
            if one is not None and not isinstance(one, str | bool | int | float):
                raise InputError(f"--set {name}", shown(one), "Give a number, a word, true or false.")
        return plain

    @field_validator(*_BOUNDS, mode="before")
    @classmethod
    def _whole(cls, value: Any, info: ValidationInfo) -> int | None:
        name = str(info.field_name)
        if value is None and name != "seed":
            return None
        return whole_number(_option(name), value, *_BOUNDS[name])

    @field_validator("timeout", "retries", "rate", "concurrency", "auth_env", mode="before")
    @classmethod
    def _call(cls, value: Any, info: ValidationInfo) -> Any:
        plain = value.item() if isinstance(value, np.generic) else value
        return getattr(Calls(**{str(info.field_name): plain}), str(info.field_name))

    @field_validator("out", "classes", "answer_cache", mode="before")
    @classmethod
    def _path(cls, value: Any, info: ValidationInfo) -> Any:
        what = _option(str(info.field_name))
        if not isinstance(value, str | os.PathLike) or (info.field_name == "answer_cache" and value == "none"):
            return value
        text = os.fspath(value)
        if not text or "\0" in str(text):
            raise InputError(what, f"{text!r} is no path", "Give a path, or leave the option out.")
        return given_path(value, f"{what} {text}")

    @model_validator(mode="after")
    def _consistent(self) -> Spec:
        if self.limit is not None and self.first is not None:
            raise InputError("--limit and --first", "both are given", "Give one of them.")
        if self.save_images and self.out is None:
            raise InputError("--save-images", "there is no --out to save them in", "Give --out DIR.")
        if self.attack not in ATTACKS:
            raise UnknownNameError("--attack", self.attack, ATTACKS)
        if self.goal == "untargeted" and "targets" in self.model_fields_set:
            raise InputError(f"--targets {self.targets}", "the goal is untargeted", "Give --goal targeted with it.")
        if self.goal == "untargeted-derived" and self.targets != "all":
            raise InputError(
                f"--targets {self.targets}",
                "untargeted-derived takes every other class as a target",
                "Leave --targets out, or give --goal targeted.",
            )
        for attack in self.attacks():
            if self.budget is not None and self.budget < attack.least_budget():
                raise InputError(
                    f"--budget {self.budget}",
                    f"{attack.name} needs {attack.least_budget()} or more"
                    f" ({attack.least_budget() - 1} to begin with, and one to verify)",
                )
        return self

    def calls(self) -> Calls:
        """How a remote model is asked."""
        return Calls(self.timeout, self.retries, self.rate, self.concurrency, self.auth_env)

    @property
    def beside(self) -> Literal["random", "none"]:
        """The baseline: what was asked for, else random search where it has something to tell."""
        if self.baseline is None:
            return "none" if self.attack in ALONE else "random"
        return "none" if self.attack == "random" else self.baseline

    def attacks(self) -> list[Attack]:
        """The attack that is asked for, then the baseline where there is one."""
        attacks = [make_attack(self.attack, stop=self.stop, settings=self.parameters)]
        if self.beside != "none":
            attacks.append(make_attack("random", stop=self.stop))
        return [attack.within(self.budget) for attack in attacks]

    def questions(self, shape: Shape | None = None, pixels: int = 1, draws: int = 1) -> int:
        """Questions a unit: ``budget``, or what the attack needs to run to its end. The baseline has the same.

        ``shape`` is ``(C, H, W)`` of the images, ``pixels`` how many of them may change, ``draws`` how many passes
        verify.
        """
        if self.budget is not None:
            return self.budget
        return self.attacks()[0].default_budget(shape, pixels) + draws - 1

    def wanted(self) -> int:
        """How many right images are to be attacked."""
        return self.first or self.limit or DEFAULT_LIMIT

    def check_shape(self, channels: int, height: int, width: int) -> None:
        """Raise InputError where images of this shape have fewer pixels than are to be changed, or do not suit."""
        if (most := max(self.pixels)) > height * width:
            raise InputError("--pixels", f"{most} of images with {height * width} pixels", "Give fewer.")
        for attack in self.attacks():
            attack.check_shape((channels, height, width))

    def identity(self, shape: Shape | None = None, draws: int = 1) -> dict[str, Any]:
        """What two runs must share to share a folder: everything but how many, where to, and how.

        ``budget`` is one number where units of all numbers of pixels have the same, else one for each of them.
        """
        fields = self.model_dump(mode="json", exclude=_HOW)
        # Each takes other images, and a part of one is no part of the other.
        fields["sample"] = "permutation" if self.first is None else "first"
        fields["baseline"] = self.beside
        budgets = [self.questions(shape, pixels, draws) for pixels in self.pixels]
        fields["budget"] = budgets[0] if len(set(budgets)) == 1 else budgets
        return fields


UNKNOWN = "run specification"
"""What an error about a field that there is not is about."""


def parse_pixels(text: str) -> tuple[int, ...]:
    """``"1,3,5"`` as (1, 3, 5); a number that is given twice counts once.

    Raises
    ------
    InputError : not integers of 1 or more with commas between them.
    """
    parts = text.split(",")
    # int() alone would also take "1_000" and digits of other scripts, and refuses more than 4300 of them.
    if not all(re.fullmatch(r" *-?[0-9]{1,20} *", part) for part in parts):
        right = "Give integers with commas between them, such as 1,3,5."
        raise InputError("--pixels", shown(text), right)
    return tuple(dict.fromkeys(whole_number("--pixels", int(part), 1) for part in parts))


def make_spec(fields: dict[str, Any]) -> Spec:
    """A spec from fields, with errors that name the option.

    ``image``, the path of one image file, may stand in place of ``data``; ``labels`` are then predicted ones unless
    they are given.

    Raises
    ------
    InputError : an unknown field, or a value that is not allowed.
    """
    if (image := fields.get("image")) is not None:
        if fields.get("data") is not None:
            raise InputError("--image", "--data is given too", "Give one of them.")
        fields = {"labels": "predicted"} | fields | {"data": _image_file(image)}
    try:
        return Spec(**{name: value for name, value in fields.items() if name != "image"})
    except ValidationError as error:
        raise _plain(error) from None


def read_spec(path: Path) -> dict[str, Any]:
    """The fields of a TOML file; dashes in names count as underscores.

    Raises
    ------
    InputError : no such file, not TOML, nothing in it, a field that is given twice.
    """
    what, right = f"--spec {path}", "See the README for an example."
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
        if len(data) > LARGEST_FILE:
            raise InputError(what, "more than a million bytes", "Give a TOML file of options.")
        # Some editors begin a file with a byte order mark, which TOML does not know.
        entries = tomllib.loads(data.decode("utf-8-sig"))
    except FileNotFoundError:
        raise InputError(what, "no such file", "Give a TOML file.") from None
    except OSError as error:
        raise InputError(what, f"it cannot be read ({error.strerror})", "Give a TOML file.") from None
    except UnicodeDecodeError as error:
        raise InputError(what, f"not UTF-8 text ({error.reason} at byte {error.start})", right) from None
    except (ValueError, RecursionError) as error:  # a number of 5000 digits is a ValueError of another kind
        raise InputError(what, f"not TOML ({str(error).splitlines()[0]})", right) from None
    if not entries:
        raise InputError(what, "nothing in it", right)
    fields: dict[str, Any] = {}
    for name, value in entries.items():
        field = name.replace("-", "_")
        if field in fields:
            raise InputError(what, f"{name} is given twice, with a dash and with an underscore", "Give it once.")
        fields[field] = value
    return fields


def merged(file: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The fields of a file with those of the command line, which win, also over what stands in their place.

    ``--first`` puts aside the file's ``limit``, ``--image`` its ``data`` and ``labels``, a goal without targets its
    ``targets``, another attack its ``parameters``, and so on; of these, each that is given wins by itself.
    """
    kept = {name: value for name, value in file.items() if _INSTEAD.get(name) not in given}
    if "image" in given:
        kept.pop("labels", None)
    if given.get("goal", "targeted") != "targeted":
        kept.pop("targets", None)
    if "attack" in file and given.get("attack", file["attack"]) != file["attack"]:
        kept.pop("parameters", None)
    if isinstance(own := kept.get("parameters"), Mapping) and "parameters" in given:
        both = [*own.items(), *given["parameters"].items()]
        return kept | given | {"parameters": {name.replace("-", "_"): value for name, value in both}}
    return kept | given


def _image_file(image: Any) -> str:
    """The path of one image, after ``--image``."""
    if not isinstance(image, str | os.PathLike) or not os.fspath(image):
        raise InputError("--image", shown(image), "Give the path of an image file.")
    what = f"--image {image}"
    path = given_path(image, what)
    if path.is_dir():
        raise InputError(what, "it is a folder", f"Give --data {image}.")
    suffixes = ", ".join(IMAGE_SUFFIXES)
    if not path.is_file():
        raise InputError(what, "there is no such file", f"Give an image file ({suffixes}); sets go after --data.")
    if not is_image_name(path.name):
        raise InputError(what, "no image, by its name", f"Give a file that ends in {suffixes}; sets go after --data.")
    return os.fspath(image)


def _option(field: str) -> str:
    return "--" + field.replace("_", "-")


def _plain(error: ValidationError) -> InputError:
    """The first of pydantic's errors, on behalf of the option."""
    first = error.errors()[0]
    name = str(first["loc"][0])
    if first["type"] == "extra_forbidden":
        return UnknownNameError(UNKNOWN, name, [*Spec.model_fields, "image"])
    if first["type"] == "missing":
        return InputError(_option(name), "it is missing", "Give it on the command line or in the TOML file.")
    if first["type"] == "literal_error":
        kind = Spec.model_fields[name].annotation
        # Of Literal[...] | None the names are one level further down.
        names = [one for part in (kind, *get_args(kind)) for one in get_args(part) if isinstance(one, str)]
        return UnknownNameError(_option(name), str(first["input"]), names)
    return InputError(_option(name), f"{shown(first['input'])}: {first['msg']}", "See pinprick attack --help.")
