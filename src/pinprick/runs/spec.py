"""The specification of a run: what is asked for, from the command line, a TOML file or Python."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pinprick.attacks.base import Attack
from pinprick.attacks.registry import ATTACKS, make_attack
from pinprick.attacks.search_loop import Stop
from pinprick.errors import InputError, UnknownNameError
from pinprick.targets.base import Outputs

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
    "data",
    "device",
    "outputs",
    "classes",
    "normalize",
}
"""Fields that are not part of a run's identity: how many, where to, and names of what tells its own identity. The
target states its weights, device, outputs and normalisation, and the image set its fingerprint."""


class Spec(BaseModel):
    """A run. Field names are the options of `pinprick attack`, with underscores for dashes.

    ``limit`` and ``first`` say how many right images to attack, out of a seeded permutation or in the set's order;
    neither: 100 out of the permutation. ``budget`` is questions a unit, the reserved one included.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, protected_namespaces=())

    model: str
    data: str
    attack: str = "one-pixel"
    pixels: tuple[int, ...] = (1,)
    goal: Literal["untargeted", "targeted", "untargeted-derived"] = "untargeted"
    targets: Literal["all", "random", "least-likely"] = "all"
    limit: int | None = Field(default=None, ge=1)
    first: int | None = Field(default=None, ge=1)
    budget: int | None = None
    stop: Stop = "first-hit"
    baseline: Literal["random", "none"] | None = None
    seed: int = Field(default=0, ge=0)
    device: str = "auto"
    batch_size: int | None = Field(default=None, ge=1)
    outputs: Outputs = "auto"
    normalize: str | None = None
    channel_order: Literal["rgb", "bgr"] = "rgb"
    labels: Literal["given", "predicted"] = "given"
    classes: Path | None = None
    resize: int | None = Field(default=None, ge=1)
    crop: int | None = Field(default=None, ge=1)
    out: Path | None = None
    save_images: bool = False
    retry_failed: bool = False

    @field_validator("pixels", mode="before")
    @classmethod
    def _pixels(cls, value: Any) -> Any:
        if isinstance(value, int):
            value = (value,)
        if isinstance(value, str):
            value = parse_pixels(value)
        if isinstance(value, Iterable):
            value = tuple(dict.fromkeys(value))
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Spec:
        if not self.pixels or min(self.pixels) < 1:
            raise ValueError(f"--pixels: {list(self.pixels)}; give counts of 1 or more, such as 1,3,5")
        if self.limit is not None and self.first is not None:
            raise ValueError("--limit and --first: both are given; give one of them")
        if self.save_images and self.out is None:
            raise ValueError("--save-images: there is no --out to save them in; give --out DIR")
        if self.attack not in ATTACKS:
            raise ValueError(str(UnknownNameError("--attack", self.attack, ATTACKS)))
        if self.goal == "untargeted-derived" and self.targets != "all":
            raise ValueError(
                f"--targets {self.targets}: untargeted-derived takes every other class as a target; use --targets all"
            )
        for attack in self.attacks():
            if self.budget is not None and self.budget < attack.least_budget():
                raise ValueError(
                    f"--budget {self.budget}: {attack.name} needs {attack.least_budget()} or more"
                    f" ({attack.least_budget() - 1} to begin with, and one to verify)"
                )
        return self

    def attacks(self) -> list[Attack]:
        """The attack that is asked for, then the baseline where there is one."""
        names = [self.attack]
        if self.baseline != "none" and self.attack != "random":
            names.append("random")
        return [make_attack(name, stop=self.stop) for name in names]

    def questions(self) -> int:
        """Questions a unit: ``budget``, or what the attack needs to run to its end. The baseline has the same."""
        return self.budget if self.budget is not None else self.attacks()[0].default_budget()

    def wanted(self) -> int:
        """How many right images are to be attacked."""
        return self.first or self.limit or DEFAULT_LIMIT

    def identity(self) -> dict[str, Any]:
        """What two runs must share to share a folder: everything but how many, where to, and how."""
        fields = self.model_dump(mode="json", exclude=_HOW)
        fields["baseline"] = "none" if self.baseline == "none" or self.attack == "random" else "random"
        fields["budget"] = self.questions()
        return fields


def parse_pixels(text: str) -> tuple[int, ...]:
    """``"1,3,5"`` as (1, 3, 5).

    Raises
    ------
    InputError : not integers with commas between them.
    """
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError("--pixels", f"{text!r}", "Give integers with commas between them, such as 1,3,5.") from None


def make_spec(fields: dict[str, Any]) -> Spec:
    """A spec from fields, with errors that name the option.

    Raises
    ------
    InputError : an unknown field, or a value that is not allowed.
    """
    try:
        return Spec(**fields)
    except ValidationError as error:
        raise _plain(error) from None


def read_spec(path: Path) -> dict[str, Any]:
    """The fields of a TOML file; dashes in names count as underscores.

    Raises
    ------
    InputError : no such file, or not TOML.
    """
    try:
        fields = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"--spec {path}", "no such file", "Give a TOML file.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise InputError(f"--spec {path}", f"not TOML ({error})", "See the README for an example.") from None
    return {name.replace("-", "_"): value for name, value in fields.items()}


def _plain(error: ValidationError) -> InputError:
    first = error.errors()[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    option = "--" + name.replace("_", "-")
    if first["type"] == "value_error":
        what, _, rest = str(first["ctx"]["error"]).partition(": ")
        wrong, _, right = rest.partition("; ")
        return InputError(what, wrong.rstrip("."), f"{right[0].upper()}{right[1:].rstrip('.')}." if right else "")
    if first["type"] == "extra_forbidden":
        return UnknownNameError("run specification", name, Spec.model_fields)
    if first["type"] == "missing":
        return InputError(option, "it is missing", "Give it on the command line or in the TOML file.")
    return InputError(option, f"{first['input']!r}: {first['msg']}", "See pinprick attack --help.")
